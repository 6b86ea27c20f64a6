"""HTTP/2 that breaks its rules: a malformed request is refused and its connection goes on, a malformed frame ends its
connection; and every time somebody else's request gets its own answer."""

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
