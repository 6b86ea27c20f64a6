"""The name that a connection to an origin is secured by: apart from the name that is dialled, and following the Host where
an origin has virtual hosts with certificates of their own. No connection and no session is used for another name."""

import json

import pytest
from support import faults, setup
from support.client import HOST
from support.origin import Origin
from support.resolver import Resolver
from support.setup import quick, viewer

ALB = "api-123.eu-west-1.elb.amazonaws.test"
SHOP = "shop.example.com"


def strict(request):
    """As a web server whose virtual hosts have certificates of their own: 421 unless SNI is the Host (RFC 9110 15.5.20)."""
    request.read_body()
    name = request.get("Host").partition(":")[0].lower().rstrip(".")
    good = request.connection.sni == name
    request.respond(200 if good else 421, fields=[("X-SNI", request.connection.sni or "-")])


def one_origin(scene, **changes):
    """A configuration for the nearest origin alone."""
    config = scene.config(workers=1)
    name = "eu-west-1"
    config["origins"] = {name: scene.origin_config(name, **changes)}
    config["sites"]["main"].update(origins=[name], hosts=[HOST, SHOP])
    return config


@pytest.fixture
def dns():
    with Resolver() as resolver:
        resolver.set(ALB, "127.0.0.1")
        yield resolver


# ---- a name of its own ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("dialled", [ALB, "127.0.0.1"])
def test_a_balancer_is_reached_by_one_name_and_verified_by_another(scene, start, authority, dns, dialled):
    """What stands in the URL is in no certificate, and an address in its place makes no difference."""
    origin = scene["eu-west-1"]
    origin.use(authority.leaf(HOST))
    config = one_origin(scene, url=origin.url_for(dialled), tls={"server_name": HOST}, health=quick())
    config["dns"] = {"servers": [dns.server]}
    edge = start(config)
    edge.wait_verdict("eu-west-1", "up")
    for host in (HOST, SHOP):
        assert edge.fetch(host=host).status == 200
    assert [request.get("Host") for request in origin.requests] == [HOST, SHOP], "the client's, as ever"
    assert set(origin.server_names) == {HOST}, "by probes and requests alike"
    assert edge.metrics().sum("nearhop_pool_opened_total", origin="eu-west-1") == 1, "one connection for all hosts"


@pytest.mark.parametrize("shown", ["other.example.com", ALB])
def test_the_certificate_must_carry_that_name(scene, start, authority, dns, shown):
    scene["eu-west-1"].use(authority.leaf(shown))
    config = one_origin(scene, url=scene["eu-west-1"].url_for(ALB), tls={"server_name": HOST}, health=quick())
    config["dns"] = {"servers": [dns.server]}
    edge = start(config)
    assert "mismatch" in json.dumps(edge.wait_verdict("eu-west-1", "down"))
    assert edge.fetch().fault == "origin_certificate"
    assert not scene["eu-west-1"].requests and not scene["eu-west-1"].probes


def test_an_address_may_be_the_name(scene, start, authority, dns):
    """Then no SNI is sent (RFC 6066 section 3), and the certificate must carry the address."""
    origin = scene["eu-west-1"]
    origin.use(authority.leaf("127.0.0.9"))
    config = one_origin(scene, url=origin.url_for(ALB), tls={"server_name": "127.0.0.9"})
    config["dns"] = {"servers": [dns.server]}
    assert start(config).fetch().status == 200
    assert set(origin.server_names) == {None}


def test_host_header_may_be_that_name(scene, start, authority, dns):
    origin = scene["eu-west-1"]
    origin.use(authority.leaf(HOST))
    config = one_origin(scene, url=origin.url_for(ALB), tls={"server_name": HOST}, health=quick())
    config["dns"] = {"servers": [dns.server]}
    config["sites"]["main"]["host_header"] = "server_name"
    edge = start(config)
    edge.wait_verdict("eu-west-1", "up")
    assert edge.fetch(host=SHOP).status == 200
    assert origin.last().get("Host") == HOST and origin.probes[-1].get("Host") == HOST
    text = edge.admin(f"/explain?country=DE&host={SHOP}&format=text").body.decode()
    assert f"names: Host {HOST}, certificate {HOST}\n" in text


def test_a_reload_to_another_name_ends_connections_and_sessions(scene, start, authority):
    origin = scene["eu-west-1"]
    origin.use(authority.leaf(HOST, SHOP))
    edge = start(one_origin(scene, tls={"server_name": HOST}))
    assert edge.fetch().status == 200
    origin.server_names.clear()
    edge.reload(one_origin(scene, tls={"server_name": SHOP}))
    seen = []
    origin.answer = lambda request: (seen.append(request.connection.socket.session_reused), faults.normally(request))
    assert edge.fetch().status == 200
    assert SHOP in origin.server_names and seen == [False], "a resumed handshake would show no certificate for the new name"


