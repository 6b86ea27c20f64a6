"""PROXY protocol, version 2, to origins (haproxy.org proxy-protocol.txt section 2.2): its bytes, as a recording origin got
them, and that a connection never carries another client's request."""

import ipaddress
import socket
import struct

import pytest
from support.client import split
from support.clock import patient, wait_until
from support.http2 import Http2
from support.setup import Scene, quick

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
LOCAL = SIGNATURE + b"\x20\x00\x00\x00"
ONE, OTHER, CDN = "127.0.0.11", "127.0.0.12", "127.0.0.1"


def header(source, source_port, target, target_port):
    """What the specification wants for these two ends."""
    ends = [ipaddress.ip_address(source), ipaddress.ip_address(target)]
    six = any(end.version == 6 for end in ends)
    if six:
        ends = [end if end.version == 6 else ipaddress.ip_address(f"::ffff:{end}") for end in ends]
    body = ends[0].packed + ends[1].packed + struct.pack("!HH", source_port, target_port)
    return SIGNATURE + (b"\x21\x21" if six else b"\x21\x11") + struct.pack("!H", len(body)) + body


def read_header(connection):
    """Takes the header off before TLS or the first request; what is none ends the connection."""
    connection.announced = None
    connection.socket.settimeout(patient(10))
    head = connection.socket.recv(16, socket.MSG_WAITALL)
    if head[:12] != SIGNATURE:
        connection.end("rst")
        return True
    length = struct.unpack("!H", head[14:])[0]
    connection.announced = head + (connection.socket.recv(length, socket.MSG_WAITALL) if length else b"")
    connection.socket.settimeout(None)
    return False


@pytest.fixture(params=["tls", "plain"])
def scene(request, authority):
    with Scene(authority, tls=request.param == "tls", regions=("us-east-1",)) as made:
        made["us-east-1"].on_accept = read_header
        yield made


@pytest.fixture
def origin(scene):
    return scene["us-east-1"]


def config_of(scene, **changes):
    config = scene.config(**changes)
    config["origins"]["us-east-1"]["proxy_protocol"] = "v2"
    return config


def announced(origin):
    """Of each request in order: the header of its connection."""
    return [request.connection.announced for request in origin.requests]


def own_port(connection):
    return connection.socket.getsockname()[1]


def test_a_client_is_announced_to_the_byte(scene, origin, start):
    edge = start(config_of(scene))
    host, port = split(edge.https)
    with edge.connect(source=ONE) as connection:
        assert connection.request(target="/x").status == 200
        assert announced(origin) == [header(ONE, own_port(connection), host, int(port))]
    assert origin.last().raw.startswith(b"GET /x HTTP/1.1\r\n"), "the request follows at once"


def test_ipv6_and_mixed_families(scene, origin, start):
    listeners = [{"address": "127.0.0.1:0"}, {"address": "[::1]:0"}]
    edge = start(config_of(scene, listeners=listeners, clients={"trusted": [f"{CDN}/32", "::1"]}))
    four, six = sorted(edge.addresses("https"), key=lambda text: "[" in text)
    with edge.connect(address=("::1", int(six.rpartition(":")[2]))) as connection:
        connection.request()
        port = own_port(connection)
        connection.request(fields=[("X-Forwarded-For", "203.0.113.7")])
    edge.fetch(fields=[("X-Forwarded-For", "2001:db8::7")], address=four, source=CDN)
    six_port, four_port = (int(text.rpartition(":")[2]) for text in (six, four))
    assert announced(origin) == [
        header("::1", port, "::1", six_port),
        header("203.0.113.7", 0, "::1", six_port),
        header("2001:db8::7", 0, "127.0.0.1", four_port),
    ]


def test_the_client_is_who_trusted_fields_name(scene, origin, start):
    edge = start(config_of(scene))
    host, port = split(edge.https)
    fields = [("X-Forwarded-For", "203.0.113.7")]
    edge.fetch(fields=fields, source=CDN)
    with edge.connect(source=ONE) as stranger:
        stranger.request(fields=fields)
        assert announced(origin) == [header("203.0.113.7", 0, host, int(port)), header(ONE, own_port(stranger), host, int(port))]


