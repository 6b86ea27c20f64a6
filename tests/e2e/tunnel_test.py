"""Tunnels, once the switch is made: who does not read holds the other back, an idle one gives its buffers back and is
closed in the end, and each side's end or death is seen by the other. How a tunnel comes to be is in upgrade_test.py."""

import asyncio
import base64
import hashlib
import signal
import socket
import threading
import time

import pytest
import websockets
from support.client import HOST
from support.clock import SLOW, patient, wait_until
from support.http2 import Http2
from support.origin_connection import Gone
from support.proxy import sanitized
from support.tunnel import SWITCH, echo, line_of, receive, switching, take, upgrade
from support.websocket import dial, websocket_edge


# ---- back-pressure and memory ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("reader", ["client", "origin"])
@pytest.mark.parametrize("tls", [True, False])
def test_a_side_that_does_not_read_holds_the_other_back(scene, plain_scene, start, reader, tls):
    """Back-pressure: what one side sends faster than the other reads stays with the sender, not in our memory."""
    scene = scene if tls else plain_scene
    total = 900 * 65536
    resume = threading.Event()
    sent, got = [0], [0]
    piece = b"p" * 65536

    def send_all(write):
        while sent[0] < total:
            write(piece)
            sent[0] += len(piece)

    def receive_all(read):
        resume.wait(60)
        while got[0] < total:
            data = read()
            if not data:
                return
            got[0] += len(data)

    def afterwards(connection):
        if reader == "client":
            send_all(connection.write)
        else:
            receive_all(lambda: take(connection))

    for origin in scene:
        origin.answer = switching(afterwards)
    listeners = [{"address": "127.0.0.1:0", "protocol": "https" if tls else "http", **({} if tls else {"plain": "serve"})}]
    edge = start(scene.config(listeners=listeners))
    connection = upgrade(edge, receive_buffer=65536, plain=not tls)
    got[0] = len(connection.buffer)
    before = edge.resident_kib()
    if reader == "client":
        other = threading.Thread(target=receive_all, args=(connection.receive,))
    else:
        other = threading.Thread(target=send_all, args=(connection.send,))
    other.start()
    quiet = [0, time.monotonic()]

    def stalled():
        if sent[0] != quiet[0]:
            quiet[:] = [sent[0], time.monotonic()]
        return sent[0] and time.monotonic() - quiet[1] > 0.5 * SLOW

    wait_until(stalled, 20, lambda: f"the sender to be held back after {sent[0]} bytes")
    assert 0 < sent[0] < 30_000_000, "kernel buffers explain a few megabytes"
    if not sanitized():
        assert edge.resident_kib() - before < 2048, "the edge took what nobody reads"
    resume.set()
    wait_until(lambda: got[0] >= total, 60, lambda: f"{got[0]} of {sent[0]} bytes")
    other.join(patient(20))
    assert got[0] == sent[0] == total
    connection.close()


def test_idle_tunnels_give_their_buffers_back(scene, start):
    for origin in scene:
        origin.answer = switching(echo)
    # An idle tunnel gives its buffers back after half a second; this route's are closed after a whole one.
    brief = {"path": "/brief", "tunnel_idle": "1s"}
    edge = start(scene.config(workers=1, site={"routes": [brief]}))
    count = 200

    def busy_then_idle():
        tunnels = [upgrade(edge) for _ in range(count)]
        for tunnel in tunnels:
            tunnel.send(b"z" * 30_000)
        for tunnel in tunnels:
            assert receive(tunnel, 30_000) == b"z" * 30_000
        # Silent for longer than a tunnel of the same worker that was so long silent that it was closed.
        with upgrade(edge, target="/brief") as last:
            assert last.rest() == b""
        return tunnels

    # What the first ones gave back serves the second ones: only what an idle tunnel keeps is added.
    first = busy_then_idle()
    before = edge.resident_kib()
    second = busy_then_idle()
    each = (edge.resident_kib() - before) / count
    assert sanitized() or each < 115, f"{each:.0f} KiB per idle tunnel of two TLS connections"
    for tunnel in (first[0], second[0]):
        tunnel.send(b"still there")
        assert receive(tunnel, 11) == b"still there"
    for tunnel in first + second:
        tunnel.close()


