"""The finer points of the retry table, and that each outcome is counted by its cause."""

import ctypes
import errno
import os
import struct
import time

import pytest
from support import faults
from support.client import Truncated, request_bytes
from support.clock import SLOW, wait_until

CALM = {"enabled": False}


def edge_for(scene, start, *, site=None, **changes):
    return start(scene.config(site={"policy": "failover", **(site or {})}, passive=CALM, workers=1, **changes))


def stale_then(then):
    """Closes a connection at its second request; on a fresh one after that, `then`."""
    closed = []

    def answer(request):
        request.read_body()
        if request.connection.requests > 1:
            closed.append(request)
            faults.end(request, "fin")
        (then if closed else faults.normally)(request)

    return answer


def test_each_origin_gets_its_fresh_connection_when_the_kept_one_is_stale(plain_scene, start):
    edge = edge_for(plain_scene, start)
    near, next_one = plain_scene["us-east-1"], plain_scene["eu-west-1"]
    near.answer = faults.status(503)
    next_one.answer = stale_then(faults.normally)
    assert edge.fetch().region == "eu-west-1"  # leaves a connection there
    near.answer = stale_then(faults.status(503))
    near.drop()
    assert edge.fetch().region == "us-east-1"  # and here
    answer = edge.fetch()
    assert (answer.status, answer.region, answer.decision["attempts"]) == (200, "eu-west-1", "4")


def test_a_body_that_another_origin_has_read_leaves_no_hole(plain_scene, start):
    """The first origin's 503 is forwarded after all, but the rest of its request is gone: its connection serves nobody."""
    edge = edge_for(plain_scene, start)
    near, next_one = plain_scene["us-east-1"], plain_scene["eu-west-1"]
    near.answer = lambda request: request.respond(503, b"n" * 300_000)  # on the head alone

    def reads_and_resets(request):
        request.read_body()
        faults.end(request, "rst")

    next_one.answer = plain_scene["ap-southeast-1"].answer = reads_and_resets
    size = 100_000  # more than is kept for another attempt
    with edge.connect() as connection:
        connection.send(request_bytes("PUT", "/", [("Content-Length", str(size))]))
        wait_until(lambda: next_one.requests, what="the second origin to be asked")
        connection.send(b"b" * size)
        answer = connection.response()
        assert (answer.status, len(answer.body)) == (503, 300_000)
    near.answer = faults.normally
    assert edge.fetch(target="/good").region == "us-east-1"
    came = [data for data in near.recordings() if b"/health" not in data]
    assert [data.count(b" HTTP/1.1\r\n") for data in came] == [1, 1], "each on a connection of its own"
    assert not any(b"bbbb" in data for data in came)


def no_ports_towards_ipv6():
    """Before exec: connect() to any IPv6 address fails as it does when no local port is left. A seccomp filter tells such an
    address by its size."""
    connect, kind = {"x86_64": 42, "aarch64": 203}[os.uname().machine], struct.Struct("HBBI")
    steps = [
        (0x20, 0, 0, 0),  # the number of the system call
        (0x15, 0, 3, connect),
        (0x20, 0, 0, 32),  # its third argument
        (0x15, 0, 1, 28),  # sizeof(sockaddr_in6)
        (0x06, 0, 0, 0x00050000 | errno.EADDRNOTAVAIL),
        (0x06, 0, 0, 0x7FFF0000),
    ]
    code = ctypes.create_string_buffer(b"".join(kind.pack(*step) for step in steps))
    program = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", len(steps), ctypes.addressof(code)))
    libc = ctypes.CDLL(None, use_errno=True)
    for arguments in ((38, 1, 0, 0, 0), (22, 2, ctypes.c_void_p(ctypes.addressof(program)), 0, 0)):
        if libc.prctl(*arguments) != 0:
            raise OSError(ctypes.get_errno(), "prctl")


