"""HTTP/2 load: requests by Debian's h2load, and connections that idle after one request, held by this process."""

import os
import re
import socket
import ssl
import struct
import subprocess
import time
from pathlib import Path


def cpu_ns(pids):
    """CPU time of all threads, from the scheduler's own clock."""
    total = 0
    for pid in pids:
        for task in Path(f"/proc/{pid}/task").glob("*/schedstat"):
            total += int(task.read_text().split()[0])
    return total


class H2Load:
    """One run after another against the same proxy; connections of a run are its own."""

    def __init__(self, port, connections, streams, core):
        self.url = f"https://127.0.0.1:{port}/1k"
        self.connections, self.streams, self.core = connections, streams, core

    def run(self, requests):
        """Requests per second and how many failed."""
        done = subprocess.run(
            ["h2load", "-t1", f"-c{self.connections}", f"-m{self.streams}", f"-n{requests}", "--npn-list=h2",
             "-H", "x-forwarded-for: 8.8.8.8", "-H", "user-agent: Mozilla/5.0 (X11; Linux x86_64) bench",
             "-H", "accept: text/html,application/xhtml+xml;q=0.9,*/*;q=0.8", self.url],
            capture_output=True, text=True, check=True, preexec_fn=lambda: os.sched_setaffinity(0, {self.core}))
        total, good = re.search(r"requests: (\d+) total.* (\d+) succeeded", done.stdout).groups()
        ok = int(re.search(r"status codes: (\d+) 2xx", done.stdout)[1])
        spent = re.search(r"finished in ([\d.]+)(us|ms|s)", done.stdout)
        seconds = float(spent[1]) * {"us": 1e-6, "ms": 1e-3, "s": 1}[spent[2]]
        return {"requests": int(total), "failed": int(total) - min(int(good), ok), "seconds": seconds}


def measure(proxy, scenario, seconds, core):
    """A sample like bench_load's."""
    load = H2Load(proxy.port, scenario.connections, scenario.streams, core)
    warm = load.run(20_000)
    count = max(20_000, int(warm["requests"] / warm["seconds"] * seconds))
    pids = proxy.pids()
    before = cpu_ns(pids)
    run = load.run(count)
    spent = cpu_ns(pids) - before
    if pids != proxy.pids():
        raise RuntimeError(f"the proxy changed its processes while it was measured:\n{proxy.said()}")
    errors = {"h2load": run["failed"]} if run["failed"] else {}
    return {"cost": spent / 1e3 / run["requests"], "cpu_ns": spent, "requests": run["requests"],
            "seconds": run["seconds"], "rps": run["requests"] / run["seconds"], "p50_us": 0, "p99_us": 0,
            "errors": errors, "error_count": run["failed"]}


def frame(kind, flags=0, stream=0, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


# GET https://bench.example/1k
REQUEST = frame(1, 5, 1, b"\x82\x87\x04\x03/1k\x41\x0dbench.example")
OPENING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4) + frame(4, 1) + REQUEST


def hold(port, count):
    """Opens connections that have had one answer each."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    held = []
    for _ in range(count):
        plain = socket.create_connection(("127.0.0.1", port), timeout=10)
        stream = context.wrap_socket(plain, server_hostname="bench.example")
        stream.sendall(OPENING)
        seen = b""
        while not answered(seen):
            piece = stream.recv(65536)
            if not piece:
                raise RuntimeError("a connection that should idle was closed")
            seen += piece
        held.append(stream)
    return held


def answered(data):
    """Whether stream 1 has ended in these frames."""
    at = 0
    while len(data) - at >= 9:
        size = int.from_bytes(data[at : at + 3], "big")
        if len(data) - at < 9 + size:
            return False
        if data[at + 3] in (0, 1) and data[at + 4] & 1 and int.from_bytes(data[at + 5 : at + 9], "big") == 1:
            return True
        at += 9 + size
    return False


def measure_memory(proxy, scenario):
    """Growth of the resident memory per held connection, after some have warmed the process and left."""
    for stream in hold(proxy.port, 50):
        stream.close()
    time.sleep(0.5)
    before = proxy.rss_bytes()
    held = hold(proxy.port, scenario.connections)
    time.sleep(1.5)  # until buffers were given back
    grown = proxy.rss_bytes() - before
    for stream in held:
        stream.close()
    return {"cost": grown / 1024 / scenario.connections, "rps": 0.0, "p50_us": 0, "p99_us": 0, "errors": {},
            "error_count": 0, "grown_bytes": grown}
