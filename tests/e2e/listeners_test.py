"""What a listener takes: plain HTTP to redirect or to serve, TLS with the certificate of the name that was asked for,
and bytes in any pieces; what it refuses does no harm. More of TLS is in tls_test.py."""

import re
import socket
import ssl

import pytest
from support.client import HOST, Connection, request_bytes, split, trusting
from support.clock import patient
from support.proxy import Edge
from support.setup import viewer
from support.shared_scene import fresh, origin, scene  # noqa: F401 - fixtures


@pytest.fixture(scope="module")
def edge(scene, authority, tmp_path_factory):
    config = scene.config(site={"default": True, "policy": "failover"})
    config["listeners"].append({"address": "127.0.0.1:0", "protocol": "http"})
    config["listeners"].append({"address": "127.0.0.2:0", "protocol": "http", "plain": "serve"})
    second = scene.authority.leaf("second.example.org")
    config["tls"]["certificates"].append(scene.certificate(second))
    config["sites"]["main"]["hosts"].append("second.example.org")
    with Edge(tmp_path_factory.mktemp("edge"), config, ca=authority.file) as running:
        running.second = second
        yield running


# ---- without TLS ----------------------------------------------------------------------------------------------------
def test_the_plain_listener_redirects_or_serves(edge, origin):
    redirecting, serving = edge.addresses("http")
    response = edge.fetch("POST", "/path?q=1", body=b"x", address=redirecting, ca=None)
    assert response.status == 308 and not origin.requests
    assert re.fullmatch(rf"https://{HOST}(:\d+)?/path\?q=1", response.get("Location"))
    response = edge.fetch(address=serving, ca=None)
    assert response.status == 200 and origin.last().get("X-Forwarded-Proto") == "http"


PROTO = {  # what the peer says of the client's scheme -> served, where the peer is trusted
    "https": ([("X-Forwarded-Proto", "https")], True),
    "HTTPS": ([("X-Forwarded-Proto", "HTTPS")], True),
    "a WebSocket's": ([("X-Forwarded-Proto", "wss")], True),
    "the first of two": ([("X-Forwarded-Proto", "https, http")], True),
    "Forwarded": ([("Forwarded", "for=192.0.2.7;proto=https")], True),
    "Forwarded of the client's hop": ([("Forwarded", "for=192.0.2.7;proto=https, for=127.0.0.1;proto=http")], True),
    "http": ([("X-Forwarded-Proto", "http")], False),
    "the second of two": ([("X-Forwarded-Proto", "http, https")], False),
    "both": ([("X-Forwarded-Proto", "http"), ("Forwarded", "for=192.0.2.7;proto=https")], False),
    "an address alone": ([("X-Forwarded-For", "192.0.2.7")], False),
    "nothing": ([], False),
}


@pytest.mark.parametrize("name", PROTO)
def test_what_came_over_https_to_a_balancer_is_served_and_not_sent_in_a_circle(edge, origin, name):
    fields, served = PROTO[name]
    redirecting = edge.addresses("http")[0]
    answer = edge.fetch("POST", "/path?q=1", fields, b"x", address=redirecting, ca=None)
    assert answer.status == (200 if served else 308)
    if served:
        assert origin.last().get("X-Forwarded-Proto").lower() in ("https", "wss") and origin.last().target == "/path?q=1"
    stranger = edge.fetch("POST", "/path?q=1", fields, b"x", address=redirecting, ca=None, source="127.0.0.9")
    assert stranger.status == 308, "nobody believes a stranger"


def test_a_redirect_names_the_port_that_clients_know(scene, start):
    config = scene.config(site={"default": True})
    config["listeners"].append({"address": "127.0.0.1:0", "protocol": "http"})
    edge = start(config)

    def location():
        return edge.fetch(target="/x", address=edge.http, ca=None).get("Location")

    inner = edge.https.rpartition(":")[2]
    assert location() == f"https://{HOST}:{inner}/x"
    for port, authority in [(443, HOST), (8443, f"{HOST}:8443")]:
        config["listeners"][1]["redirect_port"] = port
        edge.reload(config)
        assert location() == f"https://{authority}/x"


@pytest.mark.parametrize("target", ["//evil.test/%0d%0aX:1", "/\\evil.test", "/a?b=https://evil.test"])
def test_a_redirect_stays_on_its_host(edge, target):
    response = edge.fetch(target=target, address=edge.addresses("http")[0], ca=None)
    assert response.status == 400 or re.match(rf"https://{HOST}(:\d+)?/", response.get("Location"))


# What HAProxy's bare `option httpchk` sends, and what else comes without a host to redirect to.
HOSTLESS = {
    "option httpchk": (b"OPTIONS / HTTP/1.0\r\n\r\n", 200),
    "option httpchk OPTIONS *": (b"OPTIONS * HTTP/1.0\r\n\r\n", 200),
    "an empty Host": (b"OPTIONS / HTTP/1.1\r\nHost:\r\n\r\n", 200),
    "GET": (b"GET / HTTP/1.0\r\n\r\n", 400),
}


