"""Rate limits by client address and by site: 429 with Retry-After, for the client as located, over all workers."""

import time

import pytest
from support.client import request_bytes
from support.clock import wait_until


def limited(scene, rate_limit, **site):
    return scene.config(site={"rate_limit": rate_limit, **site})


def statuses(edge, count, **options):
    """Of requests on connections of their own: the kernel spreads them over the workers."""
    return [edge.fetch(**options).status for _ in range(count)]


def test_an_address_gets_its_burst_and_then_429_with_retry_after(scene, start):
    edge = start(limited(scene, {"address": "6/h"}))
    seen = statuses(edge, 10)
    assert seen == [200] * 6 + [429] * 4, "exactly, though two workers answer"
    refused = edge.fetch()
    assert refused.fault == "client_rate_limited"
    assert 590 <= int(refused.get("Retry-After")) <= 600
    assert scene.attempts() == 6, "the origin hears nothing of the others"
    metrics = edge.metrics()
    assert metrics.sum("nearhop_own_answers_total", fault="client_rate_limited") == 5
    wait_until(lambda: edge.metrics().sum("nearhop_faults_total", fault="client_rate_limited") == 5, what="five faults")


def test_the_connection_goes_on_after_a_429(scene, start):
    edge = start(limited(scene, {"address": "1/h"}))
    with edge.connect() as connection:
        assert connection.request().status == 200
        assert connection.request().status == 429
        assert connection.request("POST", body=b"x" * 1000).status == 429
        assert connection.request().status == 429


def test_an_options_request_that_goes_no_further_is_limited_too(scene, start):
    edge = start(limited(scene, {"address": "1/h"}))
    assert statuses(edge, 3, method="OPTIONS", target="*", fields=[("Max-Forwards", "0")]) == [200, 429, 429]


def test_tokens_come_back(scene, start):
    edge = start(limited(scene, {"address": "4/s", "address_burst": 1}))
    assert edge.fetch().status == 200
    wait_until(lambda: edge.fetch().status == 200, what="the next token")


def test_the_client_is_the_one_that_a_trusted_peer_names(scene, start):
    edge = start(limited(scene, {"address": "2/h"}))
    first = [("X-Forwarded-For", "198.51.100.1")]
    assert statuses(edge, 3, fields=first) == [200, 200, 429]
    assert edge.fetch(fields=[("X-Forwarded-For", "198.51.100.2")]).status == 200
    assert edge.fetch(fields=[("CloudFront-Viewer-Address", "198.51.100.1:443")]).status == 429, "the same client"
    # What the client itself wrote in front of its own address changes nothing.
    assert edge.fetch(fields=[("X-Forwarded-For", "203.0.113.9, 198.51.100.1")]).status == 429


def test_an_untrusted_peer_cannot_choose_its_address(scene, start):
    config = limited(scene, {"address": "2/h"})
    config["clients"] = {"trusted": ["127.0.0.2/32"]}
    edge = start(config)
    for number in range(4):
        answer = edge.fetch(fields=[("X-Forwarded-For", f"198.51.100.{number}")])
        assert answer.status == (200 if number < 2 else 429)


def test_an_ipv6_network_is_one_client(scene, start):
    edge = start(limited(scene, {"address": "2/h"}))

    def status(address):
        return edge.fetch(fields=[("X-Forwarded-For", address)]).status

    assert [status("2001:db8:7::1"), status("2001:db8:7::2"), status("2001:db8:7:0:ffff::1")] == [200, 200, 429]
    assert status("2001:db8:7:1::1") == 200


def test_addresses_have_a_bucket_for_each_site(scene, start):
    config = limited(scene, {"address": "1/h"})
    config["sites"]["other"] = dict(config["sites"]["main"], hosts=["other.example.com"])
    edge = start(config)
    assert statuses(edge, 2) == [200, 429]
    assert statuses(edge, 2, host="other.example.com") == [200, 429]


def test_a_site_has_a_rate_for_all_its_clients_together(scene, start):
    config = limited(scene, {"site": "5/h"})
    edge = start(config)
    seen = [edge.fetch(fields=[("X-Forwarded-For", f"198.51.100.{n}")]).status for n in range(8)]
    assert seen == [200] * 5 + [429] * 3
    refused = edge.fetch()
    assert refused.fault == "site_rate_limited" and int(refused.get("Retry-After")) > 600


def test_the_top_level_is_every_sites_default(scene, start):
    config = scene.config(rate_limit={"address": "1/h"})
    config["sites"]["free"] = dict(config["sites"]["main"], hosts=["free.example.com"], rate_limit={"address": "off"})
    edge = start(config)
    assert statuses(edge, 2) == [200, 429]
    assert statuses(edge, 5, host="free.example.com") == [200] * 5


def test_off_by_default(scene, start):
    edge = start(scene.config())
    with edge.connect() as connection:
        assert all(connection.request().status == 200 for _ in range(200))


def test_a_reload_keeps_the_buckets_and_takes_the_new_rate(scene, start):
    config = limited(scene, {"address": "3/h"})
    edge = start(config)
    assert statuses(edge, 4) == [200, 200, 200, 429]
    edge.reload(limited(scene, {"address": "3/h", "address_burst": 3}))
    assert edge.fetch().status == 429, "a reload is no way round the limit"
    edge.reload(limited(scene, {"address": "off"}))
    assert statuses(edge, 5) == [200] * 5


@pytest.mark.parametrize("what", ["address", "site"])
@pytest.mark.parametrize("steps", [["100/s"], ["off", "100/s"], ["off", "2/h"]], ids=" ".join)
def test_who_is_held_back_is_let_in_when_the_limit_is_raised(scene, start, what, steps):
    edge = start(limited(scene, {what: "2/h"}))
    assert statuses(edge, 4) == [200, 200, 429, 429]
    for limit in steps:
        edge.reload(limited(scene, {what: limit}))
    assert statuses(edge, 2) == [200, 200], "at once, not in half an hour"


def test_a_large_burst_of_a_slow_rate_lets_everybody_in(scene, start):
    edge = start(limited(scene, {"address": "1/h", "address_burst": 10_000_000, "site": "1/h", "site_burst": 2_562_048}))
    assert statuses(edge, 5) == [200] * 5


def test_a_steady_client_below_its_rate_is_never_refused(scene, start):
    edge = start(limited(scene, {"address": "100/s", "address_burst": 5}))
    with edge.connect() as connection:
        for _ in range(40):
            began = time.monotonic()
            connection.send(request_bytes())
            assert connection.response().status == 200
            time.sleep(max(0.0, 0.03 - (time.monotonic() - began)))  # the pace of the client
