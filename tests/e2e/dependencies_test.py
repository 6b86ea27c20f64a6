"""Dependencies, not hosts: a failing check in a health body moves only what needs it. And what an origin says of itself."""

import gzip
import json

import pytest
from support import faults
from support.clock import wait_until
from support.setup import quick, viewer

NEAR, NEXT = "eu-west-1", "us-east-1"
CHECKS = {
    "cache": "note",
    "search": "degraded",
    "database": {"needs": "writes", "max": {"lag_seconds": 5}},
    "storage": ["/files/*"],
}


def body(region, lag=0.4, **failing):
    """The health body of an application with its four checks; `cache="fail"` lets one fail."""
    checks = {name: {"status": failing.get(name, "ok")} for name in CHECKS}
    checks["database"]["lag_seconds"] = lag
    return {"status": "healthy", "region": region, "checks": checks}


def say(origin, told, kind="application/json", status=200, fields=()):
    text = told if isinstance(told, bytes) else json.dumps(told).encode()
    origin.health = lambda request: request.respond(status, text, [("Content-Type", kind), *fields])


@pytest.fixture
def edge(scene, start):
    for name in scene.origins:
        say(scene[name], body(name))
    return start(scene.config(health=quick(checks=CHECKS)))


def check(edge, name, origin=NEAR):
    return next(each for each in edge.origin_status(origin)["checks"] if each["name"] == name)


def wait_check(edge, name, failing, origin=NEAR):
    wait_until(lambda: check(edge, name, origin)["failing"] == failing, what=lambda: f"{name}: {edge.log.text()}")


def regions(edge):
    """Where a German client's read, write, download and upload go."""
    asked = (("GET", "/"), ("POST", "/"), ("GET", "/files/a"), ("PUT", "/files/a"))
    return [edge.fetch(method, path, viewer("DE"), b"" if method != "GET" else None).region for method, path in asked]


def reason(edge, method="GET", path="/", country="DE"):
    explained = edge.explain(country=country, method=method, path=path)
    return {each["origin"]: each["reason"] for each in explained["candidates"] + explained["others"]}


def test_a_cache_outage_moves_no_traffic_and_is_shown(scene, edge):
    assert regions(edge) == [NEAR] * 4
    say(scene[NEAR], body(NEAR, cache="fail"))
    wait_check(edge, "cache", True)
    assert regions(edge) == [NEAR] * 4
    assert edge.verdict(NEAR) == "up"
    assert len(edge.log.wait(event="check")) == 1
    edge.log.wait(event="check", origin=NEAR, check="cache", failing="true", needs="note")
    metrics = edge.metrics()
    assert metrics.value("nearhop_origin_check", origin=NEAR, check="cache") == 0
    assert metrics.value("nearhop_origin_check", origin=NEAR, check="database") == 1
    assert metrics.value("nearhop_origin_check", origin=NEXT, check="cache") == 1
    explained = edge.explain(country="DE")
    assert explained["candidates"][0]["failing_checks"] == ["cache"]
    say(scene[NEAR], body(NEAR))
    wait_check(edge, "cache", False)
    edge.log.wait(event="check", check="cache", failing="false")


@pytest.mark.parametrize("broken", [{"database": "fail"}, {"lag": 5.5}, {"lag": None}], ids=["status", "lag", "no_lag"])
def test_a_read_only_database_moves_writes_only(scene, edge, broken):
    assert regions(edge) == [NEAR] * 4
    say(scene[NEAR], body(NEAR, **broken))
    wait_check(edge, "database", True)
    assert regions(edge) == [NEAR, NEXT, NEAR, NEXT]
    assert edge.verdict(NEAR) == "up"
    assert reason(edge, "POST")[NEAR] == "check_failed"
    assert reason(edge, "GET")[NEAR] == "nearest"
    say(scene[NEAR], body(NEAR))
    wait_check(edge, "database", False)
    assert regions(edge) == [NEAR] * 4


def test_a_storage_outage_moves_its_paths_only(scene, edge):
    say(scene[NEAR], body(NEAR, storage="fail"))
    wait_check(edge, "storage", True)
    assert regions(edge) == [NEAR, NEAR, NEXT, NEXT]


def test_a_check_that_degrades_ranks_the_origin_behind_those_that_are_up(scene, edge):
    say(scene[NEAR], body(NEAR, search="fail"))
    status = edge.wait_verdict(NEAR, "degraded")
    assert status["reason"] == "check failed"
    assert regions(edge) == [NEXT] * 4
    assert reason(edge)[NEAR] == "degraded"
    edge.log.wait(event="verdict", origin=NEAR, verdict="degraded")


