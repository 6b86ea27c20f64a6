"""HTTP/1.1 and 1.0 through the edge: what goes in comes out, in order, whole, with the fields a proxy owes."""

import json
import re
import socket
import ssl
import threading

import pytest
from support import faults
from support.client import HOST, Connection, Ended, chunked, request_bytes, split, trusting
from support.clock import patient, wait_until
from support.proxy import Edge
from support.resolver import Resolver
from support.setup import Scene, viewer


@pytest.fixture(scope="module")
def scene(authority):
    with Scene(authority) as made:
        yield made


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
    config["listeners"].append({"address": "127.0.0.1:0", "protocol": "http"})
    config["listeners"].append({"address": "127.0.0.2:0", "protocol": "http", "plain": "serve"})
    second = scene.authority.leaf("second.example.org")
    config["tls"]["certificates"].append(scene.certificate(second))
    config["sites"]["main"]["hosts"].append("second.example.org")
    with Edge(tmp_path_factory.mktemp("edge"), config, ca=authority.file) as running:
        running.second = second
        yield running


@pytest.fixture(autouse=True)
def fresh(scene):
    scene.renew()
    yield


@pytest.fixture
def origin(scene):
    """All of this module's traffic goes here: it is first in the failover order."""
    return scene["us-east-1"]


@pytest.fixture
def connection(edge):
    with edge.connect() as made:
        yield made


# ---- connections ----------------------------------------------------------------------------------------------------
def test_a_connection_is_kept_and_so_is_the_one_to_the_origin(connection, origin):
    accepted = origin.accepted
    for number in range(50):
        assert connection.request(target=f"/{number}").body == f"us-east-1 GET /{number}\n".encode()
    assert origin.targets() == [f"/{number}" for number in range(50)]
    assert origin.accepted - accepted <= 1
    assert len({request.id for request in origin.requests}) == 50 and all(request.id for request in origin.requests)


def test_pipelined_requests_are_answered_in_order(connection, origin):
    gate = threading.Event()
    origin.answer = faults.first(1, faults.until(gate, faults.normally), faults.normally)
    parts = [("GET", b""), ("POST", b"x" * 1000), ("HEAD", b""), ("PUT", chunked(b"abc", b"de")), ("GET", b"")] * 4
    data = b""
    for number, (method, body) in enumerate(parts):
        coding = [("Transfer-Encoding", "chunked")] if method == "PUT" else []
        data += request_bytes(method, f"/{number}", coding, body or None)
    connection.send(data)
    gate.set()
    for number, (method, _) in enumerate(parts):
        response = connection.response(method)
        assert response.status == 200
        assert method == "HEAD" or response.body == f"us-east-1 {method} /{number}\n".encode()
    assert [(request.method, request.body) for request in origin.requests] == [
        (method, b"abcde" if method == "PUT" else body) for method, body in parts
    ]


def test_a_pipelined_request_behind_connection_close_is_not_executed(connection, origin):
    connection.send(request_bytes(target="/1", fields=[("Connection", "close")]) + request_bytes("POST", "/2", body=b"x"))
    response = connection.response()
    assert response.closes and connection.is_closed()
    assert origin.targets() == ["/1"]


def test_a_request_may_come_byte_by_byte(connection, origin):
    body = chunked(b"hello", b"world", trailers=[("X-Sum", "10")])
    connection.send(request_bytes("POST", "/drip", [("Transfer-Encoding", "chunked")]) + body, pieces=1)
    assert connection.response().status == 200
    assert origin.last().body == b"helloworld"
    connection.send(request_bytes("PUT", "/drip2", body=b"0123456789"), pieces=1)
    assert connection.response().status == 200 and origin.last().body == b"0123456789"


@pytest.mark.parametrize("how", [{}, {"chunked": True}, {"chunked": True, "trailers": [("X-Sum", "1")]}])
def test_a_response_may_come_byte_by_byte(connection, origin, how):
    origin.answer = faults.pieces(1, b"0123456789" * 5, **how)
    for _ in range(2):
        response = connection.request(fields=[("TE", "trailers"), ("Connection", "TE")])
        assert response.status == 200 and response.body == b"0123456789" * 5
        assert response.trailers == how.get("trailers", [])


