"""A dead region costs a client a retry, never an error; a request that may have been acted on is never repeated."""

import signal
import threading
import time

import pytest
from support import faults
from support.client import Ended, Truncated, request_bytes
from support.clock import FULL, SLOW, patient, wait_until
from support.load import Load
from support.origin_connection import Cut
from support.regions import config_of_processes, region_processes
from support.setup import REGIONS, Scene, quick, viewer

CALM = {"enabled": False}
RICH = {"budget_percent": 100, "budget_minimum": 10_000}
RATE = 200 if SLOW == 1 else 60


@pytest.fixture
def processes(authority, tmp_path):
    """Three TLS origins in processes of their own."""
    with region_processes(authority, tmp_path) as all_regions:
        yield all_regions


def config_for(authority, processes, **changes):
    return config_of_processes(authority, processes, health=quick(), **changes)


def test_an_origin_killed_under_load_costs_no_error_and_gets_its_traffic_back(authority, processes, start):
    config = config_for(authority, processes)
    config["passive"] = {"ejection": "500ms", "ejection_max": "1s"}
    edge = start(config)
    near = processes["eu-west-1"]
    load = Load(edge.https, authority.file, rate=RATE, fields=viewer("DE"))
    with load.running():
        for _ in range(3):
            wait_until(lambda: load.regions()["eu-west-1"] > 50, what=load.summary)
            since = time.monotonic()
            near.kill()
            wait_until(lambda: load.regions(since)["us-east-1"] > RATE / 2, 10, load.summary)
            edge.wait_verdict("eu-west-1", "down")
            near.start()
            since = time.monotonic()
            wait_until(lambda: load.regions(since)["eu-west-1"] > RATE / 2, 20, lambda: f"{load.summary()}\n{edge.log.text()}")
    print(load.summary(), "truncated", len(load.truncated()))
    assert not load.errors(), (load.summary(), load.errors()[:5])
    assert len(load.truncated()) <= 3, load.summary()  # responses already begun when the process died
    assert load.stale == 0, load.summary()
    assert load.slowest() < patient(2.5), load.summary()
    assert set(load.regions()) <= {"eu-west-1", "us-east-1"}


def test_an_origin_frozen_under_load_costs_no_error(authority, processes, start):
    timeout = int(300 * SLOW)
    edge = start(config_for(authority, processes, site={"head_timeout": f"{timeout}ms"}, failover=RICH))
    load = Load(edge.https, authority.file, rate=RATE, connections=32, fields=viewer("DE"))
    with load.running():
        wait_until(lambda: load.regions()["eu-west-1"] > 50, what=load.summary)
        since = time.monotonic()
        processes["eu-west-1"].signal(signal.SIGSTOP)
        try:
            wait_until(lambda: load.regions(since)["us-east-1"] > RATE, 20, load.summary)
            edge.wait_verdict("eu-west-1", "down")
        finally:
            processes["eu-west-1"].signal(signal.SIGCONT)
        edge.wait_verdict("eu-west-1", "up", 30)
    assert not load.errors() and not load.truncated(), (load.summary(), load.errors()[:5])


