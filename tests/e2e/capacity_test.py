"""An origin gets no more requests at a time than it may: others are preferred, then requests wait, then 503."""

import threading
import time

from support import faults
from support.client import request_bytes
from support.clock import patient, wait_until

CALM = {"enabled": False}


class Asking:
    """Requests in threads of their own, each over its own connection."""

    def __init__(self, edge):
        self.edge = edge
        self.answers = []
        self._threads = []

    def ask(self, count=1, **options):
        for _ in range(count):
            thread = threading.Thread(target=self._one, kwargs=options)
            thread.start()
            self._threads.append(thread)

    def _one(self, **options):
        began = time.monotonic()
        answer = self.edge.fetch(timeout=patient(20), **options)
        answer.seconds = time.monotonic() - began
        self.answers.append(answer)

    def all(self):
        for thread in self._threads:
            thread.join(patient(20))
        return self.answers


def config_for(scene, capacity, *, site=None, **changes):
    config = scene.config(site={"policy": "failover", **(site or {})}, passive=CALM, **changes)
    for name, most in capacity.items():
        config["origins"][name]["capacity"] = most
    return config


def held(origin):
    """Requests at the origin wait until the event is set."""
    event = threading.Event()
    origin.answer = faults.until(event, faults.normally)
    return event


def in_flight(edge, name="us-east-1"):
    return edge.metrics().sum("nearhop_origin_in_flight", origin=name)


def test_requests_spill_to_the_next_origin_from_eighty_percent_on(plain_scene, start):
    edge = start(config_for(plain_scene, {"us-east-1": 10}, workers=4))
    go = held(plain_scene["us-east-1"])
    asking = Asking(edge)
    for number in range(8):
        asking.ask()
        wait_until(lambda number=number: in_flight(edge) == number + 1, what="the request to be in flight")
    spilled = [edge.fetch() for _ in range(5)]
    assert [answer.region for answer in spilled] == ["eu-west-1"] * 5
    assert {answer.decision["reason"] for answer in spilled} == {"spilled"}
    go.set()
    assert [answer.region for answer in asking.all()] == ["us-east-1"] * 8
    metrics = edge.settled()
    assert metrics.sum("nearhop_origin_spilled_total", origin="us-east-1") == 5
    assert metrics.sum("nearhop_requests_total", origin="eu-west-1", reason="spilled") == 5
    wait_until(lambda: in_flight(edge) == 0, what="all slots given back")
    assert edge.fetch().region == "us-east-1"


def test_never_more_than_the_capacity_reaches_an_origin_over_all_workers(plain_scene, start):
    edge = start(config_for(plain_scene, {"us-east-1": 10}, workers=4, site={"origins": ["us-east-1"]},
                            failover={"queue_time": "20s"}))  # fmt: skip
    origin, lock, most, now = plain_scene["us-east-1"], threading.Lock(), [0], [0]
    go = threading.Event()

    def counting(request):
        request.read_body()
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        go.wait(patient(20))
        time.sleep(0.02)  # the time that an answer takes, not a wait for a timer
        with lock:
            now[0] -= 1
        request.respond()

    origin.answer = counting
    asking = Asking(edge)
    asking.ask(60)
    wait_until(lambda: queued(edge) == 50, what="fifty in the queue")
    go.set()
    assert [answer.status for answer in asking.all()] == [200] * 60
    assert most[0] == 10, "ten at a time, and not a share of them per worker"
    assert edge.settled().sum("nearhop_origin_queued", origin="us-east-1") == 0


def full_edge(scene, start, **failover):
    """An edge whose one origin has its two requests in flight."""
    edge = start(config_for(scene, {"us-east-1": 2}, site={"origins": ["us-east-1"]}, failover=failover))
    go = held(scene["us-east-1"])
    asking = Asking(edge)
    asking.ask(2)
    wait_until(lambda: in_flight(edge) == 2, what="both slots taken")
    return edge, go, asking


def queued(edge):
    return edge.metrics().sum("nearhop_origin_queued", origin="us-east-1")


def test_who_waits_gets_the_room_that_others_leave(plain_scene, start):
    edge, go, asking = full_edge(plain_scene, start, queue_time="20s")
    asking.ask(5)
    wait_until(lambda: queued(edge) == 5, what="five in the queue")
    assert plain_scene.attempts() == 2
    go.set()
    assert [answer.status for answer in asking.all()] == [200] * 7
    edge.settled()
    assert in_flight(edge) == 0 and queued(edge) == 0