# ---- ends -----------------------------------------------------------------------------------------------------------
def test_the_client_ends_its_direction_and_still_hears_the_origin(plain_scene, start):
    """Half-close over TCP without TLS, and over TLS with close_notify."""
    heard = []

    def afterwards(connection):
        while data := take(connection):
            heard.append(data)
        connection.write(b"all " + str(len(b"".join(heard))).encode())

    for origin in plain_scene:
        origin.answer = switching(afterwards)
    edge = start(plain_scene.config(listeners=[{"address": "127.0.0.1:0", "protocol": "http", "plain": "serve"}]))
    connection = upgrade(edge, plain=True)
    connection.send(b"a" * 300_000)
    connection.socket.shutdown(socket.SHUT_WR)
    assert connection.rest() == b"all 300000" and connection.ended_cleanly
    line = line_of(edge)
    assert line["bytes_in"] == 300_000 and line["bytes_out"] == 10 and line["fault"] == "-"
    assert (line["method"], line["protocol"], line["upgrade"]) == ("GET", "HTTP/1.1", "websocket")


def test_the_origin_ends_its_direction_and_still_hears_the_client(scene, start):
    heard = []
    over = threading.Event()

    def afterwards(connection):
        connection.write(b"bye")
        connection.socket.settimeout(patient(10))
        raw = connection.socket
        try:
            raw.unwrap()  # sends close_notify, then waits for the client's: what comes before it is lost to Python
        except OSError as error:
            heard.append(str(error))
        over.set()

    for origin in scene:
        origin.answer = switching(afterwards)
    edge = start(scene.config())
    connection = upgrade(edge)
    assert connection.rest() == b"bye" and connection.ended_cleanly, "the end came through, and orderly"
    connection.raw.close()
    connection.close()
    assert over.wait(patient(10)), "the client's end reached the origin"
    line_of(edge)


def test_the_same_over_http2(plain_scene, start, authority):
    heard = []

    def afterwards(connection):
        connection.write(b"bye")
        connection.socket.shutdown(socket.SHUT_WR)
        while data := take(connection):
            heard.append(data)

    def agree(request):  # RFC 6455 section 4.2.2: over HTTP/2 the key is the edge's own
        key = request.get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        accept = base64.b64encode(hashlib.sha1(key.encode()).digest())
        return switching(afterwards, SWITCH[:-2] + b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")(request)

    for origin in plain_scene:
        origin.answer = agree
    edge = start(plain_scene.config())
    pairs = [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "https"), (":authority", HOST), (":path", "/"),
             ("sec-websocket-version", "13")]  # fmt: skip
    with Http2(edge.https, authority.file) as client:
        client.settled()
        stream = client.open_raw(pairs, end=False)
        client.until(lambda: stream in client.replies and client.replies[stream].ended)
        reply = client.replies[stream]
        assert reply.status == 200 and reply.body == b"bye"
        client.ping()
        assert reply.reset is None, "the client may still speak"
        client.data(stream, b"still ")
        client.ping()
        client.data(stream, b"here", end=True)
        wait_until(lambda: b"".join(heard) == b"still here", what="the client's words at the origin")
        client.ping()
        assert reply.reset is None
    line = line_of(edge, status=200)  # what the client sent and got, as over HTTP/1.1
    assert (line["method"], line["protocol"], line["upgrade"]) == ("CONNECT", "HTTP/2", "websocket")
    assert line["bytes_in"] == 10 and line["bytes_out"] == 3 and line["fault"] == "-"


@pytest.mark.parametrize("how", ["fin", "rst"])
def test_an_origin_that_dies_inside_a_tunnel_is_a_visible_end(scene, start, how):
    """Everything it had sent arrives; then the client sees an end without close_notify."""

    def afterwards(connection):
        connection.write(b"half a mess")
        take(connection)
        connection.end(how)
        raise Gone

    for origin in scene:
        origin.answer = switching(afterwards)
    edge = start(scene.config())
    connection = upgrade(edge)
    assert receive(connection, 11) == b"half a mess"
    connection.send(b"go")
    assert connection.rest() == b"" and connection.ended_cleanly is False
    assert line_of(edge)["fault"] == "origin_truncated"
    assert edge.settled().value("nearhop_faults_total", fault="origin_truncated") == 1