def test_what_has_arrived_is_delivered_before_more_comes(connection, origin):
    gate = threading.Event()

    def events(request):
        request.connection.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        for number in range(5):
            request.connection.write(b"8\r\ndata: %d\n\r\n" % number)
            assert gate.wait(patient(10))
            gate.clear()
        request.connection.write(b"0\r\n\r\n")

    origin.answer = events
    connection.send(request_bytes())
    seen = []

    def on_piece(piece):
        seen.append(piece)
        gate.set()  # the origin goes on only because the client has the event

    assert connection.response(on_piece=on_piece).body == b"".join(b"data: %d\n" % number for number in range(5))
    assert len(seen) == 5


# ---- bodies ---------------------------------------------------------------------------------------------------------
SIZES = [0, 1, 1000, 16 * 1024, 65535, 65536, 65537, 1_000_003]


@pytest.mark.parametrize("size", SIZES)
def test_bodies_of_every_size_pass_both_ways_in_both_framings(connection, origin, size):
    body = bytes(i * 31 % 251 for i in range(1009)) * (size // 1009 + 1)
    body = body[:size]
    for chunks in (False, True):

        def echo(request, chunks=chunks):
            received = request.read_body()
            request.respond(200, received, chunked=chunks)

        origin.answer = echo
        assert connection.request("POST", "/length", body=body).body == body
        framed = chunked(*[body[at : at + 7777] for at in range(0, size, 7777)])
        connection.send(request_bytes("PUT", "/chunked", [("Transfer-Encoding", "chunked")]) + framed)
        assert connection.response().body == body
        assert [request.body for request in origin.requests[-2:]] == [body, body]


def test_trailers_pass_both_ways(connection, origin):
    origin.answer = lambda request: (request.read_body(), request.respond(200, b"body", chunked=True,
                                     trailers=[("X-Checksum", "42"), ("Server-Timing", "db")]))  # fmt: skip
    fields = [("Transfer-Encoding", "chunked"), ("Trailer", "X-Sum"), ("TE", "trailers"), ("Connection", "TE")]
    connection.send(request_bytes("POST", "/", fields) + chunked(b"abc", trailers=[("X-Sum", "9")]))
    response = connection.response()
    assert response.trailers == [("X-Checksum", "42"), ("Server-Timing", "db")]
    assert origin.last().trailers == [("X-Sum", "9")]


@pytest.mark.parametrize("field", ["Content-Length", "Host", "Transfer-Encoding", "X-Forwarded-For", "X-Request-Id"])
def test_a_trailer_cannot_smuggle_a_field_that_frames_or_routes(connection, origin, field):
    connection.send(request_bytes("POST", "/", [("Transfer-Encoding", "chunked")]) + chunked(b"a", trailers=[(field, "7")]))
    response = connection.response()
    assert response.status in (200, 400)
    assert all(field.lower() != name.lower() for request in origin.requests for name, _ in request.trailers)


def test_head_keeps_the_length_and_sends_no_body(connection, origin):
    origin.answer = lambda request: request.respond(200, b"x" * 1234)
    for _ in range(3):
        response = connection.request("HEAD", "/h")
        assert response.get("Content-Length") == "1234" and response.body == b""
    assert connection.request("GET", "/g").body == b"x" * 1234


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n"])
def test_head_answers_of_any_framing_have_no_body(connection, origin, head):
    origin.answer = faults.raw(head, then="keep")
    assert connection.request("HEAD", "/h").status == 200
    origin.answer = faults.normally
    assert connection.request("GET", "/next").body == b"us-east-1 GET /next\n"


@pytest.mark.parametrize("status", [204, 304])
def test_answers_without_body_keep_the_connection(connection, origin, status):
    origin.answer = lambda request: request.respond(status, b"", [("ETag", '"x"')])
    for _ in range(2):
        response = connection.request()
        assert response.status == status and response.get("ETag") == '"x"'
        assert not response.all("Transfer-Encoding")
    origin.answer = faults.normally
    assert connection.request(target="/next").body == b"us-east-1 GET /next\n"


def test_a_304_may_name_the_length_of_what_it_does_not_send(connection, origin):
    origin.answer = faults.raw(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\n\r\n", then="keep")
    assert connection.request().status == 304
    origin.answer = faults.normally
    assert connection.request(target="/next").body == b"us-east-1 GET /next\n"


def test_an_answer_that_ends_with_its_connection_is_chunked_for_the_client(connection, origin):
    def answer(request):
        request.connection.write(b"HTTP/1.1 200 OK\r\nX-Region: us-east-1\r\n\r\n" + b"until the end" * 10)
        request.connection.finish()  # with close_notify: a whole body

    origin.answer = answer
    response = connection.request()
    assert response.body == b"until the end" * 10 and response.get("Transfer-Encoding") == "chunked"
    origin.answer = faults.normally
    assert connection.request(target="/next").status == 200


def test_fields_and_body_bytes_pass_unchanged(connection, origin):
    value = "caf\xe9 \t \"quoted\"; a=b"
    origin.answer = lambda request: request.respond(200, b"\0\r\n\r\nHTTP/1.1 500", [("Set-Cookie", "a=1"), ("X-Odd", value), ("Set-Cookie", "b=2"), ("Server", "mine/1")])
    response = connection.request(fields=[("X-Odd", value), ("X-Empty", ""), ("Accept", "a"), ("accept", "b")])
    assert response.all("Set-Cookie") == ["a=1", "b=2"] and response.get("X-Odd") == value
    assert response.body == b"\0\r\n\r\nHTTP/1.1 500" and response.get("Server") == "mine/1"
    assert origin.last().get("X-Odd") == value and origin.last().get("X-Empty") == ""
    assert ", ".join(origin.last().all("Accept")) == "a, b"


def test_a_target_reaches_the_origin_as_it_was_written(connection, origin):
    targets = ["/", "/a/../b", "/%2e%2E/x", "/a//b", "/a%2Fb", "/%00", "/a%0d%0aX:1", "/?", "/?a=%20&b=/..", "/x;y=1,2",
               "/" + "a" * 7000, "/~!$&'()*+,;=:@"]  # fmt: skip
    for target in targets:
        assert connection.request(target=target).status == 200
    assert origin.targets() == targets


def test_ranges_are_the_origins_business(connection, origin):
    ranges = "bytes=" + ",".join(f"{n}-{2**63 - n}" for n in range(1000))
    origin.answer = lambda request: request.respond(206, b"part", [("Content-Range", "bytes 0-3/10")])
    response = connection.request(fields=[("Range", ranges)])
    assert (response.status, response.body) == (206, b"part") and origin.last().get("Range") == ranges


def test_a_large_head_within_the_limit_passes(connection, origin):
    cookie = "c=" + "x" * 20_480
    assert connection.request(fields=[("Cookie", cookie)]).status == 200
    assert origin.last().get("Cookie") == cookie


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


def test_an_unknown_expectation_is_417(connection, origin):
    response = connection.request("POST", "/", [("Expect", "200-ok")], b"x")
    assert (response.status, response.fault) == (417, "client_expectation") and not origin.requests


def test_interim_answers_pass(connection, origin):
    def answer(request):
        request.connection.write(b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n")
        request.respond()

    origin.answer = answer
    response = connection.request()
    assert response.status == 200 and response.interim == [102, 103]
    assert connection.request().interim == [102, 103]


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


# ---- HTTP/1.0 -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("host", [HOST, None])
def test_http_1_0_with_and_without_host_is_served_and_closed(connection, origin, host):
    connection.send(request_bytes(target="/old", host=host, version="HTTP/1.0"))
    response = connection.response()
    assert response.status == 200 and response.body == b"us-east-1 GET /old\n"
    assert connection.is_closed()
    assert len(origin.last().all("Host")) == 1 and origin.last().version == "HTTP/1.1"


def test_http_1_0_keep_alive_is_honoured(connection):
    for number in range(3):
        connection.send(request_bytes(target=f"/{number}", fields=[("Connection", "keep-alive")], version="HTTP/1.0"))
        response = connection.response()
        assert response.body == f"us-east-1 GET /{number}\n".encode()
        assert (response.get("Connection") or "").lower() == "keep-alive"


def test_http_1_0_clients_get_no_chunks_and_no_interim_answers(connection, origin):
    def answer(request):
        request.connection.write(b"HTTP/1.1 103 Early Hints\r\n\r\n")
        request.respond(200, b"chunky" * 100, chunked=True)

    origin.answer = answer
    connection.send(request_bytes(fields=[("Connection", "keep-alive")], version="HTTP/1.0"))
    response = connection.response()
    assert response.interim == [] and response.body == b"chunky" * 100 and not response.all("Transfer-Encoding")
    assert connection.is_closed()


def test_http_1_0_with_expect_gets_no_100(connection, origin):
    connection.send(request_bytes("POST", "/", [("Expect", "100-continue")], b"hello", version="HTTP/1.0"))
    response = connection.response()
    assert response.status == 200 and response.interim == [] and origin.last().body == b"hello"


def test_an_http_1_0_origin_is_understood(connection, origin):
    def answer(request):
        request.connection.write(b"HTTP/1.0 200 OK\r\nX-Region: us-east-1\r\n\r\nold style")
        request.connection.finish()

    origin.answer = answer
    assert connection.request().body == b"old style"
    origin.answer = faults.raw(b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nold", then="keep")
    assert connection.request().body == b"old"
    origin.answer = faults.normally
    assert connection.request(target="/next").body == b"us-east-1 GET /next\n"


# ---- fields ---------------------------------------------------------------------------------------------------------
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


# ---- plain listeners and TLS ----------------------------------------------------------------------------------------
def test_the_plain_listener_redirects_or_serves(edge, origin):
    redirecting, serving = edge.addresses("http")
    response = edge.fetch("POST", "/path?q=1", body=b"x", address=redirecting, ca=None)
    assert response.status == 308 and not origin.requests
    assert re.fullmatch(rf"https://{HOST}(:\d+)?/path\?q=1", response.get("Location"))
    response = edge.fetch(address=serving, ca=None)
    assert response.status == 200 and origin.last().get("X-Forwarded-Proto") == "http"


@pytest.mark.parametrize("target", ["//evil.test/%0d%0aX:1", "/\\evil.test", "/a?b=https://evil.test"])
def test_a_redirect_stays_on_its_host(edge, target):
    response = edge.fetch(target=target, address=edge.addresses("http")[0], ca=None)
    assert response.status == 400 or re.match(rf"https://{HOST}(:\d+)?/", response.get("Location"))


def test_certificates_are_chosen_by_server_name(edge, scene):
    def serial(name):
        from cryptography import x509

        with edge.connect(name=name) as connection:
            return x509.load_der_x509_certificate(connection.socket.getpeercert(True)).serial_number

    assert serial(HOST) == scene.edge_identity.serial()
    assert serial("second.example.org") == edge.second.serial()
    assert serial("other.example.com") == scene.edge_identity.serial()


def test_alpn_is_http_1_1_and_old_tls_is_refused(edge, authority):
    context = trusting(authority.file)
    context.set_alpn_protocols(["http/1.1"])
    with edge.connect(tls=context) as connection:
        assert connection.socket.selected_alpn_protocol() == "http/1.1"
        assert connection.request().status == 200
    for version, works in ((ssl.TLSVersion.TLSv1_1, False), (ssl.TLSVersion.TLSv1_2, True), (ssl.TLSVersion.TLSv1_3, True)):
        context = trusting(authority.file)
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
        context.minimum_version = context.maximum_version = version
        if works:
            with edge.connect(tls=context) as connection:
                assert connection.request().status == 200
        else:
            with pytest.raises(OSError):
                edge.connect(tls=context)


def test_a_session_ticket_is_resumed_on_another_connection(edge, authority):
    context = trusting(authority.file)
    with edge.connect(tls=context) as connection:
        connection.request()
        session = connection.socket.session
        assert not connection.socket.session_reused
    for _ in range(6):  # whichever worker accepts it
        with edge.connect(tls=context, session=session) as connection:
            assert connection.request().status == 200
            assert connection.socket.session_reused


def test_tls_records_may_come_in_single_bytes(edge, authority):
    raw = socket.create_connection(split(edge.https), patient(20))
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = trusting(authority.file).wrap_bio(incoming, outgoing, server_hostname=HOST)

    def flush():
        data = outgoing.read()
        for at in range(len(data)):
            raw.sendall(data[at : at + 1])

    def until(step):
        while True:
            try:
                result = step()
                flush()
                return result
            except ssl.SSLWantReadError:
                flush()
                data = raw.recv(65536)
                assert data, "closed"
                incoming.write(data)

    until(tls.do_handshake)
    tls.write(request_bytes(target="/slow-tls"))
    flush()
    assert until(lambda: tls.read(65536)).startswith(b"HTTP/1.1 200")
    raw.close()


def test_plain_bytes_on_the_tls_port_do_no_harm(edge):
    for data in (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"\0" * 100, b"\x16\x03\x01\xff\xff" + b"x" * 70_000):
        with Connection(edge.https) as connection:
            try:
                connection.send(data)
                connection.rest()
            except OSError:
                pass
    assert edge.fetch(fields=viewer("DE")).status == 200
