"""Origin names whose addresses change, vanish or lie, as a load balancer's do. No request waits for DNS."""

import time

import pytest
from support import faults
from support.clock import SLOW, patient, wait_until
from support.load import Load
from support.origin import Origin
from support.resolver import AAAA, Resolver
from support.setup import quick, viewer

NAME = "eu.origins.test"
DNS = {"min_ttl": "1s", "max_ttl": "1s", "timeout": "500ms"}


@pytest.fixture
def resolver():
    with Resolver() as made:
        yield made


def pair(region, identity):
    """Two origins on two addresses with one port: what one name can stand for."""
    for _ in range(20):
        first = Origin(region, identity, address="127.0.0.2")
        try:
            return first, Origin(region, identity, address="127.0.0.3", port=first.port)
        except OSError:
            first.stop()
    raise AssertionError("no port is free on two addresses")


@pytest.fixture
def two(scene):
    first, second = pair("eu-west-1", scene.origin_identity)
    with first, second:
        yield first, second


def config_for(scene, resolver, two, **changes):
    config = scene.config(health=quick(), **changes)
    config["dns"] = {"servers": [resolver.server], **DNS}
    config["origins"]["eu-west-1"]["url"] = two[0].url_for(NAME)
    return config


def test_addresses_change_under_load_without_an_error(scene, start, authority, resolver, two):
    first, second = two
    resolver.set(NAME, "127.0.0.2", ttl=1)
    edge = start(config_for(scene, resolver, two))
    load = Load(edge.https, authority.file, rate=150 / SLOW, fields=viewer("DE"))
    with load.running():
        for old, new in ((first, second), (second, first), (first, second)):
            wait_until(lambda old=old: len(old.requests) > 20, what=load.summary)
            resolver.set(NAME, new.address, ttl=1)
            began = time.monotonic()
            new.forget()
            wait_until(lambda new=new: len(new.requests) > 20, what=lambda: f"the new address: {load.summary()}")
            assert time.monotonic() - began < patient(5)
            old.forget()
            # The balancer takes the old address away only after a while; then nobody may miss it.
            wait_until(lambda old=old: forgotten(edge, old), 20, "the edge to leave the old address")
            old.refuse()
            old.drop("fin")
            old.listen()
    assert not load.errors() and not load.truncated() and load.stale == 0, (load.summary(), load.errors()[:5])
    assert set(load.regions()) == {"eu-west-1"}, load.summary()


def forgotten(edge, origin):
    """True once the edge knows the address no longer and has closed every connection to it."""
    known = edge.origin_status("eu-west-1")["addresses"]
    return f"{origin.address}:{origin.port}" not in [each["address"] for each in known] and not origin.open_connections()


def test_the_server_name_and_the_verified_name_are_the_origins_own(scene, start, resolver, two):
    resolver.set(NAME, "127.0.0.2")
    edge = start(config_for(scene, resolver, two))
    assert edge.fetch(fields=viewer("DE")).region == "eu-west-1"
    assert two[0].last().connection.sni == NAME and two[0].last().get("Host") == "api.example.com"


@pytest.mark.parametrize("mode", ["nxdomain", "servfail", "silence"])
def test_old_answers_are_kept_when_dns_fails_and_nothing_waits(scene, start, authority, resolver, two, mode):
    resolver.set(NAME, "127.0.0.2", ttl=1)
    edge = start(config_for(scene, resolver, two))
    load = Load(edge.https, authority.file, rate=100 / SLOW, connections=8, fields=viewer("DE"))
    with load.running():
        wait_until(lambda: load.regions()["eu-west-1"] > 10, what=load.summary)
        asked = resolver.queries(NAME)
        resolver.fail(NAME, mode)
        wait_until(lambda: resolver.queries(NAME) >= asked + 3, 30, "the edge to ask again and again")
        two[0].drop("fin")  # even new connections go to the last good address
        seen = len(two[0].requests)
        wait_until(lambda: len(two[0].requests) > seen + 20, what=load.summary)
    assert not load.errors() and set(load.regions()) == {"eu-west-1"}, load.summary()
    assert load.slowest() < patient(1), load.summary()