def test_an_origin_process_that_dies_is_seen_by_a_websocket_client(scene, start, authority):
    async def die(websocket):
        await websocket.send("one")
        await websocket.recv()
        websocket.transport.abort()

    async def talk(edge):
        async with dial(edge, authority) as websocket:
            assert await websocket.recv() == "one"
            await websocket.send("go")
            with pytest.raises(websockets.ConnectionClosedError):
                await websocket.recv()
            assert websocket.close_code == 1006

    with websocket_edge(scene, start, die) as (edge, _):
        asyncio.run(talk(edge))
        assert line_of(edge)["fault"] == "origin_truncated"


def test_a_client_that_dies_inside_a_tunnel_ends_it_at_the_origin(scene, start):
    heard = []
    over = threading.Event()

    def afterwards(connection):
        while data := take(connection):
            heard.append(data)
        over.set()

    for origin in scene:
        origin.answer = switching(afterwards)
    edge = start(scene.config())
    connection = upgrade(edge)
    connection.send(b"last words")
    connection.socket.shutdown(socket.SHUT_RDWR)  # no close_notify
    connection.close()
    assert over.wait(patient(10))
    assert b"".join(heard) == b"last words", "what it had sent was delivered"
    assert line_of(edge)["fault"] == "client_gone"
    wait_until(lambda: edge.metrics().value("nearhop_tunnels") == 0, what="the tunnel to be over")


def test_an_idle_tunnel_is_closed_and_a_busy_one_is_not(scene, start):
    for origin in scene:
        origin.answer = switching(echo)
    idle = 600 * SLOW
    edge = start(scene.config(site={"tunnel_idle": f"{idle:.0f}ms"}))
    busy, silent = upgrade(edge), upgrade(edge)
    began = time.monotonic()
    while time.monotonic() - began < 2.5 * idle / 1000:
        busy.send(b"tick")
        assert receive(busy, 4) == b"tick"
        time.sleep(idle / 10_000)  # the tunnel's own pace
    assert silent.rest() == b"" and silent.ended_cleanly is False
    assert line_of(edge)["fault"] == "tunnel_idle"
    busy.send(b"tock")
    assert receive(busy, 4) == b"tock"
    busy.close()


def test_a_client_that_never_reads_is_cut_although_it_keeps_sending(scene, start):
    def afterwards(connection):
        def flood():
            try:
                while True:
                    connection.write(b"f" * 65536)
            except (Gone, ValueError):
                pass

        thread = threading.Thread(target=flood)
        thread.start()
        while take(connection):
            pass
        thread.join()

    for origin in scene:
        origin.answer = switching(afterwards)
    edge = start(scene.config(limits={"write_timeout": "500ms"}))
    connection = upgrade(edge, receive_buffer=65536)
    with pytest.raises(OSError):
        deadline = time.monotonic() + patient(30)
        while time.monotonic() < deadline:
            connection.send(b"x")
            time.sleep(0.01)  # its own pace
    assert line_of(edge)["fault"] == "client_write_timeout"
    connection.close()


def test_a_tunnel_lives_until_the_hard_stop_and_has_its_line(scene, start):
    for origin in scene:
        origin.answer = switching(echo)
    drain = int(1500 * SLOW)
    edge = start(scene.config(shutdown={"grace": "0s", "drain": f"{drain}ms"}))
    connection = upgrade(edge)
    edge.signal(signal.SIGTERM)
    began = time.monotonic()
    wait_until(lambda: edge.admin("/readyz").status == 503, what="not ready")
    connection.send(b"still here")
    assert receive(connection, 10) == b"still here"
    assert connection.rest() == b"" and connection.ended_cleanly is False
    assert time.monotonic() - began >= drain * 0.8 / 1000, "the tunnel was cut before the hard stop"
    assert edge.wait_end() == 0
    edge.output.join()
    line = line_of(edge)
    assert line["fault"] == "edge_stopped" and line["bytes_in"] == line["bytes_out"] == 10