@pytest.mark.parametrize("name", HOSTLESS)
def test_a_check_without_a_host_is_answered_where_others_are_redirected(edge, origin, name):
    data, status = HOSTLESS[name]
    faults = edge.settled().sum("nearhop_faults_total", fault="client_bad_request")
    with edge.connect(address=edge.addresses("http")[0], ca=None) as connection:
        connection.send(data)
        response = connection.response()
        assert response.status == status and bool(response.all("Allow")) == (status == 200)
        assert response.closes or b"HTTP/1.1" in data
    assert not origin.requests
    assert edge.settled().sum("nearhop_faults_total", fault="client_bad_request") == faults + (status == 400)


# HAProxy writes a Host only where `http-check send hdr Host ...` says one.
@pytest.mark.parametrize(
    ("data", "status"),
    [(b"GET /ready HTTP/1.0\r\n\r\n", 200), (b"OPTIONS /ready HTTP/1.0\r\n\r\n", 200),
     (b"GET /ready HTTP/1.1\r\n\r\n", 400), (b"GET /ready HTTP/1.1\r\nHost: edge\r\n\r\n", 200)],
)  # fmt: skip
def test_checks_of_haproxy_on_the_ready_path(scene, start, data, status):
    """`option httpchk GET /ready HTTP/1.1` alone is malformed (RFC 9112 section 3.2): docs/configuration.md says so."""
    listeners = [{"address": "127.0.0.1:0", "protocol": "http", "plain": "redirect", "ready_path": "/ready"},
                 {"address": "127.0.0.1:0"}]  # fmt: skip
    edge = start(scene.config(listeners=listeners))
    with edge.connect(address=edge.http, ca=None) as connection:
        connection.send(data)
        assert connection.response().status == status


# ---- with TLS -------------------------------------------------------------------------------------------------------
def test_certificates_are_chosen_by_server_name(edge, scene):
    def serial(name):
        from cryptography import x509

        with edge.connect(name=name) as connection:
            return x509.load_der_x509_certificate(connection.socket.getpeercert(True)).serial_number

    assert serial(HOST) == scene.edge_identity.serial()
    assert serial("second.example.org") == edge.second.serial()
    assert serial("other.example.com") == scene.edge_identity.serial()


def test_alpn_is_http_1_1_and_old_tls_is_refused(edge, authority):
    context = trusting(authority.file)
    context.set_alpn_protocols(["http/1.1"])
    with edge.connect(tls=context) as connection:
        assert connection.socket.selected_alpn_protocol() == "http/1.1"
        assert connection.request().status == 200
    for version, works in ((ssl.TLSVersion.TLSv1_1, False), (ssl.TLSVersion.TLSv1_2, True), (ssl.TLSVersion.TLSv1_3, True)):
        context = trusting(authority.file)
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
        context.minimum_version = context.maximum_version = version
        if works:
            with edge.connect(tls=context) as connection:
                assert connection.request().status == 200
        else:
            with pytest.raises(OSError):
                edge.connect(tls=context)


def test_a_session_ticket_is_resumed_on_another_connection(edge, authority):
    context = trusting(authority.file)
    with edge.connect(tls=context) as connection:
        connection.request()
        session = connection.socket.session
        assert not connection.socket.session_reused
    for _ in range(6):  # whichever worker accepts it
        with edge.connect(tls=context, session=session) as connection:
            assert connection.request().status == 200
            assert connection.socket.session_reused


def test_tls_records_may_come_in_single_bytes(edge, authority):
    raw = socket.create_connection(split(edge.https), patient(20))
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = trusting(authority.file).wrap_bio(incoming, outgoing, server_hostname=HOST)

    def flush():
        data = outgoing.read()
        for at in range(len(data)):
            raw.sendall(data[at : at + 1])

    def until(step):
        while True:
            try:
                result = step()
                flush()
                return result
            except ssl.SSLWantReadError:
                flush()
                data = raw.recv(65536)
                assert data, "closed"
                incoming.write(data)

    until(tls.do_handshake)
    tls.write(request_bytes(target="/slow-tls"))
    flush()
    assert until(lambda: tls.read(65536)).startswith(b"HTTP/1.1 200")
    raw.close()


def test_plain_bytes_on_the_tls_port_do_no_harm(edge):
    for data in (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"\0" * 100, b"\x16\x03\x01\xff\xff" + b"x" * 70_000):
        with Connection(edge.https) as connection:
            try:
                connection.send(data)
                connection.rest()
            except OSError:
                pass
    assert edge.fetch(fields=viewer("DE")).status == 200
