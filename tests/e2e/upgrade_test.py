"""Upgrades (RFC 9110 section 7.8): WebSockets end to end, failing over before the switch, and who may switch to what.
What happens inside a tunnel is in tunnel_test.py."""

import asyncio
import os
import threading

import pytest
from support import faults
from support.client import HOST, request_bytes
from support.clock import SLOW, wait_until
from support.setup import viewer
from support.tunnel import ASK, SWITCH, echo, line_of, receive, switching, upgrade
from support.websocket import dial, websocket_edge


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
