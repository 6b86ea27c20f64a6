"""Requests that are odd and have one meaning are forwarded in one form: the exact bytes that the origin gets.

The rows stand in tests/e2e/tables/forwarding.py."""

import sys
from collections import Counter
from pathlib import Path

import pytest
from support import faults, strict
from support.client import HOST, request_bytes
from support.clock import wait_until
from support.proxy import Edge
from support.setup import Scene

sys.path.insert(0, str(Path(__file__).resolve().parent))
from tables.forwarding import ROWS  # noqa: E402

ran = Counter()


@pytest.fixture(scope="module")
def scene(authority):
    with Scene(authority, tls=False) as made:
        yield made


@pytest.fixture(scope="module")
def edge(scene, authority, tmp_path_factory):
    config = scene.config(site={"policy": "failover"})
    with Edge(tmp_path_factory.mktemp("edge"), config, ca=authority.file) as running:
        yield running


@pytest.fixture(autouse=True)
def fresh(scene):
    scene["us-east-1"].answer = faults.normally
    scene.forget()
    yield


def host_of(row):
    """Host goes on as the client wrote it, without the blanks around it."""
    for line in row.data.decode("latin-1").split("\r\n"):
        name, colon, value = line.partition(":")
        if colon and name.lower() == "host" and value.strip():
            return value.strip()
    raise AssertionError("a row without a host")


def expected(row):
    target = row.data.split(b" ", 2)[1].decode("latin-1")
    host = target.split("/")[2] if "://" in target else host_of(row)
    head = f"{row.line}\r\nHost: {host}\r\n{row.fields}"
    if row.max_forwards:
        head += f"Max-Forwards: {row.max_forwards}\r\n"
    if row.expect:
        head += "Expect: 100-continue\r\n"
    head += f"Via: {row.via} nearhop\r\nX-Request-Id: row\r\nX-Forwarded-For: {row.forwarded_for}127.0.0.1\r\n"
    head += f"X-Forwarded-Proto: https\r\nX-Forwarded-Host: {host}\r\n"
    says = f';host="{host}";proto=https'
    head += f"Forwarded: {row.forwarded.format(says=says)}for=127.0.0.1{says}\r\n"
    head += f"{row.framing}\r\n" if row.framing else ""
    return head.encode("latin-1") + b"\r\n" + row.body


@pytest.mark.parametrize("name", ROWS)
def test_an_odd_request_leaves_in_one_form(edge, scene, name):
    row = ROWS[name]
    with edge.connect() as connection:
        connection.send(row.data)
        response = connection.response(row.data.split(b" ", 1)[0].decode("latin-1"))
        assert response.status == 200, response
        if row.via == "1.1":  # nothing of it was left over: the next request is understood
            connection.send(request_bytes(target="/next"))
            assert connection.response().body == b"us-east-1 GET /next\n"
    recorded = b"".join(scene["us-east-1"].recordings())
    assert recorded.startswith(expected(row)), recorded
    read = strict.requests(recorded)
    assert len(read) == (2 if row.via == "1.1" else 1) and all(request.complete for request in read)
    ran.update(row.counted)


def test_what_was_normalised_is_counted(edge):
    def counted():
        rows = edge.metrics().all("nearhop_deviations_total", side="client", **{"class": "acceptable"})
        return {row["reason"]: int(value) for row, value in rows}

    wait_until(lambda: counted() == dict(ran), what=lambda: f"{dict(ran)}, found {counted()}")
    assert not [row for row, _ in edge.metrics().all("nearhop_deviations_total") if row["class"] != "acceptable"]


