"""A regional origin on raw sockets. It names its region in every answer, records every byte that reached it, and can
misbehave at any byte: before TLS (`on_accept`), instead of an answer (`answer`), in its health (`health`), or by
cutting the connection after the n-th byte of a request or of a response (`cut`)."""

import ctypes
import itertools
import os
import select
import socket
import ssl
import struct
import threading
import time
from dataclasses import dataclass, field

from .clock import patient

SO_ATTACH_FILTER, SO_DETACH_FILTER = 26, 27  # of Linux

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
class Request:
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

    def all(self, name):
        return [value for key, value in self.fields if key.lower() == name.lower()]

    def get(self, name, default=None):
        values = self.all(name)
        return values[0] if values else default

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


def normally(request):
    """Reads the request to its end, then names the region: head and body in one write."""
    request.read_body()
    request.respond()


class Origin:
    """A listening origin. With `identity` it speaks TLS. Behaviour may be changed at any time from the test.

    `requests` and `probes` are what arrived, in order of their heads. `attempts` counts first bytes of requests that
    were not probes, so it also sees a request that was cut before its head was complete (no probes while cutting)."""

    def __init__(self, region, identity=None, *, address="127.0.0.1", port=0, answer=normally, health_path="/health"):
        self.region = region
        self.identity = identity
        self.address = address
        self.answer = answer  # callable(Request)
        self.health = 200  # a status, or callable(Request)
        self.health_path = health_path
        self.on_accept = None  # callable(raw socket) before TLS; true when it took the connection over
        self.cut = None
        self.keep_bodies = True
        self.requests = []
        self.probes = []
        self.attempts = 0
        self.accepted = 0
        self.handshake_errors = []
        self.server_names = []
        self.stopping = threading.Event()
        self._tls = identity.serve() if identity else None
        self._lock = threading.Lock()
        self._open = set()
        self._recorded = []  # connections, open or not, since the last forget()
        self._numbers = itertools.count(1)
        # Keeps the port ours while the listener is closed: connections are then refused, and nobody else gets it.
        self._placeholder = self._bound(port)
        self.port = self._placeholder.getsockname()[1]
        self._listener = None
        self.listen()

    @property
    def url(self):
        return self.url_for(self.address)

    def url_for(self, host):
        return f"{'https' if self._tls else 'http'}://{f'[{host}]' if ':' in host else host}:{self.port}"

    def listen(self):
        """Opens the listener (again)."""
        self._listener = self._bound(self.port)
        self._listener.listen(1024)
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def refuse(self):
        """Closes the listener: new connections are refused. Open ones live on."""
        listener, self._listener = self._listener, None
        if listener:
            try:
                listener.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            listener.close()

    def drop(self, how="rst"):
        """Ends every open connection."""
        with self._lock:
            connections = list(self._open)
        for connection in connections:
            connection.end(how)

    def fall_silent(self, only=None):
        """Every packet that comes is dropped, for connections that are open and those to come: as behind a cut cable.
        `only`: for these connections, as where something on the way forgot them."""
        nothing = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0))  # BPF: return 0
        program = struct.pack("HP", 1, ctypes.addressof(nothing))
        for sock in self._sockets() if only is None else [connection.socket for connection in only]:
            sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)

    def speak(self):
        for sock in self._sockets():
            try:
                sock.setsockopt(socket.SOL_SOCKET, SO_DETACH_FILTER, 0)
            except FileNotFoundError:
                pass  # it had none

    def _sockets(self):
        with self._lock:
            return [self._listener, *(connection.socket for connection in self._open)]

    def use(self, identity):
        """New handshakes get another certificate."""
        self._tls = identity.serve()

    def stop(self):
        self.stopping.set()
        self.refuse()
        self.drop("fin")
        self._placeholder.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def forget(self):
        with self._lock:
            self.requests, self.probes, self.attempts = [], [], 0
            self._recorded = list(self._open)
            for connection in self._recorded:
                connection.received = bytearray()

    def recordings(self):
        """Per connection the exact bytes that came since the last forget(): what stands on the wire, not what this
        origin made of it."""
        with self._lock:
            return [bytes(connection.received) for connection in self._recorded if connection.received]

    def are_open(self, connections):
        with self._lock:
            return [connection for connection in connections if connection in self._open]

    def connections(self):
        with self._lock:
            return list(self._open)

    def open_connections(self):
        with self._lock:
            return len(self._open)

    def targets(self):
        return [request.target for request in self.requests]

    def last(self):
        assert self.requests, f"{self.region} has seen no request"
        return self.requests[-1]

    def count_attempt(self):
        with self._lock:
            self.attempts += 1

    def _bound(self, port):
        sock = socket.socket(socket.AF_INET6 if ":" in self.address else socket.AF_INET)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind((self.address, port))
        return sock

    def _accept(self, listener):
        while True:
            try:
                sock, peer = listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.accepted += 1
            threading.Thread(target=self._run, args=(sock, peer), daemon=True).start()

    def _run(self, sock, peer):
        connection = Connection(self, sock, next(self._numbers), peer)
        with self._lock:
            self._open.add(connection)
            self._recorded.append(connection)
        try:
            if self.on_accept and self.on_accept(connection):
                return
            if self._tls:
                self._handshake(connection)
            while self._one(connection):
                pass
        except Gone:
            pass
        except (OSError, ValueError):
            pass  # the other end vanished in the middle of something
        finally:
            with self._lock:
                self._open.discard(connection)
            connection.close()

    def _handshake(self, connection):
        tls = self._tls

        def remember(_, name, __):
            connection.sni = name
            self.server_names.append(name)

        tls.sni_callback = remember
        try:
            connection.socket.settimeout(patient(20))
            connection.socket = tls.wrap_socket(connection.socket, server_side=True)
            connection.socket.settimeout(None)
        except OSError as error:
            self.handshake_errors.append(str(error))
            raise Gone from error

    def _one(self, connection):
        request = connection.next_request()
        if request is None:
            return False
        if request.target == self.health_path:
            with self._lock:
                self.attempts -= 1
                self.probes.append(request)
            if callable(self.health):
                self.health(request)
            else:
                request.respond(self.health, b"ok\n")
        else:
            with self._lock:
                self.requests.append(request)
            self.answer(request)
        return "close" not in (request.get("Connection") or "").lower()
