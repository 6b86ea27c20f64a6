"""HTTP/2 from hostile and broken clients: what is refused, what ends the connection and with which counter; and every
time somebody else's request gets its own answer. The attacks are named by their CVE numbers."""

import os
import struct
import threading
import time

import pytest
from support import faults
from support.client import HOST
from support.clock import SLOW, patient, wait_until
from support.http2 import (
    CANCEL,
    COMPRESSION_ERROR,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    ENHANCE_YOUR_CALM,
    FLOW_CONTROL_ERROR,
    FRAME_SIZE_ERROR,
    GOAWAY,
    HEADERS,
    MAGIC,
    PING,
    PRIORITY,
    PROTOCOL_ERROR,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    STREAM_CLOSED,
    WINDOW_UPDATE,
    Http2,
    frame,
    settings_payload,
)
from support.proxy import Edge, sanitized
from support.setup import Scene


@pytest.fixture(scope="module")
def scene(authority):
    with Scene(authority) as made:
        yield made


@pytest.fixture(scope="module")
def edge(scene, authority, tmp_path_factory):
    config = scene.config(site={"default": True, "policy": "failover"})
    config["workers"] = 1  # a connection that hurt would hurt the neighbour too
    with Edge(tmp_path_factory.mktemp("edge"), config, ca=authority.file) as running:
        yield running


@pytest.fixture(autouse=True)
def fresh(scene):
    scene.renew()
    yield


@pytest.fixture
def origin(scene):
    return scene["us-east-1"]


@pytest.fixture
def connect(edge, authority, scene):
    """connect(...) opens connections to the edge; a good neighbour is asked again when the test is over."""
    opened = []

    def make(**options):
        opened.append(Http2(edge.https, authority.file, **options))
        return opened[-1]

    neighbour = Http2(edge.https, authority.file)
    assert neighbour.request(target="/before").body == b"us-east-1 GET /before\n"
    yield make
    for client in opened:
        client.close()
    for origin in scene:
        origin.answer = faults.normally
    reply = neighbour.request(target="/after")
    neighbour.close()
    assert reply.status == 200 and reply.body.endswith(b" GET /after\n")  # of another region where one was ejected


def ended(edge, why):
    return edge.metrics().sum("nearhop_http2_ended_total", why=why)


class Calm:
    """`with Calm(edge, why) as calm: ...; calm(client)`: the session ended with this counter and GOAWAY."""

    def __init__(self, edge, why, code=ENHANCE_YOUR_CALM):
        self.edge, self.why, self.code = edge, why, code
        self.before = ended(edge, why)

    def __call__(self, client):
        assert client.end() == self.code, client.goaways
        wait_until(lambda: ended(self.edge, self.why) == self.before + 1, what=f"a session that ended with {self.why}")


# ---- malformed messages: RFC 9113 section 8.1.1 ---------------------------------------------------------------------
GOOD = [(":method", "GET"), (":scheme", "https"), (":authority", HOST), (":path", "/")]


def without(name):
    return [pair for pair in GOOD if pair[0] != name]


def instead(name, value):
    return [(key, value if key == name else old) for key, old in GOOD]