def test_a_check_that_fails_now_and_then_adds_up_but_one_failure_moves_nothing(scene, edge):
    told = iter([body(NEAR, database="fail")])
    good = json.dumps(body(NEAR)).encode()
    origin = scene[NEAR]
    seen = len(origin.probes)
    origin.health = lambda request: request.respond(
        200, json.dumps(next(told, None) or body(NEAR)).encode(), [("Content-Type", "application/json")]
    )
    wait_until(lambda: len(origin.probes) > seen + 5, what="probes")
    assert not check(edge, "database")["failing"] and good
    assert not edge.log.find(event="check")


def test_where_every_database_is_read_only_the_applications_own_answer_reaches_the_client(scene, edge):
    for name in scene.origins:
        say(scene[name], body(name, database="fail"))
    for name in scene.origins:
        wait_check(edge, "database", True, name)
    scene[NEAR].answer = faults.status(409, b"read-only\n")
    answer = edge.fetch("POST", fields=viewer("DE"), body=b"x")
    assert (answer.status, answer.body) == (409, b"read-only\n")
    assert "reason=check_overruled" in answer.get("X-Nearhop-Decision")


def test_an_answer_of_another_region_is_a_failed_probe_with_its_reason(scene, edge):
    say(scene[NEAR], body(NEXT, cache="fail"))
    status = edge.wait_verdict(NEAR, "down")
    assert status["reason"] == "answer from another region"
    assert NEXT in status["addresses"][0]["last_probe"]["detail"]
    assert edge.metrics().sum("nearhop_probes_total", origin=NEAR, result="wrong_region") >= 2
    assert not check(edge, "cache")["failing"], "what another region says is no news of this one"
    assert regions(edge) == [NEXT] * 4


@pytest.mark.parametrize("kind", ["text/plain; charset=utf-8", "text/html", None])
def test_a_body_that_begins_like_json_is_read_whatever_its_type(scene, edge, kind):
    def undeclared(region, **failing):
        text = json.dumps(body(region, **failing)).encode()
        return lambda request: request.respond(200, text, [("Content-Type", kind)] if kind else [])

    scene[NEAR].health = undeclared(NEAR, database="fail")
    wait_check(edge, "database", True)
    assert regions(edge) == [NEAR, NEXT, NEAR, NEXT]
    scene[NEAR].health = undeclared(NEAR)
    wait_check(edge, "database", False)
    assert not edge.log.find(event="health_body_unread")


COMPRESSED = gzip.compress(b'{"checks": {}}', mtime=0)


@pytest.mark.parametrize("text, fields, why", [
    (b"ok", [("Content-Type", "text/plain")], "it is not JSON but text/plain"),
    (b"", [], "it is empty"),
    (COMPRESSED, [("Content-Type", "application/json"), ("Content-Encoding", "gzip")], "coded (gzip)"),
    (COMPRESSED, [("Content-Type", "application/json")], "compressed"),
], ids=["a word", "nothing", "coded", "compressed"])  # fmt: skip
def test_a_body_that_is_not_looked_at_takes_nobody_down_and_is_told_of_once(scene, edge, text, fields, why):
    say(scene[NEAR], body(NEAR, database="fail"))
    wait_check(edge, "database", True)
    scene[NEAR].health = lambda request: request.respond(200, text, fields)
    wait_check(edge, "database", False)
    assert check(edge, "database")["last"] == "missing", "what was said before does not stand for ever"
    seen = len(scene[NEAR].probes)
    wait_until(lambda: len(scene[NEAR].probes) > seen + 4, what="probes")
    assert edge.verdict(NEAR) == "up"
    lines = edge.log.wait(event="health_body_unread")
    assert len(lines) == 1 and lines[0]["origin"] == NEAR and why in lines[0]["what"], lines
    assert why in edge.origin_status(NEAR)["addresses"][0]["last_probe"]["detail"]
    assert edge.metrics().value("nearhop_origin_check_missing", origin=NEAR, check="database") == 1
    assert edge.metrics().value("nearhop_origin_check_missing", origin=NEXT, check="database") == 0


def test_a_utf8_mark_is_no_syntax_error(scene, edge):
    say(scene[NEAR], b"\xef\xbb\xbf" + json.dumps(body(NEAR, cache="fail")).encode())
    wait_check(edge, "cache", True)
    assert edge.verdict(NEAR) == "up"
    assert {probe.get("Accept-Encoding") for probe in scene[NEAR].probes} == {"identity"}


def test_a_check_that_no_body_has_told_of_is_warned_of_once(scene, start):
    for name in scene.origins:
        say(scene[name], body(name))
    edge = start(scene.config(health=quick(checks={"databse": "writes", "cache": "note"})))
    seen = len(scene[NEAR].probes)
    wait_until(lambda: len(scene[NEAR].probes) > seen + 6, what="probes")
    edge.log.wait(event="check_missing", origin=NEAR)
    assert [line["check"] for line in edge.log.find(event="check_missing", origin=NEAR)] == ["databse"]


