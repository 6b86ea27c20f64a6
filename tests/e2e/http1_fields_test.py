"""What HTTP/1.1 says in its heads: expectations and interim answers, the fields that a proxy takes out, passes on and
adds, methods and targets."""

import json
import time

import pytest
from support import faults
from support.client import HOST, Ended, chunked, request_bytes
from support.clock import SLOW, wait_until
from support.http2 import Http2
from support.proxy import Edge
from support.resolver import Resolver
from support.shared_scene import connection, fresh, origin, scene  # noqa: F401 - fixtures


@pytest.fixture(scope="module")
def resolver():
    with Resolver() as made:
        made.set("eu.origins.test", "127.0.0.1")
        yield made


@pytest.fixture(scope="module")
def edge(scene, resolver, authority, tmp_path_factory):
    config = scene.config(site={"default": True, "policy": "failover"})
    config["dns"] = {"servers": [resolver.server]}
    config["origins"]["eu-west-1"]["url"] = scene["eu-west-1"].url_for("eu.origins.test")
    config["sites"]["own"] = {"hosts": ["own.example.com"], "origins": ["eu-west-1"], "host_header": "origin"}
    config["sites"]["named"] = {"hosts": ["named.example.com"], "origins": ["eu-west-1"], "host_header": "inner.test"}
    with Edge(tmp_path_factory.mktemp("edge"), config, ca=authority.file) as running:
        yield running


# ---- Expect, 1xx, early answers -------------------------------------------------------------------------------------
def test_expect_100_continue_gets_its_100_and_then_the_answer(connection, origin):
    for coding, body in ((("Content-Length", "5"), b"hello"), (("Transfer-Encoding", "chunked"), chunked(b"hello"))):
        connection.send(request_bytes("POST", "/", [("Expect", "100-continue"), coding]))
        assert connection.head().status == 100
        connection.send(body)
        response = connection.response()
        assert response.status == 200 and 100 not in response.interim
        assert origin.last().body == b"hello"


def test_a_client_that_does_not_wait_for_its_100_is_served(connection, origin):
    for number in range(3):
        connection.send(request_bytes("POST", f"/{number}", [("Expect", "100-continue")], b"hello"))
        response = connection.response()
        assert response.status == 200 and response.interim.count(100) <= 1
    assert [request.body for request in origin.requests] == [b"hello"] * 3


def test_a_final_answer_may_come_instead_of_the_100(edge, origin):
    """CVE-2024-24791 and Pingora's CVE-2025-4366: the connection must not be reused as if the body had been sent."""
    origin.answer = lambda request: request.respond(401, b"no")
    for _ in range(2):
        with edge.connect() as connection:
            connection.send(request_bytes("POST", "/", [("Expect", "100-continue"), ("Content-Length", "30")]))
            response = connection.response()
            while response.status == 100:
                response = connection.response()
            assert (response.status, response.body) == (401, b"no")
            if 100 in response.interim or response.closes:
                continue
            connection.send(b"GET /smuggled HTTP/1.1\r\nHost: a")  # 30 bytes: the body, or the start of a request
            connection.send(request_bytes(target="/after"))
    origin.answer = faults.normally
    assert edge.fetch(target="/good").status == 200
    assert "/smuggled" not in origin.targets()


SHORT = f"{int(400 * SLOW)}ms"
WAITS = [("Expect", "100-continue"), ("Content-Length", "30")]


def test_a_client_that_waits_for_its_100_waits_for_the_origin(start, plain_scene):
    """Nothing of its body was read: another origin can have all of it."""
    edge = start(plain_scene.config(site={"policy": "failover", "head_timeout": SHORT}, limits={"body_timeout": SHORT}))
    near, following = plain_scene["us-east-1"], plain_scene["eu-west-1"]
    near.answer = faults.hang_without_reading
    for _ in range(4):
        with edge.connect() as connection:
            connection.send(request_bytes("PUT", "/", WAITS))
            assert connection.head().status == 100
            connection.send(b"x" * 30)
            assert connection.response("PUT").region == "eu-west-1"
    assert [len(request.body) for request in following.requests] == [30] * 4
    assert edge.settled().sum("nearhop_failovers_total", origin="us-east-1", fault="origin_head_timeout") == 4
    assert edge.verdict("us-east-1") == "up", "an origin that knows no Expect is not dead"


