"""Too much of everything: the edge sheds in its fixed order, answers quickly, keeps probes and the admin listener alive,
and recovers by itself. NEARHOP_FULL=1 brings 15,000 connections and slowhttptest's long forms."""

import resource
import select
import shutil
import socket
import subprocess
import threading
import time

import pytest
from support import faults
from support.client import Connection, Ended, Truncated, request_bytes, split
from support.clock import FULL, SLOW, patient, wait_until
from support.http2 import NO_ERROR, Http2
from support.proxy import sanitized


def descriptors(count):
    return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (count, count))


class Crowd:
    """Many TCP connections of one address that say little or nothing. The edge may close any of them."""

    def __init__(self, address, source):
        self.address = split(address)
        self.source = source
        self.sockets = []

    def open(self, count, first=b""):
        for _ in range(count):
            sock = socket.socket()
            try:
                sock.bind((self.source, 0))
                sock.settimeout(patient(5))
                sock.connect(self.address)
                sock.setblocking(False)
                if first:
                    sock.send(first)
                self.sockets.append(sock)
            except OSError:
                sock.close()
        return self

    def open_now(self):
        """How many the edge has not closed."""
        poller = select.poll()
        for sock in self.sockets:
            poller.register(sock, select.POLLIN | select.POLLRDHUP)
        gone = {number for number, _ in poller.poll(0)}
        return sum(1 for sock in self.sockets if sock.fileno() not in gone)

    def drip(self, data):
        for sock in self.sockets:
            try:
                sock.send(data)
            except OSError:
                pass

    def close(self):
        for sock in self.sockets:
            sock.close()
        self.sockets = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Visitor:
    """A normal client: asks again and again on one kept connection, and now and then on a new one."""

    def __init__(self, edge, source="127.0.0.1", every=0.01):
        self.edge = edge
        self.source = source
        self.every = every
        self.kept = self._connect()

    def _connect(self):
        return self.edge.connect(source=self.source, timeout=30)

    def p99(self, seconds):
        """Of the seconds that an answer took; asserts that all were good."""
        took = []
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            began = time.monotonic()
            if len(took) % 20 == 19:
                with self._connect() as fresh:
                    assert fresh.request().status == 200
            else:
                assert self.kept.request().status == 200
            took.append(time.monotonic() - began)
            time.sleep(self.every)  # the pace of a visitor
        took.sort()
        return took[int(len(took) * 0.99) - 1]

    def close(self):
        self.kept.close()


SPAN = 6 if FULL else 2  # seconds of one judgement; the edge has cut all of an attack after nine


def bearable_p99(quiet):
    """Twice the quiet value; in the short form at least what a busy machine's scheduler alone may cost."""
    return 2 * quiet if FULL else max(2 * quiet, 0.05 * SLOW)


def untroubled(scene, **limits):
    """Nobody is trusted, so that 127.0.0.x are clients like any other."""
    config = scene.config(clients={"trusted": []})
    config["limits"] = limits
    return config


def served(edge, **options):
    try:
        return edge.fetch(timeout=5, **options).status == 200
    except (OSError, Ended, Truncated):
        return False


# ---- connections ----------------------------------------------------------------------------------------------------
def test_the_last_fifth_is_kept_for_those_who_hold_little(scene, start):
    edge = start(untroubled(scene, sessions=100))
    with Crowd(edge.https, "127.0.0.66") as crowd:
        crowd.open(150)
        wait_until(lambda: edge.metrics().sum("nearhop_sessions_refused_total", limit="busy_address") == 70, what="70 refusals")
        assert edge.metrics().sum("nearhop_sessions") == 80
        assert edge.metrics().value("nearhop_load_ratio", resource="sessions") == 0.8
        for number in range(5):
            assert edge.fetch(source=f"127.0.0.{10 + number}").status == 200, "another address finds room"
    wait_until(lambda: edge.metrics().sum("nearhop_sessions") == 0, what="the crowd to be gone")
    assert served(edge, source="127.0.0.66"), "and the crowd's address is welcome again"


