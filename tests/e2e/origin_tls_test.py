"""TLS with origins: what the edge shows them, which versions it takes, and that no session or idle connection outlives
the trust in it."""

import json
import shutil
import ssl

import pytest
from support import faults, setup
from support.ca import Authority
from support.resolver import Resolver
from support.setup import quick, viewer
from support.tls import VERSIONS, clients  # noqa: F401 - a fixture


def test_an_origin_that_asks_for_a_certificate_gets_ours(scene, start, authority, clients):
    ours = clients.leaf("edge", client=True)
    for origin in scene:
        context = origin.identity.serve()
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(clients.file)
        origin._tls = context
    seen = []

    def answer(request):
        seen.append(request.connection.socket.getpeercert()["subject"])
        faults.normally(request)

    config = scene.config()
    for origin in config["origins"].values():
        origin["tls"] = {"certificate": str(ours.certificate), "private_key": str(ours.private_key)}
    edge = start(config)
    for origin in scene:
        origin.answer = answer
    assert edge.fetch().status == 200
    assert seen == [((("commonName", "edge"),),)]


@pytest.mark.parametrize("shown", ["nothing", "a stranger's", "an expired one"])
@pytest.mark.parametrize("version", VERSIONS)
def test_an_origin_that_refuses_our_certificate_is_left_before_anything_is_read(
        scene, start, authority, clients, tmp_path, version, shown):  # fmt: skip
    """In TLS 1.3 the edge learns of it after it has sent the request, of which the origin's TLS let nothing through."""
    config = scene.config(site={"policy": "failover"}, workers=1, health=quick())
    identity = {
        "nothing": None,
        "a stranger's": authority.leaf("edge", client=True),
        "an expired one": clients.leaf("edge", client=True, begins=-20, ends=-1),
    }[shown]
    if identity:
        config["origins"]["us-east-1"]["tls"] = {"certificate": str(identity.certificate), "private_key": str(identity.private_key)}
    # Probes see a well origin at first: the requests find out.
    config["origins"]["us-east-1"]["health"].update(setup.ONCE)
    edge = start(config)
    context = scene.origin_identity.serve()
    context.minimum_version = context.maximum_version = version
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(clients.file)
    scene["us-east-1"]._tls = context
    tokens = edge.metrics().sum("nearhop_retry_budget_tokens")
    with edge.connect() as connection:
        posted = connection.request("POST", "/", [("Content-Length", "5"), ("Idempotency-Key", "one")], b"hello")
        assert (posted.status, posted.region) == (200, "eu-west-1")
        again = connection.request("POST", "/", [("Content-Length", "5"), ("Idempotency-Key", "one")], b"hello")
        assert again.region == "eu-west-1", "the key went with the request"
        assert connection.request().region == "eu-west-1"
    assert not scene["us-east-1"].requests
    metrics = edge.settled()
    assert metrics.sum("nearhop_failovers_total", origin="us-east-1") == metrics.sum("nearhop_failovers_total", fault="origin_tls") > 0
    assert metrics.sum("nearhop_retry_budget_tokens") >= tokens, "as a connection that was not made: no token"


@pytest.mark.parametrize("version", VERSIONS)
def test_a_probe_that_is_refused_says_why(scene, start, clients, version):
    context = scene.origin_identity.serve()
    context.minimum_version = context.maximum_version = version
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(clients.file)
    scene["us-east-1"]._tls = context
    edge = start(scene.config(health=quick()))
    status = edge.wait_verdict("us-east-1", "down")
    assert status["reason"] == "TLS handshake failed", status
    words = {ssl.TLSVersion.TLSv1_3: "certificate required", ssl.TLSVersion.TLSv1_2: "handshake failure"}[version]
    assert words in json.dumps(status), status


