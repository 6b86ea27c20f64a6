"""How the edge ends what it cannot finish: a request that waits is answered first, and an answer or a tunnel that is cut
off never looks whole. What clients make of it is in browser_test.py."""

import signal
import socket
import threading

import pytest
from support import faults
from support.client import request_bytes
from support.clock import patient, wait_until
from support.http2 import (
    DATA,
    END_HEADERS,
    ENHANCE_YOUR_CALM,
    GOAWAY,
    HEADER_TABLE_SIZE,
    HEADERS,
    NO_ERROR,
    PING,
    PROTOCOL_ERROR,
    Http2,
    frame,
)
from support.memory import (
    REQUEST_TRAILER,
    REQUEST_TRAILER_VALUE,
    RESPONSE_FIELDS,
    RESPONSE_TRAILERS,
    without_memory_for,
)
from support.origin_connection import Gone
from support.proxy import sanitized
from support.tunnel import SWITCH, line_of, lines, strict, switching, upgrade

SERVE = [{"address": "127.0.0.1:0", "protocol": "https"}, {"address": "127.0.0.1:0", "protocol": "http", "plain": "serve"}]
TRANSPORTS = {"https": True, "http": False}
needs_allocator = pytest.mark.skipif(bool(sanitized()), reason="the sanitizer has an allocator of its own")
MANY_FIELDS = [(f"X-{n}", "y") for n in range(600)]  # for which there is no memory


def connect(edge, tls=True, **options):
    options.update({"tls": strict(edge.ca)} if tls else {"ca": None, "address": edge.http})
    return edge.connect(**options)


def stopping(edge):
    """The drain is over as soon as it begins."""
    edge.signal(signal.SIGTERM)


def config_for(scene, drain="300ms", **changes):
    return scene.config(shutdown={"grace": "0s", "drain": drain}, listeners=SERVE, **changes)


def is_reset(connection):
    """Waits for the end of the connection, below TLS: Python hides a reset there."""
    try:
        while socket.socket.recv(connection.socket, 65536):
            pass
    except ConnectionResetError:
        return True
    return False


def watch_end(seen, over):
    """An origin's side of a tunnel: how it ends."""

    def afterwards(connection):
        seen.append("reset" if is_reset(connection) else "an end")
        over.set()
        raise Gone

    return switching(afterwards)


@pytest.fixture
def waiting(scene):
    """Every origin takes a POST and says nothing before the gate is open."""
    gate = threading.Event()
    for origin in scene:
        origin.answer = faults.until(gate, faults.normally)
    yield gate
    gate.set()


def wait_posts(scene, count=1):
    wait_until(lambda: len(scene.requests()) == count, what=f"{count} requests at origins")


# ---- a request that waits is answered -------------------------------------------------------------------------------
@pytest.mark.parametrize("tls", TRANSPORTS.values(), ids=TRANSPORTS)
def test_a_request_that_waits_at_the_end_of_the_drain_gets_503(scene, start, waiting, tls):
    edge = start(config_for(scene))
    with connect(edge, tls) as connection:
        connection.send(request_bytes("POST", "/pay", body=b"1"))
        wait_posts(scene)
        stopping(edge)
        answer = connection.response()
        assert (answer.status, answer.fault, answer.closes) == (503, "edge_stopped", True)
        assert not answer.all("Retry-After"), "it may have been carried out"
        assert connection.is_closed() and connection.ended_cleanly
    assert edge.wait_end() == 0
    edge.output.join()
    (line,) = lines(edge, 503)
    assert line["fault"] == "edge_stopped" and line["method"] == "POST"


def test_uploads_that_are_on_their_way_are_answered_too(scene, start, waiting):
    """What the client still sends must not turn the answer into a reset."""
    edge = start(config_for(scene))
    with connect(edge, tls=False) as connection:
        connection.send(request_bytes("POST", "/pay", [("Content-Length", str(1 << 30))]) + bytes(1 << 16))
        wait_posts(scene)
        stopping(edge)
        wait_until(lambda: connection.send(bytes(1 << 16)) or edge.log.find(event="draining"), what="the drain")
        for _ in range(20):
            connection.send(bytes(1 << 16))
        answer = connection.response()
        assert (answer.status, answer.fault) == (503, "edge_stopped")
    assert edge.wait_end() == 0


