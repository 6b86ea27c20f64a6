"""TLS with clients: what is negotiated, stapled and resumed, and what a hostile client gets. The basics of a listener
are in listeners_test.py, certificates of clients in client_certificates_test.py, origins in origin_tls_test.py."""

import json
import os
import re
import socket
import ssl
import struct
import subprocess
import time

import pytest
from support import faults
from support.ca import Authority
from support.client import HOST, split, trusting
from support.clock import FULL, SLOW, patient, wait_until
from support.proxy import run, sanitized
from support.tls import VERSIONS, context_of


# ---- what is negotiated ---------------------------------------------------------------------------------------------
def test_application_protocols(scene, start, authority):
    """RFC 7301 section 3.2: the alert is no_application_protocol; a client that says nothing gets HTTP/1.1."""
    edge = start(scene.config())
    with pytest.raises(ssl.SSLError) as refused:
        edge.connect(tls=context_of(authority.file, protocols=["irc"]))
    assert "alert no application protocol" in str(refused.value)
    with edge.connect(tls=context_of(authority.file, protocols=["irc", "http/1.1"])) as connection:
        assert connection.socket.selected_alpn_protocol() == "http/1.1" and connection.request().status == 200
    assert edge.fetch().status == 200


def test_the_key_exchange_is_the_best_that_openssl_has(scene, start, authority):
    """Post-quantum from OpenSSL 3.5 on (Debian 13). A client that offers something else is not asked to begin again."""
    edge = start(scene.config())
    known = subprocess.run(["openssl", "list", "-kem-algorithms"], capture_output=True, text=True).stdout
    best = "X25519MLKEM768" if "X25519MLKEM768" in known else "X25519"

    def group_of(*options):
        command = ["openssl", "s_client", "-connect", edge.https, "-servername", HOST, "-CAfile", str(authority.file), "-tls1_3"]
        done = subprocess.run([*command, "-msg", *options], input="", capture_output=True, text=True, timeout=patient(20))
        assert "Verify return code: 0 (ok)" in done.stdout, done
        hellos = done.stdout.count("ServerHello")
        return re.search(r"(?:Temp Key: |TLS1\.3 group: )(?:ECDH, )?([\w-]+)", done.stdout)[1], hellos

    assert group_of() == (best, 1)
    assert group_of("-groups", "X25519") == ("X25519", 1)
    assert group_of("-groups", "P-256")[0] in ("prime256v1", "secp256r1")


def test_versions_and_ciphers_by_listener(scene, start, authority):
    listeners = [
        {"address": "127.0.0.1:0"},
        {"address": "127.0.0.1:0", "min_version": "1.3"},
        {"address": "127.0.0.1:0", "ciphers": "ECDHE-ECDSA-CHACHA20-POLY1305"},
    ]
    edge = start(scene.config(listeners=listeners))
    old = context_of(authority.file, version=ssl.TLSVersion.TLSv1_2)
    ports = sorted({event["address"] for event in edge.log.find(event="listening", listener="https")})
    taken = {}
    for address in ports:
        try:
            with edge.connect(address=address, tls=old) as connection:
                taken[address] = connection.socket.cipher()[0]
        except ssl.SSLError as error:
            taken[address] = error.reason
    assert sorted(taken.values()) == ["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305",
                                      "TLSV1_ALERT_PROTOCOL_VERSION"]  # fmt: skip
    assert all(edge.fetch(address=address).status == 200 for address in ports)


def test_the_edge_s_order_of_ciphers_counts_but_chacha_first_is_heard(scene, start, authority):
    edge = start(scene.config())

    def cipher(wanted):
        context = context_of(authority.file, version=ssl.TLSVersion.TLSv1_2)
        context.set_ciphers(wanted)
        with edge.connect(tls=context) as connection:
            return connection.socket.cipher()[0]

    large, small, chacha = "ECDHE-{0}-AES256-GCM-SHA384", "ECDHE-{0}-AES128-GCM-SHA256", "ECDHE-{0}-CHACHA20-POLY1305"
    kind = "ECDSA" if "ECDSA" in cipher("ECDHE") else "RSA"
    large, small, chacha = (name.format(kind) for name in (large, small, chacha))
    assert cipher(f"{large}:{small}:{chacha}") == small
    assert cipher(f"{chacha}:{large}:{small}") == chacha


# ---- stapling -------------------------------------------------------------------------------------------------------
def stapled(edge, authority):
    host, port = split(edge.https)
    done = subprocess.run(
        ["openssl", "s_client", "-connect", f"{host}:{port}", "-servername", HOST, "-CAfile", str(authority.file), "-status"],
        input=b"", capture_output=True, timeout=patient(20))  # fmt: skip
    return b"OCSP Response Status: successful" in done.stdout


