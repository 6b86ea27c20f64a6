"""Malformed and ambiguous requests, one edge for all: each is refused with its status, fault and reason, its connection
ends, no ambiguous byte reaches the origin, and the next request of another client gets its own answer.

The rows stand in tests/e2e/tables/requests.py, each with the section of the RFC that rules it."""

import sys
from collections import Counter
from pathlib import Path

import pytest
from support import faults, strict
from support.client import Ended, Truncated, request_bytes
from support.clock import wait_until
from support.proxy import Edge
from support.setup import Scene

sys.path.insert(0, str(Path(__file__).resolve().parent))
from tables.requests import BODIES, HEADS, PIPELINED  # noqa: E402

ran = Counter()  # reasons of the rows that ran, for the figures at the end


@pytest.fixture(scope="module")
def scene(authority):
    with Scene(authority, tls=False) as made:
        yield made


@pytest.fixture(scope="module")
def edge(scene, authority, tmp_path_factory):
    config = scene.config(site={"policy": "failover"})
    config["log"]["format"] = "logfmt"
    with Edge(tmp_path_factory.mktemp("edge"), config, ca=authority.file) as running:
        running.bystander = running.connect()
        yield running
        running.bystander.close()


@pytest.fixture(autouse=True)
def neighbours(edge, scene):
    """Before and after each row another client's kept connection, and a fresh one, get their own answers."""
    for origin in scene:
        origin.answer = faults.normally
    assert edge.bystander.request(target="/before").body == b"us-east-1 GET /before\n"
    scene.forget()
    yield
    assert edge.bystander.request("POST", "/after", body=b"mine").body == b"us-east-1 POST /after\n"
    assert edge.fetch(target="/fresh").body == b"us-east-1 GET /fresh\n"
    whole = [request for request in on_the_wire(scene) if request.complete]
    seen = sorted((request.method, request.target, request.body) for request in whole)
    assert seen == [(b"GET", b"/fresh", b""), (b"POST", b"/after", b"mine")]


def on_the_wire(scene):
    """Every request that stands in the recorded bytes, read strictly."""
    return [request for origin in scene for data in origin.recordings() for request in strict.requests(data)]


def told(edge, row, before):
    """The access line says class and reason."""
    wanted = {"fault": row.fault, "class_reason": row.reason}
    lines = edge.output.wait(count=before + 1, **wanted)
    assert len(lines) == before + 1
    assert lines[-1]["class"] == row.strictness and lines[-1]["status"] == str(row.status), lines[-1]
    ran[row.reason] += 1


@pytest.mark.parametrize("name", HEADS)
def test_a_bad_head_is_refused_and_reaches_nobody(edge, scene, name):
    row = HEADS[name]
    before = len(edge.output.find(fault=row.fault, class_reason=row.reason))
    with edge.connect() as connection:
        connection.send(row.data + PIPELINED)
        response = connection.response("GET")
        assert (response.status, response.fault) == (row.status, row.fault), response
        assert response.closes and response.get("Date"), "a doubtful connection must end"
        assert connection.rest() == b"", "nothing may follow"
    assert not scene.attempts(), "a byte reached an origin"
    told(edge, row, before)


@pytest.mark.parametrize("name", BODIES)
def test_a_bad_body_never_makes_a_whole_request(edge, scene, name):
    row = BODIES[name]
    before = len(edge.output.find(fault=row.fault, class_reason=row.reason))
    with edge.connect() as connection:
        connection.send(row.data + PIPELINED)
        try:
            response = connection.response()
            assert (response.status, response.fault) == (row.status, row.fault), response
            assert response.closes
        except (Ended, Truncated):
            pass  # an answer was under way
        assert connection.rest() == b""
    told(edge, row, before)
    assert not [request for request in on_the_wire(scene) if request.complete]
    origin = scene["us-east-1"]
    used = [request.connection for request in origin.requests if request.target == "/post"]
    wait_until(lambda: not origin.are_open(used), what="the origin's connection to end as well")


def test_every_row_is_counted_under_its_class_and_reason(edge):
    """Runs behind the tables: what they met stands in the figures."""
    wanted = {reason: count for reason, count in ran.items() if reason != "-"}

    def counted():
        rows = edge.metrics().all("nearhop_deviations_total", side="client")
        return {row["reason"]: int(value) for row, value in rows if row["class"] != "acceptable"}

    wait_until(lambda: counted() == wanted, what=lambda: f"{wanted}, found {counted()}")


def test_the_tables_are_as_large_as_promised():
    assert len(HEADS) + len(BODIES) >= 150
    assert len({row.data for row in [*HEADS.values(), *BODIES.values()]}) == len(HEADS) + len(BODIES), "a row twice"
    for name, row in [*HEADS.items(), *BODIES.items()]:
        assert row.rfc.startswith(("RFC 9110 ", "RFC 9112 ", "RFC 3986 ", "RFC 9113 ")), name


@pytest.mark.parametrize("name", ["chunked beside a length", "two equal Hosts", "a space before the colon of Host"])
def test_a_bad_head_is_refused_however_it_is_cut(edge, scene, name):
    row = HEADS[name]
    before = len(edge.output.find(fault=row.fault, class_reason=row.reason))
    with edge.connect() as connection:
        try:
            connection.send(row.data, pieces=1)
        except OSError:
            pass  # it may refuse before it has all
        response = connection.response()
        assert (response.status, response.fault) == (row.status, row.fault)
    assert not scene.attempts()
    told(edge, row, before)


def test_a_good_request_before_a_bad_one_is_answered_first(edge, scene):
    row = HEADS["chunked beside a length"]
    before = len(edge.output.find(fault=row.fault, class_reason=row.reason))
    with edge.connect() as connection:
        connection.send(request_bytes(target="/good") + row.data + PIPELINED)
        assert connection.response().body == b"us-east-1 GET /good\n"
        assert connection.response().status == 400
        assert connection.rest() == b""
    assert [request.target for request in on_the_wire(scene)] == [b"/good"]
    told(edge, row, before)
    scene.forget()
