"""Requests that are odd and yet have one meaning: what a client sends, and the exact bytes that the origin gets.

`fields` are those of the client in the forwarded head; Via, X-Forwarded-* and the like stand in the test."""

from dataclasses import dataclass

from support.client import HOST

ID = "X-Request-Id: row"


@dataclass(frozen=True)
class Pass:
    rfc: str
    data: bytes  # from the client
    line: str  # the request line that the origin gets
    fields: str = ""  # the client's fields that go on
    framing: str = ""  # the last field
    body: bytes = b""
    counted: tuple = ()  # acceptable deviations
    via: str = "1.1"
    expect: bool = False
    forwarded_for: str = ""
    forwarded: str = ""  # elements in front of the edge's own, {says} for host and scheme
    max_forwards: str = ""


def get(rfc, target="/", lines=(), *, line=None, method="GET", version="1.1", front=b"", host=f"Host: {HOST}", body=b"", sent=b"", **more):
    head = [f"{method} {target} HTTP/{version}", *([host] if host else []), ID, *lines]
    data = front + ("\r\n".join(head) + "\r\n\r\n").encode("latin-1") + body
    return Pass(rfc, data, line or f"{method} {target} HTTP/1.1", body=sent, **more)


def post(rfc, lines, body, *, framing, sent, **more):
    data = get(rfc, "/post", lines, method="POST", body=body).data
    return Pass(rfc, data, "POST /post HTTP/1.1", framing=framing, body=sent, **more)


CHUNKED = "Transfer-Encoding: chunked"
LENGTH5 = "Content-Length: 5"

