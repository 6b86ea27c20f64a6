"""Files that a reload reads again, in every wrong pairing and state: `check`, start and the reload of a running edge each
end with an error that names the file at its key, never otherwise, and what was in force goes on serving."""

import json
import os
import random
import re
import shutil
import signal
import ssl

import pytest
from cryptography import x509
from support.ca import KINDS, Authority
from support.client import HOST
from support.clock import FULL, SLOW
from support.proxy import Edge, run
from support.setup import ONCE, viewer

PROBLEM = re.compile(r":([1-9]\d*):([1-9]\d*): error: ([^:]+): (.*)")


def errors_of(text):
    """Line, column, key and words of each error."""
    return [match.groups() for match in map(PROBLEM.search, text.splitlines()) if match]


def serial(edge):
    with edge.connect() as connection:
        return x509.load_der_x509_certificate(connection.socket.getpeercert(True)).serial_number


@pytest.fixture(scope="module")
def identities(authority):
    return {kind: authority.leaf(HOST, kind=kind) for kind in KINDS}


# ---- keys of other certificates -------------------------------------------------------------------------------------
@pytest.mark.parametrize("certificate", KINDS)
@pytest.mark.parametrize("key", KINDS)
def test_a_key_fits_its_own_certificate_alone(scene, authority, identities, tmp_path, certificate, key):
    config = scene.config(workers=1)
    pair = {"certificate": str(identities[certificate].certificate), "private_key": str(identities[key].private_key)}
    config["tls"]["certificates"] = [pair]
    file = tmp_path / "nearhop.yaml"
    file.write_text(json.dumps(config, indent=1))
    checked = run("check", file)
    fits = certificate == key
    assert (checked.returncode == 0) == fits, checked
    if fits:
        with Edge(tmp_path, config, ca=authority.file) as edge:
            assert edge.fetch().status == 200 and serial(edge) == identities[certificate].serial()
        return
    started = run("run", "--config", file)
    for ended in (checked, started):
        assert ended.returncode > 0, ended  # and by no signal
        [(_, _, where, what)] = errors_of(ended.stderr)
        assert where == "tls.certificates[0].private_key"
        assert pair["certificate"] in what and pair["private_key"] in what


def test_nor_does_one_that_a_reload_meets(scene, start, identities, tmp_path):
    """One edge over all the wrong pairs, and the right ones between them."""
    certificate, key = tmp_path / "edge.crt", tmp_path / "edge.key"

    def write(first, second):
        shutil.copy(identities[first].certificate, certificate)
        shutil.copy(identities[second].private_key, key)

    write("P-256", "P-256")
    config = scene.config()
    config["tls"]["certificates"] = [{"certificate": str(certificate), "private_key": str(key)}]
    edge = start(config)
    served = "P-256"
    for first in KINDS:
        for second in KINDS:
            write(first, second)
            edge.reload(result="ok" if first == second else "failed")
            if first == second:
                served = first
            assert serial(edge) == identities[served].serial(), (first, second)
            assert edge.fetch(fields=viewer("DE")).region == "eu-west-1"


def test_a_renewal_that_is_half_done_keeps_the_old_pair_and_says_so(scene, start, authority):
    """The new chain is there, its key is not yet."""
    edge = start(scene.config())
    before = serial(edge)
    generation = edge.metrics().value("nearhop_config_generation")
    fresh = authority.leaf(HOST, kind="RSA")
    shutil.copy(fresh.certificate, scene.edge_identity.certificate)
    edge.reload(result="failed")
    told = edge.log.wait(event="config_problem")[0]["problem"]
    assert "tls.certificates[0].private_key" in told and str(scene.edge_identity.private_key) in told and "renewal" in told
    refused = edge.log.wait(event="reload", result="refused")[0]
    assert int(refused["kept_generation"]) == generation
    assert serial(edge) == before and edge.fetch().status == 200
    shutil.copy(fresh.private_key, scene.edge_identity.private_key)
    edge.reload()
    assert serial(edge) == fresh.serial()


