"""TLS on the admin listener: who is let in, what a reload renews, and how `nearhop drain` and its like get there."""

import json
import shutil
import ssl
import subprocess

import pytest
from support.client import HOST, Connection, Ended, request_bytes
from support.clock import patient, wait_until
from support.proxy import TOKEN, run
from support.tls import VERSIONS, clients, context_of  # noqa: F401 - a fixture

NEAR = "eu-west-1"
ORDER = ("--author", "ada", "--reason", "upgrade")


@pytest.fixture
def secured(scene, start, authority):
    """secured(**changes of admin.tls) starts an edge whose admin listener speaks TLS."""

    def made(identity=None, admin_tls=None, **changes):
        config = scene.config()
        config["admin"]["tls"] = {**scene.certificate(identity), **changes}
        return start(config, admin_tls=admin_tls or context_of(authority.file))

    return made


def at(edge):
    return edge.addresses("admin")[0]


def is_refused(edge, context):
    """In TLS 1.3 a client learns of it when it reads."""
    try:
        with Connection(at(edge), tls=context) as connection:
            connection.send(request_bytes(target="/livez", host="admin"))
            connection.response()
    except (ssl.SSLError, ConnectionError, Ended):
        return True
    return False


@pytest.mark.parametrize("version", VERSIONS)
def test_pages_and_changes_are_served_over_tls(secured, authority, version):
    edge = secured(admin_tls=context_of(authority.file, version=version))
    assert edge.admin("/livez").body == b"ok\n" and edge.metrics().samples
    assert edge.post("/reload").status == 200 and edge.post("/reload", token="wrong").status == 401
    with Connection(at(edge), tls=edge.admin_tls) as connection:  # kept, and several requests at once
        connection.send(request_bytes(target="/readyz", host="admin") * 3)
        assert [connection.response().status for _ in range(3)] == [200, 200, 200]


def test_curl_gets_there_and_verifies(secured, authority):
    edge = secured()
    port = at(edge).rpartition(":")[2]
    command = ["curl", "-sS", "--cacert", str(authority.file), "--resolve", f"{HOST}:{port}:127.0.0.1"]
    done = subprocess.run([*command, f"https://{HOST}:{port}/livez"], capture_output=True, text=True, timeout=patient(20))
    assert done.stdout == "ok\n", done.stderr


def test_plain_http_is_refused(secured):
    edge = secured()
    with Connection(at(edge)) as connection:
        connection.send(request_bytes(target="/livez", host="admin"))
        assert b"HTTP/1.1 " not in connection.receive()
    assert edge.admin("/livez").status == 200


@pytest.mark.parametrize("least, offered, taken", [("1.3", VERSIONS[0], False), ("1.3", VERSIONS[1], True), ("1.2", VERSIONS[0], True)])
def test_the_least_version_counts(secured, authority, least, offered, taken):
    edge = secured(min_version=least)
    assert is_refused(edge, context_of(authority.file, version=offered)) is not taken


@pytest.mark.parametrize("version", VERSIONS)
def test_a_client_ca_lets_in_its_certificates_only(secured, authority, clients, version):  # noqa: F811
    good = context_of(authority.file, clients.leaf("ada", client=True), version)
    edge = secured(admin_tls=good, client_ca=str(clients.file))
    bad = {
        "none": None,
        "of another authority": authority.leaf("mallory", client=True),
        "expired": clients.leaf("bob", client=True, begins=-20, ends=-1),
    }
    for why, identity in bad.items():
        assert is_refused(edge, context_of(authority.file, identity, version)), why
    assert edge.admin("/livez").status == 200
    assert edge.post("/reload", token="wrong").status == 401, "a certificate is no token"


def serial_at(edge):
    with Connection(at(edge), tls=edge.admin_tls) as connection:
        return int(connection.socket.getpeercert()["serialNumber"], 16)


