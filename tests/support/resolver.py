"""A DNS server on loopback whose answers the test changes while it runs."""

import ipaddress
import socket
import struct
import threading
from dataclasses import dataclass, field

A, AAAA = 1, 28
NOERROR, SERVFAIL, NXDOMAIN, REFUSED = 0, 2, 3, 5


@dataclass
class Record:
    addresses: list
    ttl: int = 5
    mode: str = "answer"  # "answer", "nxdomain", "servfail", "silence", "garbage"
    garbage: bytes = b""  # what follows the query id in mode "garbage"
    silent: int = 0  # questions of this type get no answer
    queries: int = 0


@dataclass
class _Question:
    id: bytes
    name: str
    type: int
    raw: bytes = field(repr=False)


class Resolver:
    """`resolver.set("eu.test", "127.0.0.1", "127.0.0.2", ttl=5)`; unknown names are NXDOMAIN. UDP, and TCP for what is
    larger than 512 bytes."""

    def __init__(self):
        self._records = {}
        self._lock = threading.Lock()
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        for _ in range(20):  # one port for both
            self._udp.bind(("127.0.0.1", 0))
            self.port = self._udp.getsockname()[1]
            try:
                self._tcp = socket.create_server(("127.0.0.1", self.port))
                break
            except OSError:
                self._udp.close()
                self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        threading.Thread(target=self._serve, daemon=True).start()
        threading.Thread(target=self._serve_tcp, daemon=True).start()

    @property
    def server(self):
        return f"127.0.0.1:{self.port}"

    def set(self, name, *addresses, ttl=5):
        with self._lock:
            old = self._records.get(name)
            self._records[name] = Record(list(addresses), ttl, queries=old.queries if old else 0, silent=old.silent if old else 0)

    def fail(self, name, mode, garbage=b""):
        with self._lock:
            self._records[name].mode = mode
            self._records[name].garbage = garbage

    def silence(self, name, kind):
        """No question of this type (A, AAAA) is answered from now on."""
        with self._lock:
            self._records[name].silent = kind

    def queries(self, name):
        with self._lock:
            return self._records[name].queries

    def stop(self):
        self._udp.close()
        self._tcp.shutdown(socket.SHUT_RDWR)
        self._tcp.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def _serve(self):
        while True:
            try:
                data, peer = self._udp.recvfrom(4096)
            except OSError:
                return
            try:
                answer = self._answer(_parse(data))
            except (IndexError, struct.error, UnicodeDecodeError):
                continue
            if answer and len(answer) > 512:  # TC: come back over TCP; no record is cut in two (RFC 2181 section 9)
                answer = _reply(_parse(data), NOERROR, [])
                answer = answer[:2] + bytes([answer[2] | 2]) + answer[3:]
            if answer:
                try:
                    self._udp.sendto(answer, peer)
                except OSError:
                    pass  # the asker has left

    def _serve_tcp(self):
        while True:
            try:
                connection, _ = self._tcp.accept()
            except OSError:
                return
            with connection, connection.makefile("rb") as questions:
                try:
                    while len(size := questions.read(2)) == 2:
                        answer = self._answer(_parse(questions.read(*struct.unpack("!H", size))))
                        if answer:
                            connection.sendall(struct.pack("!H", len(answer)) + answer)
                except (OSError, IndexError, struct.error, UnicodeDecodeError):
                    pass

    def _answer(self, question):
        with self._lock:
            record = self._records.get(question.name)
            if record:
                record.queries += 1
            mode = record.mode if record else "nxdomain"
            if mode == "silence" or (record and record.silent == question.type):
                return None
            if mode == "garbage":
                return question.id + record.garbage
            if mode != "answer":
                return _reply(question, NXDOMAIN if mode == "nxdomain" else SERVFAIL, [])
            wanted = 4 if question.type == A else 6 if question.type == AAAA else 0
            addresses = [ipaddress.ip_address(text) for text in record.addresses]
            data = [address.packed for address in addresses if address.version == wanted]
            return _reply(question, NOERROR, data, record.ttl)


def _parse(data):
    labels, at = [], 12
    while data[at]:
        labels.append(data[at + 1 : at + 1 + data[at]].decode("ascii"))
        at += 1 + data[at]
    kind, _ = struct.unpack_from("!HH", data, at + 1)
    return _Question(data[:2], ".".join(labels).lower(), kind, data[12 : at + 5])


def _reply(question, code, addresses, ttl=0):
    head = question.id + struct.pack("!HHHHH", 0x8580 | code, 1, len(addresses), 0, 0)
    answers = [
        struct.pack("!HHHIH", 0xC00C, A if len(data) == 4 else AAAA, 1, ttl, len(data)) + data for data in addresses
    ]
    return head + question.raw + b"".join(answers)
