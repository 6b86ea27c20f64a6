"""Malformed and ambiguous requests: refused before an origin sees them, and no stranger's next request suffers."""

import json
import threading

import pytest
from support.client import HOST, Ended, Truncated, chunked, request_bytes
from support.proxy import Edge
from support.setup import Scene

GET = f"GET / HTTP/1.1\r\nHost: {HOST}\r\n".encode()
POST = f"POST /post HTTP/1.1\r\nHost: {HOST}\r\n".encode()
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n"
END = b"\r\n"
INNER = request_bytes(target="/inner")


@pytest.fixture(scope="module")
def scene(authority):
    with Scene(authority, tls=False) as made:
        yield made


@pytest.fixture(scope="module")
def edge(scene, authority, tmp_path_factory):
    config = scene.config(site={"policy": "failover"})
    config["limits"] = {"head_timeout": "1s", "body_timeout": "1s", "handshake_timeout": "5s"}
    config["sites"]["small"] = {"hosts": ["small.example.com"], "origins": ["us-east-1"], "body_limit": "1000B"}
    with Edge(tmp_path_factory.mktemp("edge"), config, ca=authority.file) as running:
        yield running


@pytest.fixture(autouse=True)
def bystander(edge, scene):
    """Another client's kept connection, and the origin's, must be right after every bad request."""
    scene.renew()
    with edge.connect() as connection:
        assert connection.request(target="/before").body == b"us-east-1 GET /before\n"
        scene.forget()
        yield
        # The bad requests are over; these are other clients' requests.
        assert connection.request("POST", "/after", body=b"mine").body == b"us-east-1 POST /after\n"
        assert edge.fetch(target="/fresh").body == b"us-east-1 GET /fresh\n"
        seen = [request for request in scene.requests() if request.target in ("/after", "/fresh")]
        assert [(r.method, r.target, r.body) for r in seen] == [("POST", "/after", b"mine"), ("GET", "/fresh", b"")]
        assert not [request for request in scene.requests() if request.target == "/inner"], "a smuggled request"


def refused(edge, data, status, fault, *, pieces=None):
    """The edge answers with this fault and closes."""
    with edge.connect() as connection:
        try:
            connection.send(data, pieces)
        except OSError:
            pass  # it may refuse before it has all
        response = connection.response("GET")
        assert (response.status, response.fault) == (status, fault), response
        assert response.closes, "a doubtful connection must end"
        assert connection.rest() == b"", "nothing may follow"
    return response