def test_an_address_may_have_so_many_connections_over_all_workers(scene, start):
    edge = start(untroubled(scene, sessions_per_address=6))
    kept = [edge.connect(source="127.0.0.66") for _ in range(6)]
    for connection in kept:
        assert connection.request().status == 200
    assert not served(edge, source="127.0.0.66")
    assert served(edge, source="127.0.0.67")
    kept.pop().close()
    wait_until(lambda: served(edge, source="127.0.0.66"), what="the place of the one that left")
    assert edge.metrics().sum("nearhop_sessions_refused_total", limit="address") >= 1
    for connection in kept:
        connection.close()


def test_behind_a_proxy_header_the_client_is_counted_and_not_the_balancer(scene, start):
    config = untroubled(scene, sessions_per_address=2)
    config["listeners"][0]["proxy_protocol"] = {"from": ["127.0.0.1"]}
    edge = start(config)

    def connect(client):
        return edge.connect(before_tls=f"PROXY TCP4 {client} 192.0.2.1 1000 443\r\n".encode())

    kept = [connect("198.51.100.1"), connect("198.51.100.1"), connect("198.51.100.2"), connect("198.51.100.2")]
    for connection in kept:
        assert connection.request().status == 200
    with pytest.raises(OSError):
        connect("198.51.100.1")
    with connect("198.51.100.3") as other:
        assert other.request().status == 200
    for connection in kept:
        connection.close()


def test_handshakes_in_progress_are_limited(scene, start):
    edge = start(untroubled(scene, handshakes=20, handshake_timeout="2s"))
    with edge.connect(source="127.0.0.1") as inside, Crowd(edge.https, "127.0.0.66") as crowd:
        assert inside.request().status == 200
        crowd.open(60)
        wait_until(lambda: edge.metrics().sum("nearhop_sessions_refused_total") == 44, what="44 refusals")
        assert served(edge, source="127.0.0.67"), "the last fifth is not for the busiest address"
        assert inside.request().status == 200
        wait_until(lambda: crowd.open_now() == 0, 20, "the silent ones to be cut")
    wait_until(lambda: edge.metrics().value("nearhop_load_ratio", resource="handshakes") == 0, what="their places to be free")


def test_new_handshakes_per_second_are_limited(scene, start):
    edge = start(untroubled(scene, handshakes_per_second=5))
    results = [served(edge) for _ in range(30)]
    assert results[0] and not all(results)
    assert edge.metrics().sum("nearhop_sessions_refused_total", limit="handshake_rate") == results.count(False)
    wait_until(lambda: served(edge), what="the next second's")


# ---- requests -------------------------------------------------------------------------------------------------------
def test_requests_above_the_limit_get_503_at_once_the_busiest_client_first(scene, start):
    gate = threading.Event()
    config = scene.config(site={"policy": "failover"})
    config["limits"] = {"requests": 20}
    edge = start(config)
    scene["us-east-1"].answer = lambda request: (gate.wait(patient(60)), faults.pieces(1000)(request))
    greedy, modest = [("X-Forwarded-For", "198.51.100.1")], [("X-Forwarded-For", "198.51.100.2")]
    waiting = []

    # All of them first: near the limit new connections are what is shed before requests.
    ready = [edge.connect(timeout=60) for _ in range(23)]

    def ask(fields):
        connection = ready.pop()
        connection.send(request_bytes(fields=fields))
        waiting.append(connection)

    def in_flight():
        return edge.metrics().sum("nearhop_exchanges")

    for number in range(19):
        ask(greedy)
        wait_until(lambda wanted=number + 1: in_flight() == wanted, what="the request to be in flight")
    began = time.monotonic()
    shed = ready[0].request(fields=greedy)
    assert shed.status == 503 and shed.fault == "edge_overloaded" and shed.get("Retry-After")
    assert time.monotonic() - began < patient(2), "an overloaded edge says so at once"
    ask(modest)
    wait_until(lambda: in_flight() == 20, what="the modest client's request to be carried")
    assert ready[1].request(fields=[("X-Forwarded-For", "198.51.100.3")]).status == 503, "at the limit nobody is carried"
    assert edge.admin("/livez").status == 200
    gate.set()
    for connection in waiting:
        assert connection.response().status == 200, "what was carried is finished"
        connection.close()
    wait_until(lambda: served(edge, fields=greedy), what="service to come back")
    for connection in ready:
        connection.close()
    wait_until(lambda: edge.metrics().sum("nearhop_faults_total", fault="edge_overloaded") >= 2, what="the faults")


