"""The edge at its own limits: few descriptors, too many sessions, idle and half-open clients. It sheds, and recovers."""

import resource
import socket
import ssl
import threading
import time

import pytest
from support import faults
from support.client import Connection, Ended, Truncated, request_bytes, split, trusting
from support.clock import SLOW, patient, wait_until
from support.http2 import Http2


def descriptors(count):
    return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (count, count))


def open_many(edge, count):
    """TCP connections that say nothing."""
    opened = []
    for _ in range(count):
        sock = socket.socket()
        sock.settimeout(patient(5))
        sock.connect(split(edge.https))
        opened.append(sock)
    return opened


def sum_of(edge, part):
    metrics = edge.metrics()
    return sum(value for name, _, value in metrics.samples if part in name)


def test_sessions_above_the_cap_are_refused_and_counted_and_the_cap_recovers(scene, start):
    config = scene.config()
    config["limits"] = {"sessions": 10}
    edge = start(config)
    kept = []
    for _ in range(8):
        connection = edge.connect()
        assert connection.request().status == 200
        kept.append(connection)
    crowd = open_many(edge, 30)
    wait_until(lambda: edge.metrics().sum("nearhop_sessions_refused_total") > 0, what="refusals to be counted")
    for connection in kept:  # who is in stays in
        assert connection.request().status == 200
    for sock in crowd:
        sock.close()
    for connection in kept:
        connection.close()

    def served():
        try:
            return edge.fetch().status == 200
        except (OSError, Ended):
            return False

    wait_until(served, what="new sessions to be served again")


def test_few_descriptors_pause_accepting_and_never_crash_or_spin(scene, start):
    edge = start(scene.config(), limits=descriptors(128))
    with edge.connect() as inside:
        assert inside.request().status == 200
        crowd = open_many(edge, 300)
        wait_until(lambda: edge.metrics().sum("nearhop_sessions_refused_total") > 200, what="refusals by the limit that 128 descriptors allow")
        before, began = edge.cpu_seconds(), time.monotonic()
        for _ in range(20):
            assert inside.request().status == 200, "an established session must go on"
            threading.Event().wait(0.05)  # the pace of a visitor
        used = (edge.cpu_seconds() - before) / (time.monotonic() - began)
        assert used < 0.5, f"busy loop: {used:.0%} of a core"
        for sock in crowd:
            sock.close()

    def served():
        try:
            return edge.fetch(timeout=5).status == 200
        except (OSError, Ended):
            return False

    wait_until(served, 20, "service to come back")
    assert edge.verdict("us-east-1") == "up"


def test_running_out_of_descriptors_in_the_middle_is_survived(scene, start):
    """The cap is put above what the descriptors allow, so that accept() itself meets EMFILE."""
    config = scene.config()
    config["limits"] = {"sessions": 10_000}
    edge = start(config, limits=descriptors(100))
    crowd = open_many(edge, 200)
    wait_until(lambda: edge.open_files() >= 60, what="descriptors to fill up")
    for sock in crowd:
        sock.close()

    def served():
        try:
            return edge.fetch(timeout=5).status == 200
        except (OSError, Ended):
            return False

    wait_until(served, 20, "service to come back")


def test_a_client_that_never_speaks_tls_is_cut_after_the_handshake_timeout(scene, start):
    config = scene.config()
    config["limits"] = {"handshake_timeout": "500ms"}
    edge = start(config)
    for first in (b"", b"\x16\x03\x01\x02\x00"):
        with socket.create_connection(split(edge.https), patient(20)) as raw:
            raw.sendall(first)
            try:
                while raw.recv(4096):  # an alert may come first
                    pass
            except ConnectionResetError:
                pass
    assert edge.fetch().status == 200


