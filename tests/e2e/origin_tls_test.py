"""TLS with origins: what the edge shows them, which versions it takes, and that no session or idle connection outlives
the trust in it."""

import shutil
import ssl

from support import faults
from support.ca import Authority
from support.tls import clients  # noqa: F401 - a fixture


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
