"""SIGTERM under load: not ready, still accepting, connections told to close, nothing cut, exit code 0."""

import signal
import socket
import threading
import time

import pytest
from support import faults
from support.client import Ended, Truncated, request_bytes
from support.clock import SLOW, patient, wait_until
from support.http2 import NO_ERROR, Http2
from support.load import Load
from support.setup import viewer


def config_for(scene, grace="0s", drain="5s", **more):
    return scene.config(shutdown={"grace": grace, "drain": drain}, **more)


def test_sigterm_under_load_costs_no_error_until_the_grace_is_over(scene, start, authority):
    edge = start(config_for(scene, grace=f"{int(2 * SLOW)}s"))
    kept = Load(edge.https, authority.file, rate=100 / SLOW, connections=8, fields=viewer("DE"))
    fresh = Load(edge.https, authority.file, rate=50 / SLOW, connections=4, fields=viewer("JP"), fresh=True)
    with kept.running(), fresh.running():
        wait_until(lambda: kept.regions()["eu-west-1"] > 20, what=kept.summary)
        began = time.monotonic()
        edge.signal(signal.SIGTERM)
        wait_until(lambda: edge.admin("/readyz").status == 503, what="not ready")
        seen = len(fresh.good())
        wait_until(lambda: len(fresh.good()) > seen + 20, 2, "new connections to be served during the grace")
        assert time.monotonic() - began < 2 * SLOW, "the load was too slow to prove anything"
    assert not kept.errors() and not kept.truncated(), (kept.summary(), kept.errors()[:3])
    assert not fresh.errors() and not fresh.truncated(), (fresh.summary(), fresh.errors()[:3])
    assert edge.wait_end() == 0


def test_answers_say_connection_close_after_the_signal(scene, start):
    edge = start(config_for(scene, grace="30s"))
    with edge.connect() as connection:
        assert not connection.request().closes
        edge.signal(signal.SIGTERM)
        wait_until(lambda: edge.admin("/readyz").status == 503, what="not ready")
        response = connection.request()
        assert response.status == 200 and response.closes and connection.is_closed()
    edge.signal(signal.SIGTERM)


def test_an_exchange_in_flight_finishes_and_an_idle_connection_does_not_delay_the_end(scene, start):
    edge = start(config_for(scene, drain="30s", workers=1))  # one that closes `idle` has heard of the drain for both
    gate = threading.Event()
    origin = scene["us-east-1"]
    idle = edge.connect()
    idle.request()
    origin.answer = faults.until(gate, faults.normally)
    with edge.connect() as busy:
        busy.send(request_bytes(target="/busy"))
        wait_until(lambda: "/busy" in origin.targets(), what="the request to arrive")
        began = time.monotonic()
        edge.signal(signal.SIGTERM)
        assert idle.is_closed()
        gate.set()
        response = busy.response()
        assert response.body == b"us-east-1 GET /busy\n" and response.closes
        assert edge.wait_end() == 0
        assert time.monotonic() - began < patient(10), "it waited for its idle connections"
    idle.close()


def test_http2_clients_are_told_in_two_steps_and_what_is_in_flight_finishes(scene, start, authority):
    """RFC 9113 section 6.8: first a GOAWAY that allows every stream, then one with the last that is served."""
    edge = start(config_for(scene, drain="30s"))
    gate = threading.Event()
    origin = scene["us-east-1"]
    origin.answer = faults.until(gate, faults.normally)
    with Http2(edge.https, authority.file) as client:
        busy = client.open(target="/busy")
        wait_until(lambda: "/busy" in origin.targets(), what="the request to arrive")
        edge.signal(signal.SIGTERM)
        client.until(lambda: len(client.goaways) == 2)
        assert client.goaways == [(2**31 - 1, NO_ERROR), (busy, NO_ERROR)]
        gate.set()
        reply = client.reply(busy)
        assert (reply.status, reply.body) == (200, b"us-east-1 GET /busy\n")
        assert client.end() == NO_ERROR
    assert edge.wait_end() == 0


