"""Certificates of clients: who must show one, what origins are told of it, and that no other host name, session or
reload gets around it."""

import base64
import datetime
import hashlib
import shutil
import ssl

import pytest
from cryptography import x509
from support.client import HOST, Ended, chunked, request_bytes
from support.clock import wait_until
from support.http2 import Http2
from support.tls import VERSIONS, clients, context_of  # noqa: F401 - a fixture

SECRET = "secret.example.com"
NAMES = {"subject": "X-Client-Subject", "san": "X-Client-San", "fingerprint": "X-Client-Sha256", "certificate": "Client-Cert"}


def with_clients(scene, clients, mode="required", **changes):
    """A site that asks for certificates beside one that does not."""
    config = scene.config(**changes)
    config["tls"].update(client_ca=str(clients.file), identity_headers=NAMES)
    config["sites"]["secret"] = {"hosts": [SECRET], "client_certificates": mode, "origins": list(scene.origins)}
    return config


def is_refused(edge, **options):
    """Whether the handshake fails. In TLS 1.3 a client learns of it when it reads."""
    try:
        with edge.connect(**options) as connection:
            connection.request(host=options.get("name", HOST))
    except (ssl.SSLError, ConnectionError, Ended):
        return True
    return False


# ---- client certificates --------------------------------------------------------------------------------------------
@pytest.mark.parametrize("version", VERSIONS)
def test_a_site_that_requires_certificates_takes_good_ones_only(scene, start, authority, clients, version):
    edge = start(with_clients(scene, clients))
    good = clients.leaf("alice", client=True)
    bad = {
        "none": None,
        "of another authority": authority.leaf("mallory", client=True),
        "expired": clients.leaf("bob", client=True, begins=-20, ends=-1),
        "for servers": clients.leaf("server"),
        "self-signed": clients.leaf("eve", client=True, self_signed=True),
    }
    for why, identity in bad.items():
        assert is_refused(edge, name=SECRET, tls=context_of(authority.file, identity, version)), why
    assert not scene.requests()
    assert edge.fetch(host=SECRET, name=SECRET, tls=context_of(authority.file, good, version)).status == 200
    assert edge.fetch(tls=context_of(authority.file, None, version)).status == 200, "the other site asks nobody"
    assert edge.metrics().value("nearhop_tls_handshakes_total", result="failed") == len(bad)


def test_origins_get_the_verified_identity(scene, start, authority, clients):
    edge = start(with_clients(scene, clients))
    nasty = "a,DNS:b\r\nX-Evil: 1 \u00e9\"\\"
    who = clients.leaf("alice.example", "spiffe://cluster/a,b", subject=nasty, client=True)
    edge.fetch(host=SECRET, name=SECRET, tls=context_of(authority.file, who))
    request = scene.requests()[0]
    der = ssl.PEM_cert_to_DER_cert(who.certificate.read_text())
    assert request.all("X-Client-Sha256") == [hashlib.sha256(der).hexdigest()]
    assert request.all("X-Client-San") == ["DNS:alice.example,URI:spiffe://cluster/a%2Cb"]
    assert request.all("Client-Cert") == [f":{base64.b64encode(der).decode()}:"]
    subject = request.all("X-Client-Subject")
    assert len(subject) == 1 and subject[0].startswith("CN=a\\,DNS:b\\0D\\0AX-Evil") and subject[0].isascii()
    assert not request.all("X-Evil")


def test_a_client_cannot_send_an_identity_of_its_own(scene, start, authority, clients):
    """CVE-2026-30851, and twins that CGI and its heirs cannot tell apart."""
    edge = start(with_clients(scene, clients, "optional"))
    claims = [(name, "admin") for name in NAMES.values()]
    claims += [("x_client_subject", "admin"), ("X-Client_San", "admin"), ("CLIENT_CERT", "admin")]
    who = clients.leaf("alice", client=True)
    edge.fetch(host=SECRET, name=SECRET, fields=claims)
    edge.fetch(fields=claims)
    edge.fetch(host=SECRET, name=SECRET, fields=claims, tls=context_of(authority.file, who))
    nobody, elsewhere, alice = scene.requests()
    for request in (nobody, elsewhere):
        assert not [value for _, value in request.fields if value == "admin"]
        assert not any(request.all(name) for name in NAMES.values())
    assert not [value for _, value in alice.fields if value == "admin"] and alice.all("X-Client-Subject") == ["CN=alice"]


