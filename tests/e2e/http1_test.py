"""HTTP/1.1 and 1.0 through the edge: connections are kept, and messages come out in order, whole and in a framing that
their reader understands. What is said in fields is in http1_fields_test.py."""

import threading

import pytest
from support import faults
from support.client import HOST, chunked, request_bytes
from support.clock import patient
from support.proxy import Edge
from support.shared_scene import connection, fresh, origin, scene  # noqa: F401 - fixtures


@pytest.fixture(scope="module")
def edge(scene, authority, tmp_path_factory):
    config = scene.config(site={"default": True, "policy": "failover"})
    with Edge(tmp_path_factory.mktemp("edge"), config, ca=authority.file) as running:
        yield running


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
