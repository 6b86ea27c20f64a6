"""A secret header as a gate: who does not come through a trusted peer is refused, and which forwarded field counts first."""

import json
from pathlib import Path

import pytest
import yaml
from support.clock import wait_until
from support.http2 import Http2
from support.setup import viewer

CDN, STRANGER = "127.0.0.1", "127.0.0.9"
EXAMPLES = Path(__file__).resolve().parents[2] / "conf" / "examples"
NAME, VALUE = "X-Edge-Secret", "swordfish"
SECRET = [(NAME, VALUE)]
TRUSTED = [{"cidr": f"{CDN}/32", "secret_header": {"name": NAME, "value": VALUE}}]


@pytest.fixture
def gate(scene, start):
    return start(scene.config(clients={"trusted": TRUSTED, "untrusted": "refuse"}))


REFUSED = {  # who asks, with what
    "neither": (STRANGER, []),
    "no secret": (CDN, []),
    "a wrong secret": (CDN, [(NAME, "sardine")]),
    "the right secret from elsewhere": (STRANGER, SECRET),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_who_goes_around_the_cdn_is_refused_before_any_origin_hears_of_it(gate, scene, name, method):
    source, fields = REFUSED[name]
    body = b"x" * 1000 if method == "POST" else None
    answer = gate.fetch(method, "/a?b=c", fields=[*viewer("DE"), *fields], body=body, source=source)
    assert (answer.status, answer.fault) == (403, "client_untrusted")
    assert not scene.requests()
    metrics = gate.settled()
    assert metrics.sum("nearhop_faults_total", fault="client_untrusted") == 1
    assert metrics.sum("nearhop_own_answers_total", fault="client_untrusted") == 1
    wait_until(lambda: gate.output.lines, what="the access line")
    line = json.loads(gate.output.lines[0])
    assert (line["status"], line["fault"], line["client"], line["site"]) == (403, "client_untrusted", source, "main")


def test_it_is_the_request_that_is_judged_and_its_connection_lives_on(gate, authority):
    with gate.connect() as connection:
        for fields, status in [([], 403), (SECRET, 200), ([], 403), (SECRET, 200)]:
            assert connection.request(fields=fields).status == status
    with Http2(gate.https, authority.file) as client:
        for fields, status in [([], 403), (SECRET, 200), ([], 403), (SECRET, 200)]:
            fields = [(name.lower(), value) for name, value in fields]
            assert client.request(fields=fields).status == status


def test_a_site_has_its_own_word(scene, start):
    config = scene.config(clients={"trusted": TRUSTED, "untrusted": "refuse"})
    config["sites"]["open"] = {"hosts": ["open.example.com"], "untrusted": "serve"}
    edge = start(config)
    assert edge.fetch(host="open.example.com", source=STRANGER).status == 200
    assert edge.fetch(source=STRANGER).status == 403
    config["clients"]["untrusted"] = "serve"
    config["sites"]["open"]["untrusted"] = "refuse"
    edge.reload(config)
    assert edge.fetch(host="open.example.com", source=STRANGER).status == 403
    assert edge.fetch(source=STRANGER).status == 200


def test_checks_of_balancers_and_the_redirect_are_answered_all_the_same(scene, start):
    config = scene.config(clients={"trusted": TRUSTED, "untrusted": "refuse"})
    config["listeners"][0]["ready_path"] = "/ready"
    config["listeners"].append({"address": "127.0.0.1:0", "protocol": "http"})
    edge = start(config)
    assert edge.fetch(target="/ready", source=STRANGER).status == 200
    assert edge.fetch(address=edge.http, ca=None, source=STRANGER).status == 308
    assert edge.fetch(source=STRANGER).status == 403


# ---- the example ----------------------------------------------------------------------------------------------------
def test_the_cloudfront_example_refuses_whoever_goes_around_it(scene, start):
    """As it stands, but for what a machine of its own has: addresses, certificates, origins."""
    config = yaml.safe_load((EXAMPLES / "cloudfront.yaml").read_text())
    here = scene.config()
    assert set(config["origins"]) == set(here["origins"])
    for key in ("listeners", "tls", "origins", "admin", "log", "shutdown"):
        config[key] = here[key]
    entry = config["clients"]["trusted"][0]
    assert entry["cidr"] == "10.20.0.0/16"
    entry["cidr"] = f"{CDN}/32"
    edge = start(config)
    secret = [(entry["secret_header"]["name"], entry["secret_header"]["value"])]
    for country, region in [("DE", "eu-west-1"), ("JP", "ap-southeast-1")]:
        answer = edge.fetch(fields=[*viewer(country), *secret], source=CDN)
        assert (answer.status, answer.region) == (200, region)
    reached = len(scene.requests())
    for source, fields in [(STRANGER, secret), (CDN, []), (STRANGER, [])]:
        answer = edge.fetch(fields=[*viewer("DE"), *fields], source=source)
        assert (answer.status, answer.fault) == (403, "client_untrusted")
    assert len(scene.requests()) == reached


# ---- docs/trust.md: which field counts first ------------------------------------------------------------------------
VIEWER, XFF, FORWARDED = ("CloudFront-Viewer-Address", "192.0.2.1:4711"), ("X-Forwarded-For", "192.0.2.2"), ("Forwarded", "for=192.0.2.3")
CLIENTS = {  # fields in any order -> the client; its override names a country
    "all three": ([FORWARDED, XFF, VIEWER], "192.0.2.1", "JP"),
    "both chains": ([FORWARDED, XFF], "192.0.2.2", "DE"),
    "Forwarded alone": ([FORWARDED], "192.0.2.3", "US"),
    "a malformed viewer address": ([("CloudFront-Viewer-Address", "192.0.2.1"), XFF], "192.0.2.2", "DE"),
    "a viewer address twice": ([VIEWER, VIEWER, XFF], "192.0.2.2", "DE"),
    "a chain through trusted networks": ([("X-Forwarded-For", "192.0.2.1, 192.0.2.2, 127.0.0.1")], "192.0.2.2", "DE"),
    "the override before the country": ([XFF, ("CloudFront-Viewer-Country", "JP")], "192.0.2.2", "DE"),
    "nobody's fields": ([("X-Real-IP", "192.0.2.1"), ("True-Client-IP", "192.0.2.1"), ("CF-Connecting-IP", "192.0.2.1")], CDN, "-"),
}


@pytest.fixture(scope="module")
def shared(authority, tmp_path_factory):
    from support.proxy import Edge
    from support.setup import Scene

    geo = {"overrides": [{"cidr": f"192.0.2.{number}", "country": country} for number, country in [(1, "JP"), (2, "DE"), (3, "US")]]}
    with Scene(authority) as scene, Edge(tmp_path_factory.mktemp("edge"), scene.config(geo=geo), ca=authority.file) as edge:
        yield edge


@pytest.mark.parametrize("name", CLIENTS)
@pytest.mark.parametrize("source", [CDN, STRANGER])
def test_who_the_client_is_follows_the_page(shared, name, source):
    fields, client, country = CLIENTS[name]
    if source == STRANGER:
        client, country = STRANGER, "-"
    target = f"/{source}/{name.replace(' ', '-')}"
    assert shared.fetch(target=target, fields=fields, source=source).status == 200

    def line():
        return [each for each in map(json.loads, list(shared.output.lines)) if each["path"] == target]

    wait_until(line, what="the access line")
    assert (line()[0]["client"], line()[0]["place"]) == (client, country)