REFUSED = {
    # section 8.3: pseudo-fields
    "no-method": without(":method"),
    "no-scheme": without(":scheme"),
    "no-path": without(":path"),
    "no-authority-nor-host": without(":authority"),
    "two-methods": GOOD + [(":method", "GET")],
    "two-paths": [(":path", "/a")] + GOOD,
    "two-authorities": [(":authority", HOST)] + GOOD,
    "unknown-pseudo": [(":proto", "x")] + GOOD,
    "response-pseudo": [(":status", "200")] + GOOD,
    "pseudo-behind-field": without(":path") + [("accept", "*/*"), (":path", "/")],
    "empty-path": instead(":path", ""),
    "relative-path": instead(":path", "a/b"),
    "absolute-path": instead(":path", f"https://{HOST}/"),
    "asterisk-with-get": instead(":path", "*"),
    # CVE-2021-39240, 39241, 39242
    "scheme-with-path": instead(":scheme", "https://other.example/"),
    "scheme-unknown": instead(":scheme", "ftp"),
    "space-in-method": instead(":method", "GET /admin HTTP/1.1\r\nx:"),
    "blank-in-method": instead(":method", "GE T"),
    "host-differs": GOOD + [("host", "other.example.com")],
    "two-hosts": without(":authority") + [("host", HOST), ("host", HOST)],
    "userinfo": instead(":authority", f"user@{HOST}"),
    "authority-with-path": instead(":authority", f"{HOST}/x"),
    "authority-bad-port": instead(":authority", f"{HOST}:99999"),
    # CVE-2023-27491, CVE-2023-25690: bytes that would end HTTP/1.1's request line
    "path-lf": instead(":path", "/a\nb"),
    "path-cr": instead(":path", "/a\r\nx: y"),
    "path-nul": instead(":path", "/a\0b"),
    "path-blank": instead(":path", "/a b"),
    "path-fragment": instead(":path", "/a#b"),
    "path-not-ascii": instead(":path", "/\xff"),
    "method-lower": instead(":method", "get\0"),
    "method-long": instead(":method", "G" * 33),
    # section 8.2: field names and values
    "upper-case-name": GOOD + [("X-Upper", "1")],
    "name-with-blank": GOOD + [("x y", "1")],
    "name-with-colon": GOOD + [("x:y", "1")],
    "name-empty": GOOD + [("", "1")],  # CVE-2019-9516
    "name-not-ascii": GOOD + [("x\xff", "1")],
    "value-nul": GOOD + [("x", "a\0b")],
    "value-cr": GOOD + [("x", "a\rb")],
    "value-lf": GOOD + [("x", "a\nx-injected: 1")],
    "value-leading-blank": GOOD + [("x", " a")],
    "value-trailing-blank": GOOD + [("x", "a ")],
    # section 8.2.2: fields of one connection
    "connection": GOOD + [("connection", "close")],
    "keep-alive": GOOD + [("keep-alive", "timeout=5")],
    "proxy-connection": GOOD + [("proxy-connection", "keep-alive")],
    "transfer-encoding": GOOD + [("transfer-encoding", "chunked")],
    "upgrade": GOOD + [("upgrade", "websocket")],
    "te-gzip": GOOD + [("te", "gzip")],
    # section 8.1.1: content-length
    "length-signed": GOOD + [("content-length", "+5")],
    "length-list": GOOD + [("content-length", "5, 5")],
    "length-twice": GOOD + [("content-length", "0"), ("content-length", "0")],
    "length-huge": GOOD + [("content-length", "9" * 30)],
    "length-without-body": GOOD + [("content-length", "5")],
    "expectation": GOOD + [("expect", "tea")],
}
ANSWERED = {"expectation": 417}


@pytest.mark.parametrize("name", REFUSED)
def test_a_malformed_request_is_refused_and_its_connection_goes_on(connect, origin, name):
    client = connect()
    reply = client.reply(client.open_raw(REFUSED[name]))
    if reply.status:
        assert reply.status == ANSWERED.get(name, 400) and reply.fault
    else:
        assert reply.reset == PROTOCOL_ERROR
    assert client.request(target="/good").status == 200
    assert [target for target in origin.targets() if target not in ("/before", "/good")] == []


@pytest.mark.parametrize("method", ["CONNECT", "TRACE"])
def test_methods_that_are_not_served(connect, origin, method):
    client = connect()
    pairs = [(":method", method), (":authority", f"{HOST}:443")] if method == "CONNECT" else instead(":method", method)
    reply = client.reply(client.open_raw(pairs))
    assert reply.status == 405 and reply.get("allow")
    assert origin.targets() == ["/before"]


@pytest.mark.parametrize(
    "extra, status",
    [
        ([(f"x-{number}", "1") for number in range(101)], 431),
        ([("x", "y" * 33_000)], 431),
        ([(f"x-{number}", "y" * 1000) for number in range(40)], 431),
    ],
    ids=["fields", "one-large", "many-large"],
)
def test_heads_above_the_limits_are_answered_as_in_http1(connect, origin, extra, status):
    client = connect()
    stream = client.take()
    block = client.encoder.encode(GOOD + extra, huffman=False)
    pieces = [block[at : at + 16384] for at in range(0, len(block), 16384)]
    for number, piece in enumerate(pieces):
        last = END_HEADERS if number == len(pieces) - 1 else 0
        client.send_frame(CONTINUATION if number else HEADERS, last | (0 if number else END_STREAM), stream, piece)
    assert client.reply(stream).status == status
    assert client.request().status == 200
    assert client.reply(client.open(target="/" + "x" * 8192)).status == 414


@pytest.mark.parametrize("reason, head", [
    ("host_mismatch", GOOD + [("host", "other.example.com")]),
    ("bad_target", instead(":path", "/a#b")),
    ("bad_host", instead(":authority", "user@" + HOST)),
])  # fmt: skip
def test_a_refusal_has_its_class_and_reason(edge, connect, reason, head):
    def counted():
        return edge.metrics().sum("nearhop_deviations_total", side="client", reason=reason)

    before = counted()
    client = connect()
    reply = client.reply(client.open_raw(head))
    assert reply.status == 400 and reply.fault == "client_bad_request"
    wait_until(lambda: counted() == before + 1, what="the deviation to be counted")


