"""Malformed and ambiguous answers of origins, one edge for all: the client gets a 502 or sees that the answer was cut,
both connections end, and no byte of them reaches another request.

The rows stand in tests/e2e/tables/responses.py, each with the section of the RFC that rules it."""

import sys
from pathlib import Path

import pytest
from support import faults
from support.client import Ended, Truncated, request_bytes
from support.clock import wait_until
from support.proxy import Edge
from support.setup import Scene

sys.path.insert(0, str(Path(__file__).resolve().parent))
from tables.responses import BEHIND, CUT, REFUSED  # noqa: E402


@pytest.fixture(scope="module")
def scene(authority):
    with Scene(authority, tls=False) as made:
        yield made


@pytest.fixture(scope="module")
def edge(scene, authority, tmp_path_factory):
    config = scene.config(health={"fall": 100}, site={"policy": "failover"})
    config["passive"] = {"enabled": False}
    config["failover"] = {"enabled": False}
    config["log"]["format"] = "logfmt"
    config["limits"] = {"origin_head_bytes": "32KiB"}
    with Edge(tmp_path_factory.mktemp("edge"), config, ca=authority.file) as running:
        running.bystander = running.connect()
        yield running
        running.bystander.close()


@pytest.fixture
def origin(scene):
    return scene["us-east-1"]


@pytest.fixture(autouse=True)
def neighbours(edge, scene, origin):
    """After each row another client's kept connection, and fresh ones, get their own answers; the connection that
    brought the bad one is not used again."""
    origin.answer = faults.normally
    assert edge.bystander.request(target="/before").body == b"us-east-1 GET /before\n"
    scene.forget()
    yield
    bad = {request.connection.number for request in origin.requests if request.target == "/row"}
    origin.answer = faults.normally
    for number in range(3):
        assert edge.fetch(target=f"/{number}").body == f"us-east-1 GET /{number}\n".encode()
    assert edge.bystander.request("POST", "/after", body=b"mine").body == b"us-east-1 POST /after\n"
    after = {request.connection.number for request in origin.requests if request.target != "/row"}
    assert not bad & after or origin.reused_fine, "a connection with a bad answer was used again"


def counted(edge, reason):
    return edge.metrics().sum("nearhop_deviations_total", side="origin", reason=reason)


def play(edge, origin, row, method="GET"):
    """The row's answer to one request, with a second one pipelined behind it: the response or None where it was cut,
    and what came afterwards."""
    origin.reused_fine = False
    origin.answer = faults.first(1, faults.raw(row.data, then=row.then), faults.normally)
    before = counted(edge, row.reason)
    with edge.connect() as connection:
        connection.send(request_bytes(method, "/row", body=b"once" if method == "POST" else None))
        try:
            response = connection.response(method)
        except (Ended, Truncated):
            response = None
        rest = b""
        if response is None or response.closes:
            rest = connection.rest()
        else:
            assert connection.request(target="/second").body == b"us-east-1 GET /second\n"
    if row.reason != "-":
        wait_until(lambda: counted(edge, row.reason) == before + 1, what=lambda: f"{row.reason} to be counted")
    return response, rest


@pytest.mark.parametrize("name", REFUSED)
def test_a_bad_answer_is_502_and_both_connections_end(edge, origin, name):
    row = REFUSED[name]
    response, rest = play(edge, origin, row, "POST")
    assert (response.status, response.fault) == (502, "origin_bad_response"), response
    assert response.closes and rest == b""
    assert b"evil" not in response.body and not response.all("Set-Cookie")
    line = edge.output.wait(fault=row.fault, class_reason=row.reason)[-1]
    assert line["class"] in ("ambiguous", "severe") and line["origin"] == "us-east-1"
    bad = [request.connection for request in origin.requests]
    wait_until(lambda: not origin.are_open(bad), what="the origin's connection to end")


@pytest.mark.parametrize("name", CUT)
def test_an_answer_that_goes_wrong_is_seen_to_be_cut(edge, origin, name):
    row = CUT[name]
    response, rest = play(edge, origin, row)
    assert response is None or response.status == 502, f"a whole answer: {response}"
    assert rest == b"" and (response is None or response.closes or row.fault == "origin_truncated")
    if row.reason != "-":
        edge.output.wait(fault=row.fault, class_reason=row.reason)


@pytest.mark.parametrize("name", CUT)
def test_a_cut_answer_is_seen_in_http_1_0_as_well(edge, origin, name):
    row = CUT[name]
    origin.reused_fine = False
    origin.answer = faults.raw(row.data, then=row.then)
    with edge.connect() as connection:
        connection.send(request_bytes(target="/row", version="HTTP/1.0"))
        try:
            assert connection.response().status == 502
        except (Ended, Truncated):
            pass


@pytest.mark.parametrize("name", BEHIND)
def test_bytes_behind_an_answer_reach_nobody(edge, origin, name):
    row = BEHIND[name]
    response, _ = play(edge, origin, row)
    assert response.status in (200, 204, 304) and response.body in (b"ok", b"")
    if response.status == 204:
        assert not response.all("Content-Length") and not response.all("Transfer-Encoding")
    origin.reused_fine = row.reason in ("length_without_content", "chunk_padding")


@pytest.mark.parametrize("data", [b"Content-Length: 46\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n", b"\r\n"])
def test_a_body_behind_an_answer_to_head_reaches_nobody(edge, origin, data):
    """RFC 9110 section 9.3.2."""
    origin.reused_fine = False
    evil = REFUSED["a request"].data
    origin.answer = faults.first(1, faults.raw(b"HTTP/1.1 200 OK\r\n" + data + evil, then="keep"), faults.normally)
    with edge.connect() as connection:
        assert connection.request("HEAD", "/row").status == 200
        assert connection.request(target="/second").body == b"us-east-1 GET /second\n"


def test_the_tables_are_as_large_as_promised():
    rows = [*REFUSED.values(), *CUT.values(), *BEHIND.values()]
    assert len(rows) >= 40 and all(row.rfc.startswith(("RFC 9110 ", "RFC 9112 ")) for row in rows)