# ---- nothing is executed twice --------------------------------------------------------------------------------------
class Cutting:
    """One edge in front of plain origins, of which the first ends connections at a chosen byte."""

    def __init__(self, scene, start):
        self.scene = scene
        config = scene.config(site={"policy": "failover"}, passive=CALM, failover=RICH, workers=1)
        self.edge = start(config)
        self.origin = scene["us-east-1"]
        self.connection = None

    def send(self, method, number):
        """(what the client saw, its response): "answer", "truncated" or "ended"."""
        body = None if method == "GET" else f"body of {number:4d}".encode()
        if not self.connection:
            self.connection = self.edge.connect()
        try:
            self.connection.send(request_bytes(method, f"/cut-{number:04d}", [("X-Test-Id", f"{number:04d}")], body))
            response = self.connection.response(method)
            if response.closes:
                self.connection.close()
                self.connection = None
            return "answer", response
        except Truncated as error:
            self.connection = None
            return "truncated", error.response
        except Ended:
            self.connection = None
            return "ended", None

    def one(self, method, cut, number):
        """Runs one request against a cut and checks what must always hold."""
        self.scene.forget()
        self.origin.cut = cut
        seen, response = self.send(method, number)
        self.origin.cut = None
        where = f"{method} with {cut}: {seen} {response}"
        own = [r for r in self.scene.requests() if r.complete]
        if method == "POST":
            assert self.scene.attempts() <= 1, f"a POST was offered {self.scene.attempts()} times: {where}"
            assert not [r for name in REGIONS[1:] for r in self.scene[name].requests], where
        assert len({r.get("X-Test-Id") for r in own}) <= 1, where
        if seen == "answer":
            if response.status == 200:
                assert response.body == f"{response.region} {method} /cut-{number:04d}\n".encode(), where
            else:
                assert response.status == 502 and response.fault, where
        return seen, response

    def sizes(self, method):
        """Bytes of the request and of the response on the origin's side, and of the response's head."""
        self.scene.forget()
        assert self.send(method, 0)[1].status == 200
        request = self.origin.last()
        answer = request.answer_bytes()
        return len(request.raw), len(answer), answer.index(b"\r\n\r\n") + 4


STRIDE = 1 if SLOW == 1 or FULL else 11


@pytest.mark.parametrize("method", ["POST", "PUT", "GET"])
@pytest.mark.parametrize("how", ["fin", "rst"])
def test_a_connection_cut_at_every_byte_of_the_request_executes_nothing_twice(plain_scene, start, method, how):
    cutting = Cutting(plain_scene, start)
    size = cutting.sizes(method)[0]
    moved = 0
    for at in range(0, size + 1, STRIDE):
        seen, response = cutting.one(method, Cut("request", at, how), at)
        if method != "POST":
            assert seen == "answer" and response.status == 200, f"cut at {at}: {seen} {response}"
        moved += response is not None and response.region == "eu-west-1"
    assert moved == (0 if method == "POST" else len(range(0, size + 1, STRIDE)))


@pytest.mark.parametrize("method", ["POST", "PUT", "GET"])
@pytest.mark.parametrize("how", ["fin", "rst"])
def test_a_connection_cut_at_every_byte_of_the_response_executes_no_post_twice(plain_scene, start, method, how):
    cutting = Cutting(plain_scene, start)
    _, size, head = cutting.sizes(method)
    for at in range(0, size, STRIDE):
        seen, response = cutting.one(method, Cut("response", at, how), at)
        if method != "POST" and at < head:
            assert seen == "answer" and response.status == 200, f"cut at {at} of {head}: {seen} {response}"
        if method == "POST":
            assert seen != "answer" or response.status == 502, f"cut at {at}: {response}"
    assert cutting.one(method, Cut("response", size, "fin"), size)[1].status == 200


def test_the_same_over_tls_for_posts(authority, start):
    with Scene(authority) as scene:
        cutting = Cutting(scene, start)
        size = cutting.sizes("POST")[0]
        for at in range(1, size + 1, 1 if FULL else 7):
            cutting.one("POST", Cut("request", at, "rst"), at)
        for at in range(0, 100, 1 if FULL else 7):
            cutting.one("POST", Cut("response", at, "fin"), at)


def test_a_post_with_an_idempotency_key_is_repeated_at_the_same_origin_only(plain_scene, start):
    edge = start(plain_scene.config(site={"policy": "failover"}, passive=CALM))
    first = plain_scene["us-east-1"]
    first.answer = faults.first(1, faults.close, faults.normally)
    key = [("Idempotency-Key", '"abc"')]
    response = edge.fetch("POST", fields=key, body=b"pay")
    assert (response.status, response.region) == (200, "us-east-1")
    assert [request.body for request in first.requests] == [b"pay", b"pay"]
    first.answer = faults.close
    assert edge.fetch("POST", fields=key, body=b"pay").status == 502
    assert not plain_scene["eu-west-1"].requests and not plain_scene["ap-southeast-1"].requests