ROWS = {
    # RFC 9112 section 2.2 and 3: the request line
    "an empty line in front": get("RFC 9112 2.2", front=b"\r\n", counted=("empty_line",)),
    "four empty lines in front": get("RFC 9112 2.2", front=b"\r\n" * 4, counted=("empty_line",)),
    "a method that nobody knows": get("RFC 9110 9.1", method="BREW"),
    "a method in lower case is another method": get("RFC 9110 9.1", method="get"),
    "a method of every kind of character": get("RFC 9110 5.6.2", method="A!#$%&'*+-.^_`|~9"),
    "OPTIONS asterisk": get("RFC 9112 3.2.4", "*", method="OPTIONS"),
    # RFC 9112 section 3.2: targets go on as they came
    "dots and slashes": get("RFC 9112 3.2.1", "/a/../b//c/./d"),
    "escapes": get("RFC 3986 2.1", "/%2e%2E/%41%2f%5c?%20=%0d%0a"),
    "a broken escape": get("RFC 3986 2.1", "/100%/%zz"),
    "an escaped line end stays escaped": get("RFC 9112 11.1", "/a%0d%0aX:%20y"),
    "an escaped NUL stays escaped": get("RFC 3986 7.3", "/a%00b"),
    "a double escape": get("RFC 3986 2.4", "/%252e%252e/"),
    "characters that no URI has": get("RFC 3986 2", "/a\"<>\\^`{|}b", counted=("odd_target",)),
    "an empty query": get("RFC 3986 3.4", "/?"),
    "a query of question marks": get("RFC 3986 3.4", "/??a=?"),
    "parameters": get("RFC 3986 3.3", "/a;b=c/d;e"),
    "two slashes in front": get("RFC 9112 3.2.1", "//evil.test/a"),
    "an absolute target": get("RFC 9112 3.2.2", f"https://{HOST}/a?b", line="GET /a?b HTTP/1.1"),
    "an absolute target in capitals": get("RFC 9110 4.2.3", f"HTTPS://{HOST.upper()}/a", line="GET /a HTTP/1.1", host=f"Host: {HOST}"),
    "an absolute target without a path": get("RFC 9112 3.2.2", f"http://{HOST}", line="GET / HTTP/1.1"),
    "OPTIONS for an absolute target without a path": get("RFC 9112 3.2.4", f"http://{HOST}", method="OPTIONS", line="OPTIONS * HTTP/1.1"),
    # RFC 9110 section 7.2
    "blanks around the host": get("RFC 9110 5.5", host=f"Host: \t {HOST} \t"),
    "no blank before the host": get("RFC 9110 5.5", host=f"Host:{HOST}"),
    "a host in capitals": get("RFC 9110 4.2.3", host=f"hOsT: {HOST.upper()}"),
    "a host with a port": get("RFC 9110 7.2", host=f"Host: {HOST}:8443"),
    "a host with an empty port": get("RFC 3986 3.2.3", host=f"Host: {HOST}:"),
    "a host with a dot behind": get("RFC 9110 7.2", host=f"Host: {HOST}."),
    # RFC 9110 sections 5.5 and 5.6: fields
    "blanks around a value": get("RFC 9110 5.5", lines=["X: \t a \t"], fields="X: a\r\n"),
    "blanks inside a value": get("RFC 9110 5.5", lines=["X: a \t  b"], fields="X: a \t  b\r\n"),
    "an empty value": get("RFC 9110 5.5", lines=["X:"], fields="X: \r\n"),
    "Latin-1 in a value": get("RFC 9110 5.5", lines=["X: \xe4"], fields="X: \xe4\r\n"),
    "a name of every kind of character but underscores": get("RFC 9110 5.6.2", lines=["A!#$%&'*+-.^`|~9: x"], fields="A!#$%&'*+-.^`|~9: x\r\n"),
    "a name that begins like Content-Length": get("RFC 9110 8.6", lines=["Content-Length0" + "a" * 255 + ": 5"], fields="Content-Length0" + "a" * 255 + ": 5\r\n"),
    "a field twice": get("RFC 9110 5.3", lines=["X: a", "Y: b", "X: c"], fields="X: a\r\nY: b\r\nX: c\r\n"),
    "a thousand ranges": get("RFC 9110 14.2", lines=["Range: bytes=" + ",".join(f"{n}-{n}" for n in range(1000))], fields="Range: bytes=" + ",".join(f"{n}-{n}" for n in range(1000)) + "\r\n"),
    "ranges that overflow": get("RFC 9110 14.2", lines=["Range: bytes=-9223372036854775608,-9223372036854775200"], fields="Range: bytes=-9223372036854775608,-9223372036854775200\r\n"),
    # RFC 9110 section 7.6.1: what ends here
    "fields of one connection": get("RFC 9110 7.6.1", lines=["Connection: keep-alive, X-Hop", "X-Hop: 1", "Keep-Alive: 5", "Proxy-Connection: close", "TE: gzip", "Trailer: X", "Upgrade: h2c", "X: y"], fields="X: y\r\n"),
    "Connection lists h2c's settings": get("RFC 9113 3.1", lines=["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA"]),
    "Connection lists what the edge writes": get("RFC 9110 7.6.1", lines=["Connection: Host, Via, X-Forwarded-For, X-Forwarded-Proto, X-Forwarded-Host, Forwarded, X-Request-Id"]),
    "Connection lists what a trusted peer says": get("RFC 9110 7.6.1", lines=["X-Real-IP: 192.0.2.1", "CloudFront-Viewer-Country: DE", "Connection: X-Real-IP, CloudFront-Viewer-Country"], fields="X-Real-IP: 192.0.2.1\r\nCloudFront-Viewer-Country: DE\r\n"),
    "Connection lists the length": post("RFC 9110 7.6.1", ["Connection: Content-Length", LENGTH5], b"hello", framing=LENGTH5, sent=b"hello"),
    "Connection lists the coding": post("RFC 9110 7.6.1", ["Connection: Transfer-Encoding", CHUNKED], b"5\r\nhello\r\n0\r\n\r\n", framing=CHUNKED, sent=b"5\r\nhello\r\n0\r\n\r\n"),
    "names with underscores": get("RFC 9110 5.1", lines=["X_Forwarded_Proto: http", "Content_Length: 5", "Transfer_Encoding: chunked", "my_field: 1", "X: y"], fields="X: y\r\n", counted=("underscore_name",)),
    "an internal field": get("RFC 9110 7.6.1", lines=["X-Nearhop-Decision: forged", "X-Nearhop-Fault: forged"]),
    # RFC 9110 section 7.6.2
    "Max-Forwards of OPTIONS is one less": get("RFC 9110 7.6.2", "*", ["Max-Forwards: 7"], method="OPTIONS", max_forwards="6"),
    "Max-Forwards of GET is nobody's business": get("RFC 9110 7.6.2", lines=["Max-Forwards: 0"], fields="Max-Forwards: 0\r\n"),
    # RFC 9112 section 6: framing is written anew
    "a length with zeros in front": post("RFC 9110 8.6", ["Content-Length: 0005"], b"hello", framing=LENGTH5, sent=b"hello"),
    "blanks around a length": post("RFC 9110 5.5", ["Content-Length: \t5 \t"], b"hello", framing=LENGTH5, sent=b"hello"),
    "no content": post("RFC 9110 8.6", [], b"", framing="Content-Length: 0", sent=b""),
    "a length of 0 in a GET goes": get("RFC 9110 8.6", lines=["Content-Length: 0"]),
    "content in a GET": get("RFC 9110 9.3.1", lines=[LENGTH5], body=b"hello", sent=b"hello", counted=("content_without_meaning",), framing=LENGTH5),
    "chunks in a GET": get("RFC 9110 9.3.1", lines=[CHUNKED], body=b"5\r\nhello\r\n0\r\n\r\n", sent=b"5\r\nhello\r\n0\r\n\r\n", counted=("content_without_meaning",), framing=CHUNKED),
    "chunked in capitals": post("RFC 9112 7", ["TRANSFER-ENCODING: CHUNKED"], b"5\r\nhello\r\n0\r\n\r\n", framing=CHUNKED, sent=b"5\r\nhello\r\n0\r\n\r\n"),
    "sizes in capitals and zeros": post("RFC 9112 7.1", [CHUNKED], b"000A\r\n0123456789\r\n000\r\n\r\n", framing=CHUNKED, sent=b"a\r\n0123456789\r\n0\r\n\r\n"),
    "a body that looks like the end and a request": post("RFC 9112 6.3", ["Content-Length: 34"], b"0\r\n\r\nGET /inner HTTP/1.1\r\nHost: a\r\n\r\n"[:34], framing="Content-Length: 34", sent=b"0\r\n\r\nGET /inner HTTP/1.1\r\nHost: a\r\n\r\n"[:34]),
    "a chunk that looks like the end and a request": post("RFC 9112 7.1", [CHUNKED], b"1c\r\n0\r\n\r\nGET /inner HTTP/1.1\r\n\r\n\r\n0\r\n\r\n", framing=CHUNKED, sent=b"1c\r\n0\r\n\r\nGET /inner HTTP/1.1\r\n\r\n\r\n0\r\n\r\n"),
    "chunk extensions end here": post("RFC 9112 7.1.1", [CHUNKED], b"5;a=b;c=\"d e\"\r\nhello\r\n0;z\r\n\r\n", framing=CHUNKED, sent=b"5\r\nhello\r\n0\r\n\r\n"),
    "blanks behind a chunk size": post("RFC 9112 7.1", [CHUNKED], b"5 \r\nhello\r\n0\t\r\n\r\n", framing=CHUNKED, sent=b"5\r\nhello\r\n0\r\n\r\n", counted=("chunk_padding",)),
    "an empty body in chunks": post("RFC 9112 7.1", [CHUNKED], b"0\r\n\r\n", framing=CHUNKED, sent=b"0\r\n\r\n"),
    "trailers that may pass": post("RFC 9110 6.5.1", [CHUNKED, "Trailer: X-Sum", "Connection: X-Hop"], b"1\r\na\r\n0\r\nX-Sum: 1\r\nX-Hop: 2\r\nContent-Length: 9\r\nHost: x\r\nX_Y: 3\r\nX-Forwarded-For: 4\r\n\r\n", framing=CHUNKED, sent=b"1\r\na\r\n0\r\nX-Sum: 1\r\n\r\n"),
    "an expectation with content": post("RFC 9110 10.1.1", ["Expect: 100-Continue", LENGTH5], b"hello", framing=LENGTH5, sent=b"hello", expect=True),
    "the expectation twice": post("RFC 9110 10.1.1", ["Expect: 100-continue", "Expect: 100-continue", LENGTH5], b"hello", framing=LENGTH5, sent=b"hello", expect=True),
    "an expectation without content": get("RFC 9110 10.1.1", lines=["Expect: 100-continue"], counted=("expect_without_content",)),
    # RFC 9112 section 2.3 and RFC 9110 section 7.6.3: HTTP/1.0
    "HTTP/1.0": get("RFC 9112 2.3", version="1.0", line="GET / HTTP/1.1", via="1.0"),
    "an expectation in HTTP/1.0": Pass("RFC 9110 10.1.1", f"POST /post HTTP/1.0\r\nHost: {HOST}\r\n{ID}\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello".encode(), "POST /post HTTP/1.1", framing=LENGTH5, body=b"hello", via="1.0"),
    # X-Forwarded-For: of a trusted peer, continued in one line
    "two forwarded chains become one": get("RFC 9110 5.3", lines=["X-Forwarded-For: 192.0.2.1", "X-Forwarded-For: 192.0.2.2"], forwarded_for="192.0.2.1, 192.0.2.2, ", forwarded="for=192.0.2.1{says}, for=192.0.2.2, "),
    "a forwarded chain of commas": get("RFC 9110 5.6.1", lines=["X-Forwarded-For: ,"], forwarded_for=""),
    # RFC 7239: of a trusted peer, continued where it is sound and says what X-Forwarded-For says
    "Forwarded is continued": get("RFC 7239 4", lines=["Forwarded: for=192.0.2.1;by=_b", "Forwarded: for=\"[2001:db8::1]:80\";secret=\"a,b;c\""], forwarded_for="192.0.2.1, 2001:db8::1, ", forwarded="for=192.0.2.1;by=_b{says}, for=\"[2001:db8::1]:80\";secret=\"a,b;c\", "),
    "Forwarded that is malformed": get("RFC 7239 4", lines=["Forwarded: for=\"192.0.2.1"], forwarded_for="unknown, ", forwarded="for=unknown{says}, "),
    "Forwarded that contradicts": get("RFC 7239 7.4", lines=["X-Forwarded-For: 192.0.2.1", "Forwarded: for=192.0.2.9;host=evil;proto=ftp"], forwarded_for="192.0.2.1, ", forwarded="for=192.0.2.1{says}, "),
}  # fmt: skip