@pytest.mark.parametrize("short_of", ["requests", "sessions"])
def test_an_edge_that_refuses_everybody_is_not_ready(scene, start, short_of):
    """A balancer should use another one, and come back as soon as there is room."""
    gate = threading.Event()
    config = untroubled(scene, **{short_of: 10})
    config["clients"] = {"trusted": ["127.0.0.1"]}  # whose connections are not judged one by one
    config["listeners"][0]["ready_path"] = "/ready"
    edge = start(config)
    for origin in scene:
        origin.answer = faults.until(gate, faults.normally)
    check = edge.connect()
    kept = [edge.connect() for _ in range(9)]

    def said():
        status = edge.status()
        return edge.admin("/readyz").status, check.request(target="/ready").status, status["ready"], status["at_limits"]

    if short_of == "requests":
        assert said() == (200, 200, True, False)
        for connection in kept:
            connection.send(request_bytes())
    full, free = (503, 503, False, True), (200, 200, True, False)
    wait_until(lambda: said() == full, what=lambda: f"not ready: {said()}")
    assert edge.admin("/readyz").body == b"not ready: at its limits\n"
    with pytest.raises((OSError, Ended)):
        edge.fetch(source="127.0.0.5")
    gate.set()
    for connection in kept:
        connection.close()
    wait_until(lambda: said() == free, what=lambda: f"ready again: {said()}")
    check.close()


@pytest.mark.skipif(bool(sanitized()), reason="a sanitizer's own memory would be judged")
def test_near_the_memory_limit_the_edge_sheds_and_comes_back(scene, start):
    config = untroubled(scene)
    edge = start(config)
    assert edge.fetch().status == 200
    room = edge.resident_kib()
    edge.reload(dict(config, limits={"memory": f"{room * 1024 + 24 * 1024 * 1024}B"}))
    gate = threading.Event()
    scene["us-east-1"].answer = lambda request: request.respond(200, b"x" * (4 * 1024 * 1024))
    readers = []
    try:
        for number in range(400):
            if edge.metrics().sum("nearhop_sessions_refused_total", limit="overload"):
                break
            try:
                reader = edge.connect(source=f"127.0.1.{number % 200 + 1}", receive_buffer=4096)
                reader.send(request_bytes(fields=[("CloudFront-Viewer-Country", "US")]))
                readers.append(reader)
            except OSError:
                time.sleep(0.05)  # the pace of a client that was refused
        refused = wait_until(lambda: edge.metrics().sum("nearhop_sessions_refused_total"), what="new connections to be refused")
        assert refused and edge.metrics().value("nearhop_load_ratio", resource="memory") >= 0.8
        assert edge.admin("/livez").status == 200
        assert edge.verdict("us-east-1") == "up"
    finally:
        gate.set()
        for reader in readers:
            reader.close()
    wait_until(lambda: served(edge), 30, lambda: f"service to come back, {edge.metrics().all('nearhop_load_ratio')}")