BAD_REQUESTS = {
    "no version": b"GET /\r\nHost: a\r\n\r\n",
    "garbage": b"\x01\x02\x03 hello\r\n\r\n",
    "space in the target": f"GET /a b HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode(),
    "two spaces": f"GET  / HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode(),
    "leading space": f" GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode(),
    "tab separators": f"GET\t/\tHTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode(),
    "fragment in the target": f"GET /admin#x HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode(),
    "control in the target": f"GET /a\x01b HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode(),
    "NUL in the target": f"GET /a\0b HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode(),
    "raw UTF-8 in the target": f"GET /ä HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode(),
    "relative target": f"GET a HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode(),
    "asterisk without OPTIONS": f"GET * HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode(),
    "method with a bad byte": f"G@T / HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode(),
    "HTTP/2 in text": f"GET / HTTP/2.0\r\nHost: {HOST}\r\n\r\n".encode(),
    "HTTP/0.9": b"GET /\r\n\r\n",
    "HTTP/1.2": f"GET / HTTP/1.2\r\nHost: {HOST}\r\n\r\n".encode(),
    "lower case http": f"GET / http/1.1\r\nHost: {HOST}\r\n\r\n".encode(),
    "HTTP/1.10": f"GET / HTTP/1.10\r\nHost: {HOST}\r\n\r\n".encode(),
    "bare LF everywhere": f"GET / HTTP/1.1\nHost: {HOST}\n\n".encode(),
    "bare LF after the request line": f"GET / HTTP/1.1\nHost: {HOST}\r\n\r\n".encode(),
    "bare LF in the fields": GET + b"X: y\nZ: w\r\n\r\n",
    "bare LF at the end": GET + b"\n",
    "bare CR in a value": GET + b"X: a\rb\r\n\r\n",
    "CR CR LF": GET + b"X: a\r\r\n\r\n",
    "NUL in a value": GET + b"X: a\0b\r\n\r\n",
    "control in a value": GET + b"X: a\x07b\r\n\r\n",
    "space before the colon": GET + b"X : y\r\n\r\n",
    "tab before the colon": GET + b"X\t: y\r\n\r\n",
    "folded field": GET + b"X: a\r\n b\r\n\r\n",
    "folded first field": f"GET / HTTP/1.1\r\n X: y\r\nHost: {HOST}\r\n\r\n".encode(),
    "empty name": GET + b": y\r\n\r\n",
    "empty name cuts the list": f"POST / HTTP/1.1\r\n: x\r\nHost: {HOST}\r\nContent-Length: 1\r\n\r\na".encode(),
    "no colon": GET + b"just words\r\n\r\n",
    "bad byte in a name": GET + b"X(y): z\r\n\r\n",
    "UTF-8 in a name": GET + "Ä: z\r\n\r\n".encode(),
    "no Host": b"GET / HTTP/1.1\r\n\r\n",
    "two Hosts": GET + f"Host: {HOST}\r\n\r\n".encode(),
    "two different Hosts": GET + b"Host: other.example.com\r\n\r\n",
    "Host list": b"GET / HTTP/1.1\r\nHost: a.test, b.test\r\n\r\n",
    "Host with userinfo": f"GET / HTTP/1.1\r\nHost: user@{HOST}\r\n\r\n".encode(),
    "Host with a path": f"GET / HTTP/1.1\r\nHost: {HOST}/x\r\n\r\n".encode(),
    "Host with a space": f"GET / HTTP/1.1\r\nHost: {HOST} x\r\n\r\n".encode(),
    "Host with a bad port": f"GET / HTTP/1.1\r\nHost: {HOST}:99999\r\n\r\n".encode(),
    "Host with letters as port": f"GET / HTTP/1.1\r\nHost: {HOST}:80a\r\n\r\n".encode(),
    "obs-fold under Expect": f"OPTIONS / HTTP/1.1\r\nHost: {HOST}\r\nExpect:\r\n 100-continue\r\nContent-Length: 60\r\n\r\n".encode(),
}  # fmt: skip

BAD_FRAMINGS = {
    "both": POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + INNER,
    "both, the other way round": CHUNKED + b"Content-Length: 5\r\n\r\n0\r\n\r\n" + INNER,
    "both, in mixed case": POST + b"conTent-length: 5\r\ntransfer-ENCODING: chunked\r\n\r\n0\r\n\r\n" + INNER,
    "chunked, identity": POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" + INNER,
    "identity, chunked": POST + b"Transfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n" + INNER,
    "gzip, chunked": POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" + INNER,
    "chunked, chunked": POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n" + INNER,
    "chunked on two lines": CHUNKED + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + INNER,
    "chunked then identity": CHUNKED + b"Transfer-Encoding: identity\r\n\r\n0\r\n\r\n" + INNER,
    "identity": POST + b"Transfer-Encoding: identity\r\n\r\n" + INNER,
    "xchunked": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + INNER,
    "empty coding": POST + b"Transfer-Encoding:\r\n\r\n" + INNER,
    "chunked with a parameter": POST + b"Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n" + INNER,
    "quoted chunked": POST + b'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n' + INNER,
    "vertical tab chunked": POST + b"Transfer-Encoding: \x0bchunked\r\nContent-Length: 5\r\n\r\nhello" + INNER,
    "form feed chunked": POST + b"Transfer-Encoding: chunked\x0c\r\n\r\n0\r\n\r\n" + INNER,
    "chunked in HTTP/1.0": CHUNKED.replace(b"1.1", b"1.0") + b"\r\n0\r\n\r\n" + INNER,
    "equal lengths in a list": POST + b"Content-Length: 5, 5\r\n\r\nhello" + INNER,
    "equal lengths twice": POST + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello" + INNER,
    "unequal lengths": POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello" + INNER,
    "plus": POST + b"Content-Length: +5\r\n\r\nhello" + INNER,
    "minus": POST + b"Content-Length: -5\r\n\r\nhello" + INNER,
    "minus zero": POST + b"Content-Length: -0\r\n\r\n" + INNER,
    "hexadecimal": POST + b"Content-Length: 0x5\r\n\r\nhello" + INNER,
    "letters": POST + b"Content-Length: 5a\r\n\r\nhello" + INNER,
    "a space inside": POST + b"Content-Length: 5 5\r\n\r\nhello" + INNER,
    "empty length": POST + b"Content-Length:\r\n\r\n" + INNER,
    "empty length before a real one": POST + b"Content-Length:\r\nContent-Length: 5\r\n\r\nhello" + INNER,
    "2^64": POST + b"Content-Length: 18446744073709551616\r\n\r\n" + INNER,
    "2^63": POST + b"Content-Length: 9223372036854775808\r\n\r\n" + INNER,
    "a hundred digits": POST + b"Content-Length: " + b"9" * 100 + b"\r\n\r\n" + INNER,
    "spaced length beside chunked": CHUNKED + b"Content-Length : 5\r\n\r\n0\r\n\r\n" + INNER,
}