def test_what_is_declared_json_and_is_none_is_a_failed_probe(scene, edge):
    say(scene[NEAR], b'{"checks":')
    assert edge.wait_verdict(NEAR, "down")["reason"] == "body is not JSON"


def test_a_body_beside_a_status_that_is_made_to_pass_is_read(scene, start):
    health = quick(checks=CHECKS, statuses=["200-299", 503])
    for name in scene.origins:
        say(scene[name], body(name))
    say(scene[NEAR], body(NEAR, cache="DOWN"), "application/vnd.spring-boot.actuator.v3+json", 503)
    edge = start(scene.config(health=health))
    wait_check(edge, "cache", True)
    assert edge.verdict(NEAR) == "up" and regions(edge) == [NEAR] * 4


def test_a_reload_changes_what_a_check_moves_and_forgets_nothing(scene, edge):
    say(scene[NEAR], body(NEAR, database="fail"))
    wait_check(edge, "database", True)
    since = check(edge, "database")["since"]
    edge.reload(scene.config(health=quick(checks={"other": "note", "database": ["/files/*"]})))
    assert check(edge, "database")["failing"] and check(edge, "database")["since"] == since
    assert regions(edge) == [NEAR, NEAR, NEXT, NEXT]


# ---- what an origin says of itself ----------------------------------------------------------------------------------
def speaking(*words):
    return lambda request: (request.read_body(), request.respond(fields=[("X-Origin-Health", word) for word in words]))


def test_an_origin_that_drains_itself_is_left_by_all_and_comes_back(scene, start):
    edge = start(scene.config(health=quick(agent_header="X-Origin-Health", agent_expiry="2s")))
    assert regions(edge) == [NEAR] * 4
    scene[NEAR].answer = speaking("drain")
    answer = edge.fetch(fields=viewer("DE"))
    assert answer.region == NEAR and answer.get("X-Origin-Health") is None, "it was for the edge"
    wait_until(lambda: regions(edge) == [NEXT] * 4, what="its traffic to leave")
    status = edge.origin_status(NEAR)
    assert (status["agent"], status["draining"], status["verdict"]) == ("drain", False, "up")
    assert edge.metrics().value("nearhop_origin_agent", origin=NEAR, word="drain") == 1
    assert edge.metrics().value("nearhop_origin_draining", origin=NEAR) == 0
    assert reason(edge)[NEAR] == "agent_draining"
    assert len(edge.log.wait(event="verdict", origin=NEAR, agent="drain")) == 1
    # Nothing says it again: it expires.
    scene[NEAR].answer = faults.normally
    wait_until(lambda: edge.origin_status(NEAR)["agent"] == "none", what="the word to expire")
    edge.log.wait(event="verdict", origin=NEAR, agent="none")
    assert regions(edge) == [NEAR] * 4


def test_behind_a_body_a_word_is_neither_heard_nor_passed_on(scene, start):
    edge = start(scene.config(health=quick(agent_header="X-Origin-Health")))
    scene[NEAR].answer = lambda request: (request.read_body(), request.respond(
        chunked=True, trailers=[("X-Sum", "1"), ("X-Origin-Health", "drain")]))  # fmt: skip
    assert edge.fetch(fields=viewer("DE")).trailers == [("X-Sum", "1")]
    assert edge.origin_status(NEAR)["agent"] == "none"


def test_probes_keep_a_word_alive_and_take_it_back(scene, start):
    edge = start(scene.config(health=quick(agent_header="X-Origin-Health", agent_expiry="1h")))
    say(scene[NEAR], {}, fields=[("X-Origin-Health", "degraded")])
    assert edge.wait_verdict(NEAR, "degraded")["reason"] == "degraded by its own report"
    assert regions(edge) == [NEXT] * 4
    say(scene[NEAR], {}, fields=[("X-Origin-Health", "up")])
    edge.wait_verdict(NEAR, "up")
    assert regions(edge) == [NEAR] * 4


def test_origins_that_all_drain_themselves_still_serve(scene, start):
    edge = start(scene.config(health=quick(agent_header="X-Origin-Health", agent_expiry="1h")))
    for origin in scene:
        say(origin, {}, fields=[("X-Origin-Health", "drain")])
    wait_until(lambda: all(edge.origin_status(name)["agent"] == "drain" for name in scene.origins), what="all to drain")
    assert regions(edge) == [NEAR] * 4
    assert reason(edge)[NEAR] == "leaving"


def test_by_default_the_field_is_the_clients(scene, start):
    edge = start(scene.config(health=quick()))
    scene[NEAR].answer = speaking("drain", "degraded")
    for _ in range(3):
        answer = edge.fetch(fields=viewer("DE"))
        assert answer.region == NEAR and answer.all("X-Origin-Health") == ["drain", "degraded"]
    assert edge.origin_status(NEAR)["agent"] == "none"