def test_a_handshake_that_drips_is_cut_too(scene, start, authority):
    config = scene.config()
    config["limits"] = {"handshake_timeout": "1s"}
    edge = start(config)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = trusting(authority.file).wrap_bio(incoming, outgoing, server_hostname="api.example.com")
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    hello = outgoing.read()
    with socket.create_connection(split(edge.https), patient(20)) as raw:
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        began = time.monotonic()
        with pytest.raises(OSError):
            for at in range(len(hello) - 1):
                raw.sendall(hello[at : at + 1])
                threading.Event().wait(0.05)  # the pace of the drip
        assert time.monotonic() - began < patient(5)


def test_an_idle_connection_is_closed_silently(scene, start):
    config = scene.config()
    config["limits"] = {"idle_timeout": "500ms", "head_timeout": f"{int(1000 * SLOW)}ms"}
    edge = start(config)
    with edge.connect() as connection:
        connection.request()
        assert connection.is_closed() and connection.ended_cleanly
    with edge.connect() as connection:
        assert connection.is_closed(), "also before the first request"


@pytest.mark.parametrize("protocol", ["HTTP/1.1", "HTTP/2"])
def test_a_connection_that_sends_nothing_at_first_has_the_idle_time(scene, start, authority, protocol):
    """Browsers open connections before they need them; `head_timeout` counts from a head's first byte."""
    limit = 0.4 * SLOW
    config = scene.config()
    config["limits"] = {"idle_timeout": f"{int(5 * limit * 1000)}ms", "head_timeout": f"{int(limit * 1000)}ms"}
    edge = start(config)
    with Http2(edge.https, authority.file) if protocol == "HTTP/2" else edge.connect() as connection:
        with edge.connect() as begun:  # later, and its head runs out of time
            begun.send(b"GET ")
            assert begun.response().status == 408
        assert connection.request().status == 200
    with Http2(edge.https, authority.file) if protocol == "HTTP/2" else edge.connect() as connection:
        opened = time.monotonic()
        assert connection.end() == 0 if protocol == "HTTP/2" else connection.is_closed()
        assert time.monotonic() - opened > 4 * limit


def test_a_busy_keep_alive_connection_outlives_every_timeout(scene, start):
    config = scene.config()
    config["limits"] = {"idle_timeout": "1s", "head_timeout": "1s", "handshake_timeout": "1s", "body_timeout": "1s"}
    edge = start(config)
    with edge.connect() as connection:
        began = time.monotonic()
        while time.monotonic() - began < 2.5:
            assert connection.request("POST", body=b"x").status == 200
            threading.Event().wait(0.1)  # the pace of a client that is not idle


# ---- an origin that sends its head before it has read the body ------------------------------------------------------
def early(request):
    head, body = request.answer_bytes(200, b"done").split(b"\r\n\r\n")
    request.connection.write(head + b"\r\n\r\n")
    request.read_body()
    request.connection.write(body)


@pytest.fixture
def early_edge(scene, start):
    for origin in scene:
        origin.answer = early
    config = scene.config()
    config["limits"] = {"body_timeout": f"{int(800 * SLOW)}ms", "origin_body_timeout": f"{int(400 * SLOW)}ms"}
    return start(config)


def faults_of(edge):
    found = edge.settled().all("nearhop_faults_total")
    return {labels["fault"]: count for labels, count in found if count}


def ejected(edge):
    return [origin for origin in edge.status()["origins"] if origin["verdict"] != "up"]


@pytest.mark.parametrize("protocol", ["HTTP/1.1", "HTTP/2"])
def test_a_steady_upload_after_an_early_head_is_not_cut(early_edge, authority, protocol):
    for _ in range(2):
        if protocol == "HTTP/2":
            with Http2(early_edge.https, authority.file) as client:
                stream = client.open("POST", "/early", end=False)
                for number in range(15):
                    client.upload(stream, b"x" * 1000, end=number == 14)
                    time.sleep(0.1 * SLOW)  # the pace of the upload: 1.5 s in all
                answer = client.reply(stream)
                assert answer.reset is None
        else:
            with early_edge.connect() as connection:
                connection.send(request_bytes("POST", "/early", [("Content-Length", "15000")]))
                for _ in range(15):
                    connection.send(b"x" * 1000)
                    time.sleep(0.1 * SLOW)
                answer = connection.response()
        assert (answer.status, answer.body) == (200, b"done")
    assert faults_of(early_edge) == {} and not ejected(early_edge)