def test_a_large_download_in_flight_is_whole(scene, start):
    edge = start(config_for(scene, drain="30s"))
    scene["us-east-1"].answer = lambda request: request.respond(200, b"x" * 20_000_000)
    with edge.connect(receive_buffer=65536) as connection:
        connection.send(request_bytes())
        started = threading.Event()

        def on_piece(_):
            if not started.is_set():
                edge.signal(signal.SIGTERM)
                started.set()

        assert connection.response(keep=False, on_piece=on_piece).size == 20_000_000
    assert edge.wait_end() == 0


def test_an_exchange_that_never_ends_is_cut_after_the_drain(scene, start):
    edge = start(config_for(scene, drain="500ms"))
    scene["us-east-1"].answer = faults.truncated(10, then="hang")
    with edge.connect() as connection:
        connection.send(request_bytes())
        assert connection.head().status == 200
        edge.signal(signal.SIGTERM)
        began = time.monotonic()
        with pytest.raises((Truncated, Ended)):
            while True:
                connection._more(None)
                connection.buffer = b""
    assert edge.wait_end() == 0
    assert time.monotonic() - began < patient(10)


def test_idle_clients_that_do_not_look_hold_the_end_up_for_a_second_only(scene, start):
    edge = start(config_for(scene, drain="30s"))
    idle = [edge.connect() for _ in range(3)]
    for connection in idle:
        connection.request()
    began = time.monotonic()
    edge.signal(signal.SIGTERM)
    assert edge.wait_end() == 0
    assert time.monotonic() - began < patient(3.5), "it lingers as for a client that sends"
    for connection in idle:
        connection.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_edge_ends_at_once_with_0(scene, start, number):
    edge = start(config_for(scene, drain="30s"))
    edge.fetch()
    began = time.monotonic()
    edge.signal(number)
    assert edge.wait_end() == 0
    assert time.monotonic() - began < patient(5)


@pytest.mark.parametrize("stage", ["grace", "drain"])
def test_a_second_signal_ends_grace_and_drain_at_once(scene, start, stage):
    """Also what would never end: who sends a second one does not want to wait for it."""
    edge = start(config_for(scene, grace="1h" if stage == "grace" else "0s", drain="1h"))
    scene["us-east-1"].answer = faults.truncated(10, then="hang")
    with edge.connect() as connection:
        connection.send(request_bytes())
        assert connection.head().status == 200
        edge.signal(signal.SIGTERM)
        wait_until(lambda: edge.admin("/readyz").status == 503, what="not ready")
        if stage == "grace":
            assert edge.fetch(target="/other", fields=viewer("DE")).status == 200
        else:
            edge.log.wait(event="draining")
        edge.signal(signal.SIGTERM)
        assert edge.wait_end(10) == 0


def test_connections_waiting_in_the_accept_queue_are_served_before_the_listener_closes(scene, start, authority):
    """Many clients connect in the very moment of the signal: each is served or was never accepted, none is reset."""
    edge = start(config_for(scene, grace="500ms"))
    loads = [Load(edge.https, authority.file, rate=60 / SLOW, connections=6, fresh=True) for _ in range(2)]
    for load in loads:
        load.start()
    wait_until(lambda: all(len(load.good()) > 10 for load in loads), what="load")
    edge.signal(signal.SIGTERM)
    assert edge.wait_end() == 0
    for load in loads:
        load.stop()
        wrong = [o for o in load.errors() if "ConnectionRefusedError" not in o.error]
        assert not wrong, (load.summary(), wrong[:3])


def test_the_end_while_reloading_and_probing_is_clean(scene, start):
    for _ in range(5):
        edge = start(scene.config(health={"interval": "100ms", "timeout": "90ms"}, shutdown={"grace": "0s", "drain": "1s"}))
        edge.signal(signal.SIGHUP)
        edge.signal(signal.SIGTERM)
        edge.signal(signal.SIGHUP)
        assert edge.wait_end() == 0