def test_those_that_wait_for_room_or_to_connect_are_answered(scene, start, waiting):
    config = config_for(scene, failover={"queue_time": "20s"})
    config["workers"] = 1  # two end one after the other: the second takes the place that the first leaves
    config["origins"]["us-east-1"]["capacity"] = 1
    config["sites"]["main"].update(policy="failover", origins=["us-east-1"])
    edge = start(config)
    with connect(edge) as first, connect(edge) as second:
        first.send(request_bytes("POST", "/first", body=b"1"))
        wait_posts(scene)
        second.send(request_bytes("POST", "/second", body=b"1"))
        wait_until(lambda: edge.metrics().sum("nearhop_exchanges") == 2, what="two exchanges")
        stopping(edge)
        for connection in (first, second):
            assert connection.response().fault == "edge_stopped"
    assert scene.attempts() == 1 and edge.wait_end() == 0


@pytest.mark.parametrize("drain", ["0s", "300ms"])
def test_streams_that_wait_are_answered_before_the_connection_ends(scene, start, waiting, authority, drain):
    edge = start(config_for(scene, drain))
    with Http2(edge.https, authority.file) as client:
        streams = [client.open("POST", "/pay", end=False) for _ in range(3)]
        for stream in streams:
            client.data(stream, b"1", end=stream != streams[0])  # one of them is still sending
        wait_posts(scene, 3)
        stopping(edge)
        assert client.end() == NO_ERROR
        for stream in streams:
            reply = client.replies[stream]
            assert (reply.status, reply.fault, reply.ended) == (503, "edge_stopped", True)
    assert edge.wait_end() == 0


def test_a_stream_whose_declared_empty_body_has_not_ended_is_answered_too(scene, start, authority):
    edge = start(config_for(scene))
    with Http2(edge.https, authority.file) as client:
        stream = client.open("POST", "/pay", [("content-length", "0")], end=False)
        client.ping()
        stopping(edge)
        assert client.end() == NO_ERROR
        reply = client.replies[stream]
        assert (reply.status, reply.fault, reply.ended) == (503, "edge_stopped", True)
    assert edge.wait_end() == 0 and not scene.requests()


@needs_allocator
@pytest.mark.parametrize("tls", TRANSPORTS.values(), ids=TRANSPORTS)
def test_an_exception_is_a_500_and_counted(scene, start, tmp_path, tls):
    edge = start(config_for(scene), environment=without_memory_for(RESPONSE_FIELDS, tmp_path))
    for origin in scene:
        origin.answer = lambda request: request.respond(200, b"done", MANY_FIELDS)
    with connect(edge, tls) as connection:
        connection.send(request_bytes("POST", "/pay", body=b"1"))
        answer = connection.response()
        assert (answer.status, answer.fault, answer.closes) == (500, "edge_internal", True)
        assert connection.is_closed() and connection.ended_cleanly
    line = line_of(edge, 500)
    assert line["fault"] == "edge_internal" and line["id"] == answer.get("X-Request-Id")
    edge.log.wait(event="exchange_failed", request=line["id"])
    assert edge.settled().value("nearhop_faults_total", fault="edge_internal") == 1


@needs_allocator
def test_an_exception_in_one_stream_leaves_the_others_alone(scene, start, authority, tmp_path):
    edge = start(config_for(scene), environment=without_memory_for(RESPONSE_FIELDS, tmp_path))
    with Http2(edge.https, authority.file) as client:
        for origin in scene:
            origin.answer = lambda request: request.respond(200, b"done", MANY_FIELDS)
        reply = client.request("POST", "/pay", body=b"1")
        assert (reply.status, reply.fault, reply.ended) == (500, "edge_internal", True)
        scene.renew()
        assert client.request().status == 200


@needs_allocator
def test_an_exception_in_the_session_answers_all_of_its_streams(scene, start, waiting, authority, tmp_path):
    edge = start(config_for(scene), environment=without_memory_for(REQUEST_TRAILER, tmp_path))
    with Http2(edge.https, authority.file) as client:
        stream = client.open("POST", "/pay", end=False)
        client.data(stream, b"1", end=True)
        wait_posts(scene)
        other = client.open("POST", "/other", end=False)
        client.send(client.headers(other, [("x", "y" * REQUEST_TRAILER_VALUE)]))
        client.end()
        for waits in (stream, other):
            reply = client.replies[waits]
            assert (reply.status, reply.fault, reply.ended) == (500, "edge_internal", True)
    waiting.set()
    edge.log.wait(event="session_failed", fault="edge_internal")
    wait_until(lambda: len(lines(edge, 500)) == 2, what="the access lines")
    assert {line["fault"] for line in lines(edge, 500)} == {"edge_internal"}