@pytest.mark.parametrize("change", ["path", "statuses", "name"])
def test_a_reload_while_dns_is_silent_keeps_the_addresses_of_an_origin_that_is_asked_something_else(
        scene, start, authority, resolver, two, change):  # fmt: skip
    resolver.set(NAME, "127.0.0.2", ttl=1)
    config = config_for(scene, resolver, two)
    # Nobody else could answer: what goes wrong is seen.
    config["sites"]["main"]["origins"] = ["eu-west-1"]
    edge = start(config)
    load = Load(edge.https, authority.file, rate=100 / SLOW, connections=8, fields=viewer("DE"))
    with load.running():
        wait_until(lambda: load.regions()["eu-west-1"] > 10, what=load.summary)
        resolver.fail(NAME, "silence")
        if change == "path":
            config["origins"]["eu-west-1"]["health"] = {**quick(), "path": "/healthz?deep"}
        elif change == "statuses":
            config["origins"]["eu-west-1"]["health"] = {**quick(), "statuses": ["200-204"]}
        else:
            config["origins"]["eu-west-9"] = {**config["origins"].pop("eu-west-1"), "region": "eu-west-1"}
            config["sites"]["main"]["origins"] = ["eu-west-9"]
        edge.reload(config)
        seen = len(load.good())
        wait_until(lambda: len(load.good()) > seen + 50, what=load.summary)
    assert not load.errors(), (load.summary(), load.errors()[:3])


def test_a_name_that_never_resolved_is_down_with_a_reason_and_comes_up_later(scene, start, resolver, two):
    edge = start(config_for(scene, resolver, two))
    status = edge.wait_verdict("eu-west-1", "down")
    assert "DNS gave no address" in str(status)
    assert edge.fetch(fields=viewer("DE")).region == "us-east-1"
    resolver.set(NAME, "127.0.0.3")
    edge.wait_verdict("eu-west-1", "up", 20)
    assert edge.fetch(fields=viewer("DE")).region == "eu-west-1"


def test_a_silent_family_holds_back_no_address_of_the_other(scene, start, resolver, two):
    """RFC 8305 section 3: at the start and at each refresh, and `timeout` is of the whole."""
    resolver.set(NAME, "127.0.0.2", ttl=1)
    resolver.silence(NAME, AAAA)
    config = config_for(scene, resolver, two)
    config["dns"]["timeout"] = "2s"
    began = time.monotonic()
    edge = start(config)
    edge.wait_verdict("eu-west-1", "up")
    assert time.monotonic() - began < patient(4), "three times the timeout was more"
    wait_until(lambda: edge.origin_status("eu-west-1")["dns"]["error"], what="the silent half to be noticed")
    for address in ("127.0.0.3", "127.0.0.2"):
        resolver.set(NAME, address, ttl=1)
        began = time.monotonic()
        wait_until(lambda address=address: [a["address"] for a in edge.origin_status("eu-west-1")["addresses"]] == [f"{address}:{two[0].port}"])
        assert time.monotonic() - began < patient(5), f"{address}: at most a timeout, a TTL and a moment"
    phases = edge.metrics()
    count = phases.value("nearhop_probe_phase_seconds_count", origin="eu-west-1", phase="resolve")
    assert phases.value("nearhop_probe_phase_seconds_sum", origin="eu-west-1", phase="resolve") / count < patient(2.5)


def test_thousands_of_addresses_are_bounded_and_do_not_stop_the_control_thread(scene, start, resolver, two):
    resolver.set(NAME, *(f"127.9.{n // 250}.{n % 250 + 1}" for n in range(2000)), ttl=5)
    edge = start(config_for(scene, resolver, two), wait=False)
    slowest, until = 0, time.monotonic() + 3
    edge.log.wait(event="listening", listener="admin")
    while time.monotonic() < until:
        began = time.monotonic()
        assert edge.admin("/livez").status == 200
        slowest = max(slowest, time.monotonic() - began)
    assert slowest < patient(1), slowest
    dropped = edge.log.wait(event="addresses_dropped", origin="eu-west-1")[0]
    assert (dropped["used"], dropped["dropped"]) == ("64", "1936")
    wait_until(lambda: edge.metrics().value("nearhop_origin_addresses_dropped", origin="eu-west-1") == 1936)
    assert edge.metrics().sum("nearhop_origin_addresses", origin="eu-west-1") == 64
    resolver.set(NAME, "127.0.0.2", ttl=1)
    edge.wait_verdict("eu-west-1", "up", 20)
    assert edge.metrics().value("nearhop_origin_addresses_dropped", origin="eu-west-1") == 0
    edge.log.wait(count=2, event="addresses_dropped")
    assert len(edge.log.find(event="addresses_dropped")) == 2


