"""A regional origin on raw sockets. It names its region in every answer, records every byte that reached it, and can
misbehave at any byte: before TLS (`on_accept`), instead of an answer (`answer`), in its health (`health`), or by
cutting the connection after the n-th byte of a request or of a response (`cut`)."""

import ctypes
import itertools
import socket
import struct
import threading

from .clock import patient
from .origin_connection import Connection, Gone

SO_ATTACH_FILTER, SO_DETACH_FILTER = 26, 27  # of Linux


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