# ---- following the Host ---------------------------------------------------------------------------------------------
def following(scene, **changes):
    return one_origin(scene, tls={"server_name": "host"}, **changes)


def test_virtual_hosts_with_certificates_of_their_own(scene, start, authority):
    """SNI of the URL and Host of the client is a 421 for every request; probes ask as users do."""
    origin = scene["eu-west-1"]
    origin.use(authority.leaf(HOST, SHOP))
    origin.answer = origin.health = strict
    edge = start(following(scene, health=quick()))
    edge.wait_verdict("eu-west-1", "up")
    for host in (HOST, SHOP, HOST, SHOP, SHOP.upper() + ":443", SHOP + "."):
        response = edge.fetch(host=host)
        assert (response.status, response.get("X-SNI")) == (200, SHOP if "shop" in host.lower() else HOST)
    assert origin.probes[-1].get("Host") == HOST == origin.probes[-1].connection.sni


def test_a_connection_serves_its_own_name_alone(scene, start, authority):
    origin = scene["eu-west-1"]
    origin.use(authority.leaf(HOST, SHOP))
    edge = start(following(scene))
    for _ in range(3):
        for host in (HOST, SHOP):
            assert edge.fetch(host=host).status == 200
    names = {}
    for request in origin.requests:
        names.setdefault(request.connection.number, set()).add((request.connection.sni, request.get("Host")))
    assert sorted(names.values(), key=str) == [{(HOST, HOST)}, {(SHOP, SHOP)}], "two connections, each used three times"


def test_so_does_a_tls_session(scene, start, authority):
    """A resumed handshake shows no certificate: resumed for another name it would verify nothing."""
    origin = scene["eu-west-1"]
    origin.use(authority.leaf(HOST, SHOP))
    seen = []

    def answer(request):
        seen.append((request.connection.sni, request.connection.socket.session_reused))
        request.read_body()
        request.respond(close=True)

    edge = start(following(scene))
    origin.answer = answer
    for host in (HOST, SHOP, HOST, SHOP):
        assert edge.fetch(host=host).status == 200
    assert seen == [(HOST, False), (SHOP, False), (HOST, True), (SHOP, True)]


def test_each_name_is_verified(scene, start, authority):
    origin = scene["eu-west-1"]
    origin.use(authority.leaf(HOST))
    edge = start(following(scene))
    assert edge.fetch().status == 200
    assert edge.fetch(host=SHOP).fault == "origin_certificate"
    assert [request.get("Host") for request in origin.requests] == [HOST]


def test_a_name_that_a_client_made_up_is_no_fault_of_the_origin(scene, start, authority):
    """Else anybody could have an origin ejected, or passed over for a moment, with a Host that it does not know."""
    origin = scene["eu-west-1"]
    origin.use(authority.leaf(HOST))
    config = following(scene)
    config["sites"]["main"]["default"] = True
    edge = start(config)
    for number in range(8):
        assert edge.fetch(host=f"made-up-{number}.example.org").fault == "origin_certificate"
        assert edge.fetch(host="x" * 300 + ".example.org").fault == "origin_certificate"
        assert edge.fetch().status == 200, "whoever asks for what it has is served"
    status = edge.origin_status("eu-west-1")
    assert (status["ejected"], status["ejections"]) == (False, 0)
    assert edge.metrics().sum("nearhop_origin_ejections_total") == 0


def test_a_request_without_a_host_has_the_url_s(scene, start):
    """HTTP/1.0 may leave it out; the site is then the default one."""
    config = following(scene)
    config["sites"]["main"]["default"] = True
    edge = start(config)
    with edge.connect() as connection:
        connection.send(b"GET / HTTP/1.0\r\n\r\n")
        assert connection.response().status == 200
    assert scene["eu-west-1"].last().connection.sni is None, "the URL has an address"


def test_bodies_too(scene, start, authority):
    origin = scene["eu-west-1"]
    origin.use(authority.leaf(HOST, SHOP))
    origin.answer = strict
    edge = start(following(scene))
    assert edge.fetch("POST", host=SHOP, body=b"hello").status == 200
    assert edge.fetch("POST", host=HOST, body=b"hello").status == 200
    assert [request.body for request in origin.requests] == [b"hello"] * 2


# ---- 421 ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("failover", [True, False])
def test_a_421_from_every_origin_has_a_name_of_its_own(scene, start, failover):
    """SNI is the URL's host and Host the client's: no client could do anything about that on another connection."""
    for origin in scene:
        origin.answer = strict
    edge = start(scene.config(failover={"enabled": failover}, workers=1))
    for _ in range(2):
        response = edge.fetch(fields=[*viewer("DE"), ("Accept", "application/json")])
        assert (response.status, response.fault) == (502, "origin_misdirected")
        assert json.loads(response.body)["fault"] == "origin_misdirected"
    assert edge.fetch("POST", fields=viewer("DE"), body=b"x").fault == "origin_misdirected"
    metrics = edge.settled()
    assert metrics.sum("nearhop_faults_total", fault="origin_misdirected") == 3
    assert all(edge.verdict(origin.region) != "down" for origin in scene), "and nobody's health"
    assert scene["eu-west-1"].accepted <= 3, "their connections are used again: one for requests, one or two for probes"