@pytest.mark.parametrize("others", [["eu-west-1"], []])
def test_where_no_local_port_is_left_another_origin_is_asked(plain_scene, start, others):
    """Ports run out towards one address, and nothing was sent: any method may move."""
    config = plain_scene.config(site={"policy": "failover", "origins": ["us-east-1", *others]}, passive=CALM, workers=1)
    config["origins"]["us-east-1"]["url"] = f"http://[::1]:{plain_scene['us-east-1'].port}"
    edge = start(config, limits=no_ports_towards_ipv6)
    assert edge.post("/origins/us-east-1/force-up?author=ada&reason=test&for=1h").status == 200  # its probes cannot tell
    for _ in range(4):
        answer = edge.fetch("POST", body=b"x")
        if others:
            assert (answer.status, answer.region) == (200, "eu-west-1")
        else:
            assert (answer.status, answer.fault, answer.get("Retry-After")) == (503, "edge_overloaded", "5")
    metrics = edge.settled()
    assert metrics.sum("nearhop_failovers_total", origin="us-east-1", fault="edge_overloaded") == (4 if others else 0)
    assert edge.origin_status("us-east-1")["verdict"] != "down", "it is the edge's own trouble"


def test_the_deadline_does_not_count_the_clients_own_time(plain_scene, start):
    deadline = 0.4 * SLOW
    edge = edge_for(plain_scene, start, site={"deadline": f"{int(deadline * 1000)}ms", "head_timeout": "100ms"})
    with edge.connect() as connection:
        body = b"x" * 10
        whole = request_bytes("POST", body=body)
        connection.send(whole[:-5])
        wait_until(lambda: plain_scene["us-east-1"].attempts == 1, what="the origin to hear of it")
        time.sleep(deadline * 1.5)  # the client's pace
        connection.send(whole[-5:])
        assert connection.response("POST").status == 200


def test_a_request_that_may_not_move_waits_longer_than_the_time_of_one_attempt(plain_scene, start):
    budget = {"budget_percent": 0, "budget_minimum": 1}
    edge = edge_for(plain_scene, start, site={"head_timeout": "100ms", "deadline": "700ms"}, failover=budget)
    plain_scene["us-east-1"].answer = faults.hang
    assert edge.fetch().region == "eu-west-1"
    began = time.monotonic()
    assert edge.fetch().fault == "origin_head_timeout"
    assert time.monotonic() - began > 0.6, "the budget is empty: the rest of the deadline applies"


@pytest.mark.parametrize(
    ("answer", "method", "failover", "why"),
    [
        (faults.reset, "POST", {}, "not_idempotent"),
        (faults.status(503), "POST", {}, "not_idempotent"),
        (faults.status(503), "GET", {"budget_percent": 0, "budget_minimum": 0}, "budget_empty"),
        (faults.status(503), "GET", {"enabled": False}, "failover_disabled"),
        (faults.status(503), "GET", {"sent_candidates": 1}, "candidates_exhausted"),
        (faults.reset, "PUT", {}, "body_not_replayable"),
        (faults.truncated(10), "GET", {}, "response_started"),
    ],
)
def test_a_request_that_stays_is_counted_by_why(plain_scene, start, answer, method, failover, why):
    edge = edge_for(plain_scene, start, site={"replay_buffer": "0B"}, failover=failover)
    plain_scene["us-east-1"].answer = answer
    try:
        edge.fetch(method, body=None if method == "GET" else b"some body")
    except Truncated:
        assert why == "response_started"
    metrics = edge.settled()
    wait_until(lambda: edge.metrics().sum("nearhop_not_moved_total", why=why) == 1, what=f"{why} to be counted")
    assert metrics.sum("nearhop_not_moved_total") == 1 and not plain_scene["eu-west-1"].requests


def test_a_request_that_moved_is_counted_by_cause_and_outcome(plain_scene, start):
    edge = edge_for(plain_scene, start)
    near, next_one = plain_scene["us-east-1"], plain_scene["eu-west-1"]
    near.answer = faults.reset
    assert edge.fetch().status == 200
    near.answer = faults.status(504)
    assert edge.fetch().status == 200
    next_one.answer = faults.status(502)
    assert edge.fetch().status == 502
    metrics = edge.settled()
    moves = {"origin_reset": 1, "status": 2}
    for fault, count in moves.items():
        assert metrics.sum("nearhop_failovers_total", origin="us-east-1", fault=fault) == count, fault
    assert metrics.sum("nearhop_moved_requests_total", outcome="answered") == 2
    assert metrics.sum("nearhop_moved_requests_total", outcome="failed") == 1
    assert metrics.sum("nearhop_retry_budget_tokens", site="main") in (16, 17)
