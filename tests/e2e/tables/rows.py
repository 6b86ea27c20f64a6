"""What the rows of the tables are made of."""

from dataclasses import dataclass

from support.client import HOST, request_bytes

# Two recipients could read these differently; everything else that is refused is severe.
AMBIGUOUS = {"both_framings", "repeated_length", "repeated_coding", "unknown_coding", "coding_in_http10", "bare_lf",
             "folded_field", "space_before_colon", "request_line_spaces", "fragment_in_target", "no_host",
             "repeated_host", "host_mismatch", "path_reading", "encoded_slash", "underscore_refused",
             "bytes_after_response"}  # fmt: skip
# Faults of heads whose framing is in doubt, where the rest of the head is good.
FRAMINGS = {"both_framings", "repeated_length", "repeated_coding", "unknown_coding", "coding_in_http10", "bad_length"}

# Sent right behind each bad request. If it were answered, or reached an origin, the bad one was read as shorter than
# the edge said, or the edge went on after an error (RFC 9112 section 9.3).
PIPELINED = request_bytes(target="/inner")


@dataclass(frozen=True)
class Row:
    rfc: str
    data: bytes
    reason: str  # of the access line and the metric
    status: int
    fault: str

    @property
    def strictness(self):
        return "compliant" if self.reason == "-" else "ambiguous" if self.reason in AMBIGUOUS else "severe"


def _bytes(text):
    return text if isinstance(text, bytes) else text.encode("latin-1")


def line(rfc, first, reason, status=400, fault="client_bad_request"):
    """A request line before a good Host."""
    return Row(rfc, _bytes(first) + f"\r\nHost: {HOST}\r\n\r\n".encode(), reason, status, fault)


def whole(rfc, data, reason, status=400, fault="client_bad_request"):
    return Row(rfc, _bytes(data), reason, status, fault)


def host(rfc, value, reason):
    return Row(rfc, b"GET / HTTP/1.1\r\nHost: " + _bytes(value) + b"\r\n\r\n", reason, 400, "client_bad_request")


def fields(rfc, lines, reason, status=400, fault=None, method="GET", body=b""):
    """Field lines behind a good request line and Host."""
    fault = fault or ("client_bad_framing" if reason in FRAMINGS else "client_bad_request")
    head = f"{method} / HTTP/1.1\r\nHost: {HOST}\r\n".encode() + _bytes(lines) + b"\r\n\r\n"
    return Row(rfc, head + body, reason, status, fault)


def framing(rfc, lines, reason, body=b"", fault=None, version="1.1"):
    """Framing fields of a POST."""
    fault = fault or ("client_bad_framing" if reason in FRAMINGS else "client_bad_request")
    head = f"POST /post HTTP/{version}\r\nHost: {HOST}\r\n".encode() + _bytes(lines) + b"\r\n\r\n"
    return Row(rfc, head + body, reason, 400, fault)


def chunks(rfc, body, reason):
    """A body behind a good head with Transfer-Encoding: chunked."""
    head = f"POST /post HTTP/1.1\r\nHost: {HOST}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    return Row(rfc, head + _bytes(body), reason, 400, "client_bad_framing")