def test_an_answer_of_another_origin_is_better_than_a_421(scene, start):
    scene["eu-west-1"].answer = faults.status(503, b"busy")
    for name in ("us-east-1", "ap-southeast-1"):
        scene[name].answer = faults.status(421)
    response = start(scene.config()).fetch(fields=viewer("DE"))
    assert (response.status, response.body, response.fault) == (503, b"busy", None)


def test_a_421_is_better_known_than_the_next_one_s_refusal(scene, start):
    edge = start(scene.config(failover={"sent_candidates": 3}))
    scene["eu-west-1"].answer = faults.status(421)
    for name in ("us-east-1", "ap-southeast-1"):
        scene[name].refuse()
        scene[name].drop()
    response = edge.fetch(fields=viewer("DE"))
    assert (response.status, response.fault) == (502, "origin_misdirected")


# ---- what probes ask ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("site", "health", "asked"),
    [
        ({}, {}, HOST),
        ({"hosts": ["*.example.com", SHOP]}, {}, SHOP),
        ({"hosts": ["*.example.com"]}, {}, None),
        ({"host_header": "origin"}, {}, None),
        ({"host_header": "inner.example.com"}, {}, "inner.example.com"),
        ({}, {"host": "probe.example.com"}, "probe.example.com"),
    ],
    ids=["the first of hosts", "no wildcard", "wildcards only", "the origin's", "a fixed one", "the operator's word"],
)
def test_probes_ask_with_the_host_of_users(scene, start, site, health, asked):
    config = one_origin(scene, health={**setup.ONCE, **health})
    config["sites"]["main"].update(site)
    start(config).wait_verdict("eu-west-1", "up")
    assert scene["eu-west-1"].probes[0].get("Host") == (asked or scene["eu-west-1"].url.removeprefix("https://"))


def test_the_probe_of_a_virtual_host_that_users_cannot_reach_fails(scene, start, authority, dns):
    """Asked by the name in the URL it would pass, while every user gets a 421."""
    origin = scene["eu-west-1"]
    origin.use(authority.leaf(ALB, HOST))
    origin.answer = origin.health = strict
    config = one_origin(scene, url=origin.url_for(ALB), health=quick())
    config["dns"] = {"servers": [dns.server]}
    edge = start(config)
    assert "421" in edge.wait_verdict("eu-west-1", "down")["reason"]
    assert edge.fetch().fault == "origin_misdirected"


def test_health_has_a_port_of_its_own(scene, start, authority):
    with Origin("management", authority.leaf(HOST)) as management:
        config = one_origin(scene, tls={"server_name": HOST}, health=quick(port=management.port))
        scene["eu-west-1"].use(authority.leaf(HOST))
        edge = start(config)
        edge.wait_verdict("eu-west-1", "up")
        assert edge.fetch().status == 200
        assert not scene["eu-west-1"].probes and not management.requests
        assert set(management.server_names) == {HOST} == {probe.get("Host") for probe in management.probes}
        assert edge.origin_status("eu-west-1")["addresses"][0]["address"].endswith(f":{scene['eu-west-1'].port}")
        management.health = 500
        edge.wait_verdict("eu-west-1", "down")


def test_a_change_of_the_name_or_the_port_asks_anew(scene, start, authority):
    """A verdict is of who was asked."""
    with Origin("management", authority.leaf(HOST)) as management:
        scene["eu-west-1"].use(authority.leaf(HOST))
        management.health = 500
        config = one_origin(scene, tls={"server_name": HOST}, health=quick(port=management.port))
        edge = start(config)
        edge.wait_verdict("eu-west-1", "down")
        config["origins"]["eu-west-1"]["health"].update(setup.ONCE)
        del config["origins"]["eu-west-1"]["health"]["port"]
        edge.reload(config)
        edge.wait_verdict("eu-west-1", "up")


def test_check_tells_what_cannot_be(scene, start, tmp_path):
    from support.proxy import as_yaml, run

    def check(config):
        file = tmp_path / "nearhop.yaml"
        file.write_text(as_yaml(config))
        return run("check", file).stderr

    config = following(scene)
    config["sites"]["main"]["host_header"] = "server_name"
    assert "tls.server_name of eu-west-1 is host" in check(config)
    config["sites"]["main"].update(host_header="client", hosts=["*.example.com"])
    assert "want health.host" in check(config)
    config["origins"]["eu-west-1"]["health"]["host"] = HOST
    assert check(config) == ""
    config["origins"]["eu-west-1"]["url"] = "http://127.0.0.1:1"
    assert "tls.server_name: has no effect" in check(config)
