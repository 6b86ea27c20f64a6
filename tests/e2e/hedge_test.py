"""A late GET is also sent to the next origin, the first answer wins, and nobody is blamed for having been slower."""

import threading

import pytest
from support import faults
from support.clock import SLOW, patient, wait_until
from support.regions import load_on_a_stopped_region
from support.setup import quick

CALM = {"enabled": False}


def hedged(scene, hedge="100ms", *, site=None, **changes):
    return scene.config(site={"policy": "failover", "hedge": hedge, **(site or {})}, **changes)


def count(edge, metric, **labels):
    return edge.metrics().sum(metric, **labels)


def test_a_late_answer_is_asked_for_elsewhere_and_the_first_one_wins(plain_scene, start):
    edge = start(hedged(plain_scene))
    slow, next_one = plain_scene["us-east-1"], plain_scene["eu-west-1"]
    slow.answer = faults.hang
    answer = edge.fetch()
    assert (answer.status, answer.region, answer.decision["attempts"]) == (200, "eu-west-1", "2")
    assert (slow.attempts, next_one.attempts, plain_scene["ap-southeast-1"].attempts) == (1, 1, 0)
    wait_until(lambda: slow.open_connections() == 0 or edge.verdict("us-east-1"), what="the loser to be let go")
    metrics = edge.settled()
    assert metrics.sum("nearhop_hedges_total", origin="eu-west-1") == 1
    assert metrics.sum("nearhop_hedges_won_total", origin="eu-west-1") == 1
    assert metrics.sum("nearhop_failovers_total") == 0 and metrics.sum("nearhop_moved_requests_total") == 0


def test_the_loser_counts_against_nobody(plain_scene, start):
    edge = start(hedged(plain_scene, "20ms", failover={"budget_minimum": 1000}))
    plain_scene["us-east-1"].answer = faults.hang
    for _ in range(30):
        assert edge.fetch().region == "eu-west-1"
    assert edge.verdict("us-east-1") == "up"
    assert count(edge, "nearhop_origin_ejections_total", origin="us-east-1") == 0
    assert count(edge, "nearhop_attempts_total", origin="us-east-1") == 0, "it neither answered nor failed"
    wait_until(lambda: count(edge, "nearhop_pool_connections", origin="us-east-1", state="active") == 0,
               what="its connections to be closed")  # fmt: skip


def test_an_answer_in_time_is_asked_for_once(plain_scene, start):
    edge = start(hedged(plain_scene, f"{int(2 * SLOW)}s"))
    for _ in range(20):
        assert edge.fetch().region == "us-east-1"
    assert plain_scene.attempts() == 20


@pytest.mark.parametrize(
    ("method", "fields", "body"),
    [("POST", (), b"x"), ("PUT", (), b"x"), ("DELETE", (), None), ("GET", (), b"x"), ("OPTIONS", (), None)],
)
def test_only_get_and_head_without_a_body_are_hedged(plain_scene, start, method, fields, body):
    edge = start(hedged(plain_scene, "20ms", passive=CALM))
    go = threading.Event()
    plain_scene["us-east-1"].answer = faults.until(go, faults.normally)
    answers = []
    asking = threading.Thread(target=lambda: answers.append(edge.fetch(method, fields=fields, body=body)))
    asking.start()
    wait_until(lambda: plain_scene.attempts() == 1, what="the request to arrive")
    # A GET that comes later and is hedged: so the time of the first one is over.
    assert edge.fetch().region == "eu-west-1"
    go.set()
    asking.join(patient(10))
    assert answers[0].region == "us-east-1"
    assert [request.method for request in plain_scene["eu-west-1"].requests] == ["GET"]


def test_a_hedge_costs_a_token_and_there_is_one_at_most(plain_scene, start):
    budget = {"budget_percent": 0, "budget_minimum": 3}
    edge = start(hedged(plain_scene, "20ms", passive=CALM, failover=budget, workers=1, site={"deadline": "300ms"}))
    for name in ("us-east-1", "eu-west-1"):
        plain_scene[name].answer = faults.hang
    for _ in range(5):
        assert edge.fetch().status == 504
    assert (plain_scene["us-east-1"].attempts, plain_scene["eu-west-1"].attempts) == (5, 3)
    assert plain_scene["ap-southeast-1"].attempts == 0
    assert count(edge, "nearhop_retry_budget_tokens", site="main") == 0