def test_requests_on_one_connection_and_pipelined_ones_are_limited(scene, start):
    edge = start(untroubled(scene, session_requests=5))
    with edge.connect() as connection:
        answers = [connection.request() for _ in range(5)]
        assert [answer.closes for answer in answers] == [False] * 4 + [True]
        assert connection.is_closed()
    with Http2(edge.https, scene.authority.file) as client:
        assert [client.request().status for _ in range(5)] == [200] * 5
        assert client.end() == NO_ERROR
    wait_until(lambda: edge.metrics().sum("nearhop_sessions_used_up_total") == 2, what="both to be counted")
    edge = start(untroubled(scene, pipelined_requests=10))
    with edge.connect() as connection:
        connection.send(request_bytes() * 30)
        answers = [connection.response() for _ in range(11)]
        assert answers[-1].closes and not answers[-2].closes
        assert connection.is_closed()
    wait_until(lambda: edge.metrics().sum("nearhop_sessions_used_up_total") == 1, what="the count")


# ---- slow clients ---------------------------------------------------------------------------------------------------
def test_a_body_that_drips_is_cut_although_it_never_stops(scene, start):
    edge = start(untroubled(scene, body_timeout="1s", body_rate="1KiB"))
    with edge.connect(timeout=30) as connection:
        connection.send(request_bytes("POST", "/", [("Content-Length", "100000")]))
        began = time.monotonic()
        try:
            while time.monotonic() - began < patient(10):
                connection.send(b"x")
                if select.select([connection.socket], [], [], 0.05)[0]:
                    break
        except OSError:
            pass
        assert connection.response().fault == "client_body_timeout"


def test_a_steady_body_above_the_least_rate_is_not(scene, start):
    edge = start(untroubled(scene, body_timeout="1s", body_rate="1KiB"))
    with edge.connect(timeout=30) as connection:
        connection.send(request_bytes("POST", "/", [("Content-Length", str(30 * 500))]))
        for _ in range(30):
            connection.send(b"x" * 500)
            time.sleep(0.1)  # the pace of the upload: 5 KB/s, half of that on a busy machine
        assert connection.response().status == 200


def test_a_reader_that_drips_is_cut_although_it_never_stops(scene, start):
    scene["us-east-1"].answer = lambda request: request.respond(200, b"x" * (32 * 1024 * 1024))
    edge = start(untroubled(scene, write_timeout="1s", write_rate="256MiB"))
    with edge.connect(receive_buffer=16 * 1024, timeout=30) as connection:
        connection.send(request_bytes())
        with pytest.raises(Truncated):
            connection.response(keep=False, on_piece=lambda _: time.sleep(0.02))  # the pace of the reader
    wait_until(lambda: edge.metrics().sum("nearhop_faults_total", fault="client_write_timeout") == 1, what="the fault")


# ---- much of it -----------------------------------------------------------------------------------------------------
def test_few_descriptors_are_never_used_up_and_probes_go_on(scene, start):
    """An fd limit of 1,024 and far more sessions allowed than that: the descriptors themselves are counted."""
    config = scene.config(clients={"trusted": []}, health={"interval": "200ms", "interval_transitional": "100ms"})
    config["limits"] = {"sessions": 100_000, "handshake_timeout": "5s"}
    edge = start(config, limits=descriptors(1024))
    with edge.connect(source="127.0.0.1") as inside, Crowd(edge.https, "127.0.0.66") as crowd:
        assert inside.request().status == 200
        crowd.open(2000)
        wait_until(lambda: edge.metrics().sum("nearhop_sessions_refused_total") >= 1000, what="refusals")
        metrics = edge.metrics()
        assert metrics.sum("process_open_fds") < 1000, "the reserve is untouched"
        assert metrics.sum("nearhop_accept_errors_total") == 0
        assert inside.request().status == 200
        probes = metrics.sum("nearhop_probes_total", result="passed")
        wait_until(lambda: edge.metrics().sum("nearhop_probes_total", result="passed") > probes + 3, what="probes to go on")
        assert edge.metrics().sum("nearhop_origin_verdict", verdict="up") == 3
    wait_until(lambda: served(edge, source="127.0.0.66"), 20, "service to come back")