# ---- kept-alive connections -----------------------------------------------------------------------------------------
def once_per_connection(request):
    """Answers the first request of a connection and closes on the second: a keep-alive time-out at the worst moment."""
    request.read_body()
    if request.connection.requests > 1:
        faults.end(request, "fin")
    request.respond()


def test_a_stale_connection_is_tried_afresh_at_the_same_origin(plain_scene, start):
    edge = start(plain_scene.config(site={"policy": "failover"}, workers=1))
    origin = plain_scene["us-east-1"]
    origin.answer = once_per_connection
    for number in range(20):
        assert edge.fetch(target=f"/{number}").region == "us-east-1"
    assert not plain_scene["eu-west-1"].requests
    assert len(origin.requests) > 20, "no connection was stale: the test tests nothing"


def test_a_kept_connection_that_ends_late_had_the_request(plain_scene, start):
    """Asking the same origin anew would only double the wait."""
    edge = start(plain_scene.config(site={"policy": "failover"}, workers=1))
    origin = plain_scene["us-east-1"]

    def ends_late(request):
        if request.connection.requests > 1:
            time.sleep(1.3)
            faults.end(request, "fin")
        faults.normally(request)

    origin.answer = ends_late
    assert edge.fetch(target="/1").region == "us-east-1"
    answer = edge.fetch(target="/2")
    assert (answer.region, answer.decision["attempts"]) == ("eu-west-1", "2")
    assert origin.targets() == ["/1", "/2"]


def test_a_post_on_a_stale_connection_is_502_and_not_repeated(plain_scene, start):
    edge = start(plain_scene.config(site={"policy": "failover"}, workers=1))
    origin = plain_scene["us-east-1"]
    origin.answer = once_per_connection
    assert edge.fetch("POST", "/1", body=b"x").status == 200
    response = edge.fetch("POST", "/2", body=b"x")
    assert (response.status, response.fault) == (502, "origin_stale")
    assert origin.targets() == ["/1", "/2"] and not plain_scene["eu-west-1"].requests


def test_connections_that_the_origin_closed_while_idle_are_no_error_even_for_posts(plain_scene, start):
    edge = start(plain_scene.config(site={"policy": "failover"}, workers=1))
    origin = plain_scene["us-east-1"]
    for number in range(10):
        before = edge.metrics().sum("nearhop_pool_connections", origin="us-east-1", state="idle")
        assert edge.fetch("POST", f"/{number}", body=b"x").status == 200, before
        origin.drop("fin" if number % 2 else "rst")
        wait_until(
            lambda: edge.metrics().sum("nearhop_pool_connections", origin="us-east-1", state="idle") == 0,
            what="the edge to notice",
        )
    assert origin.targets() == [f"/{number}" for number in range(10)]


# ---- in flight ------------------------------------------------------------------------------------------------------
def test_requests_in_flight_when_a_region_dies_move_or_fail_once(plain_scene, start):
    edge = start(plain_scene.config(site={"policy": "failover"}))
    origin = plain_scene["us-east-1"]
    origin.answer = faults.hang
    answers = {}

    def ask(number):
        method = "POST" if number % 2 else "GET"
        answers[number] = edge.fetch(method, f"/{number}", body=b"x" if number % 2 else None)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(origin.requests) == 20, what="20 requests in flight")
    origin.refuse()
    origin.drop("rst")
    for thread in threads:
        thread.join(patient(20))
    for number, answer in answers.items():
        assert answer.status == (502 if number % 2 else 200), (number, answer)
    assert sorted(answers) == list(range(20))
    moved = [request.method for request in plain_scene["eu-west-1"].requests]
    assert moved == ["GET"] * 10


