"""The tools of the end-to-end tests, tried against each other: a test that cannot fail proves nothing."""

import random
import re
import signal
import socket
import ssl
import struct
from pathlib import Path

import pytest
import yaml
from support import faults
from support.ca import Authority
from support.client import Connection, Ended, Malformed, Truncated, chunked, request_bytes
from support.clock import wait_until
from support.load import Load
from support.origin import Origin, normally
from support.origin_connection import Cut
from support.origin_process import OriginProcess
from support.proxy import Metrics, parse_logfmt
from support.resolver import Resolver


@pytest.fixture
def origin(authority):
    with Origin("here", authority.leaf("api.example.com", "127.0.0.1")) as made:
        yield made


def address(origin):
    return (origin.address, origin.port)


def connect(origin, authority, **options):
    return Connection(address(origin), ca=authority.file, **options)


def test_an_origin_answers_names_its_region_and_records_the_raw_bytes(origin, authority):
    with connect(origin, authority) as connection:
        sent = request_bytes("POST", "/a?b=c", [("X-One", "1")], b"hello")
        connection.send(sent)
        response = connection.response()
        assert (response.status, response.region) == (200, "here")
        assert origin.last().raw == sent and origin.last().body == b"hello" and origin.last().get("x-one") == "1"
        body = chunked(b"abc", b"defg", trailers=[("X-Sum", "7")])
        sent = request_bytes("PUT", "/c", [("Transfer-Encoding", "chunked")]) + body
        connection.send(sent, pieces=1)
        connection.response()
        assert origin.last().raw == sent and origin.last().body == b"abcdefg"
        assert origin.last().trailers == [("X-Sum", "7")]
        assert origin.last().connection.requests == 2 and origin.accepted == 1


@pytest.mark.parametrize("chunks", [False, True])
def test_a_truncated_answer_is_seen_as_one(origin, authority, chunks):
    origin.answer = faults.truncated(10, chunked=chunks)
    with connect(origin, authority) as connection, pytest.raises(Truncated):
        connection.request()


MALFORMED = {
    "bare LF": b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
    "both framings": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n",
    "space before the colon": b"HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n",
    "folded field": b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n",
    "NUL in a value": b"HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n",
    "chunk size with a sign": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n+1\r\na\r\n0\r\n\r\n",
    "long chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n",
    "no version": b"200 OK\r\n\r\n",
}


@pytest.mark.parametrize("name", MALFORMED)
def test_the_client_refuses_what_is_not_http(origin, authority, name):
    origin.answer = faults.raw(MALFORMED[name])
    with connect(origin, authority) as connection, pytest.raises(Malformed):
        connection.request()


@pytest.mark.parametrize(
    ("accept", "error"),
    [
        (faults.reset_on_accept, ConnectionResetError),
        (faults.hang_on_accept, (socket.timeout, TimeoutError)),
        (faults.say_on_accept(b"HTTP/1.1 200 OK\r\n\r\n"), ssl.SSLError),
    ],
)
def test_faults_before_tls(origin, authority, accept, error):
    origin.on_accept = accept
    with pytest.raises(error):
        connect(origin, authority, timeout=0.5)


def test_a_listener_can_be_closed_and_opened_again(origin, authority):
    origin.refuse()
    with pytest.raises(ConnectionRefusedError):
        connect(origin, authority)
    origin.listen()
    with connect(origin, authority) as connection:
        assert connection.request().status == 200


def test_every_cut_is_counted_as_one_attempt_and_seen_by_the_client():
    with Origin("cut") as origin:
        sent = request_bytes("POST", "/cut", body=b"12345")
        for at in range(len(sent) + 1):
            origin.forget()
            origin.cut = Cut("request", at, random.choice(["fin", "rst"]))
            with Connection(address(origin)) as connection, pytest.raises((Ended, OSError)):
                connection.send(sent)
                connection.response()
            wait_until(lambda: origin.attempts == 1, what=f"the attempt cut at {at}, {origin.attempts} seen")
        origin.cut = None
        with Connection(address(origin)) as connection:
            answer = connection.request().size + 1
        for at in range(answer):
            origin.cut = Cut("response", at)
            with Connection(address(origin)) as connection, pytest.raises((Ended, Truncated)):
                connection.request()


def test_bad_certificates_are_bad(authority, tmp_path):
    stranger = Authority(tmp_path)
    for identity in (
        authority.expired("api.example.com"),
        authority.self_signed("api.example.com"),
        authority.leaf("other.example.com"),
        stranger.leaf("api.example.com"),
    ):
        with Origin("bad", identity) as origin, pytest.raises(ssl.SSLCertVerificationError):
            connect(origin, authority)


