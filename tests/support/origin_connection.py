"""One connection of an origin, and a request on it: every byte that came is recorded, and `Origin.cut` may end it at any
byte of a request or of a response."""

import os
import select
import socket
import ssl
import struct
import threading
import time
from dataclasses import dataclass, field

from .clock import patient
from .fields import Fields

REASONS = {
    200: "OK", 204: "No Content", 206: "Partial Content", 302: "Found", 304: "Not Modified", 400: "Bad Request",
    404: "Not Found", 417: "Expectation Failed", 421: "Misdirected Request", 425: "Too Early",
    500: "Internal Server Error", 502: "Bad Gateway", 503: "Service Unavailable", 504: "Gateway Timeout",
}  # fmt: skip


class Gone(Exception):
    """The other end left, or a fault ended the connection: nothing more to do on it."""


@dataclass(frozen=True)
class Cut:
    """Ends the connection once `at` bytes of the request were read, or `at` bytes of the response were sent."""

    where: str  # "request" or "response"
    at: int
    how: str = "fin"  # or "rst"


@dataclass
class Request(Fields):
    """One request as it arrived. `raw` holds its exact bytes, head and body, as far as they were read."""

    connection: "Connection"
    method: str
    target: str
    version: str
    fields: list
    raw: bytes
    body: bytes = b""
    trailers: list = field(default_factory=list)
    complete: bool = False

    @property
    def id(self):
        return self.get("X-Request-Id")

    @property
    def origin(self):
        return self.connection.origin

    def length(self):
        """Body bytes announced; None: chunked."""
        if "chunked" in (self.get("Transfer-Encoding") or "").lower():
            return None
        return int(self.get("Content-Length", "0"))

    def body_pieces(self):
        """The body as it comes, unchunked; also recorded in `body` and `raw` unless the origin forgets bodies."""
        if self.complete:
            return
        length = self.length()
        keep = self.origin.keep_bodies
        if "100-continue" in (self.get("Expect") or "").lower() and not self.connection.buffer:
            self.connection.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if length is not None:
            while length:
                piece = self.connection.take(min(length, 256 * 1024))
                length -= len(piece)
                if keep:
                    self.raw += piece
                    self.body += piece
                yield piece
        else:
            while True:
                line = self.connection.line()
                self.raw += line
                size = int(line.split(b";")[0], 16)
                left = size
                while left:
                    piece = self.connection.take(min(left, 256 * 1024))
                    left -= len(piece)
                    if keep:
                        self.raw += piece
                        self.body += piece
                    yield piece
                if size == 0:
                    break
                self.raw += self.connection.line()
            while (line := self.connection.line()) != b"\r\n":
                self.raw += line
                name, _, value = line.decode("latin-1").partition(":")
                self.trailers.append((name, value.strip()))
            self.raw += b"\r\n"
        self.complete = True

    def read_body(self):
        for _ in self.body_pieces():
            pass
        return self.body

    def respond(self, status=200, body=None, fields=(), *, chunked=False, trailers=(), close=False):
        """A whole answer in one write."""
        self.connection.write(self.answer_bytes(status, body, fields, chunked=chunked, trailers=trailers, close=close))
        if close:
            self.connection.finish()

    def answer_bytes(self, status=200, body=None, fields=(), *, chunked=False, trailers=(), close=False):
        if body is None:
            body = f"{self.origin.region} {self.method} {self.target}\n".encode()
        head = [f"HTTP/1.1 {status} {REASONS.get(status, 'Status')}", f"X-Region: {self.origin.region}"]
        head += [f"{name}: {value}" for name, value in fields]
        if chunked:
            head.append("Transfer-Encoding: chunked")
            body = b"%x\r\n%s\r\n" % (len(body), body) if body else b""
            body += b"0\r\n" + b"".join(f"{n}: {v}\r\n".encode() for n, v in trailers) + b"\r\n"
        elif status not in (204, 304) and status >= 200:
            head.append(f"Content-Length: {len(body)}")
        if close:
            head.append("Connection: close")
        if self.method == "HEAD" or status in (204, 304):
            body = b""
        return ("\r\n".join(head) + "\r\n\r\n").encode("latin-1") + body


