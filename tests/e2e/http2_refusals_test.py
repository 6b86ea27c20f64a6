"""HTTP/2 that breaks its rules: a malformed request is refused and its connection goes on, a malformed frame ends its
connection; and every time somebody else's request gets its own answer."""

import json

import pytest
from support.client import HOST
from support.clock import wait_until
from support.http2 import (
    COMPRESSION_ERROR,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    FLOW_CONTROL_ERROR,
    FRAME_SIZE_ERROR,
    GOAWAY,
    HEADERS,
    MAGIC,
    PING,
    PRIORITY,
    PROTOCOL_ERROR,
    PUSH_PROMISE,
    SETTINGS,
    frame,
    settings_payload,
)
from support.http2_edge import GOOD, connect, edge, ended  # noqa: F401 - fixtures
from support.shared_scene import fresh, origin, scene  # noqa: F401 - fixtures


# ---- malformed messages: RFC 9113 section 8.1.1 ---------------------------------------------------------------------
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
        ([("x", "y" * 100_000), ("x-behind", "1")], 431),  # nghttp2 itself takes no value above 64 KiB
        ([("cookie", "a=" + "b" * 100_000)], 431),
        ([(":path", "/" + "p" * 100_000)], 431),
        ([(f"x-{number}", "y" * 10_000) for number in range(14)], 431),
    ],
    ids=["fields", "one-large", "many-large", "one-above-64-KiB", "cookie", "path", "above-128-KiB"],
)
def test_heads_above_the_limits_are_answered_as_in_http1(connect, origin, extra, status):
    client = connect()
    head = without(":path") if extra[0][0] == ":path" else GOOD
    stream = client.open_large(head + extra)
    assert client.reply(stream).status == status
    assert client.request(fields=[("x-after", "1"), ("x-behind", "1")]).status == 200
    assert ("x-behind", "1") in origin.last().fields  # the table of names and values goes on
    assert client.reply(client.open(target="/" + "x" * 8192)).status == 414


COOKIES = {
    "as many crumbs as a browser has": (200, 200, [("cookie", f"c{number}=1") for number in range(180)]),
    "with as many fields as may be": (200, 200, [(f"x-{number}", "1") for number in range(93)] + [("cookie", "a=1")] * 100),
    "and one more": (431, 431, [(f"x-{number}", "1") for number in range(100)] + [("cookie", "a=1")] * 100),
    "as long as a head may be": (200, 200, [("cookie", "c" * 98)] * 320),
    "longer": (431, 431, [("cookie", "c" * 98)] * 330),
    "more crumbs than may be": (431, 200, [("cookie", "c")] * 1001),
}


@pytest.mark.parametrize("name", COOKIES)
def test_cookies_in_crumbs_count_as_the_field_that_they_are(edge, connect, origin, name):
    """RFC 9113 section 8.2.3: the same head gets the same answer over HTTP/1.1."""
    status, status_in_http1, fields = COOKIES[name]
    joined = "; ".join(value for key, value in fields if key == "cookie")
    client = connect()
    assert client.reply(client.open_large(GOOD + fields)).status == status
    if status == 200:
        assert origin.last().all("cookie") == [joined]
    plain = [pair for pair in fields if pair[0] != "cookie"] + [("cookie", joined)]
    assert edge.fetch(fields=plain).status == status_in_http1
    assert client.request().status == 200


