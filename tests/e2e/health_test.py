"""What probes and live traffic say of an origin, and how soon requests follow."""

import json
import re
import threading
import time
from contextlib import ExitStack

import pytest
from support import faults
from support.client import HOST, Truncated
from support.clock import SLOW, patient, wait_until
from support.load import Load
from support.setup import quick, viewer

NEAR = "eu-west-1"


def ask(edge):
    return edge.fetch(fields=viewer("DE")).region


# How a probe fails, and what an operator reads.
REASONS = {
    "status": (lambda origin, _: setattr(origin, "health", 503), "status 503"),
    "redirect": (lambda origin, _: setattr(origin, "health", 302), "status 302"),
    "refused": (lambda origin, _: (origin.refuse(), origin.drop()), "L4 refused"),
    "hangs in the head": (lambda origin, _: setattr(origin, "health", faults.hang), "timeout in head"),
    "garbage": (lambda origin, _: setattr(origin, "health", faults.raw(b"hello\r\n\r\n")), "response"),
    "closes": (lambda origin, _: setattr(origin, "health", faults.close), "reset|closed"),
    "truncated body": (lambda origin, _: setattr(origin, "health", faults.truncated(5)), "bad response"),
    "expired certificate": (
        lambda origin, authority: (origin.use(authority.expired("127.0.0.1")), origin.drop("fin")),
        "expired certificate",
    ),
    "silence instead of TLS": (
        lambda origin, _: (setattr(origin, "on_accept", faults.hang_on_accept), origin.drop("fin")),
        "TLS.*timeout|timeout.*TLS",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REASONS)
def test_a_failing_probe_takes_an_origin_down_with_its_reason_and_it_comes_back(scene, start, authority, name):
    break_it, reason = REASONS[name]
    edge = start(scene.config(health=quick()))
    origin = scene[NEAR]
    assert ask(edge) == NEAR
    break_it(origin, authority)
    status = edge.wait_verdict(NEAR, "down")
    line = edge.log.wait_text(rf"{NEAR}.*verdict=down.*reason=")
    assert re.search(reason, line, re.I), line
    assert re.search(reason, json.dumps(status), re.I), status
    assert ask(edge) == "us-east-1"
    origin.health, origin.on_accept = 200, None
    origin.use(scene.origin_identity)
    origin.drop("fin")
    if origin._listener is None:
        origin.listen()
    edge.wait_verdict(NEAR, "up", 20)
    wait_until(lambda: ask(edge) == NEAR, what="its traffic to return")


def test_a_verdict_needs_fall_failures_and_rise_successes(scene, start):
    edge = start(scene.config(health=quick(fall=3, rise=3)))
    origin = scene[NEAR]
    edge.wait_verdict(NEAR, "up")
    # Two failures among successes are not three ...
    origin.forget()
    bad = faults.first(2, faults.status(503), lambda request: request.respond(200, b"ok"))
    origin.health = bad
    wait_until(lambda: len(origin.probes) >= 7, what="7 probes")
    assert edge.verdict(NEAR) == "up"
    # ... but failures that no run of three successes clears add up.
    count = [0]

    def flapping(request):
        count[0] += 1
        request.respond(503 if count[0] % 2 else 200, b"flap")

    origin.health = flapping
    edge.wait_verdict(NEAR, "down")
    edge_seen = count[0]
    wait_until(lambda: count[0] > edge_seen + 6, what="more probes")
    assert edge.verdict(NEAR) == "down", "flapping is not up"
    origin.health = 200
    edge.wait_verdict(NEAR, "up")


def test_the_first_result_decides_alone(scene, start):
    scene[NEAR].health = 503
    edge = start(scene.config(health=quick(fall=50, rise=50)))
    edge.wait_verdict(NEAR, "down")
    assert edge.verdict("us-east-1") == "up"
    assert ask(edge) == "us-east-1"


def test_the_listener_opens_after_the_first_round_so_that_first_answers_know(scene, start):
    scene["us-east-1"].health = scene[NEAR].health = 503
    edge = start(scene.config(health=quick()))
    assert ask(edge) == "ap-southeast-1"
    assert all(origin.probes for origin in scene)


def test_a_hanging_probe_does_not_hold_the_listener_for_ever(scene, start):
    scene[NEAR].on_accept = faults.hang_on_accept
    config = scene.config(health={"timeout": "60s", "connect_timeout": "60s"})
    edge = start(config)  # waits for `listening`, at most 5 s after the start
    assert edge.fetch(fields=viewer("US")).region == "us-east-1"


def test_the_probe_sends_its_host_and_path_over_a_kept_connection(scene, start):
    health = quick(host="users.example.com", path="/deep/health?full=1")
    for origin in scene:
        origin.health_path = "/deep/health?full=1"
    edge = start(scene.config(health=health))
    origin = scene[NEAR]
    wait_until(lambda: len(origin.probes) >= 4, what="4 probes")
    probe = origin.probes[0]
    assert (probe.method, probe.get("Host")) == ("GET", "users.example.com")
    assert probe.connection.sni is None  # the origin is an address
    assert len({probe.connection.number for probe in origin.probes[:4]}) <= 2, "probes reuse their connection"
    assert edge.verdict(NEAR) == "up"


def test_the_probe_host_is_that_of_users_by_default(scene, start):
    start(scene.config(health=quick()))
    assert scene[NEAR].probes[0].get("Host") == HOST


def test_expected_statuses_and_body_text(scene, start):
    edge = start(scene.config(health=quick(statuses=["200-299", 404], body_contains="all good")))
    for name in scene.origins:
        scene[name].health = lambda request: request.respond(404, b"... all good ...")
    for name in scene.origins:
        edge.wait_verdict(name, "up")
    scene[NEAR].health = lambda request: request.respond(200, b"all bad")
    edge.wait_verdict(NEAR, "down")
    edge.log.wait_text(rf"{NEAR}.*reason=.*body")
    scene[NEAR].health = lambda request: request.respond(200, b"x" * 1000 + b"all good", chunked=True)
    edge.wait_verdict(NEAR, "up")
    scene[NEAR].health = lambda request: request.respond(301, b"all good")
    edge.wait_verdict(NEAR, "down")


def test_a_probe_body_is_read_to_its_limit_only(scene, start):
    edge = start(scene.config(health=quick(body_limit="1KiB", body_contains="needle")))
    scene[NEAR].health = lambda request: request.respond(200, b"needle" + b"x" * 500_000)
    edge.wait_verdict(NEAR, "up")
    scene[NEAR].health = lambda request: request.respond(200, b"x" * 500_000 + b"needle")
    edge.wait_verdict(NEAR, "down")


# ---- what live traffic says -----------------------------------------------------------------------------------------
def ejected(edge, name=NEAR):
    return edge.origin_status(name).get("ejected") not in (None, False)


def ejections(edge, name=NEAR):
    """How often: a short one may be over before it is looked at."""
    return edge.metrics().sum("nearhop_origin_ejections_total", origin=name)


def test_a_health_endpoint_that_lies_does_not_keep_a_storm_of_errors(scene, start, authority):
    config = scene.config(health=quick())
    config["passive"] = {"ejection": "1s", "ejection_max": "1s"}
    config["failover"] = {"budget_percent": 100}
    edge = start(config)
    origin = scene[NEAR]
    load = Load(edge.https, authority.file, rate=100 / SLOW, connections=8, fields=viewer("DE"))
    with load.running():
        wait_until(lambda: load.regions()[NEAR] > 20, what=load.summary)
        origin.answer = faults.status(503)
        wait_until(lambda: ejections(edge), what="an ejection")
        edge.log.wait_text(rf"{NEAR}.*ejected")
        origin.answer = faults.normally
        wait_until(lambda: load.good()[-1].region == NEAR, 20, lambda: f"its traffic to return: {load.summary()}")
    assert not load.errors() and not load.truncated(), (load.summary(), load.errors()[:3])


def test_three_failed_connections_in_a_row_eject(scene, start):
    edge = start(scene.config())
    origin = scene[NEAR]
    assert ask(edge) == NEAR
    origin.on_accept = faults.reset_on_accept
    origin.drop("fin")
    wait_until(lambda: ask(edge) == "us-east-1" and ejected(edge), what=lambda: f"an ejection {edge.status()}")


def test_an_origin_that_cuts_each_answer_short_is_ejected(scene, start):
    edge = start(scene.config())
    scene[NEAR].answer = faults.truncated(100, then="rst")

    def cut():
        try:
            return edge.fetch(fields=viewer("DE")).region
        except Truncated:
            return None

    wait_until(lambda: cut() == "us-east-1", what=lambda: f"an ejection {edge.status()}")
    assert ejected(edge)
    assert 5 <= len(scene[NEAR].requests) <= 8, "five in a row, though each of them began well"


def decision(answer):
    return dict(part.split("=", 1) for part in answer.get("X-Nearhop-Decision").split("; "))


def test_a_worker_that_saw_one_connection_fail_tries_the_origin_no_more(scene, start):
    edge = start(scene.config(workers=1))
    assert ask(edge) == NEAR
    scene[NEAR].refuse()
    scene[NEAR].drop("fin")
    with edge.connect() as connection:
        first, second = (decision(connection.request("GET", "/", viewer("DE"))) for _ in range(2))
    assert (first["origin"], first["attempts"]) == ("us-east-1", "2")
    assert (second["origin"], second["attempts"]) == ("us-east-1", "1")


@pytest.mark.parametrize(
    "passive, failures", [({}, 5), ({"status_failures": 1000, "ratio_percent": 50}, 16)], ids=["row", "share"]
)
def test_what_one_worker_learns_moves_all_within_100_ms(scene, start, passive, failures):
    edge = start(scene.config(workers=2, failover={"budget_percent": 100}, passive=passive))
    with ExitStack() as open_ones:
        connections = [open_ones.enter_context(edge.connect()) for _ in range(16)]  # over both workers
        for connection in connections:
            assert connection.request("GET", "/", viewer("DE")).region == NEAR
        scene[NEAR].answer = faults.status(503)
        for _ in range(failures):  # one connection, one worker; the last one ejects: 5 in a row, or 16 of 32
            assert decision(connections[0].request("GET", "/", viewer("DE")))["attempts"] == "2"
        began = time.monotonic()
        late = []
        while time.monotonic() < began + 0.3 * SLOW:
            for connection in connections:
                asked = time.monotonic() - began
                if decision(connection.request("GET", "/", viewer("DE")))["attempts"] != "1":
                    late.append(asked)
    assert not late or max(late) < 0.1 * SLOW, late
    print(f"last attempt at the ejected origin after {max(late, default=0) * 1000:.1f} ms")


def test_an_ejected_origin_returns_after_passing_probes(scene, start):
    config = scene.config(health=quick())
    config["passive"] = {"ejection": "500ms"}
    edge = start(config)
    scene[NEAR].answer = faults.status(502)
    for _ in range(6):
        ask(edge)
    wait_until(lambda: ejections(edge), what="an ejection")
    scene[NEAR].answer = faults.normally
    wait_until(lambda: not ejected(edge), what="the ejection to end")
    wait_until(lambda: ask(edge) == NEAR, what="its traffic to return")


def test_an_origin_back_from_an_ejection_is_tried_by_one_request_at_a_time(scene, start):
    """Its health endpoint lies: each return is refuted by the first request that is sent there, and no POST is that one."""
    config = scene.config(health=quick(), workers=1)
    config["passive"] = {"ejection": "300ms"}
    edge = start(config)
    scene[NEAR].answer = faults.status(503)
    with edge.connect() as connection:
        while ejections(edge) < 1:
            connection.request("GET", "/", viewer("DE"))
        # It is counted a moment before the worker hears of it.
        wait_until(lambda: decision(connection.request("GET", "/", viewer("DE")))["attempts"] == "1", what="the worker")
        sent = len(scene[NEAR].requests)
        while ejections(edge) < 3:
            assert connection.request("POST", "/", viewer("DE"), body=b"x").status == 200
            assert connection.request("GET", "/", viewer("DE")).region == "us-east-1"
    tried = scene[NEAR].requests[sent:]
    assert [request.method for request in tried] == ["GET", "GET"]
    scene[NEAR].answer = faults.normally
    wait_until(lambda: ask(edge) == NEAR and ask(edge) == NEAR and ask(edge) == NEAR, what="its traffic to return")


def test_a_request_that_an_outage_left_behind_says_nothing_of_the_origin_that_is_back(scene, start):
    config = scene.config(health=quick(), site={"head_timeout": "4s", "deadline": "4s"})
    config["passive"] = {"ejection": "2s"}
    edge = start(config)
    origin = scene[NEAR]

    def hangs(request):
        (faults.hang if request.method == "POST" else faults.status(503))(request)

    origin.answer = hangs
    answers = []
    left_behind = threading.Thread(target=lambda: answers.append(edge.fetch("POST", "/", viewer("DE"), b"x")))
    left_behind.start()
    wait_until(lambda: origin.requests, what="the one that hangs")
    for _ in range(6):
        ask(edge)
    wait_until(lambda: ejections(edge), what="an ejection")
    origin.answer = faults.normally
    wait_until(lambda: not ejected(edge), what="the ejection to end")
    left_behind.join(patient(20))
    assert answers[0].status == 504
    seen = len(origin.probes)
    wait_until(lambda: len(origin.probes) > seen + 2, what="its report to be heard of")
    assert ejections(edge) == 1
    wait_until(lambda: ask(edge) == NEAR, what="its traffic to return")


@pytest.mark.parametrize("status", [500, 404, 501])
def test_statuses_that_are_the_applications_own_eject_nobody(scene, start, status):
    edge = start(scene.config())
    scene[NEAR].answer = faults.status(status)
    for _ in range(40):
        assert edge.fetch(fields=viewer("DE")).status == status
    assert not ejected(edge)


def test_passive_health_can_be_switched_off(scene, start):
    edge = start(scene.config(passive={"enabled": False}))
    scene[NEAR].answer = faults.status(502)
    for _ in range(30):
        edge.fetch("POST", fields=viewer("DE"), body=b"x")
    assert len(scene[NEAR].requests) == 30 and not ejected(edge)


def test_verdicts_and_probe_phases_are_metrics(scene, start):
    scene[NEAR].health = 503
    edge = start(scene.config(health=quick()))
    edge.wait_verdict(NEAR, "down")
    metrics = edge.metrics()
    assert metrics.sum("nearhop_origin_verdict", origin=NEAR, verdict="down") == 1
    assert metrics.sum("nearhop_origin_verdict", origin=NEAR, verdict="up") == 0
    assert metrics.sum("nearhop_origin_verdict", origin="us-east-1", verdict="up") == 1
    assert any(name.startswith("nearhop_probe") for name in metrics.names())