class Connection:
    """One accepted connection."""

    def __init__(self, origin, sock, number, peer):
        self.origin = origin
        self.socket = sock
        self.number = number
        self.peer = peer
        self._thread = threading.get_ident()
        self._closing = threading.Lock()
        self.sni = None
        self.buffer = b""
        self.request_bytes = 0  # of the current request, as far as received
        self.response_bytes = 0
        self.requests = 0
        self._counted = False  # the request under way is in `origin.attempts`
        self.received = bytearray()  # every byte since the last forget(), as it came
        self._writing = threading.Lock()  # a test may write too, while our own thread is still leaving SSL_write

    def take(self, most):
        """At least one and at most `most` bytes."""
        if not self.buffer:
            self.buffer = self._receive()
        piece, self.buffer = self.buffer[:most], self.buffer[most:]
        return piece

    def line(self):
        while b"\n" not in self.buffer:
            self.buffer += self._receive()
        end = self.buffer.index(b"\n") + 1
        piece, self.buffer = self.buffer[:end], self.buffer[end:]
        return piece

    def next_request(self):
        """The head of the next request; None when the other end closed in between."""
        self.request_bytes = len(self.buffer)
        self.response_bytes = 0
        self._counted = False
        if not self.buffer and not self._first_byte_waits():
            return None
        self._count()
        while b"\r\n\r\n" not in self.buffer:
            self.buffer += self._receive()
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        raw = head + b"\r\n\r\n"
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, version = (first.split(" ") + ["", ""])[:3]
        fields = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]
        self.requests += 1
        return Request(self, method, target, version, fields, raw)

    def write(self, data):
        cut = self.origin.cut
        if cut and cut.where == "response":
            data = data[: max(0, cut.at - self.response_bytes)]
        try:
            if data:
                with self._writing:
                    self.socket.sendall(data)
        except OSError as error:
            raise Gone from error
        self.response_bytes += len(data)
        if cut and cut.where == "response" and self.response_bytes >= cut.at:
            self.end(cut.how)
            raise Gone

    def finish(self):
        """An orderly end: close_notify where there is TLS, then FIN."""
        try:
            if isinstance(self.socket, ssl.SSLSocket):
                self.socket.settimeout(0.2)
                self.socket = self.socket.unwrap()
        except (OSError, ValueError):
            pass
        self.end("fin")
        raise Gone

    def end(self, how):
        """Our own thread or the test's. Another socket, already at its end, takes the place of this one under the same
        number: a thread that is just about to read must not find a newer connection there."""
        try:
            if how == "rst":
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.socket.shutdown(socket.SHUT_RD)  # sends nothing, but wakes our own thread, which holds the socket
            else:
                self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        if threading.get_ident() == self._thread:
            self.close()
            return
        with self._closing, socket.socket() as ended:
            if (number := self.socket.fileno()) >= 0:
                os.dup2(ended.fileno(), number)

    def close(self):
        with self._closing:
            self.socket.close()

    def wait_until_left(self, seconds=60):
        """Hangs, reading nothing, until the other end leaves or the origin stops. Then the connection is over."""
        deadline = time.monotonic() + patient(seconds)
        poller = select.poll()
        poller.register(self.socket.fileno(), select.POLLRDHUP | select.POLLHUP | select.POLLERR)
        while time.monotonic() < deadline and not self.origin.stopping.is_set():
            if poller.poll(50):
                break
        self.end("fin")
        raise Gone

    def _count(self):
        if not self._counted:
            self._counted = True
            self.origin.count_attempt()

    def _first_byte_waits(self):
        if not isinstance(self.socket, ssl.SSLSocket) or not self.socket.pending():
            select.select([self.socket], [], [])
        try:
            if not isinstance(self.socket, ssl.SSLSocket) and not self.socket.recv(1, socket.MSG_PEEK):
                return False
            if (cut := self.origin.cut) and cut.where == "request" and cut.at == 0:
                self._count()
                self.end(cut.how)
                raise Gone
            self.buffer = self._receive(end_is_fine=True)
        except OSError as error:
            raise Gone from error
        return bool(self.buffer)

    def _receive(self, end_is_fine=False):
        most = 256 * 1024
        cut = self.origin.cut
        if cut and cut.where == "request":
            most = cut.at - self.request_bytes
            if most <= 0:
                self.end(cut.how)
                raise Gone
        try:
            data = self.socket.recv(most)
        except OSError as error:
            raise Gone from error
        if not data and not end_is_fine:
            raise Gone
        self.received += data
        self.request_bytes += len(data)
        cut = self.origin.cut
        if cut and cut.where == "request" and data and self.request_bytes >= cut.at:
            self._count()
            self.end(cut.how)
            raise Gone
        return data