# Bodies that are wrong after a good head. The origin may have seen the head; it must never see a whole request.
BAD_CHUNKS = {
    "no size": b"\r\n",
    "letters": b"xyz\r\n",
    "minus": b"-1\r\na\r\n0\r\n\r\n",
    "plus": b"+1\r\na\r\n0\r\n\r\n",
    "0x": b"0x1\r\na\r\n0\r\n\r\n",
    "space before": b" 1\r\na\r\n0\r\n\r\n",
    "2^64 + 1": b"10000000000000001\r\na\r\n0\r\n\r\n",
    "above 2^63": b"8000000000000000\r\na\r\n0\r\n\r\n",
    "bare LF after the size": b"1\na\r\n0\r\n\r\n",
    "bare LF after the data": b"1\r\na\n0\r\n\r\n",
    "bare LF in the end": b"0\n\n",
    "wrong bytes after the data": b"5\r\nhelloXX0\r\n\r\n",
    "longer data": b"1\r\nab\r\n0\r\n\r\n",
    "LF in an extension": b"1;a\nb\r\na\r\n0\r\n\r\n",
    "CR in an extension": b"1;a\rb\r\na\r\n0\r\n\r\n",
    "NUL in an extension": b"1;a\0b\r\na\r\n0\r\n\r\n",
    "long extension": b"1;" + b"a" * 1000 + b"\r\na\r\n0\r\n\r\n",
    "bad trailer": b"0\r\nX Y\r\n\r\n",
    "folded trailer": b"0\r\nX: a\r\n b\r\n\r\n",
    "bare LF trailer": b"0\r\nX: a\n\r\n",
    "space before the colon of a trailer": b"0\r\nX : a\r\n\r\n",
    "large trailers": b"0\r\n" + b"".join(b"X-%d: %s\r\n" % (n, b"y" * 90) for n in range(200)) + b"\r\n",
}


@pytest.mark.parametrize("name", BAD_REQUESTS)
def test_a_malformed_request_is_400_and_ends_the_connection(edge, scene, name):
    refused(edge, BAD_REQUESTS[name], 400, "client_bad_request")
    assert not scene.attempts()


@pytest.mark.parametrize("name", BAD_FRAMINGS)
def test_an_ambiguous_framing_is_400_and_ends_the_connection(edge, scene, name):
    with edge.connect() as connection:
        connection.send(BAD_FRAMINGS[name])
        response = connection.response()
        assert response.status == 400 and response.closes
        assert response.fault in ("client_bad_framing", "client_bad_request")
        assert connection.rest() == b""
    assert not scene.attempts()


def test_the_framing_fault_has_its_own_code(edge):
    refused(edge, BAD_FRAMINGS["both"], 400, "client_bad_framing")
    refused(edge, BAD_FRAMINGS["chunked, identity"], 400, "client_bad_framing", pieces=1)


