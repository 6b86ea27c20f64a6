"""HTTP/2 from hostile clients: floods, silence and what it costs, each attack named by its CVE number. It ends with its
own counter; and every time somebody else's request gets its own answer. Malformed requests are in
http2_refusals_test.py."""

import os
import struct
import threading
import time

import pytest
from support import faults
from support.clock import SLOW, wait_until
from support.http2 import (
    CANCEL,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    ENHANCE_YOUR_CALM,
    GOAWAY,
    HEADERS,
    MAX_CONCURRENT_STREAMS,
    PING,
    PRIORITY,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    Http2,
    frame,
    settings_payload,
)
from support.http2_edge import GOOD, connect, edge, ended  # noqa: F401 - fixtures
from support.proxy import sanitized
from support.shared_scene import fresh, origin, scene  # noqa: F401 - fixtures


class Calm:
    """`with Calm(edge, why) as calm: ...; calm(client)`: the session ended with this counter and GOAWAY."""

    def __init__(self, edge, why, code=ENHANCE_YOUR_CALM):
        self.edge, self.why, self.code = edge, why, code
        self.before = ended(edge, why)

    def __call__(self, client):
        assert client.end() == self.code, client.goaways
        wait_until(lambda: ended(self.edge, self.why) == self.before + 1, what=f"a session that ended with {self.why}")


# ---- floods: each with its counter and ENHANCE_YOUR_CALM ------------------------------------------------------------
def test_rapid_reset(edge, connect, origin):
    """CVE-2023-44487: requests that are cancelled at once neither load the origin nor go on for long."""
    calm = Calm(edge, "rapid_reset")
    client = connect()
    client.settled()
    data = b""
    for _ in range(400):
        stream = client.take()
        data += client.headers(stream, GOOD) + frame(RST_STREAM, 0, stream, struct.pack(">I", CANCEL))
    before = len(origin.requests)
    client.try_send(data)
    calm(client)
    assert len(origin.requests) - before < 100
    wait_until(lambda: edge.metrics().sum("nearhop_exchanges") == 0, what="no exchange to be left")


def test_ordinary_cancelling_is_not_an_attack(connect):
    client = connect()
    for _ in range(100):
        client.reset(client.open())
    assert client.request().status == 200


@pytest.mark.parametrize("how", ["window-overflow", "zero-update", "bad-trailers", "too-many-streams"])
def test_made_you_reset(edge, connect, origin, how):
    """CVE-2025-8671: what makes us reset streams is counted as if the client had."""
    calm = Calm(edge, "made_reset")
    origin.answer = faults.hang
    client = connect(settings={4: 0})
    client.settled()
    alive = True
    for _ in range(400):
        if not alive:
            break
        stream = client.take()
        head = client.headers(stream, GOOD, end=how not in ("bad-trailers",))
        if how == "window-overflow":
            data = head + frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", 2**31 - 1)) * 2
        elif how == "zero-update":
            data = head + frame(WINDOW_UPDATE, 0, stream, bytes(4))
        elif how == "bad-trailers":
            data = head + client.headers(stream, [("x", "y"), (":path", "/")])
        else:
            data = head
        alive = client.try_send(data)
        if how in ("window-overflow", "bad-trailers"):  # one after the other: more at once would be too many streams
            while alive and not (stream in client.replies and client.replies[stream].over):
                alive = client.pump()
    if how == "zero-update":  # nghttp2 ends the connection for it, which is as good
        assert client.end() == PROTOCOL_ERROR
        return
    calm(client)
    wait_until(lambda: edge.metrics().sum("nearhop_exchanges") == 0, what="no exchange to be left")


@pytest.mark.parametrize("payload", [b"", b"\x00\x01x\x01y"])
def test_a_head_without_end(edge, connect, payload):
    """CVE-2024-27316, CVE-2024-28182: CONTINUATION without end, empty or not."""
    calm = Calm(edge, "continuation_flood")
    client = connect()
    client.settled()
    client.send_frame(HEADERS, END_STREAM, 1, client.encoder.encode(GOOD, huffman=False))
    client.try_send(frame(CONTINUATION, 0, 1, payload) * 50)
    calm(client)


FLOODS = {
    "ping": frame(PING, 0, 0, b"12345678"),  # CVE-2019-9512
    "settings": frame(SETTINGS),  # CVE-2019-9515
    "settings-filled": frame(SETTINGS, 0, 0, settings_payload({4: 65535})),
    "priority": frame(PRIORITY, 0, 1, b"\0\0\0\3\x10"),  # CVE-2019-9513
    "window-update": frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 1)),  # CVE-2019-9511
    "unknown": frame(0xEE, 0, 0, b"x"),
}