# ---- any state of any file ------------------------------------------------------------------------------------------
def set_up(scene, authority, folder):
    """A configuration in which every kind of file is named, and those files by their keys."""
    first, second, ours = authority.leaf(HOST), authority.leaf("other.example.com", kind="RSA"), authority.leaf("edge", client=True)
    chain = folder / "chain.crt"
    chain.write_bytes(first.certificate.read_bytes() + authority.file.read_bytes())
    tickets = folder / "tickets.key"
    tickets.write_bytes(os.urandom(160))
    tickets.chmod(0o600)
    ranges = folder / "ip-ranges.json"
    ranges.write_text(json.dumps({"prefixes": [{"ip_prefix": f"10.{i}.0.0/16", "service": "CLOUDFRONT"} for i in range(8)],
                                  "ipv6_prefixes": []}))  # fmt: skip
    clients = Authority(folder, "Clients CA").file
    trusted = folder / "origins-ca.pem"
    shutil.copy(authority.file, trusted)
    database = folder / "places.mmdb"
    shutil.copy(os.path.join(os.path.dirname(__file__), "../../geo/data/dbip-country.mmdb"), database)
    config = scene.config(workers=1, geo={"databases": [str(database)]})
    config["tls"].update(
        certificates=[{**scene.certificate(first), "certificate": str(chain), "ocsp": str(authority.ocsp(first))},
                      scene.certificate(second)],
        ticket_keys=str(tickets), client_ca=str(clients))  # fmt: skip
    config["sites"]["secret"] = {"hosts": ["secret.example.com"], "client_certificates": "required", "origins": list(scene.origins)}
    config["clients"]["trusted"].append({"ip_ranges": str(ranges), "service": "CLOUDFRONT", "secret_header": {"name": "X-Secret", "value": "not told to anybody"}})
    for name in scene.origins:
        config["origins"][name].update(ca=str(trusted), health=dict(ONCE), tls={
            "certificate": str(ours.certificate), "private_key": str(ours.private_key)})  # fmt: skip
    files = [chain, first.private_key, second.certificate, second.private_key, tickets, ranges, clients, trusted, database,
             ours.certificate, ours.private_key, config["tls"]["certificates"][0]["ocsp"]]  # fmt: skip
    return config, [str(file) for file in files]


def spoil(dice, file, whole):
    """Leaves the file as an accident, a mistake or a copy under way could; says how. `whole`: all files' contents."""
    content = whole[file]
    others = [other for other in whole if other != file]
    how = dice.choice(["cut", "cut", "flipped", "another", "another", "both", "overwritten", "empty", "gone", "a folder", "lines"])
    if os.path.lexists(file):
        os.remove(file)
    if how == "gone":
        return how
    if how == "a folder":
        os.mkdir(file)
        return how
    if how == "empty":
        content = b""
    elif how == "cut":
        content = content[: dice.randrange(len(content))]
    elif how == "flipped":
        at = dice.randrange(len(content))
        content = content[:at] + bytes([content[at] ^ (1 << dice.randrange(8))]) + content[at + 1 :]
    elif how == "another":
        content = whole[dice.choice(others)]
    elif how == "both":
        content += whole[dice.choice(others)]
    elif how == "overwritten":
        other = whole[dice.choice(others)]
        at = dice.randrange(min(len(content), len(other)))
        content = other[:at] + content[at:]
    elif how == "lines":
        lines = content.splitlines(keepends=True)
        at = dice.randrange(len(lines))
        content = b"".join(lines[at:] + lines[:at])
    with open(file, "wb") as out:
        out.write(content)
    return how


def first_certificate(file):
    with open(file, "rb") as content:
        return x509.load_pem_x509_certificate(content.read())


def shown(edge):
    """By whomever it is signed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with edge.connect(tls=context) as connection:
        return x509.load_der_x509_certificate(connection.socket.getpeercert(True))


def test_whatever_a_file_holds_the_edge_lives_and_says_what_is_wrong(scene, start, authority, tmp_path):
    """NEARHOP_FULL=1 takes 600 steps; the seed is fixed, so that a failure comes again."""
    config, files = set_up(scene, authority, tmp_path)
    edge = start(config)
    whole = {}
    for file in files:
        with open(file, "rb") as content:
            whole[file] = content.read()
    dice = random.Random(10)
    steps = 600 if FULL else 30 if SLOW > 1 else 80
    refused = 0
    for step in range(steps):
        served = first_certificate(files[0])
        spoilt = dice.sample(files, dice.choice([1, 1, 1, 2]))
        how = {file: spoil(dice, file, whole) for file in spoilt}
        lines, reloads = len(edge.log.lines), len(edge.log.find(event="reload"))
        edge.signal(signal.SIGHUP)
        told = edge.log.wait(event="reload", count=reloads + 1)[reloads]
        if told["result"] == "refused":
            refused += 1
            assert shown(edge) == served, how
            assert edge.fetch(fields=viewer("DE")).status == 200, how
            problems = errors_of("\n".join(edge.log.lines[lines:]))
            assert problems, (how, edge.log.lines[lines:])
            for _, _, where, what in problems:
                assert re.match(r"tls|origins|geo|clients|sites", where), where
                assert any(file in what for file in spoilt), (how, what)
        else:  # the accident did no harm, or harm that cannot be seen here: then what the file says is what is shown
            assert shown(edge) == first_certificate(files[0]), how
        if step % 5 == 0:
            checked = run("check", edge.file)
            assert checked.returncode == 0 or (checked.returncode, told["result"]) == (2, "refused"), (how, checked)
        for file in spoilt:
            if os.path.isdir(file):
                os.rmdir(file)
            with open(file, "wb") as out:
                out.write(whole[file])
        if told["result"] == "ok":
            edge.reload()
    assert refused > steps / 2
    edge.reload()
    assert edge.fetch(fields=viewer("DE")).region == "eu-west-1"