def test_an_ocsp_response_is_stapled_and_read_again_at_a_reload(scene, start, authority):
    config = scene.config()
    edge = start(config)
    assert not stapled(edge, authority)
    config["tls"]["certificates"][0]["ocsp"] = str(authority.ocsp(scene.edge_identity))
    edge.reload(config)
    assert stapled(edge, authority)
    config["tls"]["certificates"][0]["ocsp"] = str(authority.ocsp(scene.edge_identity, begins=-3, ends=-1))
    edge.reload(config)
    assert not stapled(edge, authority), "a stale response is not sent"
    assert edge.log.wait_text("stale and will not be stapled")


def test_an_ocsp_response_that_does_not_fit_is_refused(scene, authority, tmp_path):
    garbage = tmp_path / "garbage"
    garbage.write_bytes(b"\x30\x03\x0a\x01\x06")  # well-formed: "unauthorized"
    # With its issuer in the chain the signature counts too.
    chained = tmp_path / "chained.crt"
    chained.write_bytes(scene.edge_identity.certificate.read_bytes() + authority.file.read_bytes())
    stranger = Authority(tmp_path, "Stranger")
    for name, file, certificate in [
        ("of another certificate", authority.ocsp(scene.origin_identity), None),
        ("not a response", garbage, None),
        ("missing", tmp_path / "missing", None),
        ("signed by a stranger", authority.ocsp(scene.edge_identity, signer=stranger), chained),
    ]:
        config = scene.config()
        config["tls"]["certificates"][0]["ocsp"] = str(file)
        if certificate:
            config["tls"]["certificates"][0]["certificate"] = str(certificate)
        written = tmp_path / "nearhop.yaml"
        written.write_text(json.dumps(config, indent=1))
        done = run("check", written)
        assert done.returncode != 0 and "tls.certificates[0].ocsp" in done.stdout + done.stderr, (name, done)


# ---- tickets --------------------------------------------------------------------------------------------------------
def resumes(edge, context, session):
    with edge.connect(tls=context, session=session) as connection:
        assert connection.request().status == 200
        return connection.socket.session_reused


def session_of(edge, context):
    with edge.connect(tls=context) as connection:
        connection.request()
        return connection.socket.session


@pytest.mark.parametrize("version", VERSIONS)
def test_edges_that_share_a_key_file_resume_each_other_s_sessions(scene, start, authority, tmp_path, version):
    first, second = os.urandom(80), os.urandom(80)
    shared = tmp_path / "tickets.key"
    shared.write_bytes(first)
    shared.chmod(0o600)
    config = scene.config()
    config["tls"]["ticket_keys"] = str(shared)
    one, two, stranger = start(config), start(config), start(scene.config())
    context = context_of(authority.file, version=version)
    session = session_of(one, context)
    assert resumes(two, context, session) and not resumes(stranger, context, session)
    # A new key in front: the old one still opens. Without it: no more.
    shared.write_bytes(second + first)
    two.reload()
    assert resumes(two, context, session)
    fresh = session_of(two, context)
    assert not resumes(one, context, fresh), "sealed with a key that the first edge does not know yet"
    one.reload()
    assert resumes(one, context, fresh)
    shared.write_bytes(second)
    two.reload()
    assert not resumes(two, context, session)


def test_random_keys_rotate_and_survive_a_reload(scene, start, authority):
    config = scene.config()
    config["tls"]["ticket_rotation"] = "1s"
    edge = start(config)
    context = context_of(authority.file)
    session = session_of(edge, context)
    time.sleep(1.1)  # the age of a key is what is tested
    session_of(edge, context)
    edge.reload()
    assert resumes(edge, context, session), "an old key opens tickets for as long as they live"


@pytest.mark.parametrize("version", VERSIONS)
def test_each_resumed_session_resumes_in_turn(scene, start, authority, version):
    """Clients of TLS 1.3 use a ticket once: a resumed handshake has to bring the next one."""
    edge = start(scene.config())
    context = context_of(authority.file, version=version)
    session = session_of(edge, context)
    for number in range(5):
        with edge.connect(tls=context, session=session) as connection:
            assert connection.request().status == 200
            assert connection.socket.session_reused, number
            following = connection.socket.session
        if version == ssl.TLSVersion.TLSv1_3:
            assert following.id != session.id, "another ticket"
        session = following


def test_a_bad_key_file_is_refused(scene, tmp_path):
    for name, content in {"short": b"x" * 79, "empty": b"", "twice the same": b"k" * 160}.items():
        (tmp_path / "tickets.key").write_bytes(content)
        config = scene.config()
        config["tls"]["ticket_keys"] = str(tmp_path / "tickets.key")
        written = tmp_path / "nearhop.yaml"
        written.write_text(json.dumps(config, indent=1))
        done = run("check", written)
        assert done.returncode != 0 and "tls.ticket_keys" in done.stdout + done.stderr, (name, done)


# ---- hostile clients ------------------------------------------------------------------------------------------------
def raw(edge):
    connection = socket.create_connection(split(edge.https), timeout=patient(10))
    return connection


