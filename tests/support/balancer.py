"""A balancer of connections in front of several edges, as bytes: one port, and the test says which edge is next."""

import socket
import struct
import threading

from .client import split


class Balancer:
    """`to`: the address that new connections go to from now on. Ends and resets pass through as they came."""

    def __init__(self, to):
        self.to = to
        self.opened = []  # where each connection went
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = "%s:%d" % self._listener.getsockname()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def port(self):
        return split(self.address)[1]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.opened.append(self.to)
            try:
                edge = socket.create_connection(split(self.to), 10)
            except OSError:
                reset(client)
                continue
            for sock in (client, edge):
                sock.settimeout(None)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            ends = threading.Semaphore(0)
            threading.Thread(target=self._carry, args=(client, edge, ends), daemon=True).start()
            threading.Thread(target=self._carry, args=(edge, client, ends), daemon=True).start()
            threading.Thread(target=self._close, args=(client, edge, ends), daemon=True).start()

    @staticmethod
    def _carry(one, other, ends):
        try:
            while data := one.recv(65536):
                other.sendall(data)
            other.shutdown(socket.SHUT_WR)
        except OSError:
            for sock in (one, other):
                reset(sock)
        ends.release()

    @staticmethod
    def _close(client, edge, ends):
        for _ in range(2):
            ends.acquire()
        client.close()
        edge.close()


def reset(sock):
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.shutdown(socket.SHUT_RDWR)  # wakes the thread that reads from it
    except OSError:
        pass
    sock.close()