@pytest.mark.parametrize("name", BAD_CHUNKS)
def test_bad_chunks_never_make_a_whole_request(edge, scene, name):
    with edge.connect() as connection:
        connection.send(CHUNKED + END + BAD_CHUNKS[name] + INNER)
        try:
            response = connection.response()
            assert response.status == 400, response
            assert response.fault in ("client_bad_framing", "client_bad_request") and response.closes
        except (Ended, Truncated):
            pass  # an answer was under way
        assert connection.rest() == b""
    assert not [request for request in scene.requests() if request.complete]


def test_a_long_field_name_that_starts_like_content_length_is_another_field(edge, scene):
    """CVE-2021-40346."""
    name = b"Content-Length0" + b"a" * 255
    with edge.connect() as connection:
        connection.send(POST + name + b": 50\r\nContent-Length: 5\r\n\r\nhello" + request_bytes(target="/second"))
        assert connection.response().status == 200 and connection.response().body == b"us-east-1 GET /second\n"
    assert scene["us-east-1"].requests[0].body == b"hello"


def test_chunk_extensions_are_allowed_but_not_forever(edge, scene):
    """CVE-2023-39326: a megabyte of extensions around one-byte chunks."""
    with edge.connect() as connection:
        connection.send(CHUNKED + END + b"1;a=b;c=\"d\"\r\na\r\n0;last\r\n\r\n")
        assert connection.response().status == 200
    assert scene["us-east-1"].last().body == b"a"


@pytest.mark.parametrize("data", [b"\r\n", b"\r\n\r\n"])
def test_an_empty_line_before_a_request_is_forgiven_or_refused(edge, data):
    with edge.connect() as connection:
        connection.send(data + request_bytes())
        assert connection.response().status in (200, 400)


