"""Tunnels on raw sockets: a client that asks for an upgrade, an origin that agrees, and the access lines of both."""

import json
import ssl

from .client import request_bytes, trusting
from .clock import wait_until
from .origin_connection import Gone

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


def upgrade(edge, fields=ASK, *, plain=False, target="/chat", **options):
    """A connection that has switched."""
    options.update({"ca": None, "address": edge.http} if plain else {"tls": strict(edge.ca)})
    connection = edge.connect(**options)
    connection.send(request_bytes(target=target, fields=fields))
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
