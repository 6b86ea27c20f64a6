"""Answers of an origin that no client may see as they are: rows of (RFC section, bytes, what the client gets, reason)."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Answer:
    rfc: str
    data: bytes
    reason: str  # of the metric; "-": none
    then: str = "hang"  # what the origin does behind it
    fault: str = "origin_bad_response"


OK = b"HTTP/1.1 200 OK\r\n"
EVIL = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"


def head(rfc, first, reason):
    return Answer(rfc, first + b"\r\nContent-Length: 0\r\n\r\n", reason)


def fields(rfc, lines, reason, body=b"", first=OK):
    return Answer(rfc, first + lines + b"\r\n\r\n" + body, reason)


# The client gets a 502 of our own, or another origin's answer, and never a byte of these.
REFUSED = {
    # RFC 9112 section 4: the status line
    "garbage": Answer("RFC 9112 4", b"\x16\x03\x01 hello\r\n\r\n", "control_byte"),
    "words": Answer("RFC 9112 4", b"hello world\r\n\r\n", "bad_status_line"),
    "a request": Answer("RFC 9112 4", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "bad_status_line"),
    "an empty line in front": Answer("RFC 9112 4", b"\r\n" + OK + b"Content-Length: 0\r\n\r\n", "bad_status_line"),
    "HTTP/0.9": Answer("RFC 9112 2.3", b"<html>hello</html>\r\n\r\n", "bad_status_line"),
    "no status": head("RFC 9112 4", b"HTTP/1.1", "bad_version"),
    "no status, a space": head("RFC 9112 4", b"HTTP/1.1 ", "bad_status_line"),
    "a status of two digits": head("RFC 9110 15", b"HTTP/1.1 99 Low", "bad_status_line"),
    "a status of four digits": head("RFC 9110 15", b"HTTP/1.1 2000 High", "bad_status_line"),
    "a status with a sign": head("RFC 9110 15", b"HTTP/1.1 +20 No", "bad_status_line"),
    "a status in letters": head("RFC 9110 15", b"HTTP/1.1 two No", "bad_status_line"),
    "status 0": head("RFC 9110 15", b"HTTP/1.1 000 No", "bad_status_line"),
    "status 600": head("RFC 9110 15", b"HTTP/1.1 600 No", "bad_status_line"),
    "status 999": head("RFC 9110 15", b"HTTP/1.1 999 No", "bad_status_line"),
    "two spaces before the status": head("RFC 9112 4", b"HTTP/1.1  200 OK", "bad_status_line"),
    "HTTP/2.0": head("RFC 9112 2.3", b"HTTP/2.0 200 OK", "bad_version"),
    "HTTP/1.2": head("RFC 9112 2.3", b"HTTP/1.2 200 OK", "bad_version"),
    "ICY": head("RFC 9112 2.3", b"ICY 200 OK", "bad_status_line"),
    "a NUL in the reason": head("RFC 9112 4", b"HTTP/1.1 200 O\0K", "nul_byte"),
    "a CR in the reason": head("RFC 9112 2.2", b"HTTP/1.1 200 O\rK", "bare_cr"),
    # RFC 9112 sections 2.2 and 5: lines and fields
    "LF everywhere": Answer("RFC 9112 2.2", b"HTTP/1.1 200 OK\nContent-Length: 0\n\n", "bare_lf"),
    "LF hides a length": fields("RFC 9112 2.2", b"X: a\nContent-Length: 5", "bare_lf", b"hello"),
    "a CR in a value": fields("RFC 9112 2.2", b"X: a\rSet-Cookie: evil=1\r\nContent-Length: 0", "bare_cr"),
    "a NUL in a value": fields("RFC 9110 5.5", b"X: a\0b\r\nContent-Length: 0", "nul_byte"),
    "a control in a value": fields("RFC 9110 5.5", b"X: a\x01b\r\nContent-Length: 0", "control_byte"),
    "a folded field": fields("RFC 9112 5.2", b"X: a\r\n b\r\nContent-Length: 0", "folded_field"),
    "a folded length": fields("RFC 9112 5.2", b"Content-Length:\r\n 5", "folded_field", b"hello"),
    "an empty name": fields("RFC 9110 5.1", b": x\r\nContent-Length: 0", "bad_field_name"),
    "a name with a space": fields("RFC 9110 5.1", b"X Y: z\r\nContent-Length: 0", "bad_field_name"),
    "no colon": fields("RFC 9112 5", b"words\r\nContent-Length: 0", "no_colon"),
    "a space before the colon of the length": fields("RFC 9112 5.1", b"Content-Length : 5", "space_before_colon", b"hello"),
    # RFC 9112 section 6.3: framing
    "chunked beside a length": fields("RFC 9112 6.3", b"Content-Length: 5\r\nTransfer-Encoding: chunked", "both_framings", b"0\r\n\r\n"),
    "a length beside chunked": fields("RFC 9112 6.3", b"Transfer-Encoding: chunked\r\nContent-Length: 5", "both_framings", b"0\r\n\r\n"),
    "two lengths": fields("RFC 9112 6.3", b"Content-Length: 5\r\nContent-Length: 6", "repeated_length", b"hello"),
    "a length twice": fields("RFC 9112 6.3", b"Content-Length: 5\r\nContent-Length: 5", "repeated_length", b"hello"),
    "a list of lengths": fields("RFC 9110 8.6", b"Content-Length: 5, 5", "bad_length", b"hello"),
    "a length with a sign": fields("RFC 9110 8.6", b"Content-Length: +5", "bad_length", b"hello"),
    "a negative length": fields("RFC 9110 8.6", b"Content-Length: -1", "bad_length"),
    "an empty length": fields("RFC 9110 8.6", b"Content-Length:", "bad_length"),
    "a length in hexadecimal": fields("RFC 9110 8.6", b"Content-Length: 0x5", "bad_length", b"hello"),
    "a length of 2^64": fields("RFC 9110 8.6", b"Content-Length: 18446744073709551616", "bad_length"),
    "chunked, identity": fields("RFC 9112 6.1", b"Transfer-Encoding: chunked, identity", "unknown_coding", b"0\r\n\r\n"),
    "gzip, chunked": fields("RFC 9112 7", b"Transfer-Encoding: gzip, chunked", "unknown_coding", b"0\r\n\r\n"),
    "identity": fields("RFC 9112 7", b"Transfer-Encoding: identity", "unknown_coding", b"hello"),
    "chunked behind a vertical tab": fields("RFC 9110 5.5", b"Transfer-Encoding: \x0bchunked", "control_byte", b"0\r\n\r\n"),
    "chunked twice": fields("RFC 9112 6.1", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "repeated_coding", b"0\r\n\r\n"),
    "chunked in HTTP/1.0": fields("RFC 9112 6.1", b"Transfer-Encoding: chunked", "coding_in_http10", b"0\r\n\r\n", b"HTTP/1.0 200 OK\r\n"),
    # Heads without end, and what comes before the answer
    "a head of many fields": Answer("RFC 9110 5.4", OK + b"X: y\r\n" * 30_000, "endless_head"),
    "a head of 1001 fields": Answer("RFC 9110 5.4", OK + b"X: y\r\n" * 1001 + b"\r\n", "endless_head"),
    "a field without end": Answer("RFC 9110 5.4", OK + b"X: " + b"y" * 100_000, "endless_head"),
    "a head that is cut": Answer("RFC 9112 8", OK + b"Content-Le", "cut_head", "fin"),
    "a head that is cut behind its fields": Answer("RFC 9112 8", OK + b"Content-Length: 0\r\n", "cut_head", "fin"),
    "101 that nobody asked for": Answer("RFC 9110 15.2.2", b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n", "unasked_switch"),
    "a flood of 1xx": Answer("RFC 9110 15.2", b"HTTP/1.1 103 Early\r\nX: y\r\n\r\n" * 50 + OK + b"Content-Length: 0\r\n\r\n", "interim_flood"),
    "an answer behind a bad 1xx": Answer("RFC 9112 6.3", b"HTTP/1.1 100 Continue\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nhello" + EVIL, "both_framings"),
}  # fmt: skip

CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"

# The head was good, so that it may have gone out: the client sees that the answer was cut.
CUT = {
    "shorter than its length": Answer("RFC 9112 8", OK + b"Content-Length: 10\r\n\r\nhello", "-", "fin", "origin_truncated"),
    "shorter than its length, reset": Answer("RFC 9112 8", OK + b"Content-Length: 10\r\n\r\nhello", "-", "rst", "origin_truncated"),
    "nothing of its length": Answer("RFC 9112 8", OK + b"Content-Length: 10\r\n\r\n", "-", "fin", "origin_truncated"),
    "chunks without an end": Answer("RFC 9112 8", CHUNKED + b"5\r\nhello\r\n", "-", "fin", "origin_truncated"),
    "cut in a chunk": Answer("RFC 9112 8", CHUNKED + b"5\r\nhel", "-", "fin", "origin_truncated"),
    "cut in the last chunk": Answer("RFC 9112 8", CHUNKED + b"5\r\nhello\r\n0\r\n", "-", "fin", "origin_truncated"),
    "cut in a trailer": Answer("RFC 9112 8", CHUNKED + b"5\r\nhello\r\n0\r\nX: y\r\n", "-", "fin", "origin_truncated"),
    "a bad chunk size": Answer("RFC 9112 7.1", CHUNKED + b"5\r\nhello\r\nxyz\r\n", "chunk_size"),
    "a chunk size of 2^64": Answer("RFC 9112 7.1", CHUNKED + b"10000000000000000\r\nhello\r\n", "chunk_size"),
    "a negative chunk size": Answer("RFC 9112 7.1", CHUNKED + b"-5\r\nhello\r\n", "chunk_size"),
    "LF behind a chunk size": Answer("RFC 9112 7.1", CHUNKED + b"5\nhello\r\n0\r\n\r\n", "bare_lf"),
    "wrong bytes behind a chunk": Answer("RFC 9112 7.1", CHUNKED + b"5\r\nhelloXX0\r\n\r\n", "chunk_end"),
    "LF in a chunk extension": Answer("RFC 9112 7.1.1", CHUNKED + b"5;a\nb\r\nhello\r\n0\r\n\r\n", "chunk_extension"),
    "a chunk extension without end": Answer("RFC 9112 7.1.1", CHUNKED + b"5;" + b"a" * 1000 + b"\r\nhello\r\n0\r\n\r\n", "chunk_extension"),
    "a trailer without a colon": Answer("RFC 9112 7.1.2", CHUNKED + b"5\r\nhello\r\n0\r\nX Y\r\n\r\n", "bad_trailer"),
    "an answer as a trailer": Answer("RFC 9112 7.1.2", CHUNKED + b"5\r\nhello\r\n0\r\n" + EVIL, "bad_trailer"),
    "trailers without end": Answer("RFC 9112 7.1.2", CHUNKED + b"5\r\nhello\r\n0\r\n" + b"X: y\r\n" * 3000, "bad_trailer"),
}  # fmt: skip

# A whole answer, and bytes behind it: the client gets the answer, nobody gets the bytes.
BEHIND = {
    "a second answer": Answer("RFC 9112 6.3", OK + b"Content-Length: 2\r\n\r\nok" + EVIL, "bytes_after_response", "keep", "-"),
    "one stray byte": Answer("RFC 9112 6.3", OK + b"Content-Length: 2\r\n\r\nok\n", "bytes_after_response", "keep", "-"),
    "a body behind 204": Answer("RFC 9110 15.3.5", b"HTTP/1.1 204 No Content\r\n\r\n" + EVIL, "bytes_after_response", "keep", "-"),
    "a length in 204": Answer("RFC 9110 8.6", b"HTTP/1.1 204 No Content\r\nContent-Length: 46\r\n\r\n" + EVIL, "length_without_content", "keep", "-"),
    "chunks in 204": Answer("RFC 9112 6.1", b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "length_without_content", "keep", "-"),
    "a body behind 304": Answer("RFC 9110 15.4.5", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 46\r\n\r\n" + EVIL, "bytes_after_response", "keep", "-"),
    "chunks in 304": Answer("RFC 9110 15.4.5", b"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "bytes_after_response", "keep", "-"),
    "an answer behind the last chunk": Answer("RFC 9112 7.1", CHUNKED + b"2\r\nok\r\n0\r\n\r\n" + EVIL, "bytes_after_response", "keep", "-"),
    "an interim answer behind the last": Answer("RFC 9110 15.2", OK + b"Content-Length: 2\r\n\r\nokHTTP/1.1 100 Continue\r\n\r\n", "bytes_after_response", "keep", "-"),
    "a length in 103": Answer("RFC 9110 8.6", b"HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\n\r\n" + OK + b"Content-Length: 2\r\n\r\nok", "length_without_content", "keep", "-"),
    "blanks behind a chunk size": Answer("RFC 9112 7.1", CHUNKED + b"2 \r\nok\r\n0\r\n\r\n", "chunk_padding", "keep", "-"),
}  # fmt: skip
