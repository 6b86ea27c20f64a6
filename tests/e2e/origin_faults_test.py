"""Origins that lie, hang, truncate or show a bad certificate. A GET moves on unseen; a POST that may have been acted on
does not; no doubtful connection is used again."""

import json
import threading
import time

import pytest
from support import faults
from support.ca import Authority
from support.client import Ended, Truncated, request_bytes
from support.clock import SLOW, patient, wait_until
from support.origin import Origin
from support.proxy import Edge
from support.setup import Scene, quick, viewer


def ms(milliseconds):
    return f"{int(milliseconds * SLOW)}ms"


@pytest.fixture(scope="module")
def scene(authority):
    with Scene(authority) as made:
        yield made


@pytest.fixture(scope="module")
def edge(scene, authority, tmp_path_factory):
    """Failover order us, eu, ap. Nothing is ejected, so that each test meets the same order."""
    # Probes meet the faults of these tests as well: none of them moves the order.
    config = scene.config(health={"fall": 100}, site={"policy": "failover", "head_timeout": ms(400), "deadline": ms(2000)})
    config["passive"] = {"enabled": False}
    config["failover"] = {"connect_timeout": ms(300), "tls_timeout": ms(600), "budget_percent": 100, "budget_minimum": 1000}
    config["limits"] = {"origin_body_timeout": ms(500)}
    with Edge(tmp_path_factory.mktemp("edge"), config, ca=authority.file) as running:
        yield running


@pytest.fixture(autouse=True)
def well(scene, edge):
    """Every test starts with three origins that answer, no old connections to them, and an edge that has forgotten the
    last failed dial: it passes over such an origin for a second."""

    def reset():
        for origin in scene:
            origin.answer, origin.on_accept, origin.cut = faults.normally, None, None
            origin.use(scene.origin_identity)
            if origin._listener is None:
                origin.listen()

    reset()
    scene.forget()
    yield
    reset()
    for origin in scene:
        origin.drop("fin")
    wait_until(lambda: edge.fetch(target="/settled").region == "us-east-1", what="the first origin in its place")
    for origin in scene:
        origin.drop("fin")


@pytest.fixture
def origin(scene):
    return scene["us-east-1"]


BAD_ANSWERS = {
    "garbage": b"\x16\x03\x01 hello\r\n\r\n",
    "words": b"hello world\r\n\r\n",
    "no status": b"HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
    "status of two digits": b"HTTP/1.1 99 Low\r\nContent-Length: 0\r\n\r\n",
    "status of four digits": b"HTTP/1.1 2000 High\r\nContent-Length: 0\r\n\r\n",
    "status with a sign": b"HTTP/1.1 -20 No\r\nContent-Length: 0\r\n\r\n",
    "HTTP/2": b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    "both framings": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "both framings, the other way round": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    "length with a sign": b"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello",
    "length too large": b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nhello",
    "empty length": b"HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n",
    "chunked, identity": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "unknown coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunked in HTTP/1.0": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "space before the colon": b"HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\nhello",
    "folded field": b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n",
    "NUL in a value": b"HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n",
    "bare CR in a value": b"HTTP/1.1 200 OK\r\nX: a\rSet-Cookie: x\r\nContent-Length: 0\r\n\r\n",
    "bare LF": b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
    "empty name": b"HTTP/1.1 200 OK\r\n: x\r\nContent-Length: 0\r\n\r\n",
    "endless head": b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 30_000,
    "endless field": b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000,
    "too many interim answers": b"HTTP/1.1 103 Early\r\nX: y\r\n\r\n" * 50 + b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "101 that nobody asked for": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
    "interim answer with a length": b"HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n\r\nhello",
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_ANSWERS)
def test_a_bad_answer_is_502_for_a_post_unseen_by_a_get_and_its_connection_ends(edge, scene, origin, name):
    origin.answer = faults.raw(BAD_ANSWERS[name], then="hang")
    with edge.connect() as connection:
        connection.send(request_bytes("POST", "/bad", body=b"once"))
        response = connection.response()
        if "interim" in name:
            assert response.status in (502, 504), response  # garbage, or an interim answer and then nothing
        else:
            assert (response.status, response.fault) == (502, "origin_bad_response"), response
    bad = {request.connection.number for request in origin.requests}
    assert [request.method for request in scene.requests()] == ["POST"], "a POST moved"
    if "interim" not in name:
        response = edge.fetch(target="/get")
        assert (response.status, response.region) == (200, "eu-west-1")
        bad |= {request.connection.number for request in origin.requests}
    origin.answer = faults.normally
    assert edge.fetch(target="/again").region == "us-east-1"
    assert origin.last().connection.number not in bad, "a connection with a bad answer was used again"


