"""HTTP/2 through the edge: the same exchanges as over HTTP/1.1, in streams (RFC 9113)."""

import json
import threading

import pytest
from support import faults
from support.client import HOST
from support.clock import wait_until
from support.http2 import ACK, PING, REFUSED_STREAM, Http2, frame
from support.proxy import Edge
from support.shared_scene import fresh, origin, scene  # noqa: F401 - fixtures


@pytest.fixture(scope="module")
def edge(scene, authority, tmp_path_factory):
    config = scene.config(site={"default": True, "policy": "failover"})
    config["listeners"].append({"address": "127.0.0.1:0", "protocol": "https", "http2": False})
    with Edge(tmp_path_factory.mktemp("edge"), config, ca=authority.file) as running:
        yield running


@pytest.fixture
def client(edge, authority):
    with Http2(edge.https, authority.file) as made:
        yield made


def test_requests_are_answered_in_their_streams(client, origin):
    assert client.protocol == "h2"
    streams = [client.open(target=f"/{number}") for number in range(50)]
    for number, stream in enumerate(streams):
        reply = client.reply(stream)
        assert (reply.status, reply.body) == (200, f"us-east-1 GET /{number}\n".encode())
    assert sorted(origin.targets()) == sorted(f"/{number}" for number in range(50))


def test_a_client_without_alpn_or_a_listener_without_http2_speaks_http1(edge, authority):
    with Http2(edge.https, authority.file, alpn=["http/1.1"], preface=False) as plain:
        assert plain.protocol == "http/1.1"
    with Http2(edge.addresses("https")[1], authority.file, alpn=["h2", "http/1.1"], preface=False) as plain:
        assert plain.protocol == "http/1.1"


# ---- messages -------------------------------------------------------------------------------------------------------
def test_what_an_origin_gets_is_one_http1_request(client, origin):
    fields = [("accept", "text/html"), ("cookie", "a=1"), ("x-one", "1"), ("cookie", "b=2"), ("cookie", "c=3"),
              ("te", "trailers"), ("host", HOST)]  # fmt: skip
    reply = client.reply(client.open("GET", "/path?query=%20", fields))
    assert reply.status == 200
    request = origin.last()
    assert (request.method, request.target, request.version) == ("GET", "/path?query=%20", "HTTP/1.1")
    assert request.all("Host") == [HOST]
    assert request.all("cookie") == ["a=1; b=2; c=3"]  # RFC 9113 section 8.2.3
    assert request.all("Via") == ["2.0 nearhop"]  # RFC 9110 section 7.6.3
    assert request.all("te") == [] and request.all("accept") == ["text/html"]
    assert request.all("X-Forwarded-Proto") == ["https"]
    assert request.get("Transfer-Encoding") is None and request.get("Content-Length") is None
    assert not [name for name, _ in request.fields if name.startswith(":")]


def test_an_answer_has_lower_case_names_and_no_connection_fields(client, origin):
    fields = [("X-Upper", "1"), ("Connection", "X-Hop, keep-alive"), ("X-Hop", "1"), ("Keep-Alive", "timeout=5"),
              ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("Upgrade", "h2c")]  # fmt: skip
    origin.answer = lambda request: request.respond(200, b"hello", fields)
    reply = client.request()
    assert reply.body == b"hello" and reply.get("content-length") == "5"
    assert reply.get("x-upper") == "1" and reply.all("set-cookie") == ["a=1", "b=2"]
    for gone in ("connection", "x-hop", "keep-alive", "transfer-encoding", "upgrade"):
        assert reply.all(gone) == [], reply.fields
    assert "origin=us-east-1" in reply.get("x-nearhop-decision")


def test_chunked_answers_and_trailers_both_ways(client, origin):
    def answer(request):
        request.read_body()
        request.respond(200, request.body * 2, chunked=True, trailers=[("X-Sum", "10"), ("Grpc-Status", "0")])

    origin.answer = answer
    stream = client.open("POST", "/", [("trailer", "x-in")], end=False)
    client.data(stream, b"hello")
    client.send(client.headers(stream, [("x-in", "5"), ("x-more", "6")]))
    reply = client.reply(stream)
    assert reply.body == b"hellohello" and reply.get("content-length") is None
    assert reply.trailers == [("x-sum", "10"), ("grpc-status", "0")]
    assert origin.last().body == b"hello" and origin.last().get("Transfer-Encoding") == "chunked"
    assert origin.last().trailers == [("x-in", "5"), ("x-more", "6")]