def test_a_post_that_waits_for_its_100_is_told_that_the_origin_is_late(start, plain_scene):
    edge = start(plain_scene.config(site={"policy": "failover", "deadline": SHORT}, limits={"body_timeout": SHORT}))
    plain_scene["us-east-1"].answer = faults.hang_without_reading
    with edge.connect() as connection:
        connection.send(request_bytes("POST", "/", WAITS))
        response = connection.response("POST")
        assert (response.status, response.fault) == (504, "origin_head_timeout")
    assert not plain_scene["eu-west-1"].requests


def test_after_the_100_the_body_is_the_clients_to_send(start, plain_scene):
    edge = start(plain_scene.config(site={"policy": "failover"}, limits={"body_timeout": SHORT}))
    with edge.connect() as connection:
        connection.send(request_bytes("PUT", "/", WAITS))
        assert connection.head().status == 100
        response = connection.response("PUT")
        assert (response.status, response.fault) == (408, "client_body_timeout")


def test_an_answer_without_a_100_may_pause_for_longer_than_a_body(start, plain_scene):
    edge = start(plain_scene.config(site={"policy": "failover"}, limits={"body_timeout": SHORT}))

    def answer(request):
        whole = request.answer_bytes(200, b"x" * 100)
        request.connection.write(whole[:-50])
        time.sleep(1.2 * SLOW)  # the pace of the origin
        request.connection.write(whole[-50:])

    plain_scene["us-east-1"].answer = answer
    with edge.connect() as connection:
        connection.send(request_bytes("POST", "/", WAITS))
        assert connection.response("POST").body == b"x" * 100


def test_an_unknown_expectation_is_417(connection, origin):
    response = connection.request("POST", "/", [("Expect", "200-ok")], b"x")
    assert (response.status, response.fault) == (417, "client_expectation") and not origin.requests


@pytest.mark.parametrize("where, http1, http2", [
    (None, [], [102, 103]),
    ("http2", [], [102, 103]),
    ("all", [102, 103], [102, 103]),
    ("none", [], []),
])  # fmt: skip
def test_interim_answers_go_where_the_site_says(start, scene, authority, where, http1, http2):
    """Varnish 7.1 in front of an edge makes 503 of a page with a 103. A 100 goes to who waits for it, whatever the key."""

    def answer(request):
        hints = b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"
        request.connection.write(hints)
        request.read_body()
        request.respond()

    for origin in scene:
        origin.answer = answer
    edge = start(scene.config(site={"interim_responses": where} if where else {}))
    with edge.connect() as connection:
        for _ in range(2):
            response = connection.request()
            assert response.status == 200 and response.interim == http1
        connection.send(request_bytes("POST", "/", [("Expect", "100-continue"), ("Content-Length", "5")]))
        seen = []
        while 100 not in seen:
            seen.append(connection.head().status)
        connection.send(b"hello")
        response = connection.response("POST")
        assert response.status == 200 and sorted(seen + response.interim) == [100, *http1]
    with Http2(edge.https, authority.file) as client:
        assert [status for status, _ in client.request().interim] == http2
        stream = client.open("POST", "/", [("expect", "100-continue"), ("content-length", "5")], end=False)
        client.until(lambda: stream in client.replies and 100 in dict(client.replies[stream].interim))
        client.data(stream, b"hello", end=True)
        assert sorted(status for status, _ in client.reply(stream).interim) == [100, *http2]