# ---- a connection that ends for what its client did -----------------------------------------------------------------
BROKEN = {
    "a frame on stream 0": (frame(DATA, 0, 0, b"x"), PROTOCOL_ERROR),
    "a window of nothing": (frame(8, 0, 0, bytes(4)), PROTOCOL_ERROR),
    "a header block that nobody can read": (frame(HEADERS, END_HEADERS, 101, b"\xff" * 40), None),
    "more cancelled streams than it may": (None, ENHANCE_YOUR_CALM),
    "more pings than it may": (frame(PING, 0, 0, bytes(8)) * 60, ENHANCE_YOUR_CALM),
}


@pytest.mark.parametrize("what", BROKEN)
def test_requests_in_flight_are_answered_before_a_connection_ends_for_what_its_client_did(
    scene, start, waiting, authority, what
):
    data, code = BROKEN[what]
    limits = {"resets": 5, "reset_rate": 0, "control_frames": 40, "control_rate": 0}
    edge = start(config_for(scene, http2=limits))
    with Http2(edge.https, authority.file) as client:
        stream = client.open("POST", "/pay", end=False)
        client.data(stream, b"1", end=True)
        wait_posts(scene)
        for _ in range(0 if data else 8):
            cancelled = client.open(target="/wait")
            client.reset(cancelled)
        client.try_send(data or b"")
        ended = client.end()
        assert ended == code or (code is None and ended not in (NO_ERROR, None))
        kinds = [(kind, on) for kind, _, on, _ in client.frames]
        assert kinds.index((HEADERS, stream)) < kinds.index((GOAWAY, 0)), "the answer comes first"
        reply = client.replies[stream]
        assert (reply.status, reply.fault, reply.ended) == (503, "client_session_ended", True)
        assert reply.get("cache-control") == "no-store" and reply.get("content-length") == "0"
    waiting.set()
    posts = lambda: [line["fault"] for line in lines(edge, 503) if line["method"] == "POST"]
    wait_until(posts, what="the access line")
    assert posts() == ["client_session_ended"]
    assert len([request for request in scene.requests() if request.method == "POST"]) == 1


def test_a_client_that_has_made_its_header_table_smaller_can_read_that_answer(scene, start, waiting, authority):
    """It insists on hearing so at the beginning of the next header block (RFC 7541 section 4.2)."""
    edge = start(config_for(scene))
    with Http2(edge.https, authority.file, settings={HEADER_TABLE_SIZE: 0}) as client:
        client.decoder.max_allowed_table_size = 0
        stream = client.open("POST", "/pay", end=False)
        client.data(stream, b"1", end=True)
        wait_posts(scene)
        client.send(BROKEN["a frame on stream 0"][0])
        assert client.end() == PROTOCOL_ERROR
        assert (client.replies[stream].status, client.replies[stream].fault) == (503, "client_session_ended")


def test_a_request_in_the_same_bytes_as_what_ends_its_connection_is_refused_and_logged(scene, start, authority):
    edge = start(config_for(scene))
    with Http2(edge.https, authority.file) as client:
        client.settled()
        stream = client.take()
        head = client.headers(stream, client.head("POST", "/pay", [], "api.example.com", "https"))
        client.send(head + BROKEN["a frame on stream 0"][0])
        assert client.end() == PROTOCOL_ERROR
        reply = client.replies[stream]
        assert (reply.status, reply.fault, reply.ended) == (503, "client_session_ended", True)
    assert line_of(edge, 503)["fault"] == "client_session_ended"
    assert not scene.requests()


# ---- what is cut is visibly cut -------------------------------------------------------------------------------------
@pytest.fixture
def endless(scene):
    """An answer without a length, of which nothing comes after its beginning."""

    def answer(request):
        request.read_body()
        request.connection.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbegun\r\n")
        request.connection.wait_until_left()

    for origin in scene:
        origin.answer = answer


@pytest.mark.parametrize("tls", TRANSPORTS.values(), ids=TRANSPORTS)
def test_an_answer_without_a_length_that_is_cut_at_the_end_of_the_drain_is_reset(scene, start, endless, tls):
    edge = start(config_for(scene))
    with connect(edge, tls) as connection:
        connection.send(request_bytes(version="HTTP/1.0"))
        head = connection.head()
        assert head.status == 200 and not head.all("Content-Length") and not head.all("Transfer-Encoding")
        stopping(edge)
        assert is_reset(connection)
    assert edge.wait_end() == 0