@pytest.mark.parametrize("body", [b"", b"x", b"x" * 16384, b"x" * 16385, bytes(300_000)])
def test_bodies_of_all_sizes_go_both_ways(client, origin, body):
    origin.answer = lambda request: (request.read_body(), request.respond(200, request.body))
    for fields in ([], [("content-length", str(len(body)))]):
        reply = client.request("POST", "/", fields, body)
        assert reply.status == 200 and reply.body == body and reply.ended
        request = origin.last()
        assert request.body == body
        assert request.get("Content-Length") == (str(len(body)) if fields else None)


@pytest.mark.parametrize("status", [200, 204, 304, 404])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_answers_without_a_body_end_with_their_head(client, origin, method, status):
    origin.answer = lambda request: request.respond(status, b"body")
    reply = client.request(method)
    assert reply.status == status
    assert reply.body == (b"body" if method == "GET" and status not in (204, 304) else b"")
    assert (reply.pieces == []) == (reply.body == b"")
    assert reply.all("content-length") == (["4"] if status not in (204, 304) else [])


def test_interim_answers_are_forwarded_and_100_continue_invites_the_body(client, origin):
    def answer(request):
        request.connection.write(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n")
        request.read_body()
        request.respond(200, request.body)

    origin.answer = answer
    stream = client.open("POST", "/", [("expect", "100-continue"), ("content-length", "5")], end=False)
    client.until(lambda: stream in client.replies and len(client.replies[stream].interim) == 2)
    assert sorted(client.replies[stream].interim) == [(100, []), (103, [("link", "</a.css>")])]
    client.data(stream, b"hello", end=True)
    assert client.reply(stream).body == b"hello"


def test_an_answer_before_the_whole_body_ends_the_upload(client, origin):
    origin.answer = lambda request: request.respond(200, b"enough")
    stream = client.open("POST", "/", end=False)
    client.data(stream, b"x" * 1000)
    reply = client.reply(stream)
    assert reply.status == 200 and reply.body == b"enough"
    # Not at once: clients lose an answer that they read together with the reset (libcurl 7.88).
    client.ping()
    assert reply.reset is None
    client.until(lambda: reply.reset is not None)
    assert reply.reset == 0  # NO_ERROR, RFC 9113 section 8.1
    assert client.request().status == 200


def test_the_rest_of_an_answered_request_is_taken_for_a_moment(client, edge, origin):
    """As over HTTP/1.1: who is nearly done comes to an end without a reset."""
    before = edge.metrics().sum("nearhop_http2_resets_total")
    origin.answer = lambda request: request.respond(200, b"enough")
    for _ in range(5):
        stream = client.open("POST", "/", end=False)
        client.upload(stream, bytes(1000), end=False)
        reply = client.reply(stream)
        client.upload(stream, bytes(50_000))
        client.ping()
        assert reply.body == b"enough" and reply.reset is None
    assert client.request().status == 200
    assert edge.metrics().sum("nearhop_http2_resets_total") == before


def test_much_of_an_answered_request_is_not_taken(client, edge, origin):
    """64 KiB by default; the client's window is not given back for more, and a reset ends the wait."""
    origin.answer = lambda request: request.respond(200, b"enough")
    stream = client.open("POST", "/", end=False)
    client.reply(stream)
    sent = 0
    while sent < 1 << 20 and client.replies[stream].reset is None:
        room = min(client.window(0), client.window(stream), 16384)
        if room > 0:
            client.windows[0], client.windows[stream] = client.window(0) - room, client.window(stream) - room
            client.data(stream, bytes(room))
            sent += room
        else:
            client.pump()
    assert client.replies[stream].reset == 0 and sent <= (128 + 64 + 16) * 1024
    origin.answer = faults.normally
    assert client.request("POST", body=bytes(3_000_000)).status == 200  # the connection's window is whole


def test_an_upload_that_is_cut_off_is_its_clients_doing(edge, authority, origin):
    with Http2(edge.https, authority.file) as client:
        stream = client.open("POST", "/cut", [("content-length", "1000")], end=False)
        client.data(stream, b"x" * 500)
        wait_until(lambda: "/cut" in origin.targets(), what="the request at the origin")
    lines = lambda: [each for each in map(json.loads, edge.output.lines) if each["path"] == "/cut"]  # noqa: E731
    wait_until(lines, what="the access line")
    assert lines()[0]["fault"] == "client_gone"


def test_the_log_and_the_metrics_say_http2(client, edge):
    before = edge.metrics().sum("nearhop_http2_streams_total")
    stream = client.request(target="/logged")
    assert stream.status == 200
    line = wait_until(lambda: edge.output.find() and [e for e in map(str, edge.output.lines) if "/logged" in e], what="a line")
    assert '"protocol":"HTTP/2"' in line[0].replace(" ", "")
    wait_until(lambda: edge.metrics().sum("nearhop_http2_streams_total") == before + 1, what="the stream to be counted")


# ---- exchanges ------------------------------------------------------------------------------------------------------
def test_a_dead_origin_is_not_seen_by_clients(start, scene, authority):
    """32 streams at a time while the first origin resets, then refuses: each is answered by the next one."""
    # Moves after a request was sent are bounded; this test makes more of them than a site without traffic may.
    edge = start(scene.config(site={"policy": "failover"}, failover={"budget_minimum": 1000}))
    with Http2(edge.https, authority.file) as client:
        scene["us-east-1"].answer = faults.reset
        for fault in (lambda: None, lambda: (scene["us-east-1"].refuse(), scene["us-east-1"].drop())):
            fault()
            streams = [client.open(target=f"/{number}") for number in range(32)]
            for number, stream in enumerate(streams):
                reply = client.reply(stream)
                assert (reply.status, reply.body) == (200, f"eu-west-1 GET /{number}\n".encode())
        posted = client.request("POST", "/post", body=b"body")
        assert posted.status == 200 and scene["eu-west-1"].last().body == b"body"
    scene["us-east-1"].listen()


def test_a_truncated_answer_is_a_reset_and_not_an_end(client, origin):
    origin.answer = faults.truncated(500)
    reply = client.request()
    assert reply.status == 200 and not reply.ended and reply.reset == 2  # INTERNAL_ERROR
    origin.answer = faults.normally
    assert client.request().status == 200


def test_a_cancelled_stream_cancels_the_exchange_and_counts_against_nobody(edge, client, origin):
    assert client.request().status == 200
    before, open_before = edge.metrics(), origin.open_connections()
    origin.answer = faults.hang
    stream = client.open(target="/slow")
    wait_until(lambda: "/slow" in origin.targets(), what="the request at the origin")
    client.reset(stream)
    gone = lambda m: m.sum("nearhop_faults_total", fault="client_gone")  # noqa: E731
    wait_until(lambda: gone(edge.metrics()) == gone(before) + 1, what="client_gone")
    after = edge.settled()
    assert edge.verdict("us-east-1") == "up"
    assert after.sum("nearhop_origin_ejections_total") == before.sum("nearhop_origin_ejections_total")
    wait_until(lambda: origin.open_connections() < open_before, what="the origin's connection to be dropped")
    origin.answer = faults.normally
    assert client.request().status == 200


@pytest.mark.parametrize("how", ["reset", "close 1", "close 2", "close 3", "close 4"])
def test_the_rest_of_a_cancelled_answer_is_not_read(edge, authority, origin, how):
    """It would keep its worker busy for as long as the origin can send."""
    origin.answer = lambda request: request.respond(200, bytes(50_000_000))
    lines = lambda: [each for each in map(json.loads, edge.output.lines) if each["path"] == f"/large/{how[-1]}"]  # noqa: E731
    window = 2**24
    with Http2(edge.https, authority.file, settings={4: window}, window=window, receive_buffer=16 * 1024) as client:
        stream = client.open(target=f"/large/{how[-1]}")
        client.until(lambda: stream in client.replies and len(client.replies[stream].body) > 65535)
        if how == "reset":
            client.reset(stream)
            client.ping()  # takes in what was on its way: behind a full socket the edge does not read the reset
            wait_until(lines, what="the access line")
    wait_until(lines, what="the access line")
    assert lines()[0]["bytes_out"] < 20_000_000 and lines()[0]["fault"] == "client_gone"


def test_streams_do_not_wait_for_each_other(client, origin):
    gate = threading.Event()
    origin.answer = lambda request: (faults.until(gate, faults.normally) if request.target == "/slow" else faults.normally)(request)
    slow = client.open(target="/slow")
    for number in range(20):
        assert client.request(target=f"/{number}").status == 200
    assert slow not in client.replies
    gate.set()
    assert client.reply(slow).status == 200


@pytest.mark.parametrize("fields, size", [(4, 15_500), (900, 58)])
def test_heads_as_large_as_an_origin_may_send(client, origin, fields, size):
    """nghttp2 reckons each field generously, and drops a head that it finds too long without a word."""
    value = "v" * size
    origin.answer = lambda request: request.respond(200, b"x", fields=[(f"x-{n}", value) for n in range(fields)])
    reply = client.request()
    assert reply.status == 200 and reply.get(f"x-{fields - 1}") == value


def test_large_heads_wait_for_a_client_that_reads_late(edge, authority, origin):
    """They are longer than a frame, than a send, and together than what the socket takes: none is lost or cut."""
    value = "h" * 15_000
    origin.answer = lambda request: request.respond(200, request.target.encode(), fields=[(f"x-{n}", value) for n in range(4)])
    answered = edge.metrics().sum("nearhop_requests_total")
    with Http2(edge.https, authority.file, receive_buffer=4096, timeout=30) as client:
        streams = {client.open(target=f"/{number}"): number for number in range(100)}
        wait_until(lambda: edge.metrics().sum("nearhop_requests_total") == answered + 100, what="the edge to have all answers")
        for stream, number in streams.items():
            reply = client.reply(stream)
            assert reply.status == 200 and reply.body == f"/{number}".encode()
            assert [reply.get(f"x-{n}") for n in range(4)] == [value] * 4


@pytest.mark.parametrize("apart", [False, True], ids=["in one write with the PING", "behind the GOAWAY"])
def test_what_the_last_goaway_does_not_cover_is_not_carried_out(start, scene, authority, apart):
    """Its client repeats it elsewhere (RFC 9113 section 6.8)."""
    edge = start(scene.config(limits={"session_requests": 1}))
    gate = threading.Event()
    scene["us-east-1"].answer = faults.until(gate, faults.normally)
    with Http2(edge.https, authority.file) as client:
        client.answer_pings = False
        busy = client.open(target="/busy")
        client.until(lambda: client.goaways)
        late = client.take()
        answer = frame(PING, ACK, 0, bytes(8))
        post = client.headers(late, client.head("POST", "/late"))
        if apart:
            client.send(answer)
            client.until(lambda: len(client.goaways) == 2)
            client.send(post)
            client.ping()
        else:
            client.send(answer + post)
            assert client.reply(late).reset == REFUSED_STREAM
        assert client.goaways[-1] == (busy, 0)
        gate.set()
        assert client.reply(busy).status == 200
        client.end()
    assert "/late" not in [request.target for request in scene.requests()]


# ---- flow control ---------------------------------------------------------------------------------------------------
def test_a_download_follows_the_clients_window(edge, authority, origin):
    body = bytes(range(256)) * 1024
    origin.answer = lambda request: request.respond(200, body)
    with Http2(edge.https, authority.file, settings={4: 1000}, replenish=False) as client:
        stream = client.open()
        client.until(lambda: stream in client.replies and len(client.replies[stream].body) == 1000)
        client.ping()
        reply = client.replies[stream]
        assert len(reply.body) == 1000
        client.update(stream, 70_000)  # above what the connection has left: 65535 in all
        client.until(lambda: len(reply.body) == 65_535)
        client.ping()
        assert len(reply.body) == 65_535
        client.update(0, 1 << 20)
        client.update(stream, 1 << 20)
        assert client.reply(stream).body == body
        assert max(reply.pieces) <= 16_384


def test_an_answer_as_long_as_the_window_ends_without_more_of_it(edge, authority, origin):
    """nghttp2 sends not even an empty frame where no window is left: the end has to come with the last bytes."""
    size = 1 << 20
    origin.answer = lambda request: request.respond(200, bytes(size))
    with Http2(edge.https, authority.file, settings={4: size}, window=2**31 - 1 - 65535, replenish=False) as client:
        for _ in range(30):
            assert len(client.reply(client.open()).body) == size


def test_a_response_waits_at_the_origin_while_its_stream_has_no_window(edge, authority, origin):
    """Back-pressure: what a client does not take is not read from the origin either."""
    size, more = 64 << 20, 4 << 20  # the kernel's buffers take some 16 MiB of it
    sent = []

    def answer(request):
        request.connection.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        for _ in range(size // 65536):
            request.connection.write(bytes(65536))
            sent.append(65536)

    origin.answer = answer
    with Http2(edge.https, authority.file, settings={4: 100}, replenish=False) as client:
        stream = client.open()
        client.until(lambda: stream in client.replies and len(client.replies[stream].body) == 100)
        count = -1
        while len(sent) != count:  # until the origin is stuck
            count = len(sent)
            threading.Event().wait(0.3)
        assert sum(sent) < size
        client.update(0, more)
        client.update(stream, more)
        client.until(lambda: len(client.replies[stream].body) == 100 + more)
        wait_until(lambda: len(sent) > count, what="the origin to go on")
        client.reset(stream)


def test_an_upload_waits_in_the_client_while_its_origin_does_not_read(edge, authority, origin, monkeypatch):
    gate = threading.Event()

    def answer(request):
        gate.wait(30)
        request.respond(200, str(sum(len(piece) for piece in request.body_pieces())).encode())

    origin.answer = answer
    monkeypatch.setattr(origin, "keep_bodies", False)
    size = 24 << 20
    with Http2(edge.https, authority.file) as client:
        stream = client.open("POST", "/", end=False)
        client.settled()
        sent = 0
        while sent < size:  # as far as the windows go
            room = min(client.window(0), client.window(stream), 16384, size - sent)
            if room > 0:
                client.windows[0], client.windows[stream] = client.window(0) - room, client.window(stream) - room
                client.data(stream, bytes(room))
                sent += room
                continue
            client.socket.settimeout(0.5)
            try:
                client.pump()
            except TimeoutError:
                break
        assert sent < size, "everything was taken though the origin read nothing"
        client.socket.settimeout(30)
        gate.set()
        client.upload(stream, bytes(size - sent))
        assert client.reply(stream).body == str(size).encode()


def test_unread_bodies_do_not_shrink_the_connections_window(client, origin):
    """Uploads that are answered early, cancelled, padded: what nobody read is given back."""
    origin.answer = lambda request: request.respond(200, b"early")
    for number in range(60):  # 60 x 60 KB: several times the connection's window
        stream = client.open("POST", f"/{number}", end=False)
        client.upload(stream, bytes(60_000), end=number % 2 == 0)
        if number % 3 == 0:
            client.reset(stream)
            client.ping()
        else:
            client.reply(stream)
    origin.answer = faults.normally
    padded = client.open("POST", "/padded", end=False)
    for _ in range(40):
        client.until(lambda: min(client.window(0), client.window(padded)) >= 1 + 99 + 255)
        client.windows[0], client.windows[padded] = client.window(0) - 355, client.window(padded) - 355
        client.send_frame(0, 0x8, padded, b"\xff" + b"x" * 99 + bytes(255))
    client.data(padded, end=True)
    assert client.reply(padded).status == 200
    assert origin.last().body == b"x" * 99 * 40
    assert client.request("POST", body=bytes(3_000_000)).status == 200
