"""Reads recorded bytes as the strictest recipient would: one unambiguous form, or an error. Shares no code with the
origin that answered, so that a request which two readers split differently is found."""

import re
from dataclasses import dataclass, field

_LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+) ((?:/|\*$)[\x21\x22\x24-\x7e]*|\*) HTTP/1\.1")
_FIELD = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+): ((?:[\x21-\x7e\x80-\xff](?:[ \t\x21-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?)")
_LENGTH = re.compile(rb"0|[1-9][0-9]{0,18}")
_CHUNK = re.compile(rb"[1-9a-f][0-9a-f]{0,14}|0")
_HOST = re.compile(rb"(?:[A-Za-z0-9.~_-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?")
# Of one connection, or of the edge's own vouching under another spelling: never forwarded.
_NEVER = {b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"upgrade", b"http2-settings"}
_ONCE = {b"host", b"content-length", b"transfer-encoding", b"x-forwarded-for", b"x-request-id", b"forwarded", b"expect",
         b"max-forwards"}  # fmt: skip


class Ambiguous(AssertionError):
    """Two recipients could read this differently."""


@dataclass
class Forwarded:
    method: bytes
    target: bytes
    fields: list
    body: bytes = b""
    trailers: list = field(default_factory=list)
    complete: bool = True

    def all(self, name):
        return [value for key, value in self.fields if key.lower() == name.lower()]


class _Cut(Exception):
    """The bytes end inside a message: nothing wrong so far."""


def requests(data, underscores=False):
    """All requests of one connection's bytes; the last may be incomplete. Raises Ambiguous."""
    found = []
    while data:
        request = Forwarded(b"", b"", [], complete=False)
        found.append(request)
        try:
            data = _one(data, request, underscores)
            request.complete = True
        except _Cut:
            break
    return found


def _line(data):
    line, end, rest = data.partition(b"\r\n")
    if b"\r" in line.rstrip(b"\r") or b"\n" in line or (end and line.endswith(b"\r")):
        raise Ambiguous(f"line end in {line[:200]!r}")
    if not end:
        raise _Cut
    return line, rest


def _fields(data, into, underscores):
    while True:
        line, data = _line(data)
        if not line:
            return data
        match = _FIELD.fullmatch(line)
        if not match:
            raise Ambiguous(f"field line {line[:200]!r}")
        if match[1].lower() in _NEVER or (b"_" in match[1] and not underscores):
            raise Ambiguous(f"{match[1]!r} was forwarded")
        into.append((match[1], match[2]))


def _one(data, request, underscores):
    line, data = _line(data)
    match = _LINE.fullmatch(line)
    if not match:
        raise Ambiguous(f"request line {line[:200]!r}")
    request.method, request.target = match[1], match[2]
    data = _fields(data, request.fields, underscores)
    for name in _ONCE:
        if len(request.all(name)) > 1:
            raise Ambiguous(f"{name!r} more than once")
    hosts, lengths, codings = (request.all(name) for name in (b"Host", b"Content-Length", b"Transfer-Encoding"))
    if len(hosts) != 1 or not _HOST.fullmatch(hosts[0]):
        raise Ambiguous(f"Host {hosts}")
    if lengths and codings:
        raise Ambiguous("two framings")
    if codings:
        if codings != [b"chunked"]:
            raise Ambiguous(f"Transfer-Encoding {codings}")
        return _chunks(data, request, underscores)
    if lengths:
        if not _LENGTH.fullmatch(lengths[0]):
            raise Ambiguous(f"Content-Length {lengths}")
        size = int(lengths[0])
        request.body, data = data[:size], data[size:]
        if len(request.body) < size:
            raise _Cut
    return data


def _chunks(data, request, underscores):
    while True:
        line, data = _line(data)
        if not _CHUNK.fullmatch(line):
            raise Ambiguous(f"chunk size {line[:200]!r}")
        size = int(line, 16)
        if size == 0:
            return _fields(data, request.trailers, underscores)
        request.body += data[:size]
        if len(data) < size + 2:
            raise _Cut
        if data[size : size + 2] != b"\r\n":
            raise Ambiguous(f"after a chunk {data[size : size + 20]!r}")
        data = data[size + 2 :]