# ---- limits ---------------------------------------------------------------------------------------------------------
HEAD_LIMITS = {
    "head above 32 KiB": (GET + b"X: " + b"y" * 33_000 + b"\r\n\r\n", 431, "client_head_too_large"),
    "endless field": (GET + b"X: " + b"y" * 200_000, 431, "client_head_too_large"),
    "101 fields": (GET + b"".join(b"X-%d: y\r\n" % n for n in range(101)) + b"\r\n", 431, "client_head_too_large"),
    "20000 tiny fields": (GET + b"a: b\r\n" * 20_000 + b"\r\n", 431, "client_head_too_large"),
    "target above 8 KiB": (f"GET /{'a' * 8200} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode(), 414, "client_target_too_long"),
    "endless target": (b"GET /" + b"a" * 100_000, 414, "client_target_too_long"),
}


@pytest.mark.parametrize("name", HEAD_LIMITS)
def test_a_head_above_the_limits_is_refused(edge, scene, name):
    data, status, fault = HEAD_LIMITS[name]
    response = refused(edge, data, status, fault)
    assert b'"fault"' in response.body or fault.encode() in response.body
    assert not scene.attempts()


REFUSED_HEADS = {name: (data, status) for name, (data, status, _) in HEAD_LIMITS.items()}
REFUSED_HEADS["a head that never ends"] = (GET + b"X: y\r\n", 408)
REFUSED_HEADS["no Host"] = (b"GET / HTTP/1.1\r\n\r\n", 400)
REFUSED_HEADS["a bare LF"] = (GET + b"X: y\n\r\n", 400)
REFUSED_HEADS["two lengths"] = (GET + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n", 400)


@pytest.mark.parametrize("name", REFUSED_HEADS)
def test_a_head_of_the_method_head_is_refused_without_content(edge, name):
    """Whoever asked so reads what follows the answer's head as the next answer."""
    data, status = REFUSED_HEADS[name]
    with edge.connect() as connection:
        connection.send(data.replace(b"GET ", b"HEAD ", 1))
        response = connection.response("HEAD")
        assert response.status == status and int(response.get("Content-Length")) > 0
        assert connection.rest() == b""


def test_a_head_behind_one_of_the_method_head_is_refused_with_content(edge):
    with edge.connect() as connection:
        assert connection.request("HEAD").status == 200
        connection.send(HEAD_LIMITS["endless field"][0])
        assert connection.response().body


def test_a_head_that_never_ends_is_408(edge, scene):
    with edge.connect() as connection:
        connection.send(GET + b"X: y\r\n")
        response = connection.response()
        assert (response.status, response.fault) == (408, "client_head_timeout") and response.closes
        assert connection.rest() == b""


def test_a_head_that_drips_is_408_all_the_same(edge):
    stop = threading.Event()

    def drip(connection):
        try:
            while not stop.wait(0.05):  # the pace of the drip
                connection.send(b"y")
        except OSError:
            pass

    with edge.connect() as connection:
        connection.send(GET + b"X: ")
        thread = threading.Thread(target=drip, args=(connection,))
        thread.start()
        try:
            assert connection.response().status == 408
        finally:
            stop.set()
            thread.join()


def test_a_body_that_makes_no_progress_is_408(edge, scene):
    with edge.connect() as connection:
        connection.send(request_bytes("POST", "/stalled", [("Content-Length", "10")]) + b"12345")
        response = connection.response()
        assert (response.status, response.fault) == (408, "client_body_timeout") and response.closes
    assert not [request for request in scene.requests() if request.complete]


@pytest.mark.parametrize("framed", [True, False])
def test_a_body_above_the_limit_of_its_site_is_413(edge, scene, framed):
    with edge.connect() as connection:
        body = b"x" * 2000
        if framed:
            data = request_bytes("POST", "/", body=body, host="small.example.com")
        else:
            data = request_bytes("POST", "/", [("Transfer-Encoding", "chunked")], host="small.example.com") + chunked(body)
        connection.send(data)
        response = connection.response()
        assert (response.status, response.fault) == (413, "client_body_too_large")
    assert not [request for request in scene.requests() if request.complete]
    assert edge.fetch("POST", "/", body=b"x" * 1000, host="small.example.com").status == 200


def test_a_client_that_leaves_inside_its_body_makes_no_whole_request(edge, scene):
    for how in ("length", "chunked"):
        with edge.connect() as connection:
            if how == "length":
                connection.send(request_bytes("POST", "/left", [("Content-Length", "100")]) + b"x" * 50)
            else:
                connection.send(CHUNKED + END + b"64\r\n" + b"x" * 50)
    assert not [request for request in scene.requests() if request.complete]


# ---- what our answers look like -------------------------------------------------------------------------------------
def test_an_error_answer_carries_its_fault_as_json_or_text(edge):
    response = edge.fetch(host="unknown.test", fields=[("Accept", "application/json")])
    answer = json.loads(response.body)
    assert response.get("Content-Type").startswith("application/json")
    assert answer["fault"] == "client_unknown_host" and answer["status"] == 421 and answer["request_id"]
    response = edge.fetch(host="unknown.test", fields=[("Accept", "text/plain")])
    assert response.get("Content-Type").startswith("text/plain") and b"client_unknown_host" in response.body


def test_an_error_answer_reflects_nothing_of_the_request(edge):
    response = edge.fetch(target="/<script>alert(1)</script>", host="xss-marker.test", fields=[("Accept", "text/html")])
    assert b"script" not in response.body and b"xss-marker" not in response.body


def test_an_error_answer_to_head_has_no_body_and_leaves_the_connection_right(edge):
    with edge.connect() as connection:
        response = connection.request("HEAD", host="unknown.test")
        assert response.status == 421 and response.body == b""
        if not response.closes:
            assert connection.request(target="/next").body == b"us-east-1 GET /next\n"
        else:
            assert connection.is_closed()


def test_a_421_with_a_body_never_turns_the_body_into_a_request(edge, scene):
    """CVE-2022-22720."""
    with edge.connect() as connection:
        connection.send(request_bytes("POST", "/", body=INNER, host="unknown.test") + request_bytes(target="/second"))
        response = connection.response()
        assert response.status == 421
        if response.closes:
            assert connection.rest() == b""
        else:
            assert connection.response().body == b"us-east-1 GET /second\n"
    assert scene["us-east-1"].targets() in ([], ["/second"])


def test_client_faults_are_counted(edge):
    before = edge.settled()
    refused(edge, BAD_REQUESTS["two Hosts"], 400, "client_bad_request")
    refused(edge, BAD_FRAMINGS["both"], 400, "client_bad_framing")
    after = edge.settled()
    for fault in ("client_bad_request", "client_bad_framing"):
        assert after.sum("nearhop_faults_total", fault=fault) == before.sum("nearhop_faults_total", fault=fault) + 1
