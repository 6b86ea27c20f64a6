"""One of an origin's two addresses drops every packet while connections stand. Who may move moves; a POST that this address
had acknowledged just before is told early, by what others and probes learn of the address and its own path says, and is
never sent again."""

import threading
import time

import pytest
from support import faults
from support.clock import SLOW, patient, wait_until
from support.origin import Origin
from support.resolver import Resolver
from support.setup import ONCE, viewer

NAME = "eu.origins.test"
CLIENT = viewer("DE")
DEADLINE = 8  # seconds of head_timeout: only who is told early comes back long before


def pair(identity):
    """Two origins on two addresses with one port: what one name stands for."""
    for _ in range(20):
        first = Origin("eu-west-1", identity, address="127.0.0.2")
        try:
            return first, Origin("eu-west-1", identity, address="127.0.0.3", port=first.port)
        except OSError:
            first.stop()
    raise AssertionError("no port is free on two addresses")


@pytest.fixture
def two(scene):
    first, second = pair(scene.origin_identity)
    with first, second:
        yield first, second


@pytest.fixture
def edge(scene, start, two):
    """Its probes come when something asks for them, and no silence is looked for: what is told is told by lost paths."""
    with Resolver() as resolver:
        resolver.set(NAME, "127.0.0.2", "127.0.0.3", ttl=60)
        health = {**ONCE, "timeout": "5s", "connect_timeout": f"{int(1000 * SLOW)}ms"}
        config = scene.config(
            health=health, site={"head_timeout": f"{int(DEADLINE * SLOW)}s"}, passive={"stall": "0s"},
            failover={"connect_timeout": f"{int(1000 * SLOW)}ms", "tls_timeout": f"{int(2000 * SLOW)}ms"})  # fmt: skip
        config["dns"] = {"servers": [resolver.server]}
        config["origins"]["eu-west-1"]["url"] = two[0].url_for(NAME)
        made = start(config)
        wait_until(lambda: two[0].probes and two[1].probes, what="the first probes")
        yield made


class Posts:
    """POSTs at both addresses, each with an id of its own, that wait for their answers."""

    def __init__(self, edge, two, at_least=1):
        self.go = threading.Event()
        self.answers, self._threads = {}, []
        for origin in two:
            origin.answer = slow_posts(self.go)
        while any(len(waiting(origin)) < at_least for origin in two):
            count = len(self._threads)
            assert count < 30, "one address is never chosen"
            thread = threading.Thread(target=self._one, args=(edge, count))
            thread.start()
            self._threads.append(thread)
            wait_until(lambda count=count: sum(len(waiting(o)) for o in two) > count, what="the POST to arrive")

    def _one(self, edge, number):
        began = time.monotonic()
        answer = edge.fetch("POST", f"/post/{number}", fields=CLIENT, body=b"x" * 1000, timeout=patient(30))
        answer.seconds = time.monotonic() - began
        self.answers[f"/post/{number}"] = answer

    def at(self, origin):
        return [self.answers[request.target] for request in waiting(origin) if request.target in self.answers]

    def finish(self):
        self.go.set()
        for thread in self._threads:
            thread.join(patient(30))


def slow_posts(go):
    slowly = faults.until(go, faults.normally)

    def answer(request):
        (slowly if request.method == "POST" else faults.normally)(request)

    return answer


def waiting(origin):
    return [request for request in origin.requests if request.method == "POST"]


def carried_out(scene, two):
    return [request.target for origin in (*scene, *two) for request in origin.requests if request.method == "POST"]


def told_early(posts, origin):
    """The POSTs at this address get their 504 long before head_timeout."""
    wait_until(lambda: len(posts.at(origin)) == len(waiting(origin)), 20, "the POSTs to be given up")
    for answer in posts.at(origin):
        assert (answer.status, answer.fault) == (504, "origin_lost")
        assert answer.seconds < DEADLINE * SLOW / 2


def test_a_post_is_told_though_nobody_else_uses_its_address(scene, edge, two):
    """A probe is asked for on its behalf."""
    posts = Posts(edge, two)
    probes = len(two[1].probes)
    two[0].fall_silent()
    told_early(posts, two[0])
    assert len(two[1].probes) > probes
    assert not posts.at(two[1]), "the other address lives: its POSTs are only slow"
    posts.finish()
    assert [answer.status for answer in posts.at(two[1])] == [200] * len(waiting(two[1]))
    assert len(carried_out(scene, two)) == len(set(carried_out(scene, two))), "a POST was sent twice"


def test_gets_move_and_posts_are_told(scene, edge, two):
    threads = [threading.Thread(target=lambda: [edge.fetch(fields=CLIENT) for _ in range(5)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(patient(30))  # idle connections to both addresses
    posts = Posts(edge, two)
    two[0].fall_silent()
    gets = []
    until = time.monotonic() + 2 * SLOW
    while time.monotonic() < until:
        gets.append(edge.fetch(fields=CLIENT, timeout=patient(30)))
        time.sleep(0.02)
    told_early(posts, two[0])
    assert {answer.status for answer in gets} == {200}
    assert not posts.at(two[1])
    posts.finish()
    assert [answer.status for answer in posts.at(two[1])] == [200] * len(waiting(two[1]))
    assert len(carried_out(scene, two)) == len(set(carried_out(scene, two))), "a POST was sent twice"


def test_a_slow_post_survives_the_loss_of_another_connection(scene, edge, two):
    """Something on the way forgot the other connections to this address, the probe's too: that is evidence, but its own
    path still answers."""
    threads = [threading.Thread(target=lambda: edge.fetch(fields=CLIENT)) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(patient(30))
    posts = Posts(edge, two)
    for origin in two:
        used = {request.connection for request in waiting(origin)}
        origin.fall_silent(only=[connection for connection in origin.connections() if connection not in used])
    until = time.monotonic() + 3.5 * SLOW
    while time.monotonic() < until:
        assert edge.fetch(fields=CLIENT, timeout=patient(30)).status == 200
    lost = {"origin": "eu-west-1", "fault": "origin_lost"}
    assert edge.metrics().sum("nearhop_failovers_total", **lost) >= 1, "no other connection was found lost"
    assert not posts.answers
    posts.finish()
    assert {answer.status for answer in posts.answers.values()} == {200}
    assert len(carried_out(scene, two)) == len(set(carried_out(scene, two)))
