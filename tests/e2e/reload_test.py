"""A reload costs nothing: not under load, not with a bad file, not when certificates change."""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import threading
from pathlib import Path

import pytest
from cryptography import x509
from support import faults
from support.client import HOST, request_bytes
from support.clock import FULL, SLOW, wait_until
from support.load import Load
from support.origin_connection import Gone
from support.proxy import TOKEN
from support.setup import quick, viewer


def serial(edge):
    with edge.connect() as connection:
        return x509.load_der_x509_certificate(connection.socket.getpeercert(True)).serial_number


@pytest.mark.parametrize("by", ["signal", "admin"])
def test_a_reload_every_200_ms_under_load_costs_no_error(scene, start, authority, by):
    """The configuration changes each time: another route, another order of origins."""
    config = scene.config()
    edge = start(config)
    seconds = 30 if FULL else 4
    done = threading.Event()
    reloads = []

    def reload():
        pause = threading.Event()
        while not done.is_set():
            changed = {**config, "sites": {"main": {**config["sites"]["main"], "routes": [
                {"path": f"/route-{len(reloads)}", "origins": ["us-east-1"]}]}}}  # fmt: skip
            if len(reloads) % 2:
                changed["origins"] = dict(reversed(changed["origins"].items()))
            edge.write(changed)
            if by == "signal":
                edge.signal(signal.SIGHUP)
            else:
                assert edge.post("/reload").status == 200
            reloads.append(1)
            pause.wait(0.2)  # the pace of the reloads

    # Kept-alive, new connections, and posts of a body, all at once.
    loads = [
        Load(edge.https, authority.file, rate=100 / SLOW, fields=viewer("DE")),
        Load(edge.https, authority.file, rate=40 / SLOW, connections=4, fields=viewer("JP"), fresh=True),
        Load(edge.https, authority.file, rate=40 / SLOW, connections=4, fields=[*viewer("US"), ("Content-Length", "0")], method="POST"),
    ]  # fmt: skip
    thread = threading.Thread(target=reload)
    for load in loads:
        load.start()
    thread.start()
    try:
        wait_until(lambda: len(reloads) >= seconds * 5 or not thread.is_alive(), seconds * 3, lambda: f"{len(reloads)} reloads")
    finally:
        done.set()
        thread.join()
        for load in loads:
            load.stop()
    for load, region in zip(loads, ("eu-west-1", "ap-southeast-1", "us-east-1")):
        assert not load.errors() and not load.truncated() and load.stale == 0, (load.summary(), load.errors()[:3])
        assert set(load.regions()) == {region} and len(load.good()) > 20, load.summary()
    assert len(reloads) >= seconds * 5
    wait_until(lambda: edge.metrics().sum("nearhop_reloads_total", result="ok") >= (len(reloads) if by == "admin" else 5), what="reloads to be counted")
    assert edge.metrics().sum("nearhop_reloads_total", result="failed") == 0


def test_a_reload_takes_effect(scene, start):
    config = scene.config()
    edge = start(config)
    assert edge.fetch(fields=viewer("DE")).region == "eu-west-1"
    generation = edge.metrics().value("nearhop_config_generation")
    config["sites"]["main"]["policy"] = "failover"
    edge.reload(config)
    assert edge.fetch(fields=viewer("DE")).region == "us-east-1"
    assert edge.metrics().value("nearhop_config_generation") == generation + 1
    config["sites"]["other"] = {"hosts": ["other.example.com"], "origins": ["ap-southeast-1"]}
    edge.reload(config, by="admin")
    assert edge.fetch(host="other.example.com").region == "ap-southeast-1"


def test_what_is_read_at_start_only_is_named_by_a_reload(scene, start, tmp_path):
    edge = start(scene.config())
    config = scene.config(workers=1, limits={"addresses": 1024}, failover={"idempotency_keys": 1024},
                          admin={"listen": "127.0.0.1:1", "token": TOKEN},
                          log={"access": str(tmp_path / "access.log"), "format": "logfmt", "level": "info"})  # fmt: skip
    edge.write(config)
    answer = edge.post("/reload")
    assert answer.status == 200
    warned = [re.search(r":(\d+):\d+: warning: ([^:]+): takes effect at the next start only", each)
              for each in json.loads(answer.body)["problems"]]  # fmt: skip
    assert all(warned), answer.body
    assert {each[2] for each in warned} == {
        "workers", "admin.listen", "log.access", "log.format", "limits.addresses", "failover.idempotency_keys"}  # fmt: skip
    assert all(int(each[1]) > 0 for each in warned)
    assert edge.fetch(fields=viewer("DE")).region == "eu-west-1"
    edge.write(scene.config())
    assert json.loads(edge.post("/reload").body) == {"ok": True, "problems": []}