def test_a_client_that_leaves_cancels_its_attempt_and_counts_against_nobody(plain_scene, start):
    edge = start(plain_scene.config(site={"policy": "failover"}))
    origin = plain_scene["us-east-1"]
    origin.answer = faults.hang
    for _ in range(25):
        with edge.connect() as connection:
            seen = len(origin.requests)
            connection.send(request_bytes())
            wait_until(lambda seen=seen: len(origin.requests) > seen, what="the request to arrive")
    wait_until(lambda: origin.open_connections() <= 1, what=lambda: f"attempts to end, {origin.open_connections()} left")
    wait_until(lambda: edge.metrics().sum("nearhop_faults_total", fault="client_gone") == 25, what="25 clients gone")
    origin.answer = faults.normally
    assert edge.fetch().region == "us-east-1"
    assert edge.verdict("us-east-1") == "up" and not plain_scene["eu-west-1"].requests


# ---- nothing is up --------------------------------------------------------------------------------------------------
def take_down(scene, edge):
    for name in scene.origins:
        scene[name].health = 503
    for name in scene.origins:
        edge.wait_verdict(name, "down")


def test_all_origins_down_open_tries_them_in_policy_order(plain_scene, start):
    edge = start(plain_scene.config(health=quick()))
    take_down(plain_scene, edge)
    response = edge.fetch(fields=viewer("JP"))
    assert (response.status, response.region) == (200, "ap-southeast-1")
    assert response.decision["reason"] == "all_down_open"


def test_all_origins_down_closed_is_503_with_retry_after(plain_scene, start):
    edge = start(plain_scene.config(health=quick(), site={"all_down": "closed"}))
    take_down(plain_scene, edge)
    plain_scene.forget()
    response = edge.fetch(fields=viewer("JP"))
    assert (response.status, response.fault, response.get("Retry-After")) == (503, "no_origin", "5")
    assert not plain_scene.requests()
    plain_scene["us-east-1"].health = 200
    edge.wait_verdict("us-east-1", "up")
    assert edge.fetch(fields=viewer("JP")).region == "us-east-1"


def test_the_last_eligible_origin_serves_although_it_is_ejected(plain_scene, start):
    edge = start(plain_scene.config(site={"origins": ["us-east-1"]}))
    plain_scene["us-east-1"].answer = faults.status(502)
    for _ in range(6):
        assert edge.fetch().status == 502
    edge.log.wait_text(r"us-east-1.*ejected")
    plain_scene["us-east-1"].answer = faults.normally
    response = edge.fetch()
    assert (response.status, response.decision["reason"]) == (200, "last_eligible")


# ---- bounds ---------------------------------------------------------------------------------------------------------
def test_moves_after_bytes_were_sent_are_bounded_by_the_budget_and_others_are_free(plain_scene, start):
    budget = {"budget_percent": 0, "budget_minimum": 5}
    edge = start(plain_scene.config(site={"policy": "failover"}, passive=CALM, failover=budget, workers=1))
    plain_scene["us-east-1"].answer = faults.status(503)
    regions = [edge.fetch().region for _ in range(20)]
    assert regions == ["eu-west-1"] * 5 + ["us-east-1"] * 15
    plain_scene["us-east-1"].refuse()
    plain_scene["us-east-1"].drop()
    answers = [edge.fetch() for _ in range(20)]
    assert [answer.region for answer in answers[1:]] == ["eu-west-1"] * 19


def test_failover_can_be_switched_off(plain_scene, start):
    edge = start(plain_scene.config(site={"policy": "failover"}, passive=CALM, failover={"enabled": False}))
    plain_scene["us-east-1"].answer = faults.status(503)
    assert edge.fetch().status == 503
    plain_scene["us-east-1"].refuse()
    plain_scene["us-east-1"].drop()
    wait_until(lambda: edge.fetch().status == 502, what="an error without a second try")
    assert not plain_scene["eu-west-1"].requests


def test_failovers_are_counted(plain_scene, start):
    edge = start(plain_scene.config(site={"policy": "failover"}, passive=CALM))
    plain_scene["us-east-1"].answer = faults.status(503)
    for _ in range(3):
        assert edge.fetch().decision["attempts"] == "2"
    metrics = edge.settled()
    assert sum(value for name, _, value in metrics.samples if name.startswith("nearhop_failovers_total")) == 3
    assert metrics.sum("nearhop_requests_total", origin="eu-west-1") == 3
