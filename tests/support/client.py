"""A strict HTTPS client on raw sockets: sends any bytes, and accepts only answers that are right to the byte."""

import re
import socket
import ssl
from dataclasses import dataclass, field

from .clock import patient
from .fields import Fields

HOST = "api.example.com"
_STATUS = re.compile(rb"HTTP/1\.([01]) (\d{3}) ([\t \x21-\x7e\x80-\xff]*)")
_FIELD = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*((?:[\x21-\x7e\x80-\xff]+(?:[ \t]+[\x21-\x7e\x80-\xff]+)*)?)[ \t]*")
_CHUNK = re.compile(rb"([0-9a-fA-F]{1,16})\r\n")


class Malformed(Exception):
    """The edge sent something that is not HTTP."""


class Ended(Exception):
    """The connection ended before a response began."""


class Truncated(Exception):
    """The connection ended inside a response."""

    def __init__(self, response):
        super().__init__(f"truncated after {len(response.body)} body bytes")
        self.response = response


@dataclass
class Response(Fields):
    status: int
    version: str = "1.1"
    fields: list = field(default_factory=list)
    body: bytes = b""
    trailers: list = field(default_factory=list)
    interim: list = field(default_factory=list)  # statuses of 1xx answers that came before
    size: int = 0  # body bytes, also when they were not kept

    @property
    def region(self):
        return self.get("X-Region")

    @property
    def fault(self):
        return self.get("X-Nearhop-Fault")

    @property
    def decision(self):
        """X-Nearhop-Decision as a dictionary: origin, reason, place, attempts."""
        text = self.get("X-Nearhop-Decision")
        assert text, f"no X-Nearhop-Decision in {self.fields}"
        return dict(part.strip().split("=", 1) for part in text.split(";"))

    @property
    def closes(self):
        return "close" in [token.strip().lower() for value in self.all("Connection") for token in value.split(",")]