@pytest.mark.parametrize("protocol", ["HTTP/1.1", "HTTP/2"])
def test_a_client_that_falls_silent_after_an_early_head_is_no_fault_of_the_origin(early_edge, authority, protocol):
    for _ in range(6):  # as many as would eject an origin
        if protocol == "HTTP/2":
            with Http2(early_edge.https, authority.file) as client:
                stream = client.open("POST", "/early", end=False)
                client.data(stream, b"begun")
                assert client.reply(stream).reset is not None
                assert client.request().status == 200  # the connection lives on
        else:
            with early_edge.connect() as connection:
                connection.send(request_bytes("POST", "/early", [("Content-Length", "15000")]) + b"begun")
                with pytest.raises((Truncated, Ended)):
                    connection.response()
    assert faults_of(early_edge) == {"client_body_timeout": 6} and not ejected(early_edge)


def test_an_origin_that_reads_slowly_after_an_early_head_gets_the_whole_body(early_edge, scene, monkeypatch):
    def slowly(request):
        request.connection.write(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n")
        size, next_pause = 0, 0
        for piece in request.body_pieces():
            size += len(piece)
            if next_pause <= size < 10 << 20:  # what comes then is in the buffers of the system already
                next_pause += 1 << 20
                time.sleep(0.1 * SLOW)  # the pace of the origin: 1 s in all
        request.connection.write(b"%8d" % size)

    for origin in scene:
        origin.answer = slowly
        monkeypatch.setattr(origin, "keep_bodies", False)
    answer = early_edge.fetch("POST", "/early", body=bytes(16 << 20))
    assert (answer.status, answer.body) == (200, b"%8d" % (16 << 20))
    assert faults_of(early_edge) == {}


def test_an_origin_that_falls_silent_after_an_early_head_has_its_own_limit(early_edge, scene):
    def silent(request):
        request.connection.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n")
        faults.hang(request)

    for origin in scene:
        origin.answer = silent
    with early_edge.connect() as connection:
        connection.send(request_bytes("POST", "/early", [("Content-Length", "2000")]))
        for _ in range(2):
            connection.send(b"x" * 1000)
            time.sleep(0.1 * SLOW)
        with pytest.raises((Truncated, Ended)):
            connection.response()
    assert faults_of(early_edge) == {"origin_body_timeout": 1}


@pytest.mark.parametrize("protocol", ["HTTP/1.1", "HTTP/2"])
def test_a_route_may_allow_longer_silence_than_its_site(scene, start, authority, protocol):
    """An event stream that says nothing outlives a download that stops."""
    go_on = threading.Event()

    def begins(request):
        request.connection.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nbegun")
        if request.target == "/events":
            assert go_on.wait(patient(20))
            request.connection.write(b"ended")
        else:
            faults.hang(request)

    for origin in scene:
        origin.answer = begins
    site = {"origin_body_timeout": f"{int(400 * SLOW)}ms", "routes": [{"path": "/events", "origin_body_timeout": "1h"}]}
    edge = start(scene.config(site=site))

    def cut():
        """A download that falls silent, from its first byte to its end: the time that the site allows."""
        if protocol == "HTTP/2":
            with Http2(edge.https, authority.file) as client:
                assert client.reply(client.open("GET", "/download")).reset is not None
        else:
            with edge.connect() as connection, pytest.raises((Truncated, Ended)):
                connection.request(target="/download")

    if protocol == "HTTP/2":
        with Http2(edge.https, authority.file) as client:
            stream = client.open("GET", "/events")
            wait_until(lambda: any("/events" in origin.targets() for origin in scene), what="the stream to begin")
            cut()
            cut()
            go_on.set()
            answer = client.reply(stream)
            assert answer.reset is None
    else:
        with edge.connect() as connection:
            connection.send(request_bytes("GET", "/events"))
            wait_until(lambda: any("/events" in origin.targets() for origin in scene), what="the stream to begin")
            cut()
            cut()
            go_on.set()
            answer = connection.response()
    assert (answer.status, answer.body) == (200, b"begunended")
    assert faults_of(edge) == {"origin_body_timeout": 2}


def test_many_connections_come_and_go_without_a_leak(scene, start):
    edge = start(scene.config())

    def storm(count):
        for number in range(count):
            if number % 3 == 0:
                edge.fetch()
            elif number % 3 == 1:
                edge.connect().close()
            else:
                open_many(edge, 1)[0].close()

    storm(60)
    files = edge.open_files()
    storm(240)
    wait_until(lambda: edge.open_files() <= files + 4, what=lambda: f"{edge.open_files()} of {files} descriptors")


def test_origin_connections_are_bounded_while_idle(scene, start):
    config = scene.config(workers=1)
    config["limits"] = {"origin_idle": 3}
    edge = start(config)
    gate = threading.Event()
    origin = scene["us-east-1"]
    origin.answer = faults.until(gate, faults.normally)
    threads = [threading.Thread(target=edge.fetch) for _ in range(12)]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(origin.requests) == 12, what="12 requests at once")
    gate.set()
    for thread in threads:
        thread.join()
    wait_until(lambda: origin.open_connections() <= 4, what=lambda: f"{origin.open_connections()} connections stay")