def databases_in_memory(edge):
    """The copies of geo databases that the process maps, by their inodes."""
    maps = Path(f"/proc/{edge.pid}/maps").read_text().splitlines()
    return {line.split()[4] for line in maps if "memfd:nearhop-geo" in line}


@contextlib.contextmanager
def in_flight(edge, scene):
    """An exchange that has begun its answer and does not end it."""
    scene["us-east-1"].answer = faults.truncated(10, then="hang")
    with edge.connect() as connection:
        connection.send(request_bytes(fields=viewer("US")))
        assert connection.head().status == 200
        yield


@pytest.mark.parametrize("change", ["nothing of it", "its number", "without it"])
def test_an_answer_that_an_origin_breaks_off_after_a_reload_ends_alone(scene, start, change):
    """What the reload did to the origin does not matter: the failure is told, and nobody else is hurt."""
    config = scene.config()
    edge = start(config)
    gate = threading.Event()

    def break_off(request):
        request.connection.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbegun")
        gate.wait(60)
        raise Gone

    scene["us-east-1"].answer = break_off
    with edge.connect() as connection:
        connection.send(request_bytes(fields=viewer("US")))
        assert connection.head().status == 200
        changed = {**config, "server_timing": True, "origins": dict(config["origins"])}
        if change == "its number":
            changed["origins"] = dict(reversed(changed["origins"].items()))
        if change == "without it":
            changed["origins"].pop("us-east-1")
            others = [name for name in config["sites"]["main"]["origins"] if name != "us-east-1"]
            changed["sites"] = {"main": {**config["sites"]["main"], "origins": others}}
        edge.reload(changed)
        gate.set()
        assert b"begun" in connection.rest()
    wait_until(lambda: edge.metrics().value("nearhop_faults_total", fault="origin_truncated") == 1, what="the fault")
    assert edge.fetch(fields=viewer("DE")).region == "eu-west-1"
    if change != "without it":
        (pool,) = [row for row in edge.status()["origins"] if row["name"] == "us-east-1"]
        assert pool["verdict"] == "up"


@pytest.fixture
def geo_file(tmp_path):
    """A database file that was written long ago."""
    file = tmp_path / "places.mmdb"
    shutil.copy(Path(__file__).resolve().parents[2] / "geo/data/dbip-country.mmdb", file)
    os.utime(file, (1_700_000_000, 1_700_000_000))
    return file


def test_reloads_share_a_geo_database_that_has_not_changed(scene, start, geo_file):
    config = scene.config(geo={"databases": [str(geo_file)]})
    edge = start(config)
    assert len(databases_in_memory(edge)) == 1
    with contextlib.ExitStack() as held:
        for i in range(4):
            held.enter_context(in_flight(edge, scene))
            edge.reload({**config, "server_timing": i % 2 == 0})
            assert len(databases_in_memory(edge)) == 1
        assert edge.metrics().value("nearhop_geo_database_bytes") == geo_file.stat().st_size


def test_a_geo_database_that_was_replaced_goes_although_answers_of_its_time_go_on(scene, start, geo_file):
    config = scene.config(geo={"databases": [str(geo_file)], "watch": "1s"})
    edge = start(config)
    (first,) = databases_in_memory(edge)
    for by in ("reload", "watch"):
        with in_flight(edge, scene):
            shutil.copy(geo_file, geo_file.with_suffix(".new"))
            os.utime(geo_file.with_suffix(".new"), (1_700_000_000, 1_700_000_000))
            geo_file.with_suffix(".new").rename(geo_file)
            if by == "reload":
                edge.reload(config)
            wait_until(lambda: len(databases_in_memory(edge)) == 1 and first not in databases_in_memory(edge), what=by)
            (first,) = databases_in_memory(edge)
    assert edge.metrics().value("nearhop_geo_database_bytes") == geo_file.stat().st_size


def test_a_geo_database_above_its_limit_is_refused_and_the_old_one_stays(scene, start, geo_file):
    config = scene.config(geo={"databases": [str(geo_file)]}, limits={"geo_bytes": "16MiB"})
    edge = start(config)
    with open(geo_file, "r+b") as file:
        file.truncate(16 * 1024 * 1024 + 1)
    edge.reload(result="failed")
    assert "there is room for 16777216" in edge.log.find(event="config_problem")[0]["problem"]
    assert edge.fetch(fields=viewer("DE")).region == "eu-west-1"