def test_a_body_that_is_not_what_content_length_says(connect, origin):
    client = connect()
    for length, sent in ((5, b"123"), (5, b"1234567")):
        stream = client.open("POST", "/length", [("content-length", str(length))], end=False)
        client.data(stream, sent, end=True)
        reply = client.reply(stream)
        assert reply.reset == PROTOCOL_ERROR or reply.status == 400, (length, sent, reply)
    assert all(not request.complete for request in origin.requests if request.target == "/length" and request.length())
    assert client.request().status == 200


@pytest.mark.parametrize("trailer", [(":path", "/x"), ("X-Upper", "1"), ("connection", "close"), ("x", "a\r\nb")])
def test_malformed_trailers_do_not_reach_the_origin(connect, origin, trailer):
    client = connect()
    stream = client.open("POST", "/trailers", end=False)
    client.data(stream, b"body")
    client.send(client.headers(stream, [trailer]))
    reply = client.reply(stream)
    assert reply.reset == PROTOCOL_ERROR or reply.status == 400
    assert client.request().status == 200


# ---- malformed frames: the connection ends --------------------------------------------------------------------------
def priority_short(client):
    """CVE-2018-20615: HEADERS with PRIORITY and no room for it."""
    client.send_frame(HEADERS, 0x24, client.take(), b"\x00\x00")