@pytest.mark.parametrize("underscores", ["drop", "keep"])
def test_nor_behind_a_body(scene, start, authority, clients, underscores):
    """An origin that merges trailers into the head could not tell them from what the edge vouches for."""
    config = with_clients(scene, clients, "optional")
    config["clients"]["underscores"] = underscores
    edge = start(config)
    claims = [*NAMES.values(), "x_client_subject", "CLIENT_CERT"]
    with edge.connect() as connection:
        connection.send(request_bytes("POST", "/", [("Transfer-Encoding", "chunked")]))
        connection.send(chunked(b"a", trailers=[("X-Sum", "1"), *((name, "admin") for name in claims)]))
        assert connection.response("POST").status == 200
    with Http2(edge.https, authority.file) as client:
        stream = client.open("POST", "/", end=False)
        client.data(stream, b"a")
        client.send(client.headers(stream, [("x-sum", "1"), *((name.lower(), "admin") for name in claims)]))
        assert client.reply(stream).status == 200
    assert [[(name.lower(), value) for name, value in request.trailers] for request in scene.requests()] == [
        [("x-sum", "1")]] * 2  # fmt: skip


def test_optional_certificates_must_be_good_if_they_are_shown(scene, start, authority, clients):
    edge = start(with_clients(scene, clients, "optional"))
    assert edge.fetch(host=SECRET, name=SECRET).status == 200
    assert is_refused(edge, name=SECRET, tls=context_of(authority.file, authority.leaf("mallory", client=True)))


def test_a_listener_may_ask_and_a_site_may_say_otherwise(scene, start, authority, clients):
    listeners = [{"address": "127.0.0.1:0", "client_certificates": "required"}]
    config = with_clients(scene, clients, "none", listeners=listeners)
    edge = start(config)
    assert is_refused(edge)
    assert edge.fetch(tls=context_of(authority.file, clients.leaf("alice", client=True))).status == 200
    assert edge.fetch(host=SECRET, name=SECRET).status == 200


# ---- one connection, one rule ---------------------------------------------------------------------------------------
def test_another_site_s_rule_is_not_got_around_with_its_host(scene, start, authority, clients):
    """RFC 9110 section 15.5.20: SNI of the open site, Host of the secret one. Nor by a peer that is trusted."""
    listeners = [{"address": "127.0.0.1:0"}, {"address": "127.0.0.1:0", "protocol": "http", "plain": "serve"}]
    edge = start(with_clients(scene, clients, listeners=listeners))
    with edge.connect() as connection:
        for host in (SECRET, SECRET.upper() + ":443", SECRET + "."):
            response = connection.request(host=host)
            assert (response.status, response.fault) == (421, "client_misdirected")
        assert connection.request().status == 200, "the connection goes on for its own site"
    assert edge.fetch(host=SECRET, address=edge.http, ca=None).status == 421
    with Http2(edge.https, authority.file) as client:  # where connections are coalesced
        reply = client.request(host=SECRET)
        assert (reply.status, reply.fault) == (421, "client_misdirected")
        assert client.request().status == 200
    assert [request.get("Host") for request in scene.requests()] == [HOST, HOST]


def test_a_host_of_another_certificate_is_misdirected(scene, start, authority):
    other = authority.leaf("other.test")
    config = scene.config(clients={"trusted": []})
    config["tls"]["certificates"].append(scene.certificate(other))
    config["sites"]["main"]["hosts"] += ["other.test", "www.example.com"]
    edge = start(config)
    with edge.connect() as connection:
        assert connection.request(host="other.test").fault == "client_misdirected"
        assert connection.request(host="www.example.com").status == 200, "the same certificate covers it"
    assert edge.fetch(host="other.test", name="other.test").status == 200


@pytest.mark.parametrize("version", VERSIONS)
def test_a_session_of_one_site_does_not_resume_under_another_rule(scene, start, authority, clients, version):
    """CVE-2025-23419. One certificate serves both sites."""
    edge = start(with_clients(scene, clients))
    context = context_of(authority.file, None, version)
    with edge.connect(tls=context) as connection:
        connection.request()
        session = connection.socket.session
        assert session.has_ticket
    with edge.connect(tls=context, session=session) as connection:
        assert connection.request().status == 200 and connection.socket.session_reused
    assert is_refused(edge, name=SECRET, tls=context, session=session)


def test_a_resumed_session_keeps_its_identity(scene, start, authority, clients):
    edge = start(with_clients(scene, clients))
    context = context_of(authority.file, clients.leaf("alice", client=True))
    with edge.connect(tls=context, name=SECRET) as connection:
        connection.request(host=SECRET)
        session = connection.socket.session
    with edge.connect(tls=context, name=SECRET, session=session) as connection:
        assert connection.request(host=SECRET).status == 200 and connection.socket.session_reused
    assert [request.get("X-Client-Subject") for request in scene.requests()] == ["CN=alice"] * 2