@pytest.mark.parametrize("fault", [faults.reset, faults.close, faults.status(503)])
def test_a_first_attempt_that_fails_meanwhile_leaves_the_answer_to_the_hedge(plain_scene, start, fault):
    edge = start(hedged(plain_scene, "50ms", passive=CALM))
    break_it, go = threading.Event(), threading.Event()
    plain_scene["us-east-1"].answer = faults.until(break_it, fault)
    plain_scene["eu-west-1"].answer = faults.until(go, faults.normally)
    answers = []
    asking = threading.Thread(target=lambda: answers.append(edge.fetch()))
    asking.start()
    wait_until(lambda: plain_scene["eu-west-1"].attempts == 1, what="the hedge")
    break_it.set()
    wait_until(lambda: count(edge, "nearhop_failovers_total", origin="us-east-1") == 1, what="the first to be out")
    go.set()
    asking.join(patient(10))
    assert (answers[0].status, answers[0].region) == (200, "eu-west-1")
    assert plain_scene.attempts() == 2 and plain_scene["ap-southeast-1"].attempts == 0
    assert edge.settled().sum("nearhop_moved_requests_total", outcome="answered") == 1


@pytest.mark.parametrize("fault", [faults.reset, faults.status(503), "refused"])
def test_a_hedge_that_fails_leaves_the_first_attempt_alone(plain_scene, start, fault):
    edge = start(hedged(plain_scene, "50ms", passive=CALM))
    go = threading.Event()
    plain_scene["us-east-1"].answer = faults.until(go, faults.normally)
    if fault == "refused":
        plain_scene["eu-west-1"].refuse()
    else:
        plain_scene["eu-west-1"].answer = fault
    answers = []
    asking = threading.Thread(target=lambda: answers.append(edge.fetch()))
    asking.start()

    def failed():
        ended = edge.metrics().all("nearhop_attempts_total", origin="eu-west-1")
        return sum(value for _, value in ended) == 1

    wait_until(failed, what="the hedge to fail")
    go.set()
    asking.join(patient(10))
    assert (answers[0].status, answers[0].region) == (200, "us-east-1")
    assert plain_scene["ap-southeast-1"].attempts == 0


def test_a_client_that_leaves_cancels_both(plain_scene, start):
    edge = start(hedged(plain_scene, "50ms"))
    for origin in plain_scene:
        origin.answer = faults.hang
    with edge.connect() as connection:
        connection.send(b"GET / HTTP/1.1\r\nHost: api.example.com\r\n\r\n")
        wait_until(lambda: plain_scene["eu-west-1"].attempts == 1, what="the hedge")
    wait_until(lambda: count(edge, "nearhop_pool_connections", state="active") == 0, what="both to be closed")
    assert edge.settled().sum("nearhop_faults_total", fault="client_gone") == 1


def test_p95_learns_from_the_origin_and_waits_until_it_knows_enough(plain_scene, start):
    edge = start(hedged(plain_scene, "p95", workers=1, site={"deadline": "500ms"}, passive=CALM))
    plain_scene["us-east-1"].answer = faults.hang
    assert edge.fetch().status == 504, "nothing is known yet"
    plain_scene["us-east-1"].answer = faults.normally
    with edge.connect() as connection:
        for _ in range(120):
            assert connection.request().status == 200
    plain_scene["us-east-1"].answer = faults.hang
    assert edge.fetch().region == "eu-west-1"
    assert edge.settled().sum("nearhop_hedges_won_total", origin="eu-west-1") >= 1


@pytest.mark.skipif(SLOW > 1, reason="measures time")
def test_with_a_hedge_a_stopped_origin_delays_no_request_above_half_a_second(authority, tmp_path, start):
    settings = {"health": quick(interval="1s"), "site": {"hedge": "300ms"}, "passive": {"stall": "0s"},
                "failover": {"budget_minimum": 1000}}  # fmt: skip
    with load_on_a_stopped_region(
        authority, tmp_path, start, rate=150, before=150, elsewhere=300, **settings
    ) as (edge, load, since):
        print(load.summary(), "hedges", count(edge, "nearhop_hedges_total"))
        assert not load.errors() and not load.truncated(), (load.summary(), load.errors()[:5])
        late = [o for o in load.outcomes if o.began >= since - 0.2 and o.seconds > 0.25]
        assert late, "no request was late: the test tests nothing"
        assert load.slowest() < 0.5, load.summary()