@pytest.mark.parametrize("how", [faults.close, faults.reset])
def test_an_origin_that_closes_instead_of_answering(edge, scene, origin, how):
    origin.answer = how
    response = edge.fetch("POST", body=b"once")
    assert (response.status, response.fault) == (502, "origin_reset")
    assert len(scene.requests()) == 1
    response = edge.fetch()
    assert response.region == "eu-west-1" and response.decision["attempts"] == "2"


TRUNCATIONS = {
    "length": faults.truncated(300),
    "length, reset": faults.truncated(300, then="rst"),
    "length, at once": faults.truncated(0),
    "length, one byte missing": faults.truncated(999),
    "chunks": faults.truncated(300, chunked=True),
    "chunks, before the last": faults.raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"),
    "chunks, inside the end": faults.raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n"),
    "until close, no close_notify": faults.raw(b"HTTP/1.1 200 OK\r\n\r\nsome of it", then="fin"),
    "until close, reset": faults.raw(b"HTTP/1.1 200 OK\r\n\r\nsome of it", then="rst"),
    "bad chunk": faults.raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nxyz\r\n", then="hang"),
    "wrong bytes after a chunk": faults.raw(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloXX0\r\n\r\n", then="hang"
    ),
    "no progress": faults.truncated(300, then="hang"),
    "bad trailer": faults.raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX Y\r\n\r\n", then="hang"),
}


@pytest.mark.parametrize("name", TRUNCATIONS)
def test_a_truncated_answer_is_never_a_whole_one(edge, scene, origin, name):
    origin.answer = TRUNCATIONS[name]
    try:
        response = edge.fetch(target="/cut")
        whole = name == "bad trailer" and response.body == b"hello"  # all of the body came; only its trailer is wrong
        assert response.status == 502 or response.region == "eu-west-1" or whole, f"a clean end: {response}"
    except (Truncated, Ended):
        pass
    bad = {request.connection.number for request in origin.requests}
    origin.answer = faults.normally
    assert edge.fetch(target="/good").region == "us-east-1"
    assert origin.last().connection.number not in bad


def test_a_truncation_is_seen_by_an_http_1_0_client_too(edge, origin):
    origin.answer = faults.truncated(300, chunked=True)
    with edge.connect() as connection:
        connection.send(request_bytes(version="HTTP/1.0"))
        with pytest.raises((Truncated, Ended)):
            connection.response()


def test_a_truncation_has_its_own_fault_in_the_log_and_in_the_figures(edge, origin):
    before = edge.metrics().sum("nearhop_faults_total", fault="origin_truncated")
    origin.answer = faults.truncated(300)
    with pytest.raises(Truncated):
        edge.fetch(target="/told")

    def logged():
        lines = [json.loads(line) for line in edge.output.lines if '"/told"' in line]
        return [line for line in lines if line["fault"] == "origin_truncated" and line["status"] == 200]

    wait_until(logged, what=lambda: f"the access line in {edge.output.lines[-3:]}")
    wait_until(lambda: edge.metrics().sum("nearhop_faults_total", fault="origin_truncated") == before + 1, what="the count")


EVIL = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
POISONS = {
    "a second answer": faults.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" + EVIL, then="keep"),
    "a body behind HEAD's answer": faults.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 46\r\n\r\n" + EVIL, then="keep"),
    "a body behind 204": faults.raw(b"HTTP/1.1 204 No Content\r\n\r\n" + EVIL, then="keep"),
    "a body behind 304": faults.raw(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 46\r\n\r\n" + EVIL, then="keep"),
    "bytes behind chunks": faults.raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + EVIL, then="keep"),
    "one stray byte": faults.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok\n", then="keep"),
}


@pytest.mark.parametrize("name", POISONS)
def test_bytes_behind_an_answer_never_reach_another_request(edge, origin, name):
    method = "HEAD" if "HEAD" in name else "GET"
    for _ in range(5):
        origin.answer = POISONS[name]
        assert edge.fetch(method).status in (200, 204, 304)
        bad = origin.last().connection.number
        origin.answer = faults.normally
        for number in range(3):
            response = edge.fetch(target=f"/{number}")
            assert response.body == f"us-east-1 GET /{number}\n".encode()
            assert origin.last().connection.number != bad


def test_a_stray_byte_on_an_idle_connection_ends_it(edge, origin):
    edge.fetch()
    idle = origin.last().connection
    idle.write(EVIL)
    wait_until(lambda: idle not in origin._open, what="the edge to close the connection")
    for number in range(3):
        assert edge.fetch(target=f"/{number}").body == f"us-east-1 GET /{number}\n".encode()
        assert origin.last().connection.number != idle.number