@pytest.mark.parametrize("name", FLOODS)
def test_floods_of_control_frames(edge, connect, name):
    calm = Calm(edge, "control_flood")
    client = connect()
    client.settled()
    for _ in range(40):
        if not client.try_send(FLOODS[name] * 100):
            break
    calm(client)


@pytest.mark.parametrize("kind", ["data", "data of a cut stream", "empty data"])
def test_floods_on_streams_that_are_gone(edge, connect, origin, kind):
    """What was under way when the edge closed a stream is free; the rest of it is not, and nghttp2 counts none."""
    calm = Calm(edge, "control_flood" if kind != "empty data" else "empty_frames")
    client = connect()
    client.settled()
    stream = client.open("POST", "/", [("content-length", "1")], end=False)
    if kind == "data of a cut stream":
        client.data(stream, b"too much")
        assert client.reply(stream).reset == PROTOCOL_ERROR
    else:
        client.reset(stream)
    payload = {"data": b"x", "data of a cut stream": b"x" * 1000, "empty data": b""}[kind]
    for _ in range(40):
        if not client.try_send(frame(DATA, 0, stream, payload) * 100):
            break
    calm(client)


def test_some_unknown_frames_are_passed_over_and_a_client_that_goes_away_is_let_go(connect):
    client = connect()
    client.send(frame(0xEE, 0, 0, b"x") * 900)
    assert client.request().status == 200
    client.try_send(frame(GOAWAY, 0, 0, bytes(8)) * 1000)
    client.end()


@pytest.mark.parametrize("kind", ["data", "padded"])
def test_floods_of_empty_frames(edge, connect, kind):
    """CVE-2019-9518, CVE-2018-16843."""
    calm = Calm(edge, "empty_frames")
    client = connect()
    client.settled()
    stream = client.open("POST", "/", end=False)
    empty = frame(DATA, 0, stream) if kind == "data" else frame(DATA, 0x8, stream, b"\x03\0\0\0")
    client.try_send(empty * 300)
    calm(client)


def test_settings_with_thousands_of_entries(edge, connect):
    """CVE-2020-11080."""
    calm = Calm(edge, "control_flood")
    client = connect()
    client.settled()
    client.try_send(frame(SETTINGS, 0, 0, settings_payload({4: 65535}) * 2400))
    calm(client)


def test_an_hpack_bomb(edge, connect):
    """CVE-2016-6581, CVE-2016-1544: one large entry of the table, referred to thousands of times."""
    calm = Calm(edge, "header_bomb")
    client = connect()
    client.settled()
    stream = client.take()
    block = client.encoder.encode(GOOD, huffman=False)
    large = b"\x40\x01x" + b"\x7f" + bytes([0x7F & (3900 - 127) | 0x80, (3900 - 127) >> 7]) + b"y" * 3900
    client.try_send(
        frame(HEADERS, END_STREAM, stream, block + large) + frame(CONTINUATION, END_HEADERS, stream, b"\xbe" * 16_000)
    )
    calm(client)


def test_an_hpack_bomb_in_trailers(edge, connect):
    calm = Calm(edge, "header_bomb")
    client = connect()
    client.settled()
    stream = client.open_raw([(":method", "POST"), *GOOD[1:]], end=False)
    large = b"\x40\x01x" + b"\x7f" + bytes([0x7F & (3900 - 127) | 0x80, (3900 - 127) >> 7]) + b"y" * 3900
    client.try_send(frame(HEADERS, END_STREAM, stream, large) + frame(CONTINUATION, END_HEADERS, stream, b"\xbe" * 16_000))
    calm(client)


# ---- deadlines, costs and limits ------------------------------------------------------------------------------------
def test_a_head_that_never_ends_times_out(scene, start, authority):
    config = scene.config(limits={"head_timeout": "500ms", "idle_timeout": "1s"})
    edge = start(config)
    calm = Calm(edge, "head_timeout")
    with Http2(edge.https, authority.file) as client:
        client.settled()
        client.send_frame(HEADERS, 0, 1, client.encoder.encode(GOOD, huffman=False))
        calm(client)
    with Http2(edge.https, authority.file, preface=False):
        wait_until(lambda: ended(edge, "idle") == 1, what="the silent session to be counted")