BROKEN = {
    "index-0": (lambda c: c.send_frame(HEADERS, 5, c.take(), b"\x80"), COMPRESSION_ERROR),  # CVE-2018-14645
    "index-70": (lambda c: c.send_frame(HEADERS, 5, c.take(), b"\xc6"), COMPRESSION_ERROR),  # CVE-2020-11100
    "index-huge": (lambda c: c.send_frame(HEADERS, 5, c.take(), b"\xff" * 20), COMPRESSION_ERROR),
    "huffman-padding": (lambda c: c.send_frame(HEADERS, 5, c.take(), b"\x00\x81\x00\x81\x00"), COMPRESSION_ERROR),
    "table-above-settings": (lambda c: c.send_frame(HEADERS, 5, c.take(), b"\x3f\xe1\xff\xff\x07"), COMPRESSION_ERROR),
    "priority-short": (priority_short, (FRAME_SIZE_ERROR, PROTOCOL_ERROR)),
    "padding-too-long": (lambda c: c.send_frame(HEADERS, 0xD, c.take(), b"\xff\x82"), PROTOCOL_ERROR),
    "frame-too-large": (lambda c: c.send_frame(DATA, 0, 1, bytes(20_000)), FRAME_SIZE_ERROR),
    "headers-on-stream-0": (lambda c: c.send_frame(HEADERS, 5, 0, b"\x82"), PROTOCOL_ERROR),
    "headers-on-even-stream": (lambda c: c.send(c.headers(2, GOOD)), PROTOCOL_ERROR),
    "data-on-idle-stream": (lambda c: c.send_frame(DATA, 0, 9, b"x"), PROTOCOL_ERROR),
    "reset-of-idle-stream": (lambda c: c.reset(9), PROTOCOL_ERROR),
    "update-of-idle-stream": (lambda c: c.update(9, 1), PROTOCOL_ERROR),
    "continuation-alone": (lambda c: c.send_frame(CONTINUATION, 4, 1, b"\x82"), PROTOCOL_ERROR),
    "data-inside-headers": (
        lambda c: c.send(frame(HEADERS, 1, 1, b"\x82") + frame(DATA, 0, 1, b"x")),
        PROTOCOL_ERROR,
    ),
    "push-promise": (lambda c: c.send_frame(PUSH_PROMISE, 4, 1, b"\0\0\0\2\x82"), PROTOCOL_ERROR),
    "settings-size": (lambda c: c.send_frame(SETTINGS, 0, 0, b"12345"), FRAME_SIZE_ERROR),
    "settings-on-stream": (lambda c: c.send_frame(SETTINGS, 0, 1, b""), PROTOCOL_ERROR),
    "settings-ack-payload": (lambda c: c.send_frame(SETTINGS, 1, 0, settings_payload({4: 1})), FRAME_SIZE_ERROR),
    "settings-window": (lambda c: c.send_frame(SETTINGS, 0, 0, settings_payload({4: 2**31})), FLOW_CONTROL_ERROR),
    "settings-frame-size": (lambda c: c.send_frame(SETTINGS, 0, 0, settings_payload({5: 100})), PROTOCOL_ERROR),
    "ping-size": (lambda c: c.send_frame(PING, 0, 0, b"1234567"), FRAME_SIZE_ERROR),
    "ping-on-stream": (lambda c: c.send_frame(PING, 0, 1, b"12345678"), PROTOCOL_ERROR),
    "goaway-on-stream": (lambda c: c.send_frame(GOAWAY, 0, 1, bytes(8)), PROTOCOL_ERROR),
    "update-0": (lambda c: c.update(0, 0), PROTOCOL_ERROR),
    "update-overflow": (lambda c: (c.update(0, 2**31 - 1), c.update(0, 2**31 - 1)), FLOW_CONTROL_ERROR),
    # CVE-2026-27135: an error, and in the same packet a frame of a wrong size.
    "error-then-wrong-size": (
        lambda c: c.send(frame(HEADERS, 5, 1, b"\x80") + frame(PRIORITY, 0, 3, b"1") + frame(PING, 0, 0, b"1")),
        COMPRESSION_ERROR,
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_frame_ends_its_connection_only(edge, connect, name):
    act, code = BROKEN[name]
    before = ended(edge, "protocol_error")
    client = connect()
    client.settled()
    act(client)
    assert client.end() in (code if isinstance(code, tuple) else (code,)), client.frames[-3:]
    wait_until(lambda: ended(edge, "protocol_error") == before + 1, what="the session to be counted")


@pytest.mark.parametrize("preface", [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", MAGIC[:-1] + b"x", bytes(100), MAGIC + bytes(9)])
def test_a_wrong_preface_ends_the_connection(connect, preface):
    client = connect(preface=False)
    client.send(preface)
    client.end()
    assert not any(reply.status for reply in client.replies.values())


def test_frames_on_closed_streams_and_unknown_frames_are_ignored(connect):
    client = connect()
    stream = client.open("POST", "/", end=False)
    client.reset(stream)
    client.data(stream, b"late", end=False)
    client.update(stream, 5)
    client.send_frame(0xEE, 0xFF, 0, b"unknown")
    client.send_frame(0xEE, 0xFF, 99, b"unknown")
    client.send_frame(PRIORITY, 0, 77, b"\0\0\0\1\x10")
    # A number below one that was used belongs to a stream that is closed (RFC 9113 section 5.1.1): nghttp2 skips it
    # where it might end the connection.
    client.next = 9
    assert client.request().status == 200
    client.send(client.headers(5, GOOD))
    assert client.request().status == 200
    assert 5 not in client.replies


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
    if how == "too-many-streams":  # above SETTINGS_MAX_CONCURRENT_STREAMS once that was acknowledged
        assert client.end() in (PROTOCOL_ERROR, ENHANCE_YOUR_CALM)
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


def test_unknown_frames_cost_nothing_and_a_client_that_goes_away_is_let_go(connect):
    client = connect()
    for _ in range(40):
        client.send(frame(0xEE, 0, 0, b"x") * 100)
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


def test_a_head_that_never_ends_times_out(scene, start, authority):
    config = scene.config(limits={"head_timeout": "500ms"})
    edge = start(config)
    calm = Calm(edge, "head_timeout")
    with Http2(edge.https, authority.file) as client:
        client.settled()
        client.send_frame(HEADERS, 0, 1, client.encoder.encode(GOOD, huffman=False))
        calm(client)
    with Http2(edge.https, authority.file, preface=False):
        wait_until(lambda: ended(edge, "idle") == 1, what="the silent session to be counted")


def test_a_body_without_progress_times_out(scene, start, authority):
    config = scene.config(limits={"body_timeout": "300ms"})
    edge = start(config)
    with Http2(edge.https, authority.file) as client:
        stream = client.open("POST", "/", end=False)
        client.data(stream, b"begun")
        assert client.reply(stream).status == 408
        assert client.request().status == 200


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


def test_a_client_that_never_reads_holds_little(scene, start, authority):
    """CVE-2019-9517: open windows, a full socket, ever more requests and PINGs."""
    config = scene.config(limits={"write_timeout": "2s"})
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


def test_streams_above_the_limit_are_refused(scene, start, authority):
    config = scene.config()
    config["http2"] = {"streams": 4}
    edge = start(config)
    gate = threading.Event()
    for origin in scene:
        origin.answer = faults.until(gate, faults.normally)
    with Http2(edge.https, authority.file) as client:
        data = b"".join(client.headers(client.take(), GOOD) for _ in range(6))
        client.send(data)  # before the edge's SETTINGS are acknowledged
        for stream in (9, 11):
            assert client.reply(stream).reset == 7  # REFUSED_STREAM: safe to repeat elsewhere
        gate.set()
        for stream in (1, 3, 5, 7):
            assert client.reply(stream).status == 200
        assert client.request().status == 200
