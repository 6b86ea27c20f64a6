"""The edge itself is cut off: every origin and every control target is silent. Nothing is held against the origins."""

import pytest
from support import faults
from support.clock import wait_until
from support.resolver import Resolver
from support.setup import quick, viewer

NEAR, NEXT = "eu-west-1", "us-east-1"
HELD = {"hold_min": "1h", "hold": "1h", "hold_max": "1h", "ramp": "1h"}  # an origin that fell would get nobody back for an hour


class Target:
    """A DNS server that answers, or does not."""

    def __init__(self):
        self.server = Resolver()
        self.speak()

    def speak(self):
        self.server.set("", "127.0.0.1")

    def fall_silent(self):
        self.server.fail("", "silence")


@pytest.fixture
def target():
    made = Target()
    with made.server:
        yield made


def config(scene, *targets, **changes):
    changes.setdefault("failback", HELD)
    changes.setdefault("health", quick())
    isolation = {"control": list(targets), "interval": "1s", "interval_failing": "200ms", "timeout": "200ms"}
    isolation.update(changes.pop("isolation", {}))
    return scene.config(isolation=isolation, **changes)


def dns(target):
    return f"dns://{target.server.server}"


def cut_off(scene, target):
    target.fall_silent()
    for origin in scene:
        origin.fall_silent()


def mend(scene, target=None):
    if target:
        target.speak()
    for origin in scene:
        origin.speak()


def isolated(edge):
    return edge.metrics().value("nearhop_isolated")


def ready(edge):
    return edge.admin("/readyz").status


def wait_isolated(edge, yes=True):
    wait_until(lambda: isolated(edge) == yes, what="isolation" if yes else "its end")


def test_a_control_target_that_is_gone_alone_changes_nothing(scene, start, target):
    edge = start(config(scene, dns(target)))
    assert edge.metrics().value("nearhop_control_target_answers", target=dns(target)) == 1
    target.fall_silent()
    edge.log.wait(event="control_target", target=dns(target), answers="false")
    assert edge.metrics().value("nearhop_control_target_answers", target=dns(target)) == 0
    assert ready(edge) == 200 and not isolated(edge)
    assert edge.fetch(fields=viewer("DE")).region == NEAR
    # Nor does the death of one origin beside it.
    scene[NEAR].fall_silent()
    edge.wait_verdict(NEAR, "down")
    assert ready(edge) == 200 and not isolated(edge)
    assert edge.fetch(fields=viewer("DE")).region == NEXT
    target.speak()
    edge.log.wait(event="control_target", target=dns(target), answers="true")
    assert not edge.log.find(event="isolated")


def test_verdicts_stand_still_and_nobody_is_held_back_when_the_network_returns(scene, start, target):
    edge = start(config(scene, dns(target)))
    assert edge.fetch(fields=viewer("DE")).region == NEAR
    failed = edge.metrics().sum("nearhop_probes_total", result="connect_timeout")
    cut_off(scene, target)
    wait_isolated(edge)
    assert ready(edge) == 503
    status = edge.status()
    assert status["isolation"]["isolated"] and not status["ready"]
    assert status["isolation"]["control"][0]["answers"] is False
    assert "cut off" in edge.explain(country="DE")["health"]
    wait_until(lambda: edge.metrics().sum("nearhop_probes_total", result="connect_timeout") > failed + 12,
               what="many failed probes")  # fmt: skip
    for name in scene.origins:
        state = edge.origin_status(name)
        assert state["verdict"] == "up" and not state["ejected"], "as before"
    assert edge.explain(country="DE")["candidates"][0]["origin"] == NEAR, "requests are tried in the usual order"

    mend(scene, target)
    wait_isolated(edge, False)
    assert ready(edge) == 200
    assert edge.fetch(fields=viewer("DE")).region == NEAR, "at once"
    assert edge.fetch(fields=viewer("US")).region == NEXT
    assert edge.metrics().sum("nearhop_origin_share") == len(scene.origins)
    assert edge.metrics().value("nearhop_isolations_total") == 1
    edge.log.wait(event="isolation_ended")
    assert len(edge.log.find(event="isolated")) == 1 and len(edge.log.find(event="isolation_ended")) == 1
    assert not edge.log.find(event="failback")


