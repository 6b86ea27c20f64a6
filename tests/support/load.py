"""Steady load from many keep-alive connections, as a client sees it: every error and truncation is kept."""

import socket
import ssl
import threading
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass

from .client import HOST, Connection, Ended, Malformed, Truncated, request_bytes
from .clock import patient


@dataclass
class Outcome:
    began: float  # time.monotonic()
    seconds: float
    status: int = 0
    region: str = None
    fault: str = None
    error: str = ""  # "": a whole response; "truncated": its head was there


class Load:
    """`rate` GETs per second over `connections` connections to `address()`. With `fresh` every request opens its own
    connection. A reused connection that the edge closed without `Connection: close` and without one byte of an answer
    is tried again once, as every client does, and counted in `stale`."""

    def __init__(self, address, ca, *, rate=200, connections=16, target="/load", fields=(), method="GET", fresh=False):
        self.address = address if callable(address) else lambda: address
        self.ca = ca
        self.rate = rate
        self.connections = connections
        self.target = target
        self.fields = list(fields)
        self.method = method
        self.fresh = fresh
        self.outcomes = []
        self.stale = 0
        self._stopping = threading.Event()
        self._threads = []
        self._tls = ssl.create_default_context(cafile=str(ca)) if ca else None

    @contextmanager
    def running(self):
        self.start()
        try:
            yield self
        finally:
            self.stop()

    def start(self):
        began = time.monotonic()
        self._threads = [
            threading.Thread(target=self._work, args=(began, number), daemon=True) for number in range(self.connections)
        ]
        for thread in self._threads:
            thread.start()

    def stop(self):
        self._stopping.set()
        for thread in self._threads:
            thread.join(patient(30))
            assert not thread.is_alive(), "a load connection hangs"

    def errors(self):
        """Everything but whole 2xx answers and truncations."""
        return [o for o in self.outcomes if o.error not in ("", "truncated") or (not o.error and o.status // 100 != 2)]

    def truncated(self):
        return [outcome for outcome in self.outcomes if outcome.error == "truncated"]

    def good(self):
        return [outcome for outcome in self.outcomes if not outcome.error and outcome.status // 100 == 2]

    def regions(self, since=0.0):
        return Counter(outcome.region for outcome in self.good() if outcome.began >= since)

    def slowest(self):
        return max((outcome.seconds for outcome in self.outcomes), default=0.0)

    def summary(self):
        kinds = Counter(o.error or f"{o.status} {o.fault or ''}".strip() for o in self.outcomes)
        return f"{len(self.outcomes)} requests {dict(kinds)}, stale {self.stale}, slowest {self.slowest():.3f} s"

    def _work(self, began, number):
        step = self.connections / self.rate
        due = began + number / self.rate
        connection = None
        while not self._stopping.wait(max(0.0, due - time.monotonic())):
            due = max(due + step, time.monotonic() - step)  # after a stall the pace goes on, without a burst
            outcome, connection = self._one(connection)
            self.outcomes.append(outcome)
            if self.fresh and connection:
                connection.close()
                connection = None
        if connection:
            connection.close()

    def _one(self, connection):
        began = time.monotonic()
        outcome = Outcome(began, 0.0)
        for second_try in (False, True):
            reused = connection is not None
            try:
                if not connection:
                    connection = Connection(self.address(), tls=self._tls, name=HOST, timeout=30)
                connection.send(request_bytes(self.method, self.target, self.fields))
                response = connection.response(self.method)
                outcome.status, outcome.region, outcome.fault = response.status, response.region, response.fault
                outcome.error = ""
                if response.closes:
                    connection.close()
                    connection = None
            except (Ended, ConnectionResetError, BrokenPipeError, ssl.SSLEOFError) as error:
                outcome.error = f"ended: {type(error).__name__}"
                if reused and not second_try:
                    self.stale += 1
                    connection.close()
                    connection = None
                    continue
            except Truncated as error:
                outcome.error, outcome.status = "truncated", error.response.status
            except Malformed as error:
                outcome.error = f"malformed: {error}"
            except (socket.timeout, TimeoutError):
                outcome.error = "timeout"
            except OSError as error:
                outcome.error = f"{type(error).__name__}: {error}"
            break
        if outcome.error and connection:
            connection.close()
            connection = None
        outcome.seconds = time.monotonic() - began
        return outcome, connection
