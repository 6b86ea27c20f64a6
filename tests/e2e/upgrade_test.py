"""Upgrades (RFC 9110 section 7.8): tunnels both ways, with python3-websockets at both ends and with raw sockets."""

import asyncio
import json
import os
import signal
import socket
import ssl
import threading
import time
from contextlib import contextmanager

import pytest
import websockets
from support import faults
from support.client import HOST, Ended, Truncated, request_bytes, split, trusting
from support.clock import SLOW, patient, wait_until
from support.origin_connection import Gone
from support.proxy import sanitized
from support.setup import viewer
from support.websocket import WebSocketOrigin

ASK = [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA=="),
       ("Sec-WebSocket-Version", "13")]  # fmt: skip
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nX-Region: here\r\n\r\n"


def receive(connection, count):
    """Exactly `count` bytes of a tunnel."""
    data, connection.buffer = connection.buffer, b""
    while len(data) < count:
        piece = connection.receive()
        assert piece, f"the tunnel ended after {len(data)} of {count} bytes"
        data += piece
    assert len(data) == count, data[count:][:100]
    return data


def switching(afterwards, head=SWITCH):
    """An origin that agrees, then does `afterwards(connection)`."""

    def answer(request):
        request.connection.write(head)
        afterwards(request.connection)
        request.connection.end("fin")
        raise Gone

    return answer


def echo(connection):
    """Until the other end's end."""
    while data := take(connection):
        connection.write(data)


def take(connection):
    """Bytes of a tunnel; nothing at its end."""
    if connection.buffer:
        data, connection.buffer = connection.buffer, b""
        return data
    try:
        return connection.socket.recv(65536)
    except OSError:
        return b""


def strict(ca):
    """Python takes a missing close_notify for an end unless told otherwise."""
    context = trusting(ca)
    context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
    return context


def upgrade(edge, fields=ASK, *, plain=False, **options):
    """A connection that has switched."""
    options.update({"ca": None, "address": edge.http} if plain else {"tls": strict(edge.ca)})
    connection = edge.connect(**options)
    connection.send(request_bytes(target="/chat", fields=fields))
    response = connection.head()
    assert response.status == 101, response
    assert [value.lower() for value in response.all("Connection")] == ["upgrade"]
    assert response.all("Upgrade") == ["websocket"]
    return connection


def lines(edge, status=101):
    return [line for line in map(json.loads, edge.output.lines) if line["status"] == status]


def line_of(edge, status=101):
    """The access line of the one exchange with this status."""
    wait_until(lambda: lines(edge, status), what="the access line")
    assert len(lines(edge, status)) == 1
    return lines(edge, status)[0]


@contextmanager
def websocket_edge(scene, start, serve=None, site=None, **options):
    with WebSocketOrigin(scene.origin_identity, serve, **options) as origin:
        config = scene.config(site=site)
        config["origins"]["eu-west-1"]["url"] = origin.url
        edge = start(config)
        yield edge, origin


def dial(edge, authority, path="/chat", country="DE", **options):
    host, port = split(edge.https)
    options = {"compression": None, "max_size": None, "ping_interval": None, **options}
    return websockets.connect(
        f"wss://{HOST}{path}", host=host, port=port, ssl=trusting(authority.file), server_hostname=HOST,
        extra_headers=viewer(country), open_timeout=patient(10), close_timeout=patient(10), **options
    )  # fmt: skip


