"""A client that reads slowly but steadily gets its whole answer, however much longer than `write_timeout` that takes."""

import time

import pytest
from support.client import request_bytes
from support.clock import SLOW, wait_until
from support.http2 import GOAWAY, Http2
from support.origin_connection import Gone
from support.setup import viewer
from support.tunnel import switching, upgrade

LIMIT = 0.6 * SLOW  # write_timeout, seconds
STEP = 0.02 * SLOW  # between two reads
SIZE = 14_000_000
GERMAN = [("cloudfront-viewer-country", "DE")]


def configured(scene, **changes):
    origin = scene["eu-west-1"]
    origin.answer = lambda request: request.respond(200, b"x" * SIZE)
    return scene.config(limits={"write_timeout": f"{int(LIMIT * 1000)}ms", "write_rate": "1KiB"}, **changes)


@pytest.mark.parametrize("tls", [True, False], ids=["TLS", "plain"])
def test_http1(scene, start, tls):
    plain = [{"address": "127.0.0.1:0", "protocol": "http", "plain": "serve"}]
    edge = start(configured(scene, **({} if tls else {"listeners": plain})))
    where = {} if tls else {"ca": None, "address": edge.http}
    with edge.connect(receive_buffer=16 * 1024, timeout=60, **where) as connection:
        connection.send(request_bytes(fields=viewer("DE")))
        began, got = time.monotonic(), 0
        while got < SIZE:
            until = time.monotonic() + STEP
            for _ in range(8):  # 6 MB/s: the kernel tells of room when a third of some 4 MB is free
                piece = connection.receive() if got < SIZE else b"the rest of the head"
                assert piece, f"cut after {got} bytes and {time.monotonic() - began:.1f} s"
                got += len(piece)
            time.sleep(max(0, until - time.monotonic()))  # the client's own pace
        assert time.monotonic() - began > 2 * LIMIT, "it read too fast to show anything"


PACE = 100_000 / SLOW  # of a steady reader: 64 KiB, in which TCP tells of it here, take longer than LIMIT


def steadily(read, seconds, what):
    """Reads at PACE through `read(most)` for so long."""
    began, got = time.monotonic(), 0
    while time.monotonic() - began < seconds:
        piece = read(2048)
        assert piece, f"{what}: cut after {got} bytes and {time.monotonic() - began:.1f} s"
        got += len(piece)
        time.sleep(max(0, began + got / PACE - time.monotonic()))  # the client's own pace


@pytest.mark.parametrize("tls", [True, False], ids=["TLS", "plain"])
@pytest.mark.parametrize("burst", [0, 8_000_000])
def test_a_steady_reader_whose_system_holds_megabytes(scene, start, tls, burst):
    """What lies in the buffers of both systems takes longer to be read than `write_timeout`, and nothing moves here."""
    plain = [{"address": "127.0.0.1:0", "protocol": "http", "plain": "serve"}]
    edge = start(configured(scene, **({} if tls else {"listeners": plain})))
    where = {} if tls else {"ca": None, "address": edge.http}
    with edge.connect(timeout=60, **where) as connection:
        connection.send(request_bytes(fields=viewer("DE")))
        for _ in range(0, burst, 65536):  # a fast beginning, with which the buffers grow
            connection.socket.recv(65536)
        steadily(connection.socket.recv, 8 * LIMIT, "the answer")
        assert edge.metrics().sum("nearhop_faults_total", fault="client_write_timeout") == 0


def test_a_steady_reader_of_the_end_of_an_answer(scene, start):
    """The origin has long given all of it: what is left lies here and in the systems' buffers."""
    config = configured(scene, listeners=[{"address": "127.0.0.1:0", "protocol": "http", "plain": "serve"}])
    scene["eu-west-1"].answer = lambda request: request.respond(200, b"x" * 4_000_000)
    edge = start(config)
    with edge.connect(timeout=60, ca=None, address=edge.http, receive_buffer=16 * 1024) as connection:
        connection.send(request_bytes(fields=viewer("DE")))
        steadily(connection.socket.recv, 8 * LIMIT, "the answer")
        assert edge.metrics().sum("nearhop_faults_total", fault="client_write_timeout") == 0


def test_a_steady_reader_over_http2_that_lets_tcp_hold_it_back(scene, start, authority):
    """As curl --limit-rate does: windows are wide open, and the socket is read slowly."""
    edge = start(configured(scene))
    window = 2**31 - 1
    with Http2(edge.https, authority.file, settings={4: window}, window=window - 65535, replenish=False, timeout=60) as client:
        client.open(fields=GERMAN)
        steadily(client.socket.recv, 8 * LIMIT, "the connection")
        assert edge.metrics().sum("nearhop_faults_total", fault="client_write_timeout") == 0