def test_the_load_sees_good_answers_errors_and_truncations_apart(origin, authority):
    origin.answer = faults.first(5, faults.status(503), faults.first(5, faults.truncated(3), normally))
    load = Load(address(origin), authority.file, rate=200, connections=4)
    with load.running():
        wait_until(lambda: len(load.good()) > 20, what=load.summary)
    assert len(load.errors()) == 5 and len(load.truncated()) == 5, load.summary()
    assert load.regions() == {"here": len(load.good())}


def test_an_origin_process_dies_refuses_and_comes_back(authority, tmp_path):
    with OriginProcess("far", authority.leaf("api.example.com"), tmp_path) as process:
        target = ("127.0.0.1", process.port)
        with Connection(target, ca=authority.file) as connection:
            assert connection.request(target="/one").region == "far"
        process.kill()
        with pytest.raises(ConnectionRefusedError):
            Connection(target, ca=authority.file)
        process.start()
        with Connection(target, ca=authority.file) as connection:
            assert connection.request(target="/two").region == "far"
        assert [request["target"] for request in process.requests()] == ["/one", "/two"]
        process.signal(signal.SIGTERM)


def _ask(resolver, name, kind=1):
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(0.5)
        sock.sendto(b"ab" + struct.pack("!HHHHH", 0x100, 1, 0, 0, 0) + labels + struct.pack("!HH", kind, 1),
                    ("127.0.0.1", resolver.port))  # fmt: skip
        data = sock.recv(512)
    assert data[:2] == b"ab"
    return data[3] & 15, [data[-4:]] if struct.unpack_from("!H", data, 6)[0] else []


def test_the_resolver_answers_as_told():
    with Resolver() as resolver:
        resolver.set("a.test", "127.0.0.7")
        assert _ask(resolver, "a.test") == (0, [bytes([127, 0, 0, 7])])
        assert _ask(resolver, "a.test", 28) == (0, [])
        assert _ask(resolver, "b.test") == (3, [])
        resolver.fail("a.test", "servfail")
        assert _ask(resolver, "a.test") == (2, [])
        resolver.fail("a.test", "silence")
        with pytest.raises((socket.timeout, TimeoutError)):
            _ask(resolver, "a.test")
        assert resolver.queries("a.test") == 4


def test_log_lines_and_metrics_are_read():
    assert parse_logfmt('a=1 b="two words" c="q\\"x" d=') == {"a": "1", "b": "two words", "c": 'q"x', "d": ""}
    metrics = Metrics('# HELP x y\nx{a="1",b="2"} 3\nx{a="1",b="3"} 4\nz 1e3\n')
    assert metrics.sum("x", a="1") == 7 and metrics.value("x", b="3") == 4 and metrics.value("z") == 1000


@pytest.mark.parametrize("job", [{}, {"http2": True}, {"origin_tls": True, "logged": True}], ids=["plain", "http2", "tls"])
def test_the_benchmark_measures_the_defaults_that_users_get(monkeypatch, job):
    """Only what the job is made of: addresses, certificates, whom to trust, where the log goes."""
    monkeypatch.syspath_prepend(Path(__file__).resolve().parents[2] / "bench")
    import contenders

    text = contenders.nearhop_config(contenders.Job(Path("/b"), "/b/edge.pem", "/b/ca.pem", [1, 2, 3], **job), 4)
    config = yaml.safe_load(text)
    assert set(config) == {"workers", "listen", "tls", "clients", "admin", "log", "origins"}
    assert config["workers"] == 1 and set(config["log"]) == {"access"} and set(config["clients"]) == {"trusted"}
    assert set().union(*config["origins"].values()) <= {"url", "ca"}


def test_every_metric_that_a_test_asks_for_is_documented():
    """A name that does not exist adds up to 0, and `== 0` or `<= 2` would hold for ever."""
    root = Path(__file__).parents[2]
    documented = set(re.findall(r"`(nearhop_\w+)`", (root / "docs/metrics.md").read_text()))
    asked = re.compile(r'\.(?:sum|value|all)\(\s*"(nearhop_\w+?)(?:_count|_sum|_bucket)?"')
    for file in sorted((root / "tests").rglob("*.py")):
        for name in asked.findall(file.read_text()):
            assert name in documented, f"{file.name}: {name}"