def test_by_default_a_second_peak_finds_the_connections_of_the_first(scene, start):
    edge = start(scene.config(workers=1))
    origin = scene["us-east-1"]
    for _ in range(2):
        gate = threading.Event()
        origin.answer = faults.until(gate, faults.normally)
        seen = len(origin.requests)
        threads = [threading.Thread(target=edge.fetch) for _ in range(100)]
        for thread in threads:
            thread.start()
        wait_until(lambda seen=seen: len(origin.requests) == seen + 100, what="100 requests at once")
        gate.set()
        for thread in threads:
            thread.join()
    metrics = edge.settled()
    assert metrics.value("nearhop_pool_opened_total", origin="us-east-1") == 100
    assert metrics.value("nearhop_pool_connections", origin="us-east-1", state="idle") == 100


def test_origin_connections_end_after_their_requests(scene, start):
    config = scene.config(workers=1)
    config["limits"] = {"origin_requests": 5}
    edge = start(config)
    for _ in range(20):
        assert edge.fetch().status == 200
    numbers = [request.connection.number for request in scene["us-east-1"].requests]
    assert max(numbers.count(number) for number in set(numbers)) == 5


def test_a_hundred_clients_at_once_are_all_served(scene, start):
    edge = start(scene.config())
    good = []

    def visit():
        with edge.connect() as connection:
            for _ in range(5):
                connection.send(request_bytes())
                if connection.response().status == 200:
                    good.append(1)

    threads = [threading.Thread(target=visit) for _ in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(patient(30))
    assert len(good) == 500


def test_plain_admin_and_metrics_work_while_sessions_are_full(scene, start):
    config = scene.config()
    config["limits"] = {"sessions": 5}
    edge = start(config)
    crowd = open_many(edge, 20)
    for _ in range(5):
        assert edge.admin("/livez").status == 200
    wait_until(lambda: sum_of(edge, "sessions") >= 5, what="the crowd to be accepted")
    for sock in crowd:
        sock.close()
    with Connection(edge.addresses("admin")[0]) as connection:
        assert connection.request("GET", "/livez", host="admin").status == 200