@pytest.mark.parametrize("size", [100, 300_000])
@pytest.mark.parametrize("then", ["keep", "fin"])
def test_an_early_answer_reaches_the_client_and_its_body_becomes_no_request(edge, origin, size, then):
    """CVE-2019-20372: the rest of the body must never be read as a request."""

    def early(request):
        request.respond(413, b"too much")
        if then == "fin":
            faults.end(request, "fin")
        request.read_body()

    origin.answer = early
    inner = request_bytes(target="/inner")
    with edge.connect() as connection:
        connection.send(request_bytes("POST", "/early", [("Content-Length", str(size))]) + inner)
        response = connection.response()
        assert response.status == 413
        try:
            connection.send((inner * (size // len(inner) + 1))[: size - len(inner)])
            connection.send(request_bytes(target="/last"))
            if not response.closes:
                assert connection.response().status in (200, 413)
        except (OSError, Ended):
            pass  # the edge may close rather than read so much for nobody: it has answered
    origin.answer = faults.normally
    assert edge.fetch(target="/good").status == 200
    assert "/inner" not in origin.targets()


# ---- fields ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("count", [64, 65])
def test_so_many_names_in_connection_are_nobodys(edge, connection, origin, count):
    """Every field is compared with each of them: thousands would make a head cost a second."""
    names = ",".join(f"x{number}" for number in range(count))
    answer = edge.fetch(fields=[("Connection", names)])
    assert (answer.status, answer.fault) == ((200, None) if count == 64 else (431, "client_head_too_large"))
    origin.answer = lambda request: request.respond(200, b"x", [("Connection", names)])
    answer = connection.request("POST")  # a GET would move on
    assert (answer.status, answer.fault) == ((200, None) if count == 64 else (502, "origin_bad_response"))


def test_hop_by_hop_fields_end_at_the_edge(connection, origin):
    origin.answer = lambda request: request.respond(200, b"x", [("Connection", "X-Hop, Keep-Alive"), ("X-Hop", "1"),
                                     ("Keep-Alive", "timeout=5"), ("Proxy-Connection", "keep-alive"),
                                     ("Upgrade", "h2c"), ("X-End", "2")])  # fmt: skip
    response = connection.request(fields=[("Connection", "X-Mine, keep-alive"), ("X-Mine", "1"), ("Keep-Alive", "5"),
                                          ("Proxy-Connection", "close"), ("TE", "gzip"), ("X-End", "1"),
                                          ("Upgrade", "irc"), ("Connection", "X-Other , Upgrade"), ("x-other", "1")])  # fmt: skip
    names = {name.lower() for name, _ in origin.last().fields}
    assert not names & {"x-mine", "x-other", "keep-alive", "proxy-connection", "upgrade"} and "x-end" in names
    assert "gzip" not in (origin.last().get("TE") or "")
    names = {name.lower() for name, _ in response.fields}
    assert not names & {"x-hop", "keep-alive", "proxy-connection", "upgrade"} and "x-end" in names


@pytest.mark.parametrize("field", ["X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "Via", "X-Request-Id", "Host"])
def test_connection_cannot_strip_what_the_edge_adds(edge, origin, field):
    """CVE-2024-45410."""
    response = edge.fetch(fields=[("Connection", f"close, {field}")])
    if response.status == 200:
        assert origin.last().get(field)
    else:
        assert response.status == 400 and not origin.requests


@pytest.mark.parametrize("field", ["Content-Length", "Transfer-Encoding"])
def test_connection_cannot_strip_the_framing(edge, origin, field):
    """CVE-2026-26365."""
    body = chunked(b"hello") if field == "Transfer-Encoding" else b"hello"
    with edge.connect() as connection:
        value = "chunked" if field == "Transfer-Encoding" else "5"
        connection.send(request_bytes("POST", "/", [("Connection", field), (field, value)]) + body)
        response = connection.response()
        assert response.status == 400 or origin.last().body == b"hello"
        if response.status == 200:
            assert connection.request(target="/next").status == 200


def test_the_edge_says_who_it_is_and_whom_it_serves(edge, origin):
    response = edge.fetch(fields=[("Via", "1.0 before")], source="127.0.0.9")
    request = origin.last()
    via = ", ".join(request.all("Via"))
    assert via.startswith("1.0 before, 1.1 ") and response.status == 200
    assert request.get("X-Forwarded-For") == "127.0.0.9"
    assert request.get("X-Forwarded-Proto") == "https" and request.get("X-Forwarded-Host") == HOST
    assert request.get("Host") == HOST


def test_the_request_id_of_the_origin_is_in_the_access_log(edge, origin):
    edge.fetch(target="/find-me")
    wanted = origin.last().id

    def logged():
        lines = [json.loads(line) for line in edge.output.lines if '"/find-me"' in line]
        return [line for line in lines if line["id"] == wanted]

    line = wait_until(logged, what="the access line")[0]
    assert (line["status"], line["origin"], line["method"], line["host"]) == (200, "us-east-1", "GET", HOST)


def test_a_trusted_peer_may_give_the_request_its_id_and_a_stranger_may_not(edge, origin):
    edge.fetch(fields=[("X-Request-Id", "from-the-cdn")], source="127.0.0.1")
    assert origin.last().all("X-Request-Id") == ["from-the-cdn"]
    edge.fetch(fields=[("X-Request-Id", "from-a-stranger")], source="127.0.0.9")
    assert len(origin.last().all("X-Request-Id")) == 1 and origin.last().id != "from-a-stranger"


def test_upgrade_is_not_a_tunnel(connection, origin):
    """CVE-2024-23326, CVE-2026-2833: bytes after a refused upgrade stay HTTP."""
    upgrade = request_bytes(fields=[("Connection", "Upgrade"), ("Upgrade", "irc")])
    connection.send(upgrade + request_bytes(target="/second", host="unknown.test") + request_bytes(target="/third"))
    assert connection.response().status == 200
    assert connection.response().status == 200  # the default site
    assert connection.response().body == b"us-east-1 GET /third\n"
    assert origin.requests[0].get("Upgrade") is None


@pytest.mark.parametrize("method", ["CONNECT", "TRACE"])
def test_methods_that_make_no_sense_here_are_refused(edge, origin, method):
    response = edge.fetch(method, HOST + ":443" if method == "CONNECT" else "/")
    assert (response.status, response.fault) == (405, "client_method_refused") and not origin.requests


def test_unusual_methods_and_options_asterisk_pass(connection, origin):
    for method, target in [("PATCH", "/"), ("PROPFIND", "/dav"), ("BREW", "/pot"), ("OPTIONS", "*")]:
        assert connection.request(method, target).status == 200
        assert (origin.last().method, origin.last().target) == (method, target)


def test_absolute_targets_become_origin_form(connection, origin):
    for target, seen in [(f"https://{HOST}/abs?x=1", "/abs?x=1"), (f"http://{HOST}", "/"), (f"HTTPS://{HOST}:443/p", "/p")]:
        host = HOST + (":443" if ":443" in target else "")
        assert connection.request(target=target, host=host).status == 200
        assert origin.last().target == seen and origin.last().all("Host") == [host]


def test_an_absolute_target_that_contradicts_host_is_refused_or_wins(connection, origin):
    response = connection.request(target=f"https://{HOST}/abs", host="other.example.com")
    if response.status == 200:
        assert origin.last().all("Host") == [HOST]
    else:
        assert (response.status, response.fault) == (400, "client_bad_request") and not origin.requests


@pytest.mark.parametrize(("host", "seen"), [("own.example.com", "eu.origins.test"), ("named.example.com", "inner.test")])
def test_the_host_header_mode_of_a_site(edge, scene, host, seen):
    assert edge.fetch(host=host).status == 200
    request = scene["eu-west-1"].last()
    assert request.get("Host").split(":")[0] == seen and request.get("X-Forwarded-Host") == host
    assert request.connection.sni == "eu.origins.test"


def test_an_address_is_no_server_name(edge, origin):
    assert edge.fetch().status == 200
    assert origin.last().connection.sni is None
