"""Afterwards everybody can say why: the first choice, why it was passed over, and the origin that served, under every
policy, in the access line, the header and the metrics."""

import json

import pytest
from support import faults
from support.client import Connection, request_bytes
from support.clock import wait_until
from support.proxy import TOKEN
from support.setup import viewer

FIRST, NEXT = "eu-west-1", "us-east-1"
POLICIES = {
    "nearest": {},
    "country": {"countries": {"DE": [FIRST, NEXT]}},
    "failover": {"origins": [FIRST, NEXT, "ap-southeast-1"]},
    "latency": {},
}


def told(edge, response, count=1):
    """What the access line, the header and the metrics say, once the line is there."""
    wait_until(lambda: len(edge.output.lines) >= count, what="the access line")
    line = json.loads(edge.output.lines[count - 1])
    parts = response.decision
    assert parts["origin"] == line["origin"] == response.region
    assert (parts["first_choice"], parts.get("passed_over", "-")) == (line["first_choice"], line["passed_over"])
    return line["first_choice"], line["passed_over"], line["origin"]


def order(edge, action, origin=FIRST):
    body = b"author=ada&reason=test"
    fields = [("Content-Type", "application/x-www-form-urlencoded"), ("Authorization", f"Bearer {TOKEN}")]
    with Connection(edge.addresses("admin")[0]) as connection:
        connection.send(request_bytes("POST", f"/origins/{origin}/{action}", fields, body, host="admin"))
        answer = connection.response("POST")
    assert answer.status == 200, answer


def config_for(scene, policy, **changes):
    made = scene.config(site={"policy": policy, **POLICIES[policy]}, **changes)
    if policy == "latency":  # all are on loopback: the weight orders them
        made["origins"][FIRST]["weight"], made["origins"][NEXT]["weight"] = 3, 2
    return made


@pytest.mark.parametrize("policy", POLICIES)
def test_the_first_choice_serves(scene, start, policy):
    edge = start(config_for(scene, policy))
    assert told(edge, edge.fetch(fields=viewer("DE"))) == (FIRST, "-", FIRST)
    metrics = edge.settled()
    assert metrics.sum("nearhop_passed_over_total") == metrics.sum("nearhop_stood_in_total") == 0


@pytest.mark.parametrize("policy", POLICIES)
def test_the_first_choice_is_put_aside(scene, start, policy):
    edge = start(config_for(scene, policy))
    order(edge, "drain")
    assert told(edge, edge.fetch(fields=viewer("DE"))) == (FIRST, "draining", NEXT)
    metrics = edge.settled()
    assert metrics.sum("nearhop_passed_over_total", origin=FIRST, why="draining") == 1
    assert metrics.sum("nearhop_stood_in_total", origin=NEXT, why="draining") == 1
    assert metrics.sum("nearhop_passed_over_total") == metrics.sum("nearhop_stood_in_total") == 1


@pytest.mark.parametrize("policy", POLICIES)
def test_the_first_choice_fails_and_the_request_moves(scene, start, policy):
    edge = start(config_for(scene, policy))
    scene[FIRST].answer = faults.status(503)
    assert told(edge, edge.fetch(fields=viewer("DE"))) == (FIRST, "failed", NEXT)
    metrics = edge.settled()
    assert metrics.sum("nearhop_passed_over_total", origin=FIRST, why="failed") == 1
    assert metrics.sum("nearhop_stood_in_total", origin=NEXT, why="failed") == 1


def test_a_rule_forbids_the_first_choice(scene, start):
    edge = start(scene.config(site={"writes": [NEXT]}))
    assert told(edge, edge.fetch("POST", fields=viewer("DE"))) == (FIRST, "forbidden_write", NEXT)


def test_a_hedge_is_faster(scene, start):
    edge = start(scene.config(site={"hedge": "50ms"}))
    scene[FIRST].answer = faults.hang
    assert told(edge, edge.fetch(fields=viewer("DE"))) == (FIRST, "late", NEXT)


def test_a_key_went_elsewhere_before(scene, start):
    edge = start(scene.config())
    key = [("Idempotency-Key", "k1")]
    order(edge, "drain")
    assert told(edge, edge.fetch("POST", fields=viewer("DE") + key)) == (FIRST, "draining", NEXT)
    order(edge, "clear")
    assert edge.fetch(fields=viewer("DE")).decision["origin"] == FIRST
    wait_until(lambda: len(edge.output.lines) == 2, what="both lines")
    assert told(edge, edge.fetch("POST", fields=viewer("DE") + key), 3) == (FIRST, "key_pinned", NEXT)


def test_nobody_serves(scene, start):
    edge = start(scene.config(site={"writes": [NEXT]}))
    order(edge, "drain", NEXT)
    assert edge.fetch("POST", fields=viewer("DE")).status == 503
    wait_until(lambda: edge.output.lines, what="the access line")
    line = json.loads(edge.output.lines[-1])
    assert (line["first_choice"], line["passed_over"], line["origin"]) == (FIRST, "forbidden_write", "-")


def test_explain_tells_it_too(scene, start):
    edge = start(scene.config())
    order(edge, "drain")
    answer = edge.explain(country="DE", host="api.example.com")
    assert (answer["first_choice"], answer["passed_over"]) == (FIRST, "draining")