@pytest.mark.parametrize("version", VERSIONS)
def test_a_session_ends_with_its_certificate_and_a_renewed_one_gets_in(scene, start, authority, clients, version):
    """The ticket counts for nothing then, and the handshake is a full one: good or bad by what is shown now."""
    edge = start(with_clients(scene, clients))
    alice = clients.leaf("alice", client=True, ends=4 / 86_400)
    context = context_of(authority.file, alice, version)
    with edge.connect(tls=context, name=SECRET) as connection:
        assert connection.request(host=SECRET).status == 200
        session = connection.socket.session
    end = x509.load_pem_x509_certificate(alice.certificate.read_bytes()).not_valid_after
    wait_until(lambda: datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None) > end + datetime.timedelta(seconds=1), 10, "the certificate's end")
    with pytest.raises(ssl.SSLError) as refused, edge.connect(tls=context, name=SECRET, session=session) as connection:
        connection.request(host=SECRET)
    assert "certificate expired" in str(refused.value), "it is told why"
    renewed = clients.leaf("alice", client=True, subject="alice renewed")
    context.load_cert_chain(renewed.certificate, renewed.private_key)
    with edge.connect(tls=context, name=SECRET, session=session) as connection:
        assert connection.request(host=SECRET).status == 200 and not connection.socket.session_reused
    assert [request.get("X-Client-Subject") for request in scene.requests()] == ["CN=alice", "CN=alice renewed"]


def test_a_reload_with_another_client_ca_ends_what_the_old_one_vouched_for(scene, start, authority, clients, tmp_path):
    trusted = tmp_path / "clients.pem"
    shutil.copy(clients.file, trusted)
    config = with_clients(scene, clients)
    config["tls"]["client_ca"] = str(trusted)
    edge = start(config)
    context = context_of(authority.file, clients.leaf("alice", client=True))
    with edge.connect(tls=context, name=SECRET) as connection:
        assert connection.request(host=SECRET).status == 200
        session = connection.socket.session
        trusted.write_bytes(authority.file.read_bytes())
        edge.reload()
        assert connection.request(host=SECRET).fault == "client_misdirected"
    assert is_refused(edge, name=SECRET, tls=context, session=session), "neither does its ticket live on"


# ---- listeners that a reload moves ----------------------------------------------------------------------------------
def two_listeners(scene, clients):
    """One that asks nobody and, after it, one that requires a certificate; and the configuration with both."""
    listeners = {"open": {"address": "127.0.0.1:0"}, "asking": {"address": "127.0.0.2:0", "client_certificates": "required"}}
    config = scene.config(listeners=list(listeners.values()))
    config["tls"]["client_ca"] = str(clients.file)
    return listeners, config


@pytest.mark.parametrize("left", [["asking"], ["asking", "open"], ["open", "asking"]], ids="-".join)
def test_a_session_keeps_the_rule_of_its_listener_when_a_reload_moves_that(scene, start, authority, clients, left):
    listeners, config = two_listeners(scene, clients)
    edge = start(config)
    first, second = edge.addresses("https")
    context = context_of(authority.file, clients.leaf("alice", client=True))
    with edge.connect(address=first) as anybody, edge.connect(address=second, tls=context) as alice:
        assert (anybody.request().status, alice.request().status) == (200, 200)
        config["listeners"] = [listeners[name] for name in left]
        edge.reload(config)
        for _ in range(2):
            assert alice.request().status == 200
            assert anybody.request().status == 200, "who was asked for nothing goes on, even where the listener has gone"
    assert is_refused(edge, address=second)
    assert edge.fetch(address=second, tls=context).status == 200


@pytest.mark.parametrize("still_asked", [True, False])
def test_a_certificate_counts_after_its_listener_has_gone_only_while_others_ask_for_the_same(
        scene, start, authority, clients, still_asked):  # fmt: skip
    listeners, config = two_listeners(scene, clients)
    edge = start(config)
    context = context_of(authority.file, clients.leaf("alice", client=True))
    with edge.connect(address=edge.addresses("https")[1], tls=context) as alice:
        assert alice.request().status == 200
        config["listeners"] = [listeners["open"]]
        if still_asked:
            config["listeners"].insert(0, {**listeners["asking"], "address": "127.0.0.3:0"})
        edge.reload(config)
        response = alice.request()
        assert (response.status, response.fault) == ((200, None) if still_asked else (421, "client_misdirected"))