# ---- time -----------------------------------------------------------------------------------------------------------
def test_a_post_to_an_origin_that_hangs_is_504_within_the_deadline(edge, scene, origin):
    origin.answer = faults.hang
    began = time.monotonic()
    response = edge.fetch("POST", body=b"once")
    seconds = time.monotonic() - began
    assert (response.status, response.fault) == (504, "origin_head_timeout")
    assert seconds < patient(2.0) + 1
    assert len(scene.requests()) == 1


def test_a_get_leaves_an_origin_that_hangs(edge, scene, origin):
    origin.answer = faults.hang
    began = time.monotonic()
    response = edge.fetch()
    assert (response.status, response.region) == (200, "eu-west-1")
    assert patient(0.3) < time.monotonic() - began < patient(2.0)


def test_when_every_origin_hangs_the_deadline_ends_it(edge, scene):
    for origin in scene:
        origin.answer = faults.hang
    began = time.monotonic()
    response = edge.fetch()
    assert (response.status, response.fault) == (504, "origin_head_timeout")
    assert time.monotonic() - began < patient(2.0) + 1
    assert len(scene.requests()) == 2, "two origins after bytes were sent"


def test_an_origin_that_accepts_and_never_speaks_tls_is_left_for_any_method(edge, scene, origin):
    origin.on_accept = faults.hang_on_accept
    for method in ("GET", "POST"):
        began = time.monotonic()
        response = edge.fetch(method, body=b"x" if method == "POST" else None)
        assert (response.status, response.region) == (200, "eu-west-1")
        assert time.monotonic() - began < patient(1.9)
    assert not origin.requests


def test_a_slow_but_steady_answer_passes(edge, scene):
    def steady(request):
        whole = request.answer_bytes(200, b"x" * 100)
        request.connection.write(whole[:-100])
        for _ in range(100):
            request.connection.write(b"x")
            time.sleep(0.01)  # 1 s in all, above every time-out for silence

    for origin in scene:
        origin.answer = steady
    assert edge.fetch().body == b"x" * 100


def test_the_deadline_does_not_count_the_clients_own_time(edge, origin):
    with edge.connect() as connection:
        data = request_bytes("POST", "/slow-client", body=b"x" * 50)
        for at in range(0, len(data), 10):
            connection.send(data[at : at + 10])
            threading.Event().wait(0.12)  # the client's pace: 2.5 s in all, above the deadline of 2 s
        assert connection.response().status == 200


# ---- connections that never come about ------------------------------------------------------------------------------
CONNECTIONS = {
    "refused": lambda origin: origin.refuse(),
    "reset on accept": lambda origin: setattr(origin, "on_accept", faults.reset_on_accept),
    "plain bytes instead of TLS": lambda origin: setattr(origin, "on_accept", faults.say_on_accept(EVIL)),
    "garbage instead of TLS": lambda origin: setattr(origin, "on_accept", faults.say_on_accept(b"\x16\x03\x03\xff\xff" + b"x" * 70_000)),
}  # fmt: skip


@pytest.mark.parametrize("name", CONNECTIONS)
def test_an_origin_that_cannot_be_connected_costs_nobody_anything(edge, scene, origin, name):
    CONNECTIONS[name](origin)
    for number in range(10):
        method = ("GET", "POST", "PUT", "PATCH")[number % 4]
        response = edge.fetch(method, body=None if method == "GET" else b"x")
        assert (response.status, response.region) == (200, "eu-west-1")
        assert b"evil" not in response.body
    assert len(scene.requests()) == 10


def test_when_nobody_can_be_connected_the_answer_says_why(edge, scene):
    for origin in scene:
        origin.refuse()
    response = edge.fetch("POST", fields=[("Accept", "application/json")], body=b"x")
    assert (response.status, response.fault) == (502, "origin_refused")
    assert json.loads(response.body)["fault"] == "origin_refused"


# ---- statuses -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_gateway_error_moves_a_get_and_reaches_a_post(edge, scene, origin, status):
    origin.answer = faults.status(status, b"from the origin", [("Retry-After", "7")])
    assert edge.fetch().region == "eu-west-1"
    assert edge.fetch("PUT", body=b"idempotent").region == "eu-west-1"
    scene.forget()
    response = edge.fetch("POST", body=b"once")
    assert (response.status, response.body, response.get("Retry-After")) == (status, b"from the origin", "7")
    assert response.fault is None and len(scene.requests()) == 1