def test_a_crowd_of_slow_connections_leaves_a_normal_client_alone(scene, start):
    """15,000 connections, most of which drip: silent, a TLS hello's first bytes, or nothing at all after it."""
    count = 15_000 if FULL else 1_500
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    config = untroubled(scene, sessions=count - count // 10, handshake_timeout="60s")
    edge = start(config, limits=descriptors(min(hard, 2 * count + 1000)))
    if hard < count + 500:
        pytest.skip(f"{count} connections need more descriptors than {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    visitor = Visitor(edge)
    quiet = visitor.p99(2)
    crowds = [Crowd(edge.https, f"127.0.0.{60 + number}") for number in range(10)]
    judged = []
    try:
        for number, crowd in enumerate(crowds):
            crowd.open(count // len(crowds), b"" if number % 2 else b"\x16\x03\x01\x02\x00")
        for crowd in crowds[::2]:
            crowd.drip(b"\x01")
        memory = edge.resident_kib()

        def bearable():
            judged.append(visitor.p99(SPAN))
            return judged[-1] <= bearable_p99(quiet)

        wait_until(bearable, 30, lambda: f"p99 within twice {quiet * 1000:.1f} ms: {judged}")
        held = sum(crowd.open_now() for crowd in crowds)
        print(f"{held} of {count} held, {memory} KiB, p99 {quiet * 1000:.1f} ms quiet, {judged[-1] * 1000:.1f} ms beside them")
        assert held >= count * 0.7
        assert edge.metrics().sum("nearhop_sessions_refused_total") >= count // 20
    finally:
        for crowd in crowds:
            crowd.close()
    visitor.close()
    wait_until(lambda: edge.metrics().sum("nearhop_sessions") <= 1, 30, "the crowd to be gone")
    assert served(edge, source="127.0.0.60")


# slowhttptest's modes: slow heads, slow bodies, range headers, slow reading.
MODES = {
    "slowloris": ["-H", "-i", "1", "-x", "24"],
    "slow body": ["-B", "-i", "1", "-s", "8192", "-x", "10"],
    "range": ["-R", "-a", "10", "-b", "3000"],
    "slow read": ["-X", "-w", "10", "-y", "20", "-n", "1", "-z", "5", "-k", "3"],
}


@pytest.mark.parametrize("mode", MODES)
def test_slowhttptest_leaves_a_normal_client_alone(scene, start, mode):
    tool = shutil.which("slowhttptest")
    assert tool, "Debian's package slowhttptest (./dev setup test)"
    # In the usual order of things: a head in 10 s, a body that moves. Shorter, so that the short form sees the cuts.
    config = untroubled(scene, sessions=500, head_timeout="3s", body_timeout="3s", write_timeout="3s")
    config["listeners"].append({"address": "127.0.0.1:0", "protocol": "http", "plain": "serve"})
    for origin in scene:
        origin.answer = faults.pieces(65536, b"x" * 65536)
    edge = start(config)
    visitor = Visitor(edge, source="127.0.0.9")
    quiet = visitor.p99(2)
    seconds = 60 if FULL else 8
    command = [tool, *MODES[mode], "-c", "2000" if FULL else "600", "-r", "300", "-l", str(seconds), "-p", "3",
               "-u", f"http://{edge.http}/"]  # fmt: skip
    attack = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        judged = []

        def bearable():
            judged.append(visitor.p99(SPAN))
            return judged[-1] <= bearable_p99(quiet)

        wait_until(bearable, seconds, lambda: f"p99 within twice {quiet * 1000:.1f} ms: {judged}")
        assert attack.poll() is None or mode == "range", "the attack was still under way"
    finally:
        attack.kill()
        attack.wait()
    visitor.close()
    print(f"{mode}: quiet p99 {quiet * 1000:.1f} ms, under attack {judged[-1] * 1000:.1f} ms")
    wait_until(lambda: edge.metrics().sum("nearhop_sessions") <= 1, 20, "the attack's connections to be gone")
    assert served(edge)
