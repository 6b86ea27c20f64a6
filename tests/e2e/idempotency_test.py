"""A request with an Idempotency-Key goes to one origin only, however often it is repeated and on whatever connection."""

import random
import threading
import time

import pytest
from support import faults
from support.clock import patient, wait_until
from support.setup import quick, viewer

CALM = {"enabled": False}


def key(text="abc"):
    return [("Idempotency-Key", f'"{text}"')]


def pay(edge, country="DE", text="abc", method="POST", target="/pay", **options):
    return edge.fetch(method, target, fields=[*viewer(country), *key(text)], body=b"pay", **options)


def test_a_repeated_request_goes_where_the_first_one_went(plain_scene, start):
    edge = start(plain_scene.config(workers=4, passive=CALM))
    assert pay(edge, "DE").region == "eu-west-1"
    for _ in range(12):  # connections of their own: any worker
        answer = pay(edge, "US")
        assert (answer.region, answer.decision["reason"]) == ("eu-west-1", "key_pinned")
    assert not plain_scene["us-east-1"].requests


@pytest.mark.parametrize("other", [{"text": "abd"}, {"target": "/pay?x"}, {"method": "PATCH"}])
def test_another_key_target_or_method_is_another_request(plain_scene, start, other):
    edge = start(plain_scene.config(passive=CALM))
    assert pay(edge, "DE").region == "eu-west-1"
    assert pay(edge, "US", **other).region == "us-east-1"


def test_a_key_that_connection_lists_reaches_the_origin_all_the_same(plain_scene, start):
    """Else the request would be repeated, and its origin could not know it again."""
    edge = start(plain_scene.config(passive=CALM))
    origin = plain_scene["us-east-1"]
    origin.answer = faults.first(1, faults.reset, faults.normally)
    fields = [*viewer("US"), ("Connection", "Idempotency-Key"), *key()]
    assert edge.fetch("POST", "/pay", fields, b"pay").region == "us-east-1"
    assert [request.get("Idempotency-Key") for request in origin.requests] == ['"abc"'] * 2


@pytest.mark.parametrize("keys", [[""], ['""'], ['"abc"', ""]])
def test_an_empty_key_is_none(plain_scene, start, keys):
    edge = start(plain_scene.config(passive=CALM))
    plain_scene["us-east-1"].answer = faults.reset
    fields = [("Idempotency-Key", each) for each in keys]
    assert edge.fetch("POST", "/pay", [*viewer("US"), *fields], b"pay").fault == "origin_reset"
    assert len(plain_scene.requests()) == 1, "executed once"
    assert edge.fetch("POST", "/pay", [*viewer("DE"), *fields], b"pay").region == "eu-west-1", "nor is it tied"


def test_a_421_for_a_key_that_its_origin_may_have_acted_on_ends_the_request(plain_scene, start):
    edge = start(plain_scene.config(passive=CALM))
    origin = plain_scene["eu-west-1"]
    assert pay(edge, "DE").region == "eu-west-1"
    origin.answer = faults.status(421)
    for country in ("DE", "US"):
        assert pay(edge, country).fault == "origin_misdirected"
    assert len(origin.requests) == len(plain_scene.requests()) == 3
    assert pay(edge, "DE", text="new").region == "us-east-1", "a key that nobody has acted on moves on"


def test_no_other_origin_gets_it_however_soon_the_key_is_forgotten(plain_scene, start):
    edge = start(plain_scene.config(passive=CALM, failover={"idempotency_expiry": "1s"}))
    origin = plain_scene["eu-west-1"]

    def acts_and_dies(request):
        request.read_body()
        time.sleep(1.2)  # the key's own time
        origin.refuse()
        faults.end(request, "fin")

    origin.answer = acts_and_dies
    answer = pay(edge, "DE")
    assert (answer.status, answer.fault) == (503, "key_pinned")
    assert not plain_scene["us-east-1"].requests and not plain_scene["ap-southeast-1"].requests


def test_a_key_that_was_claimed_elsewhere_meanwhile_ends_no_request_in_a_loop(plain_scene, start):
    edge = start(plain_scene.config(workers=1, passive=CALM, failover={"idempotency_expiry": "1s"}))
    origin = plain_scene["eu-west-1"]
    gate = threading.Event()
    origin.answer = faults.first(1, faults.until(gate, faults.close), faults.normally)
    answers = []
    first = threading.Thread(target=lambda: answers.append(pay(edge, "DE")), daemon=True)
    first.start()
    wait_until(lambda: origin.requests, what="the first request")
    time.sleep(1.2)  # the key's own time
    assert pay(edge, "US").region == "us-east-1", "forgotten: it is a new one"
    gate.set()
    first.join(patient(10))
    assert [answer.region for answer in answers] == ["eu-west-1"], "who may have acted is asked again, nobody else"
    assert len(origin.requests) == 2 and len(plain_scene["us-east-1"].requests) == 1


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_methods_that_may_be_repeated_anyway_are_not_tied(plain_scene, start, method):
    edge = start(plain_scene.config(passive=CALM))
    assert pay(edge, "DE", method=method).region == "eu-west-1"
    assert pay(edge, "US", method=method).region == "us-east-1"