def test_a_steady_reader_of_a_tunnel(plain_scene, start):
    def afterwards(connection):
        try:
            while True:
                connection.write(b"f" * 65536)
        except (Gone, ValueError):
            pass

    for origin in plain_scene:
        origin.answer = switching(afterwards)
    listeners = [{"address": "127.0.0.1:0", "protocol": "http", "plain": "serve"}]
    edge = start(plain_scene.config(listeners=listeners, limits={"write_timeout": f"{int(LIMIT * 1000)}ms", "write_rate": "1KiB"}))
    connection = upgrade(edge, plain=True)
    steadily(connection.socket.recv, 8 * LIMIT, "the tunnel")
    assert edge.metrics().sum("nearhop_faults_total", fault="client_write_timeout") == 0
    connection.close()


@pytest.mark.parametrize("tls", [True, False], ids=["TLS", "plain"])
def test_who_stops_reading_is_cut_all_the_same(scene, start, tls):
    """After the time that what it has taken is worth, twelve times `write_timeout` at most."""
    plain = [{"address": "127.0.0.1:0", "protocol": "http", "plain": "serve"}]
    config = configured(scene, **({} if tls else {"listeners": plain}))
    config["limits"]["write_timeout"] = f"{int(200 * SLOW)}ms"
    edge = start(config)
    where = {} if tls else {"ca": None, "address": edge.http}
    with edge.connect(timeout=60, **where) as connection:
        connection.send(request_bytes(fields=viewer("DE")))
        began = time.monotonic()
        wait_until(lambda: edge.metrics().sum("nearhop_faults_total", fault="client_write_timeout") == 1, what="the cut")
        assert time.monotonic() - began < 20 * 0.2 * SLOW


def test_http2(scene, start, authority):
    """Its pace is that of its windows: what it takes leaves the edge between two turns of the exchange."""
    edge = start(configured(scene))
    with Http2(edge.https, authority.file, replenish=False) as client:
        stream = client.open(fields=GERMAN)
        client.until(lambda: len(client.replies.get(stream).body if stream in client.replies else b"") == 65535)
        reply, began, wanted = client.replies[stream], time.monotonic(), 65535
        while time.monotonic() - began < 4 * LIMIT:
            client.update(0, 32_768)
            client.update(stream, 32_768)
            wanted += 32_768
            client.until(lambda: len(reply.body) >= wanted or reply.over)
            assert reply.reset is None, f"cut after {len(reply.body)} bytes and {time.monotonic() - began:.1f} s"
            time.sleep(STEP)
        client.reset(stream)


@pytest.mark.parametrize("last", ["the client goes away", "the last request of its connection"])
def test_the_tail_of_the_last_answer_over_http2(scene, start, authority, last):
    """Every frame is written and the socket is full: the connection ends when they have left, not before."""
    config = configured(scene)
    config["limits"]["write_rate"] = "1GiB"  # who reads nothing is cut after `write_timeout`
    probed = start(config)
    config["limits"]["write_timeout"] = "30s"
    config["limits"]["session_requests"] = int(last != "the client goes away")
    edge = start(config)
    window = 2**31 - 1
    connect = {"settings": {4: window}, "window": window - 65535, "receive_buffer": 16 * 1024, "replenish": False}

    def answered():
        return edge.metrics().sum("nearhop_requests_total")

    with Http2(probed.https, authority.file, **connect) as client:  # how much fits into what lies between
        client.open(fields=GERMAN)
        wait_until(lambda: probed.metrics().sum("nearhop_http2_ended_total", why="write_timeout"), what="the cut")
    most = int(probed.metrics().sum("nearhop_client_bytes_total", direction="sent"))
    assert 100_000 < most < SIZE
    for size in range(most - 32_000, most + 48_000, 8_000):  # for some of these the last frame is what no longer fits
        scene["eu-west-1"].answer = lambda request, size=size: request.respond(200, b"x" * size)
        with Http2(edge.https, authority.file, **connect) as client:
            before = answered()
            stream = client.open(fields=GERMAN)
            if last == "the client goes away":
                client.send_frame(GOAWAY, 0, 0, bytes(8))
            wait_until(lambda before=before: answered() > before, what="the edge to have written every frame")
            while client.pump():
                pass
            reply = client.replies[stream]
            assert reply.ended and len(reply.body) == size, f"{len(reply.body)} of {size} bytes"