def test_the_client_is_who_a_balancer_s_header_names(scene, origin, start):
    listeners = [{"address": "127.0.0.1:0", "proxy_protocol": {"from": [f"{CDN}/32"]}}]
    edge = start(config_of(scene, listeners=listeners))
    host, port = split(edge.https)
    edge.fetch(source=CDN, before_tls=header("203.0.113.7", 4711, "198.51.100.1", 443))
    edge.fetch(source=CDN, before_tls=b"PROXY TCP6 2001:db8::7 2001:db8::8 4712 443\r\n")
    with edge.connect(source=CDN, before_tls=LOCAL) as balancer:
        balancer.request()
        assert announced(origin) == [
            header("203.0.113.7", 4711, host, int(port)),
            header("2001:db8::7", 4712, host, int(port)),
            header(CDN, own_port(balancer), host, int(port)),
        ]


def test_a_connection_is_used_again_for_the_same_client_only(scene, origin, start):
    config = config_of(scene, workers=1)
    edge = start(config)
    with edge.connect(source=ONE) as one, edge.connect(source=OTHER) as other, edge.connect(source=ONE) as again:
        for _ in range(3):
            for connection in (one, other, again):
                assert connection.request().status == 200
        ports = [own_port(connection) for connection in (one, other, again)]
    numbers = [request.connection.number for request in origin.requests]
    assert len(set(numbers)) == 3 and numbers == numbers[:3] * 3, numbers
    host, port = split(edge.https)
    wanted = [header(source, ours, host, int(port)) for source, ours in zip((ONE, OTHER, ONE), ports)]
    assert announced(origin) == wanted * 3
    assert edge.settled().sum("nearhop_pool_reused_total", origin="us-east-1") == 6


def test_viewers_behind_one_connection_of_a_cdn_do_not_share_either(scene, origin, start):
    edge = start(config_of(scene, workers=1))
    viewers = ["203.0.113.7", "203.0.113.8", "2001:db8::7"]
    with edge.connect(source=CDN) as cdn:
        for viewer in viewers * 2:
            assert cdn.request(fields=[("X-Forwarded-For", viewer)]).status == 200
    with Http2(edge.https, edge.ca, source=CDN) as cdn:
        for viewer in viewers:
            assert cdn.request(fields=[("x-forwarded-for", viewer)]).status == 200
    host, port = split(edge.https)
    assert announced(origin) == [header(viewer, 0, host, int(port)) for viewer in viewers * 3]
    assert len({request.connection.number for request in origin.requests}) == 3
    for request in origin.requests:
        assert request.get("X-Forwarded-For").split(",")[0] in viewers


def test_probes_say_local(scene, origin, start):
    edge = start(config_of(scene, health=quick()))
    edge.wait_verdict("us-east-1", "up")
    wait_until(lambda: len(origin.probes) >= 3, what="probes")
    assert {probe.connection.announced for probe in origin.probes} == {LOCAL}
    assert edge.fetch().status == 200
    assert origin.last().connection.announced != LOCAL, "no request goes on a probe's connection"


def test_off_is_the_default_and_a_reload_changes_it_for_new_connections(scene, origin, start):
    config = scene.config(workers=1)
    origin.on_accept = None
    edge = start(config)
    with edge.connect(source=ONE) as connection:
        assert connection.request().status == 200
        assert origin.last().connection.received.startswith(b"GET / ") and origin.accepted == 2
        origin.on_accept = read_header
        config["origins"]["us-east-1"]["proxy_protocol"] = "v2"
        edge.reload(config)
        edge.wait_verdict("us-east-1", "up")
        assert connection.request().status == 200
        host, port = split(edge.https)
        assert origin.last().connection.announced == header(ONE, own_port(connection), host, int(port))


def test_an_origin_that_expects_none_is_down_and_never_mistaken(authority, start):
    """Configured by mistake: the header is no ClientHello, which probes see before a client does."""
    with Scene(authority, regions=("us-east-1",)) as scene:
        edge = start(config_of(scene, health=quick(), site={"all_down": "closed"}))
        edge.wait_verdict("us-east-1", "down")
        assert edge.fetch().status == 503
        assert not scene.requests()