def test_who_waits_too_long_gets_503_with_retry_after(plain_scene, start):
    edge, go, asking = full_edge(plain_scene, start, queue_time="300ms")
    answer = edge.fetch("POST", body=b"x")
    assert (answer.status, answer.fault, answer.get("Retry-After")) == (503, "origin_full", "1")
    metrics = edge.metrics()
    assert metrics.sum("nearhop_origin_full_total", why="queue_time") == 1
    assert metrics.sum("nearhop_own_answers_total", fault="origin_full") == 1
    go.set()
    assert [answer.status for answer in asking.all()] == [200] * 2
    assert edge.fetch().status == 200


def test_a_full_queue_refuses_at_once(plain_scene, start):
    edge, go, asking = full_edge(plain_scene, start, queue=1, queue_time="20s")
    asking.ask()
    wait_until(lambda: queued(edge) == 1, what="one in the queue")
    began = time.monotonic()
    assert edge.fetch().fault == "origin_full"
    assert time.monotonic() - began < patient(5)
    assert edge.metrics().sum("nearhop_origin_full_total", why="queue_full") == 1
    go.set()
    assert [answer.status for answer in asking.all()] == [200] * 3


def test_a_client_that_leaves_leaves_the_queue(plain_scene, start):
    edge, go, asking = full_edge(plain_scene, start, queue_time="20s")
    with edge.connect() as connection:
        connection.send(request_bytes())
        wait_until(lambda: queued(edge) == 1, what="the request to wait")
    wait_until(lambda: queued(edge) == 0, what="its place to be free")
    go.set()
    assert [answer.status for answer in asking.all()] == [200] * 2
    assert plain_scene.attempts() == 2, "nobody asked for the one that left"


def test_where_all_are_full_the_first_one_is_waited_for(plain_scene, start):
    capacity = {name: 1 for name in ("us-east-1", "eu-west-1", "ap-southeast-1")}
    edge = start(config_for(plain_scene, capacity, failover={"queue_time": "20s"}))
    events = [held(origin) for origin in plain_scene]
    asking = Asking(edge)
    for name in capacity:
        asking.ask()
        wait_until(lambda name=name: in_flight(edge, name) == 1, what=f"{name} to be full")
    asking.ask()
    wait_until(lambda: queued(edge) == 1, what="the fourth to wait for the first origin")
    for event in events:
        event.set()
    assert sorted(answer.region for answer in asking.all()) == sorted([*capacity, "us-east-1"])


def test_a_failed_attempt_gives_its_room_back(plain_scene, start):
    edge = start(config_for(plain_scene, {"us-east-1": 2}))
    plain_scene["us-east-1"].answer = faults.status(503)
    for _ in range(10):
        assert edge.fetch().region == "eu-west-1"
    plain_scene["us-east-1"].refuse()
    plain_scene["us-east-1"].drop()
    for _ in range(5):
        assert edge.fetch().region == "eu-west-1"
    edge.settled()
    assert in_flight(edge) == 0


def test_an_answer_that_is_kept_for_want_of_a_better_one_keeps_its_room(plain_scene, start):
    edge = start(config_for(plain_scene, {"us-east-1": 2}, site={"origins": ["us-east-1", "eu-west-1"]}))
    near, following = plain_scene["us-east-1"], plain_scene["eu-west-1"]
    go = threading.Event()

    def slowly(request):
        whole = request.answer_bytes(503, b"x" * 100)
        request.connection.write(whole[:-50])
        go.wait(patient(20))
        request.connection.write(whole[-50:])

    near.answer = slowly
    following.answer = faults.reset
    asking = Asking(edge)
    asking.ask(2)
    wait_until(lambda: following.attempts == 2, what="nobody to do better")
    wait_until(lambda: edge.metrics().sum("nearhop_origin_in_flight", origin="eu-west-1") == 0, what="its end there")
    assert in_flight(edge) == 2
    following.answer = faults.normally
    assert edge.fetch().region == "eu-west-1", "the first one has no room"
    go.set()
    assert [(answer.status, len(answer.body)) for answer in asking.all()] == [(503, 100)] * 2
    wait_until(lambda: in_flight(edge) == 0, what="all slots given back")


def test_a_reload_with_another_capacity_counts_on(plain_scene, start):
    config = config_for(plain_scene, {"us-east-1": 2}, site={"origins": ["us-east-1"]}, failover={"queue_time": "20s"})
    edge = start(config)
    go = held(plain_scene["us-east-1"])
    asking = Asking(edge)
    asking.ask(3)
    wait_until(lambda: queued(edge) == 1, what="one to wait")
    config["origins"]["us-east-1"]["capacity"] = 3
    edge.reload(config)
    wait_until(lambda: in_flight(edge) == 3 and queued(edge) == 0, what="the third to go")
    go.set()
    assert [answer.status for answer in asking.all()] == [200] * 3
    wait_until(lambda: in_flight(edge) == 0, what="all slots given back")