def test_verdicts_that_fell_before_it_was_known_are_taken_back(scene, start, target):
    edge = start(config(scene, dns(target), isolation={"timeout": "2s"}))
    cut_off(scene, target)
    for name in scene.origins:
        edge.wait_verdict(name, "down")
    wait_isolated(edge)
    lines = edge.log.wait(event="isolated")
    assert sorted(lines[0]["taken_back"].split(",")) == sorted(scene.origins)
    assert {edge.verdict(name) for name in scene.origins} == {"up"}
    mend(scene, target)
    wait_isolated(edge, False)
    assert edge.fetch(fields=viewer("DE")).region == NEAR
    assert edge.metrics().sum("nearhop_origin_share") == len(scene.origins)


def test_an_origin_that_died_before_stays_dead_and_is_held_back_as_usual(scene, start, target):
    edge = start(config(scene, dns(target)))
    scene[NEAR].health = 503
    edge.wait_verdict(NEAR, "down")
    seen = len(scene[NEAR].probes)
    # What fell within two seconds before the last answer is taken back too.
    wait_until(lambda: len(scene[NEAR].probes) > seen + 12, what="a while as a dead origin")
    cut_off(scene, target)
    wait_isolated(edge)
    assert edge.verdict(NEAR) == "down" and edge.verdict(NEXT) == "up"
    scene[NEAR].health = 200
    mend(scene, target)
    wait_isolated(edge, False)
    edge.wait_verdict(NEAR, "up")
    assert edge.fetch(fields=viewer("DE")).region == NEXT
    assert edge.metrics().value("nearhop_origin_share", origin=NEAR) == 0


def test_origins_that_are_gone_while_a_control_target_answers_are_down(scene, start, target):
    silent = Target()
    with silent.server:
        silent.fall_silent()
        edge = start(config(scene, dns(silent), dns(target)))
        for origin in scene:
            origin.fall_silent()
        for name in scene.origins:
            edge.wait_verdict(name, "down")
        assert not isolated(edge) and ready(edge) == 200


def test_a_refusal_is_an_answer_of_origins_and_of_targets(scene, start, target):
    target.fall_silent()
    edge = start(config(scene, dns(target)))
    for origin in scene:
        origin.refuse()
        origin.drop()
    for name in scene.origins:
        edge.wait_verdict(name, "down")
    assert not isolated(edge), "the network is there: it brought the refusals"
    edge.reload(config(scene, f"tcp://{scene[NEAR].address}:{scene[NEAR].port}"))
    wait_until(lambda: edge.status()["isolation"]["control"][0]["answers"], what="the check")
    assert edge.status()["isolation"]["control"][0]["last"] == "refused"


def test_an_answer_of_an_origin_ends_it_as_well_and_so_does_a_reload_without_targets(scene, start, target):
    edge = start(config(scene, dns(target)))
    cut_off(scene, target)
    wait_isolated(edge)
    scene[NEXT].speak()
    wait_isolated(edge, False)
    assert edge.log.wait(event="isolation_ended")[0]["answered"] == NEXT
    scene[NEXT].fall_silent()
    wait_isolated(edge)
    edge.reload(scene.config(health=quick(), failback=HELD))
    wait_isolated(edge, False)
    assert ready(edge) == 200


def test_live_traffic_alone_ends_it(scene, start, target):
    """Probes that never pass: the health endpoints are gone as well."""
    edge = start(config(scene, dns(target), site={"head_timeout": "500ms"}))
    cut_off(scene, target)
    wait_isolated(edge)
    for origin in scene:
        origin.health = faults.hang_without_reading
        origin.speak()
    assert edge.fetch(fields=viewer("DE")).status == 200
    wait_isolated(edge, False)


def test_an_edge_that_starts_without_a_network_waits_for_it(scene, start, target):
    cut_off(scene, target)
    edge = start(config(scene, dns(target)), wait=False)
    edge.log.wait(event="ready")
    assert isolated(edge) and ready(edge) == 503
    assert {edge.verdict(name) for name in scene.origins} == {"unknown"}
    mend(scene, target)
    wait_isolated(edge, False)
    for name in scene.origins:
        edge.wait_verdict(name, "up")
    assert ready(edge) == 200 and edge.fetch(fields=viewer("DE")).region == NEAR