BALANCERS = {  # what a balancer that ends TLS sends, and what an origin learns: hops, scheme, host
    "X-Forwarded-*": ([("X-Forwarded-For", "203.0.113.5"), ("X-Forwarded-Proto", "https")], ["203.0.113.5"], "https", HOST),
    "X-Forwarded-Proto alone": ([("X-Forwarded-Proto", "https")], [], "https", HOST),
    "all of X-Forwarded-*": ([("X-Forwarded-For", "2001:db8::5"), ("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "shop.test")], ["2001:db8::5"], "https", "shop.test"),
    "Forwarded": ([("Forwarded", "for=\"[2001:db8::5]:4711\";proto=https;host=shop.test")], ["2001:db8::5"], "https", "shop.test"),
    "both": ([("X-Forwarded-For", "203.0.113.5"), ("X-Forwarded-Proto", "https"), ("Forwarded", "for=203.0.113.5;proto=https")], ["203.0.113.5"], "https", HOST),
    "a client's Forwarded passes it": ([("X-Forwarded-For", "203.0.113.5"), ("X-Forwarded-Proto", "https"), ("Forwarded", "for=10.9.9.9;host=evil;proto=http")], ["203.0.113.5"], "https", HOST),
    "an unknown client": ([("X-Forwarded-For", "unknown"), ("X-Forwarded-Proto", "https")], ["unknown"], "https", HOST),
    "nothing": ([], [], None, HOST),
}


@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
def test_both_families_of_forwarded_fields_say_the_same(start, plain_scene, authority, secure):
    config = plain_scene.config(site={"policy": "failover"})
    config["listeners"].append({"address": "127.0.0.1:0", "protocol": "http", "plain": "serve"})
    edge = start(config)
    address = edge.https if secure else edge.http
    for name, (fields, hops, scheme, host) in BALANCERS.items():
        with edge.connect(address=address, ca=authority.file if secure else None) as connection:
            assert connection.request(fields=fields).status == 200, name
        request = plain_scene["us-east-1"].last()
        scheme = scheme or ("https" if secure else "http")
        assert request.all("X-Forwarded-For") == [", ".join([*hops, "127.0.0.1"])], name
        assert request.all("X-Forwarded-Proto") == [scheme] and request.all("X-Forwarded-Host") == [host], name
        assert len(request.all("Forwarded")) == 1, name
        elements = [dict(pair.split("=", 1) for pair in element.split(";")) for element in request.get("Forwarded").split(", ")]
        nodes = [element["for"].strip('"').split("]")[0].strip("[") for element in elements]
        assert nodes == [*hops, "127.0.0.1"], name
        for element in (elements[0], elements[-1]):  # whichever an origin reads
            assert (element["proto"], element["host"]) == (scheme, f'"{host}"'), name


def test_a_client_that_only_forwarded_names_is_located(start, plain_scene):
    config = plain_scene.config()
    config["clients"]["trusted"] = [{"cidr": "127.0.0.0/8"}]
    edge = start(config)
    for text, region in (("for=133.11.1.1", "ap-southeast-1"), ("for=133.11.1.1, for=\"127.0.0.30:80\"", "ap-southeast-1"),
                         ("for=193.0.6.139;proto=https;by=_a", "eu-west-1"), ("for=133.11.1.1;x", "us-east-1")):  # fmt: skip
        assert edge.fetch(fields=[("Forwarded", text)]).region == region, text


def test_a_spent_max_forwards_is_answered_here(edge, scene):
    """RFC 9110 section 7.6.2."""
    with edge.connect() as connection:
        response = connection.request("OPTIONS", "*", [("Max-Forwards", "0")])
        assert response.status == 200 and "GET" in response.get("Allow") and response.get("Content-Length") == "0"
        assert not scene.attempts()
        assert connection.request(target="/next").body == b"us-east-1 GET /next\n"


def test_a_spent_max_forwards_does_not_hide_a_refusal(start, plain_scene):
    edge = start(plain_scene.config(site={"routes": [{"path": "/admin", "origins": ["us-east-1"]}]}))
    response = edge.fetch("OPTIONS", "/x/../admin", [("Max-Forwards", "0")])
    assert (response.status, response.fault) == (400, "client_bad_request")
    assert edge.fetch("OPTIONS", "/x", [("Max-Forwards", "0")]).status == 200


def test_our_own_answers_carry_a_date(edge):
    """RFC 9110 section 6.6.1; the origins of these tests send none, so that forwarded answers get one too."""
    from email.utils import parsedate_to_datetime
    from datetime import datetime, timezone

    for response in (edge.fetch(), edge.fetch(host="unknown.test"), edge.fetch("OPTIONS", "*", [("Max-Forwards", "0")])):
        dates = response.all("Date")
        assert len(dates) == 1
        assert abs((datetime.now(timezone.utc) - parsedate_to_datetime(dates[0])).total_seconds()) < 30


def test_a_date_of_the_origin_stays(edge, scene):
    mine = "Sun, 06 Nov 1994 08:49:37 GMT"
    scene["us-east-1"].answer = lambda request: request.respond(200, b"x", [("Date", mine)])
    assert edge.fetch().all("Date") == [mine]


def test_via_stands_on_responses_where_it_is_asked_for(edge, start, plain_scene):
    assert edge.fetch().get("Via") is None
    asked = start(plain_scene.config(site={"policy": "failover", "via_header": True}))
    assert asked.fetch().all("Via") == ["1.1 nearhop"]
    plain_scene["us-east-1"].answer = faults.raw(b"HTTP/1.0 200 OK\r\nVia: 1.1 inner\r\nContent-Length: 1\r\n\r\nx")
    assert asked.fetch().all("Via") == ["1.1 inner", "1.0 nearhop"]


@pytest.mark.parametrize("how", ["keep", "refuse"])
def test_underscores_by_configuration(start, plain_scene, how):
    """CVE-2026-39858: a twin of what the edge vouches for never passes."""
    config = plain_scene.config(site={"policy": "failover"})
    config["clients"]["underscores"] = how
    edge = start(config)
    plain_scene.forget()  # the first probe
    twin, other = ("X_Forwarded_Proto", "http"), ("my_field", "1")
    if how == "keep":
        assert edge.fetch(fields=[twin, other]).status == 200
        recorded = b"".join(plain_scene["us-east-1"].recordings())
        assert b"my_field: 1\r\n" in recorded and b"X_Forwarded_Proto" not in recorded
        assert strict.requests(recorded, underscores=True)[0].all(b"X-Forwarded-Proto") == [b"https"]
    else:
        for field in (twin, other):
            response = edge.fetch(fields=[field])
            assert (response.status, response.fault) == (400, "client_bad_request") and response.closes
        assert not plain_scene.attempts()
        assert edge.settled().sum("nearhop_deviations_total", reason="underscore_refused") == 2


def test_a_list_of_hosts_is_compared_without_case(start, plain_scene):
    """CVE-2026-27588: also with more than a hundred hosts configured."""
    config = plain_scene.config(site={"policy": "failover"})
    config["sites"]["main"]["hosts"] = [HOST, *(f"h{n}.example.com" for n in range(150))]
    edge = start(config)
    for name in ("H149.eXample.COM", "h7.example.com", "API.EXAMPLE.COM."):
        assert edge.fetch(host=name).status == 200, name
    assert edge.fetch(host="h150.example.com").status == 421