def forget_errors():
    """Python 3.13 leaves the broken pipe of one connection in OpenSSL's queue of the thread, and reports it at the next
    call for another one. This call fails, and empties the queue."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).set_ciphers("none")
    except ssl.SSLError:
        pass


def received(sock, most=256 * 1024):
    """What came; a read has no broken pipe of its own."""
    try:
        return sock.recv(most)
    except BrokenPipeError:
        forget_errors()
        return sock.recv(most)


class Connection:
    """One client connection. `ca=None` speaks plain HTTP; `source` is the loopback address to come from;
    `before_tls` is sent first (a PROXY header)."""

    def __init__(self, address, *, ca=None, name=HOST, source=None, before_tls=b"", timeout=10, session=None,
                 tls=None, receive_buffer=None):  # fmt: skip
        host, port = address if isinstance(address, tuple) else split(address)
        self.socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        self.socket.settimeout(patient(timeout))
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        if source:
            self.socket.bind((source, 0))
        self.buffer = b""
        self.ended_cleanly = None
        try:
            self.socket.connect((host, port))
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.raw = self.socket
            if before_tls:
                self.socket.sendall(before_tls)
            if ca or tls:
                context = tls or trusting(ca)
                self.socket = context.wrap_socket(
                    self.socket, server_hostname=name, session=session, suppress_ragged_eofs=False
                )
        except BaseException:
            self.socket.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, data, pieces=None):
        """`pieces=1` sends byte by byte, each in a record and a segment of its own."""
        data = data.encode("latin-1") if isinstance(data, str) else data
        if pieces is None:
            self.socket.sendall(data)
            return
        for at in range(0, len(data), pieces):
            self.socket.sendall(data[at : at + pieces])

    def receive(self):
        """Some bytes, or nothing at the end. A reset counts as an end that was not clean."""
        try:
            data = received(self.socket)
        except ssl.SSLError as error:  # contexts differ in which of the two they raise
            if not isinstance(error, ssl.SSLEOFError) and error.reason != "UNEXPECTED_EOF_WHILE_READING":
                raise
            self.ended_cleanly = False
            return b""
        except (ConnectionResetError, BrokenPipeError):
            self.ended_cleanly = False
            return b""
        if not data:
            self.ended_cleanly = True
        return data

    def rest(self):
        """Everything until the connection ends."""
        data, self.buffer = self.buffer, b""
        while piece := self.receive():
            data += piece
        return data

    def is_closed(self):
        """Waits for the end of the connection; anything that still arrives is an error."""
        data = self.rest()
        assert not data, f"bytes after the last response: {data[:200]!r}"
        return True

    def _line(self, response):
        while b"\r\n" not in self.buffer:
            if b"\n" in self.buffer:
                raise Malformed(f"bare LF in {self.buffer[:200]!r}")
            self._more(response)
        line, _, self.buffer = self.buffer.partition(b"\r\n")
        return line

    def _more(self, response):
        data = self.receive()
        if not data:
            if response is None and not self.buffer:
                raise Ended
            raise Truncated(response or Response(0, body=self.buffer))
        self.buffer += data

    def head(self):
        """One response head, interim or final."""
        line = self._line(None)
        match = _STATUS.fullmatch(line)
        if not match:
            raise Malformed(f"status line {line[:200]!r}")
        response = Response(int(match[2]), "1." + match[1].decode())
        response.fields = self._fields(response)
        return response

    def _fields(self, response):
        fields = []
        while line := self._line(response):
            match = _FIELD.fullmatch(line)
            if not match:
                raise Malformed(f"field line {line[:200]!r}")
            fields.append((match[1].decode(), match[2].decode("latin-1")))
        return fields

    def response(self, method="GET", keep=True, on_piece=None):
        """The next final response with its whole body; `interim` lists the 1xx before it. `keep=False` counts the
        body instead of keeping it."""
        interim = []
        while (response := self.head()).status < 200:
            if response.all("Content-Length") or response.all("Transfer-Encoding"):
                raise Malformed(f"framing in an interim response: {response.fields}")
            interim.append(response.status)
            if response.status == 101:
                return response
        response.interim = interim
        self._body(response, method, keep, on_piece)
        return response

    def _body(self, response, method, keep, on_piece):
        lengths, codings = response.all("Content-Length"), response.all("Transfer-Encoding")
        if len(lengths) + len(codings) > 1:
            raise Malformed(f"ambiguous framing: {response.fields}")
        if method == "HEAD" or response.status in (204, 304):
            return
        body = []

        def add(piece):
            response.size += len(piece)
            if keep:
                body.append(piece)
            if on_piece:
                on_piece(piece)

        try:
            if codings:
                if codings != ["chunked"] or response.version != "1.1":
                    raise Malformed(f"coding {codings} in HTTP/{response.version}")
                while size := self._chunk_size(response):
                    self._exactly(response, size, add)
                    if self._exact(response, 2) != b"\r\n":
                        raise Malformed("no CRLF after chunk data")
                response.trailers = self._fields(response)
            elif lengths:
                if not lengths[0].isdigit():
                    raise Malformed(f"length {lengths[0]!r}")
                self._exactly(response, int(lengths[0]), add)
            else:  # until the connection ends
                add(self.buffer)
                self.buffer = b""
                while piece := self.receive():
                    add(piece)
                if not self.ended_cleanly:
                    raise Truncated(response)
        finally:
            response.body = b"".join(body)

    def _chunk_size(self, response):
        line = self._line(response)
        match = _CHUNK.fullmatch(line + b"\r\n")
        if not match:
            raise Malformed(f"chunk size {line[:100]!r}")
        return int(match[1], 16)

    def _exactly(self, response, count, add):
        while count:
            if not self.buffer:
                self._more(response)
            piece, self.buffer = self.buffer[:count], self.buffer[count:]
            count -= len(piece)
            add(piece)

    def _exact(self, response, count):
        while len(self.buffer) < count:
            self._more(response)
        piece, self.buffer = self.buffer[:count], self.buffer[count:]
        return piece

    def request(self, method="GET", target="/", fields=(), body=None, host=HOST):
        """One exchange on this connection."""
        self.send(request_bytes(method, target, fields, body, host))
        return self.response(method)


def split(address):
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def trusting(ca):
    context = ssl.create_default_context(cafile=str(ca))
    return context


def request_bytes(method="GET", target="/", fields=(), body=None, host=HOST, version="HTTP/1.1"):
    fields = list(fields.items()) if isinstance(fields, dict) else list(fields)
    lines = [f"{method} {target} {version}"]
    lines += [f"Host: {host}"] if host is not None else []
    lines += [f"{name}: {value}" for name, value in fields]
    if body is not None and not any(name.lower() in ("content-length", "transfer-encoding") for name, _ in fields):
        lines.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + (body or b"")


def chunked(*parts, trailers=()):
    """A chunked body of these chunks."""
    data = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)
    return data + b"0\r\n" + b"".join(f"{name}: {value}\r\n".encode() for name, value in trailers) + b"\r\n"