# ---- WebSocket, end to end ------------------------------------------------------------------------------------------
@pytest.mark.parametrize("compression", [None, "deflate"])
def test_websocket_echo(scene, start, authority, compression):
    async def talk(edge):
        async with dial(edge, authority, compression=compression) as websocket:
            for message in ("hello", b"\0\xff" * 50, "x" * 70_000, ""):
                await websocket.send(message)
                assert await websocket.recv() == message
            await (await websocket.ping())
        assert websocket.close_code == 1000

    with websocket_edge(scene, start, compression=compression) as (edge, origin):
        asyncio.run(talk(edge))
        assert origin.paths == ["/chat"]
        assert origin.fields[0].get_all("X-Forwarded-Host") == [HOST]
        assert origin.fields[0].get_all("Upgrade") == ["websocket"]
        line = line_of(edge)
        assert line["origin"] == "eu-west-1" and line["fault"] == "-"
        assert min(line["bytes_in"], line["bytes_out"]) > (100 if compression else 70_000)
        metrics = edge.metrics()
        assert metrics.value("nearhop_tunnels") == 0 and metrics.value("nearhop_tunnels_total") == 1
        assert metrics.value("nearhop_tunnel_bytes_total", direction="received") == line["bytes_in"]
        assert metrics.value("nearhop_tunnel_bytes_total", direction="sent") == line["bytes_out"]
        assert metrics.sum("nearhop_requests_total", **{"class": "1xx"}) == 1
        assert metrics.sum("nearhop_request_duration_seconds_count") == 0, "a tunnel's age is no response time"


def test_many_websockets_at_once_and_the_gauge(scene, start, authority):
    async def talk(edge):
        sockets = await asyncio.gather(*[dial(edge, authority) for _ in range(20)])
        wait_until(lambda: edge.metrics().value("nearhop_tunnels") == 20, what="20 tunnels")
        await asyncio.gather(*[ws.send(str(i) * 1000) for i, ws in enumerate(sockets)])
        for i, ws in enumerate(sockets):
            assert await ws.recv() == str(i) * 1000
        await asyncio.gather(*[ws.close() for ws in sockets])

    with websocket_edge(scene, start) as (edge, _):
        asyncio.run(talk(edge))
        wait_until(lambda: edge.metrics().value("nearhop_tunnels") == 0, what="all tunnels closed")


