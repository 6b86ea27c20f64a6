"""Misbehaviours for `Origin.answer`, `Origin.health` and `Origin.on_accept`, each one sentence of a fault list."""

import threading
import time

from .origin import normally  # noqa: F401 - `faults.normally` reads best beside the others
from .origin_connection import Gone


# ---- instead of an answer -------------------------------------------------------------------------------------------
def status(code, body=b"no\n", fields=()):
    def answer(request):
        request.read_body()
        request.respond(code, body, fields)

    return answer


def raw(data, then="fin", read_body=True):
    """Writes exactly these bytes in one write, then ends the connection: "fin", "rst", "hang", or "keep" it open."""

    def answer(request):
        if read_body:
            request.read_body()
        request.connection.write(data)
        end(request, then)

    return answer


def end(request, then):
    if then == "hang":
        request.connection.wait_until_left()
    if then in ("fin", "rst"):
        request.connection.end(then)
        raise Gone


def hang(request):
    """Reads the request, never answers."""
    request.read_body()
    request.connection.wait_until_left()


def hang_without_reading(request):
    request.connection.wait_until_left()


def reset(request):
    request.read_body()
    end(request, "rst")


def close(request):
    request.read_body()
    end(request, "fin")


def truncated(at, body=b"x" * 1000, then="fin", chunked=False):
    """A correct answer that ends after `at` bytes of its body."""

    def answer(request):
        request.read_body()
        whole = request.answer_bytes(200, body, chunked=chunked)
        head = whole.index(b"\r\n\r\n") + 4
        request.connection.write(whole[: head + at])
        end(request, then)

    return answer


def pieces(size, body=None, pause=0.0, **how):
    """A correct answer in writes of `size` bytes: 1 delivers byte by byte."""

    def answer(request):
        request.read_body()
        data = request.answer_bytes(200, body, **how)
        for at in range(0, len(data), size):
            request.connection.write(data[at : at + size])
            if pause:
                time.sleep(pause)  # the pace of the delivery, not a wait for a timer

    return answer


def until(event, answer):
    """Answers only once the test sets `event`."""

    def waiting(request):
        request.read_body()
        event.wait(60)
        answer(request)

    return waiting


def first(count, then, afterwards):
    """`then` for the first `count` requests, `afterwards` for the others."""
    lock = threading.Lock()
    left = [count]

    def answer(request):
        with lock:
            mine = left[0] > 0
            left[0] -= 1
        (then if mine else afterwards)(request)

    return answer


# ---- before TLS -----------------------------------------------------------------------------------------------------
def reset_on_accept(connection):
    connection.end("rst")
    return True


def hang_on_accept(connection):
    """Accepts and never says a word: no TLS, no answer."""
    connection.wait_until_left()
    return True


def say_on_accept(data):
    """Plain bytes from an origin that should speak TLS."""

    def accept(connection):
        connection.write(data)
        connection.end("fin")
        return True

    return accept