def hello(edge, authority):
    """A ClientHello as OpenSSL makes it."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = trusting(authority.file).wrap_bio(incoming, outgoing, server_hostname=HOST)
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


def everything(connection):
    data = b""
    try:
        while piece := connection.recv(65536):
            data += piece
    except ConnectionError:
        pass
    return data


def test_heartbeats_are_not_answered(scene, start, authority):
    """CVE-2014-0160: a heartbeat request that claims 16 KiB and carries one byte."""
    edge = start(scene.config())
    with raw(edge) as connection:
        connection.sendall(hello(edge, authority) + struct.pack("!BHHBH", 24, 0x0303, 4, 1, 0x4000) + b"x")
        data = everything(connection)
    types = []
    while len(data) >= 5:
        kind, _, size = struct.unpack("!BHH", data[:5])
        types.append(kind)
        data = data[5 + size :]
    assert 24 not in types
    assert edge.fetch().status == 200


def test_an_alert_flood_is_cut_off(scene, start):
    """CVE-2016-8610: warning alerts without end."""
    edge = start(scene.config(limits={"handshake_timeout": "60s"}))
    with raw(edge) as connection:
        began = time.monotonic()
        with pytest.raises(OSError):
            for _ in range(2000):
                connection.sendall(struct.pack("!BHHBB", 21, 0x0303, 2, 1, 90) * 500)
        assert time.monotonic() - began < patient(10)
    wait_until(lambda: edge.metrics().value("nearhop_tls_handshakes_total", result="failed") == 1, what="the end")
    assert edge.fetch().status == 200


def test_renegotiation_is_refused(scene, start, authority):
    """CVE-2021-3449 and its kin: TLS 1.2 renegotiation is off."""
    edge = start(scene.config(limits={"idle_timeout": "2s", "head_timeout": "2s"}))
    host, port = split(edge.https)
    client = subprocess.Popen(
        ["openssl", "s_client", "-connect", f"{host}:{port}", "-servername", HOST, "-CAfile", str(authority.file), "-tls1_2"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)  # fmt: skip
    wait_until(lambda: edge.metrics().sum("nearhop_tls_handshakes_total", result="full") == 1, what="the first handshake")
    client.stdin.write(b"R\n")
    client.stdin.flush()
    output, _ = client.communicate(timeout=patient(20))
    assert b"RENEGOTIATING" in output and b"no renegotiation" in output
    assert edge.metrics().sum("nearhop_tls_handshakes_total", result="full") == 1
    assert edge.fetch().status == 200


def test_many_sessions_keep_the_memory_flat(scene, start, authority):
    """CVE-2024-2511: no session is remembered. NEARHOP_FULL=1 makes 100,000."""
    edge = start(scene.config(workers=1))
    context = context_of(authority.file, version=ssl.TLSVersion.TLSv1_3)

    def open_and_close(count):
        for _ in range(count):
            edge.connect(tls=context).close()

    open_and_close(300)
    before = edge.resident_kib()
    count = 100_000 if FULL else 300 if SLOW > 1 else 1500
    open_and_close(count)
    grown = edge.resident_kib() - before
    assert sanitized() or grown < 1024, f"{grown} KiB more after {count} handshakes"


# ---- as others judge it ---------------------------------------------------------------------------------------------
@pytest.mark.skipif(SLOW > 1 or not FULL, reason="takes minutes and judges the configuration, not the build: NEARHOP_FULL=1")
def test_testssl_finds_nothing_above_low(scene, start, authority, tmp_path):
    edge = start(scene.config())
    # Headers about security are the origin's, and pass.
    headers = {"Strict-Transport-Security": "max-age=31536000", "X-Frame-Options": "DENY",
               "X-Content-Type-Options": "nosniff", "Content-Security-Policy": "default-src 'self'"}  # fmt: skip
    for origin in scene:
        origin.answer = faults.status(200, fields=list(headers.items()))
    _, port = split(edge.https)
    report = tmp_path / "testssl.json"
    done = subprocess.run(
        ["testssl", "--ip", "127.0.0.1", "--nodns", "none", "--add-ca", str(authority.file), "--warnings", "off", "--color", "0",
         "--quiet", "--jsonfile", str(report), f"{HOST}:{port}"],
        stdin=subprocess.DEVNULL, capture_output=True, timeout=patient(3000))  # fmt: skip
    assert report.exists(), done.stdout.decode() + done.stderr.decode()
    findings = json.loads(report.read_text())
    assert len(findings) > 30, findings
    # Of a private authority: no OCSP or CRL URI, no transparency, 90 days are long for it. The rest is ours.
    private = ("cert_trust", "cert_chain_of_trust", "cert_revocation", "cert_crlDistributionPoints", "cert_ocspURL",
               "OCSP_stapling", "certificate_transparency", "DNS_CAArecord")  # fmt: skip
    bad = [f for f in findings if f["severity"] in ("MEDIUM", "HIGH", "CRITICAL") and not f["id"].startswith(private)]
    assert not bad, bad
    assert not [f for f in findings if f["severity"] in ("FATAL", "WARN") and "scanProblem" in f["id"]], findings