def test_a_body_that_was_let_go_does_not_move(scene, start, clients):
    config = scene.config(site={"policy": "failover", "replay_buffer": "1KiB"}, workers=1)
    edge = start(config)
    context = scene.origin_identity.serve()
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(clients.file)
    scene["us-east-1"]._tls = context
    response = edge.fetch("POST", "/", [("Content-Length", "4000")], b"x" * 4000)
    assert (response.status, response.fault) == (502, "origin_tls")
    assert not scene.requests()
    assert edge.settled().sum("nearhop_not_moved_total", why="body_not_replayable") == 1


def test_a_common_name_is_no_name(scene, start, authority):
    """RFC 9525 section 2: a certificate speaks through its alternative names, for requests and for probes."""
    name = "eu.origins.test"
    nameless = authority.leaf(subject=name)
    with Resolver() as resolver:
        resolver.set(name, "127.0.0.1")
        config = scene.config(health=quick())
        config["dns"] = {"servers": [resolver.server]}
        config["origins"]["eu-west-1"]["url"] = scene["eu-west-1"].url_for(name)
        edge = start(config)
        assert edge.fetch(fields=viewer("DE")).region == "eu-west-1", "by its alternative names"
        edge.stop()
        scene["eu-west-1"].use(nameless)
        scene["eu-west-1"].drop()
        edge = start(config)
        status = edge.wait_verdict("eu-west-1", "down")
        assert "mismatch" in json.dumps(status), status
        config["origins"] = {"eu-west-1": {**config["origins"]["eu-west-1"], "health": setup.ONCE}}
        config["sites"]["main"]["origins"] = ["eu-west-1"]
        edge.reload(config)
        assert edge.fetch().fault == "origin_certificate"


def test_an_origin_below_our_least_version_is_not_talked_to(scene, start):
    for origin in scene:
        origin._tls = origin.identity.serve(tls1_2_only=True)
    config = scene.config()
    for origin in config["origins"].values():
        origin["tls"] = {"min_version": "1.3"}
    edge = start(config)
    assert edge.fetch().fault in ("origin_tls", "no_origin") and not scene.requests()


def with_a_ca_of_its_own(scene, start, authority, tmp_path):
    """An edge whose origins are verified by a file that can be written anew."""
    trusted = tmp_path / "ca.pem"
    shutil.copy(authority.file, trusted)
    config = scene.config(workers=1)
    for origin in config["origins"].values():
        origin["ca"] = str(trusted)
    return start(config), trusted


def test_sessions_with_origins_are_reused_but_not_beyond_a_change_of_trust(scene, start, authority, tmp_path):
    edge, trusted = with_a_ca_of_its_own(scene, start, authority, tmp_path)
    reused = []

    def answer(request):
        reused.append(request.connection.socket.session_reused)
        request.read_body()
        request.respond(close=True)

    for origin in scene:
        origin.answer = answer
    assert edge.fetch().status == edge.fetch().status == 200
    assert reused == [False, True]
    # A resumed handshake shows no certificate: nothing would tell that it is not trusted any more.
    trusted.write_bytes(Authority(tmp_path, "Somebody Else").file.read_bytes())
    edge.reload()
    assert edge.fetch().fault == "origin_certificate"
    assert len(reused) == 2


def test_idle_origin_connections_do_not_outlive_a_change_of_trust(scene, start, authority, tmp_path):
    edge, trusted = with_a_ca_of_its_own(scene, start, authority, tmp_path)
    assert edge.fetch().status == 200
    trusted.write_bytes(Authority(tmp_path, "Somebody Else").file.read_bytes())
    edge.reload()
    assert edge.fetch().fault == "origin_certificate"


def test_plain_bytes_of_a_tls_origin_reach_nobody(scene, start):
    """CVE-2026-1642: before the handshake, instead of it."""
    evil = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nEVIL"
    edge = start(scene.config())
    for origin in scene:
        origin.on_accept = faults.say_on_accept(evil)
    response = edge.fetch()
    assert response.fault == "origin_tls" and b"EVIL" not in response.body