def test_big_messages_both_ways_at_once(scene, start, authority):
    size = 4_000_000 if SLOW > 1 else 20_000_000
    message = os.urandom(1000) * (size // 1000)

    async def talk(edge):
        async with dial(edge, authority) as websocket:
            _, answer = await asyncio.gather(websocket.send(message), websocket.recv())
            assert answer == message

    with websocket_edge(scene, start) as (edge, _):
        asyncio.run(talk(edge))
        assert line_of(edge)["bytes_out"] > size


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
    edge = start(scene.config(workers=1))
    count = 200

    def busy_then_idle():
        tunnels = [upgrade(edge) for _ in range(count)]
        for tunnel in tunnels:
            tunnel.send(b"z" * 30_000)
        for tunnel in tunnels:
            assert receive(tunnel, 30_000) == b"z" * 30_000
        time.sleep(1.5 * SLOW)  # silence is what is tested
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


# ---- before the switch ----------------------------------------------------------------------------------------------
def test_a_dead_region_costs_no_websocket(scene, start, authority):
    """Steering and failover apply as to any request."""

    async def talk(edge):
        async with dial(edge, authority, country="JP") as websocket:
            await websocket.send("hello")
            assert await websocket.recv() == "hello"

    with websocket_edge(scene, start) as (edge, origin):
        scene["ap-southeast-1"].refuse()
        scene["us-east-1"].refuse()
        asyncio.run(talk(edge))
        line = line_of(edge)
        assert line["origin"] == "eu-west-1" and line["attempts"] >= 2


def test_a_503_before_the_switch_moves_on_and_a_refusal_is_forwarded(scene, start):
    scene["eu-west-1"].answer = faults.status(503)
    scene["us-east-1"].answer = switching(echo)
    edge = start(scene.config())
    connection = upgrade(edge, [*ASK, *viewer("DE")])
    connection.send(b"hi")
    assert receive(connection, 2) == b"hi"
    connection.close()
    scene["us-east-1"].answer = faults.status(403)
    response = edge.fetch(fields=[*ASK, *viewer("US")])
    assert response.status == 403 and scene["us-east-1"].last().get("Upgrade") == "websocket"


def test_nothing_is_asked_again_once_the_switch_was_made(scene, start):
    scene["eu-west-1"].answer = switching(lambda connection: None)
    edge = start(scene.config())
    connection = upgrade(edge, [*ASK, *viewer("DE")])
    assert connection.rest() == b""
    assert scene.attempts() == 1


# ---- who may switch to what -----------------------------------------------------------------------------------------
NOT_ASKED = {
    "not listed in Connection (RFC 9110 7.8)": [("Upgrade", "websocket")],
    "another protocol than the route allows": [("Connection", "Upgrade"), ("Upgrade", "irc/6.9")],
    "h2c (RFC 7540 3.2)": [("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", "h2c"), ("HTTP2-Settings", "AAMAAABk")],
    "with a body": [*ASK, ("Content-Length", "2")],
    "a name that only begins so": [("Connection", "Upgrade"), ("Upgrade", "websocketx, websocket/13")],
}


@pytest.mark.parametrize("fields", NOT_ASKED.values(), ids=NOT_ASKED.keys())
def test_an_upgrade_that_is_not_to_be_acted_on_is_an_ordinary_request(scene, start, fields):
    edge = start(scene.config())
    body = b"hi" if ("Content-Length", "2") in fields else None
    with edge.connect() as connection:
        assert connection.request("GET", "/first", fields, body).status == 200
        assert connection.request("GET", "/second").status == 200
    first = scene.requests()[0]
    assert not first.all("Upgrade") and not first.all("Connection") and not first.all("HTTP2-Settings")


def test_an_upgrade_in_http_1_0_is_ignored(scene, start):
    edge = start(scene.config())
    with edge.connect() as connection:
        connection.send(request_bytes(fields=ASK, version="HTTP/1.0"))
        assert connection.response().status == 200
    assert not scene.requests()[0].all("Upgrade")


def test_post_is_no_websocket(scene, start):
    edge = start(scene.config())
    assert edge.fetch("POST", fields=ASK).status == 200
    assert not scene.requests()[0].all("Upgrade")


def test_protocols_are_allowed_by_site_and_route(scene, start):
    head = SWITCH.replace(b"websocket", b"CHAT/1")
    for origin in scene:
        origin.answer = switching(echo, head)
    site = {"upgrades": [], "routes": [{"path": "/chat", "upgrades": ["chat/1", "websocket"]}]}
    edge = start(scene.config(site=site))
    with edge.connect() as connection:
        connection.send(request_bytes(target="/chat", fields=[("Connection", "upgrade"), ("Upgrade", "irc, Chat/1, websocket")]))
        response = connection.head()
        assert response.status == 101 and response.all("Upgrade") == ["chat/1"]
        connection.send(b"hi")
        assert receive(connection, 2) == b"hi"
    assert scene.requests()[0].all("Upgrade") == ["chat/1"], "one protocol only, the client's first that is allowed"
    for origin in scene:
        origin.answer = faults.normally
    scene.forget()
    assert edge.fetch(target="/other", fields=ASK).status == 200
    assert not scene.requests()[0].all("Upgrade")


BAD_101 = {
    "without being asked": (False, SWITCH),
    "to another protocol": (True, SWITCH.replace(b"websocket", b"irc")),
    "to several protocols": (True, SWITCH.replace(b"websocket", b"websocket, irc")),
    "without Upgrade": (True, SWITCH.replace(b"Upgrade: websocket\r\n", b"")),
    "without Connection": (True, SWITCH.replace(b"Connection: Upgrade\r\n", b"")),
    "with Connection: close": (True, SWITCH.replace(b"Connection: Upgrade", b"Connection: close")),
}


@pytest.mark.parametrize("asked, head", BAD_101.values(), ids=BAD_101.keys())
def test_a_101_that_was_not_agreed_on_is_a_502(scene, start, asked, head):
    """RFC 9110 section 15.2.2."""
    for origin in scene:
        origin.answer = switching(lambda connection: connection.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), head)
    edge = start(scene.config())
    with edge.connect() as connection:
        response = connection.request(fields=ASK if asked else [])
        assert response.status == 502 and response.fault == "origin_bad_response"
        assert response.closes and connection.is_closed()
    for origin in scene:
        origin.answer = faults.normally
    assert edge.fetch(target="/next").status == 200