def test_a_reload_opens_no_listener_again_once_the_edge_drains(scene, start):
    """Its successor listens there by then: half of the connections would go to a process that is about to end."""
    edge = start(config_for(scene, drain="1h"))
    admin = {int(edge.addresses("admin")[0].rpartition(":")[2])}
    scene["us-east-1"].answer = faults.truncated(10, then="hang")
    with edge.connect() as connection:
        connection.send(request_bytes())
        assert connection.head().status == 200
        edge.signal(signal.SIGTERM)
        wait_until(lambda: edge.listening_ports() == admin, what="the listeners to be closed")
        for by in ("signal", "admin"):
            edge.reload(by=by)
            assert edge.listening_ports() == admin and edge.admin("/readyz").status == 503
        edge.signal(signal.SIGTERM)
        assert edge.wait_end() == 0


def hanging(scene):
    """Origins whose first probes take 5 s: no client is let in before."""
    for origin in scene:
        origin.on_accept = faults.hang_on_accept
    return scene.config(health={"timeout": "50s", "connect_timeout": "50s", "interval": "1m"})


def test_a_reload_before_the_first_probes_are_over_lets_nobody_in_yet(scene, start):
    config = hanging(scene)
    edge = start(config, wait=False)
    edge.log.wait(event="listening", listener="admin")
    admin = {int(edge.addresses("admin")[0].rpartition(":")[2])}
    edge.reload(config)
    assert edge.admin("/readyz").status == 503
    ports = edge.listening_ports()
    assert edge.admin("/readyz").status == 503, "the machine is too slow to prove anything"
    assert ports == admin
    edge.wait_ready()
    assert len(edge.listening_ports()) == 2


def test_a_reload_before_the_first_probes_are_over_is_refused_for_an_address_that_is_taken(scene, start):
    config = hanging(scene)
    edge = start(config, wait=False)
    edge.log.wait(event="listening", listener="admin")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        edge.reload({**config, "listeners": [{"address": f"127.0.0.1:{port}", "protocol": "https"}]}, result="failed")
        edge.wait_ready()
    assert "Address already in use" in edge.log.wait(event="listen_failed")[0]["what"]


class Manager:
    """What systemd hears of a service of Type=notify."""

    def __init__(self, folder):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(folder / "notify"))
        self.environment = {"NOTIFY_SOCKET": str(folder / "notify")}

    def next(self):
        self.socket.settimeout(patient(10))
        return self.socket.recv(4096).decode().splitlines()[0]

    def heard(self):
        """Nothing more may come once the process is gone."""
        self.socket.settimeout(0)
        lines = []
        while True:
            try:
                lines.append(self.socket.recv(4096).decode().splitlines()[0])
            except BlockingIOError:
                return lines


def test_the_service_manager_hears_of_reloads_while_the_edge_serves_and_of_nothing_after_its_stop(scene, start, tmp_path):
    manager = Manager(tmp_path)
    edge = start(config_for(scene, grace="1h"), environment=manager.environment)
    assert manager.next() == "READY=1"
    edge.reload()
    assert [manager.next(), manager.next()] == ["RELOADING=1", "READY=1"]
    edge.signal(signal.SIGTERM)
    assert manager.next() == "STOPPING=1"
    edge.reload()
    edge.signal(signal.SIGTERM)
    assert edge.wait_end() == 0
    assert manager.heard() == []


def test_the_service_manager_does_not_take_a_reload_at_the_start_for_the_end_of_the_start(scene, start, tmp_path):
    manager = Manager(tmp_path)
    edge = start(hanging(scene), wait=False, environment=manager.environment)
    edge.log.wait(event="listening", listener="admin")
    edge.reload()
    assert edge.admin("/readyz").status == 503, "the machine is too slow to prove anything"
    assert manager.heard() == []
    edge.wait_ready()
    assert manager.next() == "READY=1"


def test_a_signal_before_the_listeners_are_open_ends_it_too(scene, start):
    for origin in scene:
        origin.on_accept = faults.hang_on_accept
    edge = start(config_for(scene, grace="1h"), wait=False)
    wait_until(lambda: all(origin.accepted for origin in scene), what="the first probes")
    edge.signal(signal.SIGTERM)
    assert edge.wait_end() == 0