@pytest.mark.parametrize("tls", TRANSPORTS.values(), ids=TRANSPORTS)
def test_a_chunked_answer_that_is_cut_has_no_last_chunk(scene, start, endless, tls):
    edge = start(config_for(scene))
    with connect(edge, tls) as connection:
        connection.send(request_bytes())
        assert connection.head().status == 200
        stopping(edge)
        rest = connection.rest()
        assert b"begun" in rest and b"0\r\n\r\n" not in rest
        assert not tls or connection.ended_cleanly is False
    assert edge.wait_end() == 0


def test_a_stream_that_is_cut_is_reset(scene, start, endless, authority):
    edge = start(config_for(scene))
    with Http2(edge.https, authority.file) as client:
        stream = client.open()
        client.until(lambda: stream in client.replies and client.replies[stream].body == b"begun")
        stopping(edge)
        client.end()
        assert client.replies[stream].reset not in (None, NO_ERROR) and not client.replies[stream].ended
    assert edge.wait_end() == 0


def test_a_client_that_does_not_read_the_end_of_its_answer_is_reset(scene, start):
    """The answer is whole at the edge, and does not leave: at the end nobody waits for that."""
    for origin in scene:
        origin.answer = lambda request: request.respond(200, bytes(20_000_000), chunked=True)
    edge = start(config_for(scene))
    with connect(edge, tls=False, receive_buffer=16384) as connection:
        connection.send(request_bytes(version="HTTP/1.0"))
        connection.head()
        stopping(edge)
        assert edge.wait_end() == 0
        assert is_reset(connection)


@needs_allocator
def test_an_answer_without_a_length_that_is_cut_by_an_exception_is_reset(scene, start, tmp_path):
    edge = start(config_for(scene), environment=without_memory_for(RESPONSE_TRAILERS, tmp_path))

    def answer(request):
        line = b"X-Long: " + b"x" * 7000
        request.connection.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbegun\r\n")
        gate.wait(60)
        request.connection.write(b"0\r\n" + line + b"\r\n\r\n")

    gate = threading.Event()
    for origin in scene:
        origin.answer = answer
    with connect(edge, tls=False) as connection:
        connection.send(request_bytes(version="HTTP/1.0"))
        connection.head()
        gate.set()
        assert is_reset(connection)
    assert edge.settled().value("nearhop_faults_total", fault="edge_internal") == 1


@pytest.mark.parametrize("tls", TRANSPORTS.values(), ids=TRANSPORTS)
@pytest.mark.parametrize("end", ["drain", "idle"])
def test_both_sides_of_a_tunnel_that_the_edge_cuts_see_a_reset(scene, plain_scene, start, tls, end):
    seen = []
    over = threading.Event()
    scene = scene if tls else plain_scene

    for origin in scene:
        origin.answer = watch_end(seen, over)
    edge = start(config_for(scene, site={"tunnel_idle": "300ms" if end == "idle" else "1h"}))
    connection = upgrade(edge, plain=not tls)
    if end == "drain":
        stopping(edge)
    assert is_reset(connection)
    assert over.wait(patient(10)) and seen == ["reset"]
    if end == "drain":
        assert edge.wait_end() == 0


def test_a_plain_origin_does_not_take_the_death_of_a_client_for_its_end(plain_scene, start):
    """It gets what the client had sent, and then a reset: over TLS only close_notify is an end."""
    got, seen = [], []
    over = threading.Event()

    def afterwards(connection):
        try:
            while data := connection.socket.recv(65536):
                got.append(data)
            seen.append("an end")
        except OSError as error:
            seen.append(type(error).__name__)
        over.set()
        raise Gone

    for origin in plain_scene:
        origin.answer = switching(afterwards)
    edge = start(config_for(plain_scene))
    connection = upgrade(edge)
    connection.send(b"x" * 3_000_000)
    connection.socket.shutdown(socket.SHUT_RDWR)  # no close_notify
    connection.close()
    assert over.wait(patient(20))
    assert seen == ["ConnectionResetError"] and sum(map(len, got)) == 3_000_000


def test_a_client_that_reads_late_gets_all_that_an_origin_sent_before_it_died(scene, start):
    """And then a reset: the end of a TLS connection without close_notify is a cut."""
    size = 3_000_000
    over = threading.Event()

    def die(request):
        request.connection.write(SWITCH + b"y" * size)
        request.connection.end("fin")
        over.set()
        raise Gone

    for origin in scene:
        origin.answer = die
    edge = start(config_for(scene))
    connection = upgrade(edge, plain=True, receive_buffer=16384)
    assert over.wait(patient(10))
    got = len(connection.buffer)
    connection.raw.settimeout(patient(20))
    with pytest.raises(ConnectionResetError):
        while data := connection.raw.recv(4096):
            got += len(data)
    assert got == size