def test_a_200_to_an_upgrade_is_no_tunnel(scene, start):
    """CVE-2024-23326: what the client goes on to send is HTTP, and so is what the origin says."""
    for origin in scene:
        origin.answer = lambda request: request.respond(200, b"no\n", [("Upgrade", "websocket"), ("Connection", "Upgrade")])
    edge = start(scene.config())
    with edge.connect() as connection:
        response = connection.request(fields=ASK)
        assert response.status == 200 and response.body == b"no\n" and not response.all("Upgrade")
        connection.send(b"\x81\x05hello\r\n\r\n")
        assert connection.response().status == 400
        assert connection.is_closed()
    assert len(scene.requests()) == 1


def test_bytes_behind_an_upgrade_stay_http_when_the_origin_says_200(scene, start):
    """CVE-2026-2833: pipelined behind the upgrade is a request of its own, for the rules of its own."""
    edge = start(scene.config())
    with edge.connect() as connection:
        connection.send(request_bytes(target="/chat", fields=ASK) + request_bytes(target="/admin", host="unknown.example.org"))
        assert connection.response().status == 200
        assert connection.response().status == 421
    assert [request.target for request in scene.requests()] == ["/chat"]
    assert scene.requests()[0].raw.endswith(b"\r\n\r\n"), "nothing but the head was sent"


def test_bytes_behind_an_upgrade_are_tunnelled_when_the_origin_switches(scene, start):
    gate = threading.Event()
    for origin in scene:
        origin.answer = faults.until(gate, switching(echo))
    edge = start(scene.config())
    with edge.connect() as connection:
        connection.send(request_bytes(fields=ASK) + b"early bytes")
        wait_until(lambda: scene.requests(), what="the request to arrive")
        assert scene.requests()[0].connection.buffer == b"", "not before the switch"
        gate.set()
        assert connection.head().status == 101
        assert receive(connection, 11) == b"early bytes"


def test_bytes_behind_the_101_arrive(scene, start):
    for origin in scene:
        origin.answer = switching(echo, SWITCH + b"hello first")
    edge = start(scene.config())
    connection = upgrade(edge)
    assert receive(connection, 11) == b"hello first"
    connection.close()


def test_an_origin_connection_is_never_used_again_after_a_switch(scene, start):
    for origin in scene:
        origin.answer = switching(lambda connection: connection.write(b"bye"))
    edge = start(scene.config())
    connection = upgrade(edge)
    assert connection.rest() == b"bye"
    connection.close()
    for origin in scene:
        origin.answer = faults.normally
    assert edge.fetch().status == 200
    assert scene.requests()[0].connection is not scene.requests()[1].connection
    assert edge.metrics().sum("nearhop_pool_reused_total") == 0


def test_a_kept_alive_connection_may_carry_the_upgrade(scene, start):
    edge = start(scene.config(workers=1))
    assert edge.fetch().status == 200
    for origin in scene:
        origin.answer = switching(echo)
    connection = upgrade(edge)
    connection.send(b"hi")
    assert receive(connection, 2) == b"hi"
    assert edge.metrics().sum("nearhop_pool_reused_total") == 1
    connection.close()


def test_a_client_that_leaves_before_the_switch_is_gone(scene, start):
    gate = threading.Event()
    for origin in scene:
        origin.answer = faults.until(gate, switching(echo))
    edge = start(scene.config())
    connection = edge.connect()
    connection.send(request_bytes(fields=ASK))
    wait_until(lambda: scene.requests(), what="the request to arrive")
    connection.close()
    wait_until(lambda: edge.metrics().value("nearhop_faults_total", fault="client_gone") == 1, what="the fault")
    gate.set()
    assert edge.metrics().value("nearhop_tunnels_total") == 0