def test_trailers_that_their_stream_does_not_live_to_see_the_end_of_are_no_slow_head(scene, start, authority):
    """The answer comes, and with it the stream's end, between a HEADERS and its CONTINUATION."""
    gate = threading.Event()
    limit = 0.5 * SLOW
    edge = start(scene.config(limits={"head_timeout": f"{int(limit * 1000)}ms", "drain_time": "0s"}))

    def early(request):
        gate.wait(60)
        request.respond(200, b"")

    for origin in scene:
        origin.answer = early
    with Http2(edge.https, authority.file, replenish=False) as client:
        client.settled()
        stream = client.open_raw([(":method", "POST"), *GOOD[1:]], end=False)
        client.data(stream, b"begun")
        wait_until(scene.requests, what="the request at an origin")
        block = client.encoder.encode([("x-checksum", "1")], huffman=False)
        client.send_frame(HEADERS, END_STREAM, stream, block[:3])
        client.send_frame(CONTINUATION, 0, stream, block[3:5])
        gate.set()
        client.until(lambda: stream in client.replies and client.replies[stream].reset is not None)
        client.send_frame(CONTINUATION, END_HEADERS, stream, block[5:])
        with edge.connect() as begun:  # later, and its head runs out of time
            begun.send(b"GET ")
            assert begun.response().status == 408
        assert client.request().status == 200 and not client.goaways
    assert edge.settled().sum("nearhop_faults_total", fault="client_head_timeout") == 1


def test_a_body_without_progress_times_out(scene, start, authority):
    config = scene.config(limits={"body_timeout": "300ms"})
    edge = start(config)
    with Http2(edge.https, authority.file) as client:
        stream = client.open("POST", "/", end=False)
        client.data(stream, b"begun")
        assert client.reply(stream).status == 408
        assert client.request().status == 200


def test_a_request_without_content_that_never_ends_times_out(scene, start, authority):
    """No origin hears of it; its connection goes on."""
    edge = start(scene.config(limits={"body_timeout": "300ms"}))
    with Http2(edge.https, authority.file) as client:
        stream = client.open("POST", "/endless", [("content-length", "0")], end=False)
        reply = client.reply(stream)
        assert (reply.status, reply.fault) == (408, "client_body_timeout")
        assert client.request().status == 200
    assert "/endless" not in [request.target for request in scene.requests()]


def test_a_stalled_window_times_out(scene, start, authority):
    """A client that asks and then takes nothing: the stream, not the connection, pays for it."""
    config = scene.config(limits={"write_timeout": "500ms"})
    edge = start(config)
    scene["us-east-1"].answer = lambda request: request.respond(200, bytes(1_000_000))
    with Http2(edge.https, authority.file, settings={4: 10}, replenish=False) as client:
        large = client.open(fields=[("cloudfront-viewer-country", "US")])
        scene["eu-west-1"].answer = lambda request: request.respond(200, b"x" * 1000)
        small = client.open(fields=[("cloudfront-viewer-country", "DE")])
        for stream in (large, small):  # one exchange is still running, the other is complete and waits to leave
            reply = client.reply(stream)
            assert len(reply.body) == 10 and reply.reset is not None
        wait_until(lambda: edge.metrics().sum("nearhop_faults_total", fault="client_write_timeout") == 2, what="two faults")
        client.update(0, 1 << 20)
        client.send_frame(SETTINGS, 0, 0, settings_payload({4: 1 << 20}))
        assert client.request(fields=[("cloudfront-viewer-country", "JP")]).status == 200


def test_the_tail_of_a_finished_answer_has_to_move(scene, start, authority):
    """The exchange is over, all of its answer waits here: a byte now and then must not hold it for ever."""
    limit = 0.5 * SLOW
    edge = start(scene.config(limits={"write_timeout": f"{int(limit * 1000)}ms", "write_rate": "1KiB"}))
    for origin in scene:
        origin.answer = lambda request: request.respond(200, bytes(30_000))
    with Http2(edge.https, authority.file, settings={4: 1}, replenish=False) as client:
        stream = client.open()
        began = time.monotonic()
        wait_until(lambda: edge.metrics().sum("nearhop_exchanges") == 0, what="the exchange to be over")
        while stream not in client.replies or client.replies[stream].reset is None:
            assert time.monotonic() - began < 20 * limit, "it is held by a dribble"
            client.update(stream, 1)
            time.sleep(limit / 5)
            client.socket.settimeout(0.01)
            try:
                client.pump()
            except TimeoutError:
                pass
        assert time.monotonic() - began > limit


def test_a_client_that_never_reads_holds_little(scene, start, authority):
    """CVE-2019-9517: open windows, a full socket, ever more requests and PINGs."""
    config = scene.config(limits={"write_timeout": "1s", "write_rate": "1MiB"})
    config["workers"] = 1
    edge = start(config)
    for origin in scene:
        origin.answer = lambda request: request.respond(200, bytes(1_000_000))
    with Http2(edge.https, authority.file, settings={4: 2**31 - 1}, window=2**31 - 1 - 65535, receive_buffer=4096) as client:
        assert client.request().status == 200
        before = edge.resident_kib()
        client.socket.settimeout(0.2)
        try:
            for _ in range(100):
                client.send(client.headers(client.take(), GOOD))
            for _ in range(50):  # more of them would be a flood
                client.send_frame(PING, 0, 0, b"12345678")
        except (TimeoutError, OSError):
            pass
        wait_until(lambda: edge.metrics().sum("nearhop_http2_ended_total", why="write_timeout") == 1, what="its end")
        if not sanitized():
            assert edge.resident_kib() - before < 64 * 1024
    wait_until(lambda: edge.metrics().sum("nearhop_exchanges") == 0, what="no exchange to be left")


