"""An origin that takes requests and answers none is noticed by the requests that wait there, before any timeout."""

import threading
import time

import pytest
from support import faults
from support.client import request_bytes
from support.clock import SLOW, patient, wait_until
from support.regions import load_on_a_stopped_region

STALL = f"{int(300 * SLOW)}ms"


def warm(edge, count=150, region="us-east-1", **options):
    """So many quick answers that the edge knows how quick the origin is."""
    with edge.connect() as connection:
        for _ in range(count):
            assert connection.request(**options).region == region


def ask(edge, count, answers, **options):
    def one():
        began = time.monotonic()
        answer = edge.fetch(timeout=patient(30), **options)
        answer.seconds = time.monotonic() - began
        answers.append(answer)

    threads = [threading.Thread(target=one) for _ in range(count)]
    for thread in threads:
        thread.start()
    return threads


def stalls(edge, origin="us-east-1"):
    return edge.metrics().sum("nearhop_origin_stalls_total", origin=origin)


def config_for(scene, **passive):
    return scene.config(site={"policy": "failover"}, workers=1, passive={"stall": STALL, **passive})


def test_requests_that_wait_in_vain_move_and_others_are_not_sent_there(plain_scene, start):
    edge = start(config_for(plain_scene))
    warm(edge)
    plain_scene["us-east-1"].answer = faults.hang
    answers = []
    for thread in ask(edge, 6, answers):
        thread.join(patient(30))
    assert [answer.region for answer in answers] == ["eu-west-1"] * 6
    assert max(answer.seconds for answer in answers) < patient(5), "long before the ten seconds of head_timeout"
    metrics = edge.settled()
    assert metrics.sum("nearhop_failovers_total", origin="us-east-1", fault="origin_stalled") >= 3
    assert metrics.sum("nearhop_origin_stalls_total", origin="us-east-1") >= 1
    assert edge.fetch().region == "eu-west-1"


def test_clients_that_wait_for_a_100_feign_no_silence(plain_scene, start):
    """Any client could have an idle origin left that does not know Expect."""
    config = config_for(plain_scene)
    config["sites"]["main"]["head_timeout"] = "1m"
    config["sites"]["other"] = {**config["sites"]["main"], "hosts": ["other.example.com"], "origins": ["ap-southeast-1"]}
    edge = start(config)
    warm(edge)
    warm(edge, region="ap-southeast-1", host="other.example.com")
    plain_scene["us-east-1"].answer = lambda request: (
        faults.hang_without_reading if request.method == "PUT" else faults.normally)(request)
    near, before = plain_scene["us-east-1"], plain_scene["us-east-1"].attempts
    waiting = [edge.connect() for _ in range(5)]
    for connection in waiting:
        connection.send(request_bytes("PUT", "/", [("Expect", "100-continue"), ("Content-Length", "30")]))
    wait_until(lambda: near.attempts == before + 5, what="all at the origin")
    # Another origin has as long to answer, from now on, and its silence is found.
    go_on = threading.Event()
    plain_scene["ap-southeast-1"].answer = faults.until(go_on, faults.normally)
    threads = ask(edge, 4, [], host="other.example.com")
    wait_until(lambda: stalls(edge, "ap-southeast-1"), 20, "the silence of another origin")
    go_on.set()
    for thread in threads:
        thread.join(patient(30))
    assert stalls(edge) == 0 and plain_scene["eu-west-1"].attempts == 0
    assert edge.fetch().region == "us-east-1"
    for connection in waiting:
        connection.close()


def test_it_is_ejected_when_that_happens_again_and_again(plain_scene, start):
    edge = start(config_for(plain_scene))
    warm(edge)
    plain_scene["us-east-1"].answer = faults.hang

    def ejected():
        for thread in ask(edge, 4, []):
            thread.join(patient(30))
        return edge.origin_status("us-east-1")["ejected"]

    wait_until(ejected, 30, "the ejection")
    assert stalls(edge) >= 3, "one is not enough"
    edge.log.wait_text(r"us-east-1.*ejected=true.*requests wait without an answer")


def test_a_post_that_waits_in_vain_goes_on_waiting(plain_scene, start):
    edge = start(config_for(plain_scene))
    warm(edge)
    go = threading.Event()
    plain_scene["us-east-1"].answer = faults.until(go, faults.normally)
    posts, gets = [], []
    threads = ask(edge, 4, posts, method="POST", body=b"x")
    wait_until(lambda: stalls(edge) == 1, what="the silence to be noticed")
    threads += ask(edge, 2, gets)
    wait_until(lambda: len(gets) == 2, what="GETs to be answered elsewhere")
    assert not posts
    go.set()
    for thread in threads:
        thread.join(patient(30))
    assert [answer.region for answer in posts] == ["us-east-1"] * 4
    assert not [request for request in plain_scene["eu-west-1"].requests if request.method == "POST"]