def test_when_its_origin_is_gone_the_answer_is_503_and_no_other_origin_hears_of_it(plain_scene, start):
    edge = start(plain_scene.config(passive=CALM, health=quick()))
    origin = plain_scene["eu-west-1"]
    origin.answer = faults.reset
    assert pay(edge, "DE").status == 502
    assert [request.target for request in origin.requests] == ["/pay", "/pay"], "once more at the same origin"
    origin.refuse()
    origin.drop()
    for _ in range(3):
        answer = pay(edge, "DE")
        assert (answer.status, answer.fault, answer.get("Retry-After")) == (503, "key_pinned", "5")
    edge.wait_verdict("eu-west-1", "down")
    assert pay(edge, "DE").fault == "key_pinned"
    assert pay(edge, "DE", text="new").region == "us-east-1", "other keys are served"
    assert [request.get("Idempotency-Key") for request in plain_scene["us-east-1"].requests] == ['"new"']
    assert edge.settled().sum("nearhop_not_moved_total", why="key_pinned") >= 4
    origin.answer = faults.normally
    origin.listen()
    wait_until(lambda: pay(edge, "DE").region == "eu-west-1", what="the origin to serve its key again")
    assert len(plain_scene["us-east-1"].requests) == 1


def test_an_origin_that_never_got_a_byte_ties_nothing(plain_scene, start):
    edge = start(plain_scene.config(passive=CALM))
    origin = plain_scene["eu-west-1"]
    origin.refuse()
    assert pay(edge, "DE").region == "us-east-1"
    origin.listen()
    wait_until(lambda: edge.fetch(fields=viewer("DE")).region == "eu-west-1", what="the origin to be back")
    assert pay(edge, "DE").region == "us-east-1", "there it may have been executed"


def test_an_origin_that_refused_to_process_ties_nothing(plain_scene, start):
    edge = start(plain_scene.config(passive=CALM))
    plain_scene["eu-west-1"].answer = faults.status(421)
    assert pay(edge, "DE").region == "us-east-1"
    plain_scene["eu-west-1"].answer = faults.normally
    assert pay(edge, "DE").region == "us-east-1"


def test_a_repeat_beside_the_first_follows_it(plain_scene, start):
    edge = start(plain_scene.config(workers=2, passive=CALM))
    go = threading.Event()
    plain_scene["eu-west-1"].answer = faults.until(go, faults.normally)
    answers = []
    threads = [
        threading.Thread(target=lambda country=country: answers.append(pay(edge, country)))
        for country in ("DE", "US", "JP", "US")
    ]
    threads[0].start()
    wait_until(lambda: plain_scene["eu-west-1"].attempts == 1, what="the first one")
    for thread in threads[1:]:
        thread.start()
    wait_until(lambda: plain_scene["eu-west-1"].attempts == 4, what="all of them at the same origin")
    go.set()
    for thread in threads:
        thread.join(patient(10))
    assert [answer.region for answer in answers] == ["eu-west-1"] * 4


def test_a_key_expires(plain_scene, start):
    edge = start(plain_scene.config(passive=CALM, failover={"idempotency_expiry": "1s"}))
    assert pay(edge, "DE").region == "eu-west-1"
    wait_until(lambda: pay(edge, "US").region == "us-east-1", what="the key to expire", every=1.2)


def test_a_reload_keeps_the_keys(plain_scene, start):
    config = plain_scene.config(passive=CALM)
    edge = start(config)
    assert pay(edge, "DE").region == "eu-west-1"
    config["origins"] = dict(reversed(list(config["origins"].items())))  # other numbers inside
    edge.reload(config)
    assert pay(edge, "US").region == "eu-west-1"


def test_a_key_of_an_origin_that_the_rules_forbid_now_is_refused(plain_scene, start):
    config = plain_scene.config(passive=CALM)
    edge = start(config)
    assert pay(edge, "DE").region == "eu-west-1"
    config["sites"]["main"]["writes"] = ["us-east-1"]
    edge.reload(config)
    assert pay(edge, "DE").fault == "key_pinned"
    assert pay(edge, "DE", text="new").region == "us-east-1"


def test_whatever_fails_no_key_is_seen_by_two_origins(plain_scene, start):
    edge = start(plain_scene.config(workers=2, passive=CALM, failover={"budget_minimum": 10_000}))
    dice = random.Random(20240229)
    ways = [faults.normally, faults.normally, faults.reset, faults.close, faults.status(503), faults.status(500)]

    def chance(request):
        dice.choice(ways)(request)

    for origin in plain_scene:
        origin.answer = chance
    countries = ("DE", "US", "JP")
    for number in range(60):
        if number % 10 == 3:
            victim = plain_scene[dice.choice(("us-east-1", "eu-west-1"))]
            victim.refuse()
            victim.drop()
        if number % 10 == 7:
            victim.listen()
        for _ in range(4):
            pay(edge, dice.choice(countries), text=str(number))
    seen = {}
    for name, origin in plain_scene.origins.items():
        for request in origin.requests:
            seen.setdefault(request.get("Idempotency-Key"), set()).add(name)
    assert len(seen) >= 55 and len({name for names in seen.values() for name in names}) == 3, seen
    assert all(len(names) == 1 for names in seen.values()), seen