def test_when_every_candidate_fails_so_the_last_answer_is_forwarded_as_received(edge, scene):
    for region in scene.origins:
        scene[region].answer = faults.status(503, f"busy {region}".encode())
    response = edge.fetch()
    assert (response.status, response.region, response.body) == (503, "eu-west-1", b"busy eu-west-1")
    assert response.fault is None and not scene["ap-southeast-1"].requests


def test_a_gateway_error_comes_back_when_the_next_one_cannot_answer(edge, scene):
    scene["us-east-1"].answer = faults.status(503, b"busy")
    scene["eu-west-1"].answer = faults.close
    assert edge.fetch().status in (502, 503)


@pytest.mark.parametrize("status", [400, 404, 425, 500])
def test_other_statuses_are_forwarded_and_move_nothing(edge, scene, origin, status):
    origin.answer = faults.status(status, b"as it is")
    response = edge.fetch()
    assert (response.status, response.body) == (status, b"as it is") and len(scene.requests()) == 1


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_421_of_an_origin_moves_any_method(edge, scene, origin, method):
    origin.answer = faults.status(421)
    response = edge.fetch(method, body=b"x" if method == "POST" else None)
    assert (response.status, response.region) == (200, "eu-west-1")


def test_a_large_body_that_cannot_be_replayed_does_not_move(edge, scene, origin):
    origin.answer = faults.status(503)
    response = edge.fetch("PUT", body=b"x" * 200_000)
    assert (response.status, response.region) == (503, "us-east-1")
    assert edge.fetch("PUT", body=b"x" * 50_000).region == "eu-west-1"
    assert scene["eu-west-1"].last().body == b"x" * 50_000


def test_a_large_discarded_answer_does_not_delay_the_next_attempt(edge, scene, origin):
    origin.answer = faults.status(503, b"x" * 3_000_000)
    began = time.monotonic()
    assert edge.fetch().region == "eu-west-1"
    assert time.monotonic() - began < patient(2)


# ---- certificates ---------------------------------------------------------------------------------------------------
def certificates(authority, folder):
    stranger = Authority(folder, "Stranger CA")
    return {
        "expired": (authority.expired("127.0.0.1"), "expired"),
        "not yet valid": (authority.leaf("127.0.0.1", begins=2), "not yet"),
        "wrong name": (authority.leaf("other.example.com"), "name"),
        "wrong address": (authority.leaf("127.0.0.77"), "name"),
        "self-signed": (authority.self_signed("127.0.0.1"), "self|untrusted"),
        "unknown authority": (stranger.leaf("127.0.0.1"), "untrusted|issuer|unknown"),
    }


@pytest.mark.parametrize("kind", ["expired", "not yet valid", "wrong name", "wrong address", "self-signed", "unknown authority"])
def test_a_bad_certificate_is_not_used_and_the_reason_is_visible(scene, start, authority, tmp_path, kind):
    identity, reason = certificates(authority, tmp_path)[kind]
    with Origin("bad", identity) as bad:
        config = scene.config(health=quick())
        config["origins"]["eu-west-1"]["url"] = bad.url
        edge = start(config)
        status = edge.wait_verdict("eu-west-1", "down")
        assert "certificate" in json.dumps(status), status
        edge.log.wait_text(rf"(?i)eu-west-1.*({reason}).*|.*({reason}).*eu-west-1")
        for method in ("GET", "POST"):
            response = edge.fetch(method, fields=viewer("DE"), body=b"x" if method == "POST" else None)
            assert response.status == 200 and response.region == "us-east-1"
        assert not bad.requests and not bad.probes, "bytes went over an unverified connection"


def test_a_certificate_that_turns_bad_is_refused_by_traffic_before_any_probe(edge, scene, origin, authority):
    origin.use(authority.expired("127.0.0.1"))
    origin.drop("fin")
    wait_until(lambda: origin.open_connections() == 0, what="old connections to end")
    for method in ("GET", "POST"):
        response = edge.fetch(method, body=b"x" if method == "POST" else None)
        assert (response.status, response.region) == (200, "eu-west-1")
    assert not origin.requests


def test_when_all_certificates_are_bad_the_answer_is_502_and_no_plain_text_flows(edge, scene, authority):
    expired = authority.expired("127.0.0.1")
    for origin in scene:
        origin.use(expired)
        origin.drop("fin")
    wait_until(lambda: all(origin.open_connections() == 0 for origin in scene), what="old connections to end")
    response = edge.fetch()
    assert (response.status, response.fault) == (502, "origin_certificate")
    assert not scene.requests()