@pytest.mark.parametrize("reason, head", [
    ("host_mismatch", GOOD + [("host", "other.example.com")]),
    ("bad_target", instead(":path", "/a#b")),
    ("bad_host", instead(":authority", HOST + ":99999")),
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


def bad_framings(edge):
    return edge.metrics().sum("nearhop_faults_total", fault="client_bad_framing")


CONTRADICTIONS = {
    "content behind an empty length": ("0", [(b"x", False)]),
    "content and the end behind an empty length": ("0", [(b"x", True)]),
    "more than the length": ("5", [(b"hello, you", False)]),
    "more than the length in two frames": ("5", [(b"hello", False), (b"you", True)]),
    "less than the length": ("5", [(b"hell", True)]),
}


@pytest.mark.parametrize("apart", [False, True], ids=["one write", "one by one"])
@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_a_body_that_contradicts_its_head_is_not_carried_out(edge, connect, origin, name, apart):
    """RFC 9113 section 8.1.1: its client is told PROTOCOL_ERROR, that is refused. What is here already contradicts the
    head before an origin hears of it; what comes later finds the request not yet whole there."""
    length, pieces = CONTRADICTIONS[name]
    target = f"/contradiction/{apart}/{list(CONTRADICTIONS).index(name)}"
    before = bad_framings(edge)
    client = connect()
    client.ping()
    stream = client.take()
    head = client.headers(stream, client.head("POST", target, [("content-length", length)]), end=False)
    data = [frame(DATA, END_STREAM if end else 0, stream, piece) for piece, end in pieces]
    if apart:
        for piece in [head, *data]:
            client.send(piece)
            client.ping()
    else:
        client.send(head + b"".join(data))
    assert client.reply(stream).reset == PROTOCOL_ERROR
    wait_until(lambda: bad_framings(edge) == before + 1, what="client_bad_framing")
    line = wait_until(lambda: [each for each in map(json.loads, edge.output.lines) if each["path"] == target], what="its line")
    assert (line[0]["status"], line[0]["fault"]) == (0, "client_bad_framing")
    assert client.request().status == 200
    seen = [request for request in origin.requests if request.target == target]
    assert not seen if not apart or length == "0" else not any(request.complete for request in seen)


@pytest.mark.parametrize("end", ["data", "trailers"])
@pytest.mark.parametrize("length", [0, 5])
def test_a_request_whose_end_comes_apart_from_its_content(connect, origin, length, end):
    client = connect()
    stream = client.open("POST", "/apart", [("content-length", str(length))], end=False)
    if length:
        client.data(stream, b"x" * length)
    client.ping()
    assert not any(request.complete for request in origin.requests if request.target == "/apart")
    if end == "data":
        client.data(stream, end=True)
    else:
        client.send(client.headers(stream, [("x-trailer", "1")]))
    assert client.reply(stream).status == 200
    assert origin.last().body == b"x" * length


@pytest.mark.parametrize("trailer", [(":path", "/x"), ("X-Upper", "1"), ("connection", "close"), ("x", "a\r\nb")])
def test_malformed_trailers_do_not_reach_the_origin(connect, origin, trailer):
    client = connect()
    stream = client.open("POST", "/trailers", end=False)
    client.data(stream, b"body")
    client.send(client.headers(stream, [trailer]))
    reply = client.reply(stream)
    assert reply.reset == PROTOCOL_ERROR or reply.status == 400
    assert client.request().status == 200


def test_trailers_above_their_limit_are_bad_framing(connect, origin):
    """As over HTTP/1.1; a little too many end the request, not the connection."""
    client = connect()
    stream = client.open("POST", "/trailers", end=False)
    client.data(stream, b"body")
    client.send(client.headers(stream, [(f"x-{number}", "v" * 1000) for number in range(10)]))  # 8 KiB are allowed
    reply = client.reply(stream)
    assert (reply.status, reply.fault) == (400, "client_bad_framing")
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
    "priority-on-stream-0": (lambda c: c.send_frame(PRIORITY, 0, 0, b"\0\0\0\1\x10"), PROTOCOL_ERROR),  # section 6.3
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
    assert client.request().status == 200


# ---- numbers of streams: RFC 9113 section 5.1.1 ---------------------------------------------------------------------
def skipped(client):
    client.next = 9
    assert client.request().status == 200
    return 5


def answered(client):
    stream = client.open()
    assert client.reply(stream).status == 200
    return stream


def cancelled(client):
    stream = client.open("POST", "/", end=False)
    client.reset(stream)
    client.ping()
    return stream


@pytest.mark.parametrize("used", [skipped, answered, cancelled])
def test_a_request_on_a_number_below_one_that_was_used_ends_the_connection(connect, origin, used):
    """nghttp2 passes over it."""
    client = connect()
    stream = used(client)
    client.send(client.headers(stream, [(key, "/again" if key == ":path" else value) for key, value in GOOD]))
    assert client.end() == PROTOCOL_ERROR
    assert "/again" not in origin.targets()


def test_what_was_under_way_when_the_edge_closed_a_stream_is_no_offence(connect, origin):
    """RFC 9113 section 5.1: frames that follow a reset of ours cannot be withdrawn."""
    client = connect()
    client.settled()
    for _ in range(20):
        stream = client.open("POST", "/", [("content-length", "1")], end=False)
        client.data(stream, b"too much")
        assert client.reply(stream).reset == PROTOCOL_ERROR
        for _ in range(100):
            client.data(stream, b"x" * 1000)
        client.send(client.headers(stream, [("x-trailer", "1")]))
    assert client.request().status == 200
