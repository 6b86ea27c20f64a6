"""Whether the rest could carry what an origin does: known beforehand, and asked before an origin is drained."""

import pytest
from support.clock import wait_until
from support.proxy import TOKEN, run
from support.setup import viewer

from capacity_test import Asking, held
from orders_test import order

NEAR, NEXT, FAR = "eu-west-1", "us-east-1", "ap-southeast-1"


def config(scene, capacity, **changes):
    made = scene.config(passive={"enabled": False}, **changes)
    for name, most in capacity.items():
        made["origins"][name]["capacity"] = most
    return made


def survivable(edge, name):
    return edge.metrics().value("nearhop_survivable", lost_origin=name)


def row(edge, name):
    return next(each for each in edge.status()["headroom"] if each["lost_origin"] == name)


@pytest.fixture
def loaded(plain_scene, start):
    """Ten places at each origin; eight requests at the near one, five at each of the others."""
    edge = start(config(plain_scene, {NEAR: 10, NEXT: 10, FAR: 6}))
    events = [held(origin) for origin in plain_scene]
    asking = Asking(edge)
    for country, count in (("DE", 7), ("US", 7), ("JP", 4)):
        asking.ask(count, fields=viewer(country))
    wait_until(lambda: edge.metrics().sum("nearhop_origin_in_flight") == 18, what="all of them in flight")
    yield edge
    for event in events:
        event.set()
    assert [answer.status for answer in asking.all()] == [200] * 18


def test_the_loss_that_the_rest_could_not_carry_is_told_before_it_happens(loaded):
    edge = loaded
    wait_until(lambda: survivable(edge, NEAR) == 0, what="the warning")
    assert survivable(edge, FAR) == 1, "its four requests find room"
    line = edge.log.wait(event="headroom", lost_origin=NEAR, survivable="false")[0]
    assert line["level"] == "warning" and 0 < int(line["room"]) < int(line["in_flight"])
    wait_until(lambda: row(edge, NEAR)["in_flight"] > 6.5, what="the mean")
    assert 4.5 < row(edge, NEAR)["room"] < 5.5 and not row(edge, NEAR)["survivable"]
    assert set(row(edge, NEAR)["takes"]) == {NEXT, FAR}
    assert len(edge.log.find(event="headroom", lost_origin=NEAR)) == 1


def test_an_order_that_would_overload_the_rest_is_refused_unless_it_is_forced(loaded, tmp_path):
    edge = loaded
    for action in ("drain", "force-down"):
        refused = order(edge, action, NEAR)
        assert refused.status == 409
        assert b"would get 7 more requests in flight and have room for 5 (us-east-1:3,ap-southeast-1:2)" in refused.body
    assert edge.origin_status(NEAR)["override"] is None
    edge.log.wait(event="override_refused", origin=NEAR, author="ada")
    assert order(edge, "force-up", NEAR).status == 200, "takes nothing away"
    assert order(edge, "drain", NEAR, force="yes").status == 400
    assert order(edge, "drain", FAR).status == 200, "four requests find room"
    assert order(edge, "clear", FAR).status == 200

    token = tmp_path / "token"
    token.write_text(TOKEN)
    command = ("drain", NEAR, "--author", "ada", "--reason", "fire", "--admin", edge.addresses("admin")[0],
               "--token-file", token)  # fmt: skip
    done = run(*command)
    assert done.returncode == 1 and "have room for 5" in done.stderr and "--force" in done.stderr
    done = run(*command, "--force")
    assert done.returncode == 0, done.stderr
    assert edge.origin_status(NEAR)["draining"]


def test_what_drains_already_is_counted_with_what_would_be_next(loaded):
    edge = loaded
    assert order(edge, "drain", FAR).status == 200
    refused = order(edge, "drain", NEXT)
    assert refused.status == 409 and b"would get 11 more" in refused.body, "its seven, and the four of the far one"


def test_without_a_capacity_nothing_is_claimed_and_nothing_refused(plain_scene, start):
    edge = start(config(plain_scene, {}))
    go = held(plain_scene[NEAR])
    asking = Asking(edge)
    asking.ask(3, fields=viewer("DE"))
    wait_until(lambda: len(plain_scene[NEAR].requests) == 3, what="requests in flight")
    assert order(edge, "drain", NEAR).status == 200
    assert edge.status()["headroom"] == [] and not edge.metrics().all("nearhop_survivable")
    go.set()
    assert [answer.status for answer in asking.all()] == [200] * 3


def test_an_origin_without_a_capacity_takes_everything(plain_scene, start):
    edge = start(config(plain_scene, {NEAR: 2, NEXT: 2}))
    go = held(plain_scene[NEAR])
    asking = Asking(edge)
    asking.ask(1, fields=viewer("DE"))
    wait_until(lambda: len(plain_scene[NEAR].requests) == 1, what="the request in flight")
    wait_until(lambda: edge.metrics().all("nearhop_survivable"), what="a look")
    assert {survivable(edge, name) for name in (NEAR, NEXT, FAR)} == {1}
    assert order(edge, "drain", NEAR).status == 200
    go.set()
    assert [answer.status for answer in asking.all()] == [200]


def test_a_drain_keeps_away_who_waits_in_the_queue_as_well(plain_scene, start):
    made = config(plain_scene, {NEAR: 1, NEXT: 1}, site={"origins": [NEAR, NEXT], "policy": "failover"},
                  failover={"queue_time": "20s"})  # fmt: skip
    edge = start(made)
    go = {name: held(plain_scene[name]) for name in (NEAR, NEXT)}
    asking = Asking(edge)
    for name in (NEAR, NEXT):
        asking.ask()
        wait_until(lambda name=name: edge.metrics().sum("nearhop_origin_in_flight", origin=name) == 1, what="a full origin")
    asking.ask()
    wait_until(lambda: edge.metrics().sum("nearhop_origin_queued", origin=NEAR) == 1, what="the third to wait")
    assert order(edge, "drain", NEAR, force="true").status == 200
    go[NEAR].set()
    wait_until(lambda: edge.metrics().sum("nearhop_origin_queued", origin=NEXT) == 1, what="it to wait elsewhere")
    go[NEXT].set()
    assert sorted(answer.region for answer in asking.all()) == [NEAR, NEXT, NEXT]
    assert len(plain_scene[NEAR].requests) == 1, "the one that was there before the order"