def test_the_counters_of_what_the_configuration_does_not_have_any_more_go(scene, start):
    """Once nothing goes on there, idle connections included; what stays is not reset."""
    config = scene.config(limits={"origin_idle_timeout": "100ms"})
    config["sites"]["gone"] = {"hosts": ["gone.example.com"], "origins": ["us-east-1", "ap-southeast-1"]}
    edge = start(config)
    edge.fetch(fields=viewer("DE"))
    edge.fetch(host="gone.example.com", fields=viewer("JP"))
    edge.settled()

    def rows(text):
        lines = edge.admin("/metrics").body.decode().splitlines()
        return [line for line in lines if text in line and not line.startswith("#")]

    assert rows('site="gone"') and rows('origin="ap-southeast-1"')
    scene["us-east-1"].answer = faults.truncated(10, then="hang")
    del config["sites"]["gone"]
    config["sites"]["main"]["origins"].remove("ap-southeast-1")
    config["origins"].pop("ap-southeast-1")
    with edge.connect() as connection:
        connection.send(request_bytes(host="gone.example.com", fields=viewer("US")))
        assert connection.head().status == 200
        edge.reload(config)
        wait_until(lambda: not rows('origin="ap-southeast-1"'), what="the origin's rows to go")
        assert rows('site="gone"'), "it is still served"
    wait_until(lambda: not rows('site="gone"'), what="the site's rows to go")
    assert edge.metrics().sum("nearhop_requests_total", site="main", origin="eu-west-1") == 1


def test_large_files_are_read_while_probes_and_answers_go_on(scene, start, tmp_path):
    """512 MiB take a second or so to be read, a disk that hangs takes for ever: the control thread has more to do."""
    large = tmp_path / "large.mmdb"
    with open(large, "wb") as file:
        file.truncate(512 * 1024 * 1024)
    config = scene.config(health=quick())
    edge = start(config)
    edge.write({**config, "geo": {"databases": [str(large)]}})
    edge.signal(signal.SIGHUP)
    answers = 0
    while edge.metrics().sum("nearhop_reloads_total", result="failed") == 0:
        assert edge.admin("/livez").status == 200
        answers += 1
    assert answers > 3, "it answered only before or after"
    assert "geo database" in edge.log.wait(event="config_problem")[0]["problem"]