def test_a_reload_takes_over_renewed_files(secured, scene, authority, tmp_path):
    old, new = authority.leaf(HOST), authority.leaf(HOST)
    files = [tmp_path / "admin.crt", tmp_path / "admin.key"]

    def install(identity):
        for source, to in zip((identity.certificate, identity.private_key), files):
            shutil.copy(source, to)

    install(old)
    edge = secured(certificate=str(files[0]), private_key=str(files[1]))
    assert serial_at(edge) == old.serial()
    with Connection(at(edge), tls=edge.admin_tls) as kept:
        install(new)
        edge.reload()
        assert serial_at(edge) == new.serial()
        kept.send(request_bytes(target="/livez", host="admin"))
        assert kept.response().status == 200, "who is there stays"
    files[0].write_text("no certificate")
    edge.reload(result="failed")
    assert serial_at(edge) == new.serial()
    assert str(files[0]) in [each["certificate"] for each in edge.status()["certificates"]]


def test_a_client_that_never_shakes_hands_delays_nobody(secured):
    edge = secured()
    silent = [Connection(at(edge)) for _ in range(8)]
    assert edge.admin("/livez").status == 200
    for connection in silent:
        connection.close()


# ---- commands -------------------------------------------------------------------------------------------------------
def drain(*more):
    return run("drain", NEAR, *ORDER, *more)


def is_drained(edge):
    return edge.origin_status(NEAR)["draining"]


def test_the_edges_own_configuration_is_enough_for_a_command(secured, scene):
    config = scene.config()
    edge = secured()
    done = drain("--config", edge.file, "--admin", at(edge))  # tests leave the port to the system
    assert done.returncode == 0 and json.loads(done.stdout)["override"]["author"] == "ada", done.stderr
    assert is_drained(edge)
    config["admin"].update(listen=at(edge), tls=edge.config["admin"]["tls"])
    other = edge.file.with_name("with-port.yaml")
    other.write_text(json.dumps(config))
    assert run("clear", NEAR, *ORDER, "--config", other).returncode == 0
    assert not is_drained(edge)


def test_a_command_trusts_no_certificate_but_the_edges_own(secured, scene, authority, tmp_path):
    edge = secured()
    config = scene.config()
    config["admin"].update(listen=at(edge), tls=scene.certificate(authority.leaf(HOST)))  # of the same authority
    file = tmp_path / "other.yaml"
    file.write_text(json.dumps(config))
    done = drain("--config", file)
    assert done.returncode == 1 and "TLS with the admin listener at " + at(edge) in done.stderr
    assert not is_drained(edge)


def test_a_command_verifies_by_an_authority_and_a_name(secured, authority, clients, tmp_path):  # noqa: F811
    edge = secured(identity=authority.leaf("localhost", HOST))
    token = tmp_path / "token"
    token.write_text(TOKEN)
    port = at(edge).rpartition(":")[2]
    by_name, by_address = f"https://localhost:{port}", at(edge)
    for why, options in {
        "a wrong name": ("--admin", by_address, "--ca", authority.file),
        "a wrong authority": ("--admin", by_name, "--ca", clients.file),
        "the system's authorities": ("--admin", by_name),
    }.items():
        done = drain(*options, "--token-file", token)
        assert done.returncode == 1 and "TLS with the admin listener" in done.stderr, (why, done.stderr)
    assert not is_drained(edge)
    assert drain("--admin", by_name, "--ca", authority.file, "--token-file", token).returncode == 0
    more = ("--admin", by_address, "--ca", authority.file, "--server-name", HOST, "--token-file", token)
    assert drain(*more).returncode == 0 and is_drained(edge)


def test_a_command_shows_its_certificate_where_one_is_asked_for(secured, authority, clients):  # noqa: F811
    ada = clients.leaf("ada", client=True)
    edge = secured(admin_tls=context_of(authority.file, ada), client_ca=str(clients.file))
    options = ("--config", edge.file, "--admin", at(edge))
    assert drain(*options).returncode == 1 and not is_drained(edge)
    done = drain(*options, "--certificate", ada.certificate, "--private-key", ada.private_key)
    assert done.returncode == 0 and is_drained(edge), done.stderr


def test_a_command_that_speaks_plain_http_is_told_what_is_missing(secured, tmp_path):
    edge = secured()
    done = drain("--admin", at(edge))
    assert done.returncode == 1 and "--config" in done.stderr, done.stderr
    wait_until(lambda: edge.admin("/livez").status == 200, what="the listener")
