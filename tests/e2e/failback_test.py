"""How an origin that was out gets its clients back: held first, then by and by, each client once."""

import time

from support import faults
from support.clock import patient, wait_until
from support.setup import quick

NEAR, NEXT = "eu-west-1", "us-east-1"
CLIENTS = [f"81.2.{69 + number // 200}.{number % 200}" for number in range(400)]  # one place, many addresses


HOUR = {"hold_min": "1h", "hold": "1h", "hold_max": "1h", "ramp": "1h"}


def region_of(edge, address):
    fields = [("X-Forwarded-For", address), ("CloudFront-Viewer-Country", "DE")]
    return edge.fetch(fields=fields).region


def share(edge):
    return edge.metrics().sum("nearhop_origin_share", origin=NEAR)


def fell(scene, edge):
    """The near region falls and is well again: its verdict is up."""
    scene[NEAR].health = scene[NEAR].answer = faults.close
    edge.wait_verdict(NEAR, "down")
    scene[NEAR].health, scene[NEAR].answer = 200, faults.normally
    edge.wait_verdict(NEAR, "up", 20)


def test_nobody_is_held_back_when_the_edge_starts(scene, start):
    edge = start(scene.config(health=quick(), failback=HOUR))
    assert share(edge) == 1
    assert region_of(edge, CLIENTS[0]) == NEAR


def test_a_short_outage_costs_a_short_hold(scene, start):
    edge = start(scene.config(health=quick(), failback={"hold": "2m", "ramp": "1m"}))  # the defaults
    fell(scene, edge)
    line = edge.log.wait(event="failback", origin=NEAR, state="held")[0]
    assert int(line["for_ms"]) < patient(10_000), "as long as it lasted, five seconds at least, not two minutes"
    wait_until(lambda: share(edge) == 1, 30, what="everybody to be back")


def test_clients_go_back_after_the_hold_each_of_them_once(scene, start):
    edge = start(scene.config(health=quick(), failback={"hold_min": "8s", "hold": "8s"}))
    fell(scene, edge)
    edge.log.wait_text(rf"failback.*{NEAR}.*held")
    assert share(edge) == 0
    assert {region_of(edge, address) for address in CLIENTS[:10]} == {NEXT}
    back = set()
    partly = 0
    deadline = time.monotonic() + patient(30)
    while len(back) < len(CLIENTS) and time.monotonic() < deadline:
        now = {address for address in CLIENTS[::4] if region_of(edge, address) == NEAR}
        assert back <= now, "who is back stays"
        partly += 0 < len(now) < len(CLIENTS[::4])
        back = now
        if len(now) == len(CLIENTS[::4]):
            break
    assert len(back) == len(CLIENTS[::4])
    assert partly > 0, "all of them at once is a stampede"
    edge.log.wait_text(rf"failback.*{NEAR}.*back")
    wait_until(lambda: share(edge) == 1, what="the whole share")

    def outage(what):
        figures = edge.metrics()
        return [figures.sum(f"nearhop_origin_{what}_seconds_{part}", origin=NEAR) for part in ("count", "sum")]

    wait_until(lambda: outage("recovery")[0] == 1, what="the end of the outage")
    assert 5 <= outage("recovery")[1] < 60, "the hold and the ramp"
    times, seconds = outage("detection")
    assert times >= 1 and seconds < 20 * times


def test_an_origin_that_is_held_serves_where_nobody_else_can(scene, start):
    edge = start(scene.config(health=quick(), failback=HOUR))
    fell(scene, edge)
    for name in (NEXT, "ap-southeast-1"):
        scene[name].health = 503
        edge.wait_verdict(name, "down")
    response = edge.fetch(fields=[("CloudFront-Viewer-Country", "DE")])
    assert (response.status, response.region) == (200, NEAR)
    assert response.decision["reason"] == "returning"


def test_explain_and_status_say_who_is_held_and_for_how_long(scene, start):
    edge = start(scene.config(health=quick(), failback=HOUR))
    fell(scene, edge)
    assert "returning" in str(edge.explain(country="DE", host="api.example.com"))
    origin = edge.origin_status(NEAR)
    assert origin["share"] == 0 and 3000 < origin["held_s"] <= 3600
