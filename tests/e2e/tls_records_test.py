"""A record that breaks TLS, in the same read as good ones: what is known is told at once, on both sides, and nothing is
begun that could not be answered."""

import socket
import ssl
import time
from contextlib import contextmanager

import hpack
import pytest
from support import http2
from support.client import HOST, Truncated, request_bytes, split
from support.clock import patient, wait_until
from support.setup import viewer
from support.tls import VERSIONS, clients, context_of  # noqa: F401 - a fixture

BROKEN = b"\x17\x03\x03\x00\x40" + b"x" * 0x40  # application data that nobody can decrypt


class Records:
    """A TLS client that decides what goes into one segment."""

    def __init__(self, edge, authority, version, protocols=("http/1.1",), behind=b""):
        """`behind`: sent in the same segment as the end of the handshake."""
        self.socket = socket.create_connection(split(edge.https), timeout=patient(10))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        context = context_of(authority.file, version=version, protocols=list(protocols))
        self._tls = context.wrap_bio(self._in, self._out, server_hostname=HOST)
        while True:
            try:
                self._tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self._exchange()
        if behind:
            self._tls.write(behind)
        self._flush()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def _flush(self):
        if self._out.pending:
            self.socket.sendall(self._out.read())

    def _exchange(self):
        self._flush()
        data = self.socket.recv(65536)
        assert data, "closed during the handshake"
        self._in.write(data)

    def record(self, data):
        self._tls.write(data)
        return self._out.read()

    def send(self, data):
        self.socket.sendall(data)

    def ends(self):
        """What is read until the end, and the reason of the alert that ends it; a reset in its place is an error."""
        data = b""
        while True:
            try:
                data += self._tls.read(65536)
            except ssl.SSLWantReadError:
                more = self.socket.recv(65536)  # ConnectionResetError: it came too late to be read
                if not more:
                    return data, None
                self._in.write(more)
            except ssl.SSLZeroReturnError:
                return data, "close_notify"
            except ssl.SSLError as error:
                assert self.socket.recv(65536) == b"", "nothing comes behind a fatal alert"
                return data, error.reason


GET = request_bytes("GET", "/")
POST = request_bytes("POST", "/", [("Content-Length", "5")]) + b"hello"


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name, good", [("half a head", GET[:-10]), ("a GET", GET), ("a POST", POST), ("nothing", b"")])
def test_a_broken_record_of_a_client_gets_its_alert_at_once_and_nothing_is_begun(scene, start, authority, version, name, good):
    edge = start(scene.config(limits={"head_timeout": "60s", "idle_timeout": "60s"}))
    with Records(edge, authority, version) as client:
        began = time.monotonic()
        client.send((client.record(good) if good else b"") + BROKEN)
        data, alert = client.ends()
        assert (data, alert) == (b"", "SSLV3_ALERT_BAD_RECORD_MAC")
        assert time.monotonic() - began < patient(5)
    assert edge.fetch().status == 200
    assert [request.method for request in scene.requests()] == ["GET"], "the one after it"


def test_over_http2_too(scene, start, authority):
    edge = start(scene.config(limits={"head_timeout": "60s", "idle_timeout": "60s"}))
    fields = [(":method", "GET"), (":scheme", "https"), (":authority", HOST), (":path", "/")]
    head = http2.frame(http2.HEADERS, http2.END_HEADERS | http2.END_STREAM, 1, hpack.Encoder().encode(fields))
    with Records(edge, authority, ssl.TLSVersion.TLSv1_3, ["h2"]) as client:
        client.send(client.record(http2.MAGIC + http2.frame(http2.SETTINGS) + head) + BROKEN)
        assert client.ends()[1] == "SSLV3_ALERT_BAD_RECORD_MAC"
    assert edge.fetch().status == 200
    assert len(scene.requests()) == 1, "the one after it"


def test_a_request_before_it_that_is_being_answered_ends_with_it(scene, start, authority):
    """The POST is under way; its body breaks off with TLS. The origin sees a cut request."""
    edge = start(scene.config(limits={"body_timeout": "60s"}))
    with Records(edge, authority, ssl.TLSVersion.TLSv1_3) as client:
        client.send(client.record(POST[:-3]))
        wait_until(lambda: scene.attempts() == 1, what="the head to arrive")
        client.send(client.record(POST[-3:]) + BROKEN)
        assert client.ends()[1] == "SSLV3_ALERT_BAD_RECORD_MAC"
    assert edge.settled().sum("nearhop_faults_total", fault="client_gone") == 1
    assert not [request for request in scene.requests() if request.complete]


def test_the_alert_of_a_refused_handshake_is_not_lost_in_a_reset(scene, start, authority, clients):
    """In TLS 1.3 a client sends its request behind its Finished: unread, it would turn the close into a reset."""
    listeners = [{"address": "127.0.0.1:0", "client_certificates": "required"}]
    config = scene.config(listeners=listeners)
    config["tls"]["client_ca"] = str(clients.file)
    edge = start(config)
    for _ in range(5):
        with Records(edge, authority, ssl.TLSVersion.TLSv1_3, behind=b"x" * 15_000) as client:
            assert client.ends()[1] == "TLSV13_ALERT_CERTIFICATE_REQUIRED"


@contextmanager
def in_one_segment(request):
    """What is written meanwhile leaves at the end."""
    sock = request.connection.socket
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
    yield sock
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 0)


@pytest.mark.parametrize("whole", [True, False], ids=["whole", "half"])
def test_a_broken_record_of_an_origin_behind_its_answer(scene, start, whole):
    """What came whole before it counts; what is missing is known to be missing at once, not after a timeout."""
    edge = start(scene.config(site={"policy": "failover"}, workers=1, limits={"origin_body_timeout": "60s"}))
    origin = scene["us-east-1"]

    def answer(request):
        request.read_body()
        data = request.answer_bytes()
        with in_one_segment(request) as sock:
            request.connection.write(data if whole else data[:-4])
            socket.socket.sendall(sock, BROKEN)  # past its TLS
        request.connection.wait_until_left()

    origin.answer = answer
    accepted = origin.accepted
    began = time.monotonic()
    for number in (1, 2):
        if whole:
            assert edge.fetch(fields=viewer("US")).region == "us-east-1"
        else:
            with pytest.raises(Truncated):
                edge.fetch(fields=viewer("US"))
        assert origin.accepted == accepted + number, "its connection serves nobody else"
    assert time.monotonic() - began < patient(10)
    assert edge.settled().value("nearhop_pool_connections", origin="us-east-1", state="idle") == 0


def test_a_connection_whose_end_came_with_the_answer_is_not_used_again(scene, start):
    """close_notify in the same segment, and the end of the connection only later."""
    edge = start(scene.config(site={"policy": "failover"}, workers=1))
    origin = scene["us-east-1"]

    def answer(request):
        request.read_body()
        with in_one_segment(request) as sock:
            request.respond()
            sock.setblocking(False)
            with pytest.raises(ssl.SSLWantReadError):
                sock.unwrap()  # says close_notify, and would wait for the other's
        # Who writes on it all the same is heard by nobody.
        origin.stopping.wait(60)

    origin.answer = answer
    for _ in range(3):
        response = edge.fetch("POST", fields=[*viewer("US"), ("Content-Length", "0")])
        assert (response.status, response.region) == (200, "us-east-1")
