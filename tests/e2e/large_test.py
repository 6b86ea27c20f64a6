"""Large bodies through little memory, both ways, and readers that are slower than the origin."""

import hashlib
import threading
import time

import pytest
from support import faults
from support.client import Truncated, request_bytes
from support.clock import FULL, SLOW, patient, wait_until
from support.proxy import sanitized

MIB = 1024 * 1024
SIZE = (1024 if FULL else 256) * MIB
BOUND_KIB = 64 * 1024
BLOCK = hashlib.sha256(b"nearhop").digest() * (8 * 1024)  # 256 KiB


@pytest.fixture
def small_memory():
    """Asserts at its end that the edge never held more than 64 MiB. A sanitizer's own memory is not judged."""
    edges = []
    yield edges.append
    for edge in edges:
        peak = edge.resident_kib("VmHWM")
        print(f"peak {peak} KiB")
        assert sanitized() or peak < BOUND_KIB, f"{peak} KiB resident"


def config_for(scene):
    config = scene.config(site={"policy": "failover"}, health={})
    config["log"]["access"] = "off"
    return config


def download(request):
    """SIZE bytes in the framing that the target names, without holding them here either."""
    chunks = request.target == "/chunked"
    head = b"Transfer-Encoding: chunked" if chunks else b"Content-Length: %d" % SIZE
    request.connection.write(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\n")
    piece = b"%x\r\n%s\r\n" % (len(BLOCK), BLOCK) if chunks else BLOCK
    for _ in range(SIZE // len(BLOCK)):
        request.connection.write(piece)
    if chunks:
        request.connection.write(b"0\r\n\r\n")


def digest():
    whole = hashlib.sha256()
    for _ in range(SIZE // len(BLOCK)):
        whole.update(BLOCK)
    return whole.hexdigest()


@pytest.mark.parametrize("target", ["/length", "/chunked"])
def test_a_large_download_is_whole_and_takes_little_memory(scene, start, small_memory, target):
    scene["us-east-1"].answer = download
    edge = start(config_for(scene))
    small_memory(edge)
    whole = hashlib.sha256()
    began = time.monotonic()
    with edge.connect(timeout=120) as connection:
        connection.send(request_bytes(target=target))
        response = connection.response(keep=False, on_piece=whole.update)
    print(f"{SIZE // MIB} MiB in {time.monotonic() - began:.1f} s")
    assert response.size == SIZE and whole.hexdigest() == digest()


@pytest.mark.parametrize("chunks", [False, True])
def test_a_large_upload_is_whole_and_takes_little_memory(scene, start, small_memory, chunks):
    received = hashlib.sha256()

    def upload(request):
        for piece in request.body_pieces():
            received.update(piece)
        request.respond(200, b"thanks")

    scene["us-east-1"].keep_bodies = False
    scene["us-east-1"].answer = upload
    edge = start(config_for(scene))
    small_memory(edge)
    with edge.connect(timeout=120) as connection:
        field = ("Transfer-Encoding", "chunked") if chunks else ("Content-Length", str(SIZE))
        connection.send(request_bytes("PUT", "/upload", [field]))
        piece = b"%x\r\n%s\r\n" % (len(BLOCK), BLOCK) if chunks else BLOCK
        for _ in range(SIZE // len(BLOCK)):
            connection.send(piece)
        connection.send(b"0\r\n\r\n" if chunks else b"")
        assert connection.response().body == b"thanks"
    assert received.hexdigest() == digest()


def test_a_reader_that_stops_holds_the_origin_back(scene, start, small_memory):
    """Twenty clients ask for much and read nothing: the edge must not read on for them."""
    sent = []

    def endless(request):
        request.connection.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % SIZE)
        for _ in range(SIZE // len(BLOCK)):
            request.connection.write(BLOCK)
            sent.append(len(BLOCK))

    scene["us-east-1"].answer = endless
    edge = start(config_for(scene))
    small_memory(edge)
    clients = [edge.connect(receive_buffer=16 * 1024) for _ in range(20)]
    for client in clients:
        client.send(request_bytes())

    def stalled():
        seen = len(sent)
        threading.Event().wait(0.5 * SLOW)  # a span in which nothing may move cannot be polled for
        return sent and len(sent) == seen

    wait_until(stalled, 30, "the origins to be held back")
    assert sum(sent) < 20 * 32 * MIB, f"{sum(sent) // MIB} MiB went to nobody"
    assert edge.fetch(method="HEAD", timeout=10).status == 200, "others are served meanwhile"
    body = clients[0].response(keep=False)
    assert body.size == SIZE
    for client in clients:
        client.close()


def test_an_origin_that_stops_reading_holds_the_client_back(scene, start, small_memory):
    gate = threading.Event()
    scene["us-east-1"].keep_bodies = False

    def late(request):
        assert gate.wait(patient(60))
        request.read_body()
        request.respond(200, b"late")

    scene["us-east-1"].answer = late
    edge = start(config_for(scene))
    small_memory(edge)
    with edge.connect(timeout=60) as connection:
        size = 64 * MIB
        connection.send(request_bytes("PUT", "/late", [("Content-Length", str(size))]))
        sent = [0]

        def push():
            while sent[0] < size:
                connection.send(BLOCK)
                sent[0] += len(BLOCK)

        thread = threading.Thread(target=push)
        thread.start()

        def stalled():
            seen = sent[0]
            threading.Event().wait(0.5 * SLOW)  # as above
            return seen and sent[0] == seen

        wait_until(stalled, 30, "the client to be held back")
        assert sent[0] < size, "the edge swallowed all of it"
        gate.set()
        thread.join(patient(60))
        assert connection.response().body == b"late"


def test_a_client_that_never_reads_is_cut_after_the_write_timeout(scene, start):
    scene["us-east-1"].answer = lambda request: request.respond(200, b"x" * (64 * MIB))
    config = config_for(scene)
    config["limits"] = {"write_timeout": "1s"}
    edge = start(config)
    with edge.connect(receive_buffer=16 * 1024, timeout=60) as connection:
        connection.send(request_bytes())
        wait_until(lambda: edge.metrics().sum("nearhop_faults_total", fault="client_write_timeout") == 1, 20, "the fault")
        with pytest.raises(Truncated):
            connection.response(keep=False)
    wait_until(lambda: scene["us-east-1"].open_connections() <= 1, what="the origin's connection to end")


def test_many_parallel_bodies_stay_apart(scene, start):
    def echo(request):
        request.respond(200, request.read_body(), chunked=len(request.body) % 2 == 1)

    scene["us-east-1"].answer = echo
    edge = start(config_for(scene))
    wrong = []

    def work(number):
        with edge.connect() as connection:
            for round_ in range(10):
                body = bytes([number + 1]) * (100_000 + number * 7 + round_)
                if connection.request("POST", f"/{number}", body=body).body != body:
                    wrong.append((number, round_))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(patient(60))
        assert not thread.is_alive()
    assert not wrong


def test_a_hundred_downloads_that_their_clients_abandon_leak_nothing(scene, start, small_memory):
    scene["us-east-1"].answer = faults.pieces(65536, b"x" * (8 * MIB))
    edge = start(config_for(scene))
    small_memory(edge)
    for _ in range(100):
        with edge.connect() as connection:
            connection.send(request_bytes())
            connection.head()
    wait_until(lambda: scene["us-east-1"].open_connections() <= 4, what=lambda: f"{scene['us-east-1'].open_connections()} connections to end")
    assert edge.open_files() < 60


# ---- large configurations -------------------------------------------------------------------------------------------
def many_sites(scene, sites=500, origins=8, workers=16):
    """Each site may use each origin, on each worker; hardly any of these ever meet."""
    config = scene.config(workers=workers)
    url = scene["us-east-1"].url
    config["origins"] = {f"origin-{i}": scene.origin_config("us-east-1", url=url, region="us-east-1") for i in range(origins)}
    config["sites"] = {f"site-{i}": {"hosts": [f"s{i}.example.com"]} for i in range(sites)}
    config["log"]["access"] = "off"
    return config


def test_counters_take_memory_for_what_is_used_only(scene, start):
    edge = start(many_sites(scene))
    before = edge.resident_kib()
    for i in range(100):  # new connections, so that the kernel spreads them over the workers
        assert edge.fetch(host=f"s{i}.example.com").status == 200
    grown = edge.resident_kib() - before
    print(f"grown by {grown} KiB")
    assert sanitized() or grown < 40 * 1024
    edge.reload(many_sites(scene, sites=1))
    wait_until(lambda: edge.metrics().all("nearhop_requests_total", site="site-7") == [], what="old rows to go")


def test_large_pages_are_made_while_probes_and_other_answers_go_on(scene, start):
    edge = start(many_sites(scene, sites=1000, workers=1))
    pages = []
    scraper = threading.Thread(target=lambda: pages.append(edge.admin("/metrics")))
    began = time.monotonic()
    scraper.start()
    longest = 0
    while not pages:
        asked = time.monotonic()
        assert edge.admin("/livez").status == 200
        longest = max(longest, time.monotonic() - asked)
    scraper.join()
    took = time.monotonic() - began
    print(f"the page took {took:.2f} s, the slowest other answer {longest:.2f} s")
    assert pages[0].status == 200 and longest < took / 2