def test_many_resets_cost_little_cpu(edge, connect):
    """CVE-2021-32778: a connection full of cancelled streams is cheap to clean up."""
    before = edge.cpu_seconds()
    for _ in range(20):
        client = connect()
        data = b"".join(
            client.headers(stream, GOOD) + frame(RST_STREAM, 0, stream, struct.pack(">I", CANCEL))
            for stream in range(1, 360, 2)
        )
        client.send(data)
        client.ping()
        client.close()
    assert edge.cpu_seconds() - before < 2 * SLOW


def test_tiny_windows_on_many_streams_do_not_spin(edge, connect, origin):
    """CVE-2024-45506: answers that wait for windows cost nothing while they wait."""
    origin.answer = lambda request: request.respond(200, bytes(200_000))
    client = connect(settings={4: 1}, replenish=False)
    streams = [client.open() for _ in range(100)]
    client.until(lambda: all(stream in client.replies and client.replies[stream].body for stream in streams))
    before, began = edge.cpu_seconds(), time.monotonic()
    client.socket.settimeout(1)
    with pytest.raises(TimeoutError):
        client.pump()
    assert edge.cpu_seconds() - before < 0.5 * (time.monotonic() - began)


def test_a_dribble_of_windows_ends(edge, connect, origin):
    """CVE-2019-9511: one byte at a time, for as long as it is allowed."""
    calm = Calm(edge, "control_flood")
    origin.answer = lambda request: request.respond(200, bytes(200_000))
    client = connect(settings={4: 1}, replenish=False)
    stream = client.open()
    for _ in range(50):
        if not client.try_send(frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", 1)) * 100):
            break
    calm(client)


@pytest.mark.skipif(sanitized() != "" if os.environ.get("NEARHOP") else False, reason="memory is the sanitizer's")
def test_reset_and_goaway_leak_nothing(edge, connect, authority):
    """CVE-2023-35945: RST_STREAM and GOAWAY in a row, over and over."""

    def round_():
        client = Http2(edge.https, authority.file)
        stream = client.open()
        client.send(frame(RST_STREAM, 0, stream, struct.pack(">I", CANCEL)) + frame(GOAWAY, 0, 0, bytes(8)))
        client.end()
        client.close()

    for _ in range(100):
        round_()
    before = edge.resident_kib()
    for _ in range(400):
        round_()
    assert edge.resident_kib() - before < 2048


@pytest.mark.parametrize("acknowledged", [False, True], ids=["at once", "after the SETTINGS"])
def test_streams_above_the_limit_are_refused(scene, start, authority, acknowledged):
    """Whether the client knows of the limit or not: its other streams go on."""
    config = scene.config()
    config["http2"] = {"streams": 4}
    edge = start(config)
    gate = threading.Event()
    for origin in scene:
        origin.answer = faults.until(gate, faults.normally)
    with Http2(edge.https, authority.file) as client:
        if acknowledged:
            client.ping()
            assert client.peer[MAX_CONCURRENT_STREAMS] == 4
        data = b"".join(client.headers(client.take(), [*GOOD, ("x-number", str(number))]) for number in range(6))
        client.send(data)
        for stream in (9, 11):
            assert client.reply(stream).reset == REFUSED_STREAM  # safe to repeat elsewhere
        gate.set()
        for stream in (1, 3, 5, 7):
            assert client.reply(stream).status == 200
        client.ping()
        assert client.request(fields=[("x-number", "5")]).status == 200  # of HPACK's table, where a refused head put it
        metrics = edge.metrics()
        assert metrics.sum("nearhop_http2_refused_total") == 2
        assert metrics.sum("nearhop_faults_total", fault="client_bad_request") == 0
        assert metrics.sum("nearhop_http2_ended_total", why="protocol_error") == 0


def test_a_cancelled_stream_makes_room_at_once(scene, start, authority):
    config = scene.config()
    config["http2"] = {"streams": 4}
    edge = start(config)
    for origin in scene:
        origin.answer = faults.hang
    with Http2(edge.https, authority.file) as client:
        client.ping()
        data = b""
        for _ in range(20):
            stream = client.take()
            data += client.headers(stream, GOOD) + frame(RST_STREAM, 0, stream, struct.pack(">I", CANCEL))
        client.send(data)
        client.ping()
        assert edge.metrics().sum("nearhop_http2_refused_total") == 0