BAD = {
    "not YAML": "{{{",
    "unknown key": lambda config: config.update(surprise=1),
    "wrong unit": lambda config: config["shutdown"].update(grace="5 parsecs"),
    "missing certificate": lambda config: config["tls"]["certificates"][0].update(certificate="/nonexistent.pem"),
    "unknown region": lambda config: config["origins"]["us-east-1"].update(region="atlantis-1"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_configuration_leaves_the_old_one_in_place(scene, start, name):
    config = scene.config()
    edge = start(config)
    bad = BAD[name]
    if callable(bad):
        changed = scene.config()
        changed["sites"]["main"]["policy"] = "failover"
        bad(changed)
        bad = changed
    edge.reload(bad, result="failed")
    edge.log.wait_text(r"level=error")
    assert edge.post("/reload").status == 422
    assert edge.fetch(fields=viewer("DE")).region == "eu-west-1"
    assert edge.metrics().sum("nearhop_reloads_total", result="ok") == 0
    edge.reload(config)  # and a good one is taken again
    assert edge.fetch(fields=viewer("DE")).region == "eu-west-1"


def test_a_deleted_configuration_leaves_the_old_one_in_place(scene, start):
    edge = start(scene.config())
    edge.file.unlink()
    edge.reload(result="failed")
    assert edge.fetch().status == 200


def named(config, key, file):
    if key == "ip_ranges":
        config["clients"]["trusted"] = [{"ip_ranges": file, "service": "CLOUDFRONT"}]
    elif key == "ca":
        config["origins"]["us-east-1"]["ca"] = file
    elif key == "secret":
        config["origins"]["us-east-1"]["headers"] = {"set": {"X-Origin-Secret": {"file": file}}}
    elif key == "databases":
        config["geo"] = {"databases": [file]}
    elif key == "ticket_keys":
        config["tls"][key] = file
    else:
        config["tls"]["certificates"][0][key] = file


@pytest.mark.parametrize("key", ["itself", "certificate", "private_key", "ocsp", "ticket_keys", "ca", "secret", "ip_ranges", "databases"])
@pytest.mark.parametrize("kind", ["a pipe", "a device"])
def test_a_pipe_or_a_device_in_the_place_of_a_file_is_refused_and_not_waited_for(scene, start, tmp_path, key, kind):
    edge = start(scene.config())
    file = edge.file if key == "itself" else tmp_path / "odd"
    if key == "itself":
        file.unlink()
    else:
        config = scene.config()
        named(config, key, str(file))
        edge.write(config)
    if kind == "a pipe":
        os.mkfifo(file)
    else:
        file.symlink_to("/dev/zero")
    edge.reload(result="failed")
    edge.log.wait_text(rf"config_problem.*(found|it is) {kind}" if key != "databases" else "config_problem.*not a regular file")
    assert edge.admin("/livez").status == 200
    assert edge.fetch(fields=viewer("DE")).region == "eu-west-1"


def test_new_handshakes_use_a_rotated_certificate_and_old_connections_live_on(scene, start, authority):
    edge = start(scene.config())
    assert serial(edge) == scene.edge_identity.serial()
    with edge.connect() as old:
        assert old.request().status == 200
        fresh = authority.leaf(HOST)
        scene.edge_identity.certificate.write_bytes(fresh.certificate.read_bytes())
        scene.edge_identity.private_key.write_bytes(fresh.private_key.read_bytes())
        edge.reload()
        assert serial(edge) == fresh.serial()
        assert old.request().status == 200
    assert edge.metrics().all("nearhop_certificate_expiry_timestamp_seconds")


def test_a_key_of_another_certificate_is_refused_and_the_old_pair_stays(scene, start, authority):
    edge = start(scene.config())
    before = serial(edge)
    other = authority.leaf(HOST)
    scene.edge_identity.certificate.write_bytes(other.certificate.read_bytes())
    edge.reload(result="failed")
    assert serial(edge) == before


def test_a_session_ticket_survives_a_reload(scene, start, authority):
    from support.client import trusting

    edge = start(scene.config())
    context = trusting(authority.file)
    with edge.connect(tls=context) as connection:
        connection.request()
        session = connection.socket.session
    edge.reload()
    with edge.connect(tls=context, session=session) as connection:
        assert connection.request().status == 200
        assert connection.socket.session_reused


def test_what_a_removed_origin_had_goes_with_it(scene, start):
    """Its idle connections at once, without a request on that worker; one in use when its exchange ends."""
    config = scene.config()
    edge = start(config)
    gate = threading.Event()
    gone = scene["eu-west-1"]
    assert edge.fetch(fields=viewer("DE")).region == "eu-west-1"
    gone.answer = faults.until(gate, faults.normally)
    slow = threading.Thread(target=edge.fetch, kwargs={"fields": viewer("DE")})
    slow.start()
    wait_until(lambda: len(gone.requests) == 2, what="a request in flight")
    gone.answer = faults.normally
    assert edge.fetch(fields=viewer("DE")).region == "eu-west-1"  # on another connection, which idles then
    del config["origins"]["eu-west-1"]
    config["sites"]["main"]["origins"].remove("eu-west-1")
    edge.reload(config)
    wait_until(lambda: gone.open_connections() == 1, 5, lambda: f"{gone.open_connections()} connections stay")
    gate.set()
    slow.join()
    wait_until(lambda: gone.open_connections() == 0, 5, lambda: f"{gone.open_connections()} connections stay")
    assert edge.fetch(fields=viewer("DE")).status == 200


def test_verdicts_and_pools_survive_a_reload(scene, start):
    config = scene.config()
    edge = start(config)
    for _ in range(3):
        edge.fetch(fields=viewer("DE"))
    origin = scene["eu-west-1"]
    accepted, probes = origin.accepted, len(origin.probes)
    config["sites"]["main"]["server_timing"] = True
    edge.reload(config)
    assert edge.verdict("eu-west-1") == "up"
    for _ in range(6):
        edge.fetch(fields=viewer("DE"))
    assert origin.accepted - accepted <= 1, "the pool was thrown away"  # a worker may open its first connection
    assert len(origin.probes) <= probes + 1


@pytest.mark.parametrize("ended", ["before", "after"])
def test_a_success_after_a_reload_ends_a_row_of_failures(plain_scene, start, ended):
    config = plain_scene.config(site={"policy": "failover"}, workers=1)
    edge = start(config)
    origin = plain_scene["us-east-1"]

    def fail():
        origin.answer = faults.reset
        assert edge.fetch().region == "eu-west-1"
        edge.settled()
        origin.answer = faults.normally

    go = threading.Event()
    origin.answer = faults.until(go, faults.reset)
    failing = [threading.Thread(target=edge.fetch) for _ in range(2)]
    for thread in failing:
        thread.start()
    wait_until(lambda: origin.attempts == 2, what="both requests")
    origin.answer = faults.normally

    def finish():
        go.set()
        for thread in failing:
            thread.join()
        edge.settled()

    if ended == "before":
        finish()
    config["origins"] = dict(reversed(list(config["origins"].items())))  # other numbers inside
    edge.reload(config)
    assert edge.fetch().region == "us-east-1"
    if ended == "after":
        finish()
        assert edge.fetch().region == "us-east-1"
    edge.settled()
    for _ in range(2):
        fail()
        assert not edge.origin_status("us-east-1")["ejected"]
    fail()
    wait_until(lambda: edge.origin_status("us-east-1")["ejected"], what="three in a row to eject")


def test_a_request_in_flight_finishes_under_the_configuration_it_began_with(scene, start):
    config = scene.config()
    edge = start(config)
    gate = threading.Event()
    scene["eu-west-1"].answer = faults.until(gate, faults.normally)
    answers = []
    thread = threading.Thread(target=lambda: answers.append(edge.fetch(fields=viewer("DE"))))
    thread.start()
    wait_until(lambda: scene["eu-west-1"].requests, what="the request to arrive")
    del config["origins"]["eu-west-1"]
    config["sites"]["main"]["origins"] = ["us-east-1", "ap-southeast-1"]
    edge.reload(config)
    assert edge.fetch(fields=viewer("DE")).region == "us-east-1"
    gate.set()
    thread.join()
    assert answers[0].region == "eu-west-1"


def test_a_listener_that_is_added_or_changed_is_reported_or_opened(scene, start):
    config = scene.config()
    edge = start(config)
    config["listeners"].append({"address": "127.0.0.1:0", "protocol": "http", "plain": "serve"})
    edge.write(config)
    edge.signal(signal.SIGHUP)
    edge.log.wait_text(r"listener")
    assert edge.fetch().status == 200


def test_a_listener_that_cannot_be_opened_refuses_the_reload(scene, start):
    config = scene.config()
    edge = start(config)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        changed = scene.config(site={"policy": "failover"})
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        # One that could be opened stands before it: it is not served either.
        changed["listeners"] = [{"address": "127.0.0.1:0", "protocol": "http"}, {"address": address, "protocol": "https"}]
        edge.write(changed)
        files = edge.open_files()
        answer = edge.post("/reload")
        assert answer.status == 422 and address in answer.body.decode() and "in use" in answer.body.decode(), answer
        edge.reload(result="failed")
        wait_until(lambda: edge.open_files() <= files, what="the sockets of the refused listeners to be closed")
        assert edge.metrics().sum("nearhop_reloads_total", result="ok") == 0
        failed = edge.log.find(event="listen_failed", listener="https")
        assert len(failed) == 2 and "Address already in use" in failed[0]["what"], failed
        edge.log.wait_text(r"config_problem.*:\d+:\d+: error: listeners\[1\]\.address: want an address to listen on")
        assert edge.admin("/readyz").status == 200
        assert edge.fetch(fields=viewer("DE")).region == "eu-west-1", "the old listener and the old policy"
        assert not edge.log.find(event="listener_closed") and not edge.log.find(event="listening", listener="http")
    edge.reload(changed)  # now the port is free
    assert edge.fetch(fields=viewer("DE"), address=address).region == "us-east-1"


@pytest.mark.parametrize("token", [None, "", "wrong-token", "let-me-i", "let-me-in2"])
def test_a_reload_over_admin_needs_the_token(scene, start, token):
    edge = start(scene.config())
    assert edge.post("/reload", token=token).status in (401, 403)
    assert edge.metrics().sum("nearhop_reloads_total") == 0
    assert edge.admin("/reload").status in (404, 405)


def test_without_a_token_nothing_can_be_changed(scene, start):
    config = scene.config()
    del config["admin"]["token"]
    edge = start(config)
    for token in (None, "", "x"):
        assert edge.post("/reload", token=token).status in (401, 403, 404)
