"""An answer that comes before the request's body is whole reaches also a client that sends everything before it looks
for an answer: the edge reads on for as long as that client sends, and its limits allow."""

import http.client
import threading
import time

import pytest
from support.client import HOST, request_bytes, split, trusting
from support.clock import SLOW, patient, wait_until

SIZE = 24 << 20  # more than lies between two sockets
TRANSPORTS = {"https": True, "http": False}
SERVE = [{"address": "127.0.0.1:0", "protocol": "https"}, {"address": "127.0.0.1:0", "protocol": "http", "plain": "serve"}]


def refuse_early(request):
    """401 without a look at the body, which is read afterwards, as nginx does."""
    request.connection.write(request.answer_bytes(401, b"who are you?\n"))
    request.read_body()


def refuse_and_close(request):
    request.connection.write(request.answer_bytes(401, b"who are you?\n", close=True))
    request.connection.end("fin")


def sender(edge, tls):
    """Debian's Python as a client: request() sends head and body, and only then getresponse() reads."""
    host, port = split(edge.https if tls else edge.http)
    if tls:
        context = trusting(edge.ca)
        context.check_hostname = False  # it connects by address
        return http.client.HTTPSConnection(host, port, timeout=patient(30), context=context)
    return http.client.HTTPConnection(host, port, timeout=patient(30))


def upload(connection, how):
    fields = {"Host": HOST}
    if how == "chunked":
        pieces = (bytes(1 << 16) for _ in range(SIZE >> 16))
        connection.request("POST", "/upload", body=pieces, headers=fields, encode_chunked=True)
    else:
        connection.request("POST", "/upload", body=bytes(SIZE), headers=fields)
    answer = connection.getresponse()
    return answer.status, answer.getheader("X-Nearhop-Fault"), answer.read()


def faults_of(edge):
    return {labels["fault"] for labels, count in edge.settled().all("nearhop_faults_total") if count}


@pytest.mark.parametrize("how", ["length", "chunked"])
@pytest.mark.parametrize("tls", TRANSPORTS.values(), ids=TRANSPORTS)
def test_413_reaches_a_client_that_sends_before_it_reads(scene, start, tls, how):
    edge = start(scene.config(site={"body_limit": "1MiB"}, listeners=SERVE))
    for _ in range(5):
        connection = sender(edge, tls)
        assert upload(connection, how)[:2] == (413, "client_body_too_large")
        connection.close()


@pytest.mark.parametrize("answer", [refuse_early, refuse_and_close])
@pytest.mark.parametrize("tls", TRANSPORTS.values(), ids=TRANSPORTS)
def test_an_origins_401_reaches_it_too(scene, start, tls, answer):
    for origin in scene:
        origin.answer = answer
    edge = start(scene.config(listeners=SERVE))
    for _ in range(5):
        connection = sender(edge, tls)
        status, _, body = upload(connection, "length")
        assert (status, body) == (401, b"who are you?\n")
        connection.close()


@pytest.mark.parametrize("fields, status", [({"Host": "other.test"}, 421), ({"Host": HOST, "Expect": "a miracle"}, 417)])
def test_a_refused_head_with_a_large_body_is_answered(scene, start, fields, status):
    edge = start(scene.config(listeners=SERVE))
    connection = sender(edge, False)
    connection.request("POST", "/upload", body=bytes(SIZE), headers=fields)
    assert connection.getresponse().status == status
    connection.close()


def test_the_connection_goes_on_after_a_body_that_nobody_wanted(scene, start):
    for origin in scene:
        origin.answer = refuse_and_close
    edge = start(scene.config(listeners=SERVE))
    connection = sender(edge, False)
    for _ in range(3):
        assert upload(connection, "length")[0] == 401
        used = connection.sock
        assert used is not None, "the answer did not say that the connection ends"
    assert edge.metrics().value("nearhop_sessions_total") == 1
    connection.close()


# ---- the limits ----------------------------------------------------------------------------------------------------
def began(scene, start, **limits):
    """A connection that was answered 413, and goes on sending."""
    edge = start(scene.config(site={"body_limit": "1KiB"}, listeners=SERVE, limits=limits, workers=1))
    connection = edge.connect(ca=None, address=edge.http)
    connection.send(request_bytes("POST", "/upload", [("Content-Length", str(1 << 30))]))
    assert connection.response().status == 413
    return edge, connection


def open_sessions(edge):
    return edge.metrics().sum("nearhop_sessions")


def sends_until_it_is_cut(connection, data, pause=0.0):
    since = time.monotonic()
    with pytest.raises(OSError):
        while time.monotonic() - since < patient(20):
            connection.send(data)
            time.sleep(pause)  # the client's own pace
    return time.monotonic() - since


def test_who_falls_silent_is_not_waited_for(scene, start):
    edge, connection = began(scene, start, drain_silence="300ms", drain_time="1m")
    connection.send(b"x")
    wait_until(lambda: open_sessions(edge) == 0, 5, "the session to end")
    connection.close()


def test_who_sends_for_too_long_is_cut(scene, start):
    limit = 1.0 * SLOW
    _, connection = began(scene, start, drain_silence="1m", drain_time=f"{int(limit * 1000)}ms")
    assert sends_until_it_is_cut(connection, b"x", 0.02) >= limit * 0.9
    connection.close()


def test_who_sends_too_much_is_cut(scene, start):
    edge, connection = began(scene, start, drain_bytes="1MiB", drain_silence="1m", drain_time="1m")
    sends_until_it_is_cut(connection, bytes(1 << 16))
    wait_until(lambda: open_sessions(edge) == 0, 5, "the session to end")
    connection.close()


def test_a_flood_that_nobody_reads_leaves_room_for_others(scene, start):
    """One worker: whoever sends as fast as it can takes turns with the rest."""
    edge, connection = began(scene, start, drain_silence="5s", drain_time="1m")
    stop = threading.Event()

    def flood():
        try:
            while not stop.is_set():
                connection.send(bytes(1 << 20))
        except OSError:
            pass

    thread = threading.Thread(target=flood)
    thread.start()
    for _ in range(20):
        assert edge.fetch().status == 200
    stop.set()
    thread.join()
    connection.close()