GARBAGE = {
    "empty": b"",
    "short": b"\x81\x80\x00\x01",
    "pointer loop": b"\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00\xc0\x0c\x00\x01\x00\x01\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x05\x00\x04\x7f\x00\x00\x02",
    "truncated record": b"\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00\x02eu\x07origins\x04test\x00\x00\x01\x00\x01\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x05\x00\x40\x7f",
}


@pytest.mark.parametrize("name", GARBAGE)
def test_odd_dns_answers_do_no_harm(scene, start, resolver, two, name):
    """CVE-2021-23017, CVE-2018-20102."""
    resolver.set(NAME, "127.0.0.2", ttl=1)
    edge = start(config_for(scene, resolver, two))
    asked = resolver.queries(NAME)
    resolver.fail(NAME, "garbage", GARBAGE[name])
    wait_until(lambda: resolver.queries(NAME) >= asked + 3, 30, "the edge to ask again")
    assert edge.fetch(fields=viewer("DE")).region == "eu-west-1"


def test_one_dead_address_of_two_is_avoided_and_the_origin_stays_up(scene, start, authority, resolver, two):
    resolver.set(NAME, "127.0.0.2", "127.0.0.3", ttl=1)
    edge = start(config_for(scene, resolver, two))
    load = Load(edge.https, authority.file, rate=100 / SLOW, connections=8, fields=viewer("DE"))
    with load.running():
        wait_until(lambda: load.regions()["eu-west-1"] > 20, what=load.summary)
        two[0].refuse()
        two[0].drop("rst")
        seen = len(two[1].requests)
        wait_until(lambda: len(two[1].requests) > seen + 50, what=load.summary)
        assert edge.verdict("eu-west-1") == "up"
    assert not load.errors() and not load.truncated(), (load.summary(), load.errors()[:5])
    assert set(load.regions()) == {"eu-west-1"}, f"one address is alive: {load.summary()}"


def test_an_address_that_hangs_costs_the_second_dial_only(scene, start, resolver, two):
    """Within one attempt the second address is dialled; a POST succeeds at the same origin."""
    two[0].on_accept = faults.hang_on_accept
    resolver.set(NAME, "127.0.0.2", "127.0.0.3", ttl=1)
    edge = start(config_for(scene, resolver, two))
    for _ in range(5):
        response = edge.fetch("POST", fields=viewer("DE"), body=b"x")
        assert (response.status, response.region) == (200, "eu-west-1")


def test_every_address_is_probed(scene, start, resolver, two):
    resolver.set(NAME, "127.0.0.2", "127.0.0.3", ttl=1)
    edge = start(config_for(scene, resolver, two))
    wait_until(lambda: two[0].probes and two[1].probes, what="probes on both")
    assert "127.0.0.2" in str(edge.origin_status("eu-west-1")) and "127.0.0.3" in str(edge.origin_status("eu-west-1"))


@pytest.mark.parametrize("ttl", [0, 3600])
def test_the_ttl_is_clamped(scene, start, resolver, two, ttl):
    resolver.set(NAME, "127.0.0.2", ttl=ttl)
    edge = start(config_for(scene, resolver, two))  # 1 s is both the least and the most

    def answers():
        return edge.metrics().sum("nearhop_resolves_total", origin="eu-west-1", result="ok")

    assert edge.origin_status("eu-west-1")["dns"]["ttl_s"] == 1
    known = answers()
    wait_until(lambda: answers() > known, what="the edge to have another answer")
    began, known, asked = time.monotonic(), answers(), resolver.queries(NAME)
    wait_until(lambda: answers() >= known + 2, what="the edge to have two more")
    assert time.monotonic() - began >= 0.9, "between two answers lies their time to live"
    assert resolver.queries(NAME) >= asked + 2, "they came from the server, not from a cache"