@pytest.mark.parametrize("alive", [True, False], ids=["slow", "dead"])
def test_a_post_in_vain_is_told_so_only_where_probes_are_in_vain_too(plain_scene, start, alive):
    config = plain_scene.config(site={"policy": "failover", "head_timeout": f"{int(600 * SLOW)}ms"}, workers=1,
                                passive={"stall": STALL}, failover={"connect_timeout": f"{int(300 * SLOW)}ms"})  # fmt: skip
    edge = start(config)
    warm(edge)
    go = threading.Event()
    plain_scene["us-east-1"].answer = faults.until(go, faults.normally)
    if not alive:
        plain_scene["us-east-1"].health = faults.until(go, faults.normally)
    began = time.monotonic()
    posts = []
    threads = ask(edge, 4, posts, method="POST", body=b"x")
    if alive:
        wait_until(lambda: time.monotonic() > began + 2 * SLOW, what="time to go by")
        assert stalls(edge) >= 1 and not posts
    else:
        wait_until(lambda: len(posts) == 4, what="the POSTs to be given up")
        assert max(post.seconds for post in posts) < patient(10), "long before the deadline"
    go.set()
    for thread in threads:
        thread.join(patient(30))
    assert [post.status for post in posts] == [200 if alive else 504] * 4
    assert not [request for request in plain_scene["eu-west-1"].requests if request.method == "POST"]


def test_a_handshake_is_no_sign_of_life(scene, start):
    """Requests that come one by one to an origin that accepts, shakes hands, and hangs."""
    edge = start(config_for(scene))
    warm(edge)
    scene["us-east-1"].answer = faults.hang
    answers, threads = [], []
    for _ in range(15):
        threads += ask(edge, 1, answers)
        time.sleep(0.06 * SLOW)  # the pace of the load
    for thread in threads:
        thread.join(patient(30))
    assert [answer.region for answer in answers] == ["eu-west-1"] * 15
    assert stalls(edge) >= 1
    assert max(answer.seconds for answer in answers) < patient(5), "long before the ten seconds of head_timeout"


def test_a_slow_path_among_others_is_no_sign(plain_scene, start):
    edge = start(config_for(plain_scene))
    warm(edge)
    go = threading.Event()

    def by_path(request):
        (faults.until(go, faults.normally) if request.target == "/slow" else faults.normally)(request)

    plain_scene["us-east-1"].answer = by_path
    slow = []
    threads = ask(edge, 8, slow, target="/slow")
    wait_until(lambda: plain_scene["us-east-1"].attempts == 158, what="eight to wait")
    until = time.monotonic() + patient(1.5)
    with edge.connect() as connection:
        while time.monotonic() < until:
            assert connection.request().region == "us-east-1"
    go.set()
    for thread in threads:
        thread.join(patient(30))
    assert [answer.region for answer in slow] == ["us-east-1"] * 8
    assert stalls(edge) == 0


def test_it_can_be_switched_off(plain_scene, start):
    config = config_for(plain_scene, stall="0s")
    config["sites"]["main"]["head_timeout"] = f"{1000 * SLOW:.0f}ms"  # three times what silence would take
    edge = start(config)
    warm(edge)
    plain_scene["us-east-1"].answer = faults.hang
    answers = []
    for thread in ask(edge, 6, answers):
        thread.join(patient(30))
    assert [answer.region for answer in answers] == ["eu-west-1"] * 6
    metrics = edge.settled()
    assert metrics.sum("nearhop_failovers_total", origin="us-east-1", fault="origin_head_timeout") == 6
    assert stalls(edge) == 0


@pytest.mark.skipif(SLOW > 1, reason="measures time")
def test_a_stopped_origin_delays_few_requests(authority, tmp_path, start):
    """The bar of nginx and HAProxy in small: checks each second, an answer timeout of two seconds, no hedging."""
    health = {"interval": "1s", "interval_transitional": "1s", "interval_down": "1s", "timeout": "900ms"}
    with load_on_a_stopped_region(
        authority, tmp_path, start, rate=200, before=400, elsewhere=800, health=health, site={"head_timeout": "2s"}
    ) as (edge, load, since):
        late = [o for o in load.outcomes if o.began >= since - 0.5 and o.seconds > 0.25]
        print(load.summary(), "late", len(late), "stalls", edge.metrics().sum("nearhop_origin_stalls_total"))
        assert not load.errors() and not load.truncated(), (load.summary(), load.errors()[:5])
        assert edge.metrics().sum("nearhop_origin_stalls_total", origin="eu-west-1") >= 1
        assert len(late) <= 60, load.summary()
        assert load.slowest() < 2, load.summary()
