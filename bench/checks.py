#!/usr/bin/python3
"""What health checks of many origins cost: CPU of nearhop's control thread beside HAProxy, in one run.

Each proxy checks the same origins with GET /health once a second, without traffic. Read of nearhop is its control
thread alone (the first of the process), of HAProxy its one thread; user and system time of /proc/PID/task. Rounds are
interleaved. Also read: how long /metrics and /status take, their sizes, a reload's time, and the resident memory.

    bench/checks.py                           # 1,000 origins, 3 rounds of 20 s
    bench/checks.py --origins 4096 --rounds 1 --proxies nearhop
    bench/checks.py --nearhop FILE            # another binary
"""

import argparse
import mmap
import os
import re
import select
import signal
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from contenders import find_program, free_port  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
PROXY_CORE, ORIGIN_CORE = 0, 1
TOKEN = "bench-checks-token-0123456789"
TICK = os.sysconf("SC_CLK_TCK")
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\nok\n"
PLACES = ("us-east-1", "eu-west-1", "ap-southeast-1")


def serve(count, tell, answered):
    """In a process of its own: `count` listening sockets that answer every request alike; writes their ports."""
    listeners, ports = {}, []
    poll = select.epoll()
    for _ in range(count):
        listener = socket.create_server(("127.0.0.1", 0), backlog=16)
        listener.setblocking(False)
        listeners[listener.fileno()] = listener
        ports.append(listener.getsockname()[1])
        poll.register(listener, select.EPOLLIN)
    os.write(tell, (" ".join(map(str, ports)) + "\n").encode())
    clients = {}
    while True:
        for fd, _ in poll.poll():
            if fd in listeners:
                try:
                    client, _ = listeners[fd].accept()
                except OSError:
                    continue
                client.setblocking(False)
                clients[client.fileno()] = client
                poll.register(client, select.EPOLLIN)
                continue
            try:
                data = clients[fd].recv(4096)
                if data:
                    clients[fd].sendall(ANSWER)
                    struct.pack_into("Q", answered, 0, struct.unpack_from("Q", answered)[0] + 1)
                    continue
            except OSError:
                pass
            poll.unregister(fd)
            clients.pop(fd).close()


class Origins:
    def __init__(self, count):
        read, write = os.pipe()
        self.counter = mmap.mmap(-1, 8)  # shared with the child
        self.pid = os.fork()
        if self.pid == 0:
            os.sched_setaffinity(0, {ORIGIN_CORE})
            os.close(read)
            try:
                serve(count, write, self.counter)
            finally:
                os._exit(1)
        os.close(write)
        with os.fdopen(read) as pipe:
            self.ports = [int(port) for port in pipe.readline().split()]

    def answered(self):
        return struct.unpack_from("Q", self.counter)[0]

    def close(self):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


def nearhop_config(ports, folder, admin):
    """Sites of three origins, as services in three regions are."""
    lines = [f"listeners: [{{address: '127.0.0.1:{free_port()}', protocol: http}}]", "workers: 1",
             f"admin: {{listen: 127.0.0.1:{admin}, token: {TOKEN}, state_file: {folder}/orders.json}}", "log: {access: off}",
             "health: {interval: 1s, timeout: 900ms, interval_transitional: 1s, interval_down: 1s}", "origins:"]
    lines += [f"  o{i}: {{url: 'http://127.0.0.1:{port}', region: {PLACES[i % 3]}}}" for i, port in enumerate(ports)]
    lines.append("sites:")
    for first in range(0, len(ports), 3):
        names = ", ".join(f"o{i}" for i in range(first, min(first + 3, len(ports))))
        lines.append(f"  s{first // 3}: {{hosts: [s{first // 3}.example], origins: [{names}]}}")
    return "\n".join(lines) + "\n"


def haproxy_config(ports, folder, _):
    lines = ["global", "  nbthread 1", f"  maxconn {len(ports) + 500}", "defaults", "  mode http", "  timeout connect 900ms",
             "  timeout client 30s", "  timeout server 30s", "  timeout check 900ms", "frontend edge",
             f"  bind 127.0.0.1:{free_port()}", "  default_backend s0"]
    for first in range(0, len(ports), 3):
        lines += [f"backend s{first // 3}", "  option httpchk", "  http-check send meth GET uri /health ver HTTP/1.1 hdr Host o.example",
                  "  http-check expect status 200"]
        lines += [f"  server o{first + i} 127.0.0.1:{port} check inter 1s" for i, port in enumerate(ports[first:first + 3])]
    return "\n".join(lines) + "\n"


def cpu_seconds(pid, whole):
    """User and system time of the process's first thread, or of all of them."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir() if whole else [Path(f"/proc/{pid}/task/{pid}")]:
        fields = (task / "stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICK


def resident_kib(pid):
    return int(re.search(r"Rss:\s+(\d+)", Path(f"/proc/{pid}/smaps_rollup").read_text()).group(1))


def fetch(admin, path, method="GET"):
    began = time.monotonic()
    request = urllib.request.Request(f"http://127.0.0.1:{admin}{path}", method=method,
                                     headers={"Authorization": f"Bearer {TOKEN}"})
    with urllib.request.urlopen(request, timeout=120) as answer:
        body = answer.read()
    return body, time.monotonic() - began


class Running:
    def __init__(self, kind, arguments, ports, folder):
        self.kind, self.admin = kind, free_port()
        config = (nearhop_config if kind == "nearhop" else haproxy_config)(ports, folder, self.admin)
        file = Path(folder) / f"{kind}.conf"
        file.write_text(config)
        command = ([str(arguments.nearhop), "run", "--config", str(file)] if kind == "nearhop"
                   else [find_program("haproxy"), "-db", "-f", str(file)])
        self.log = open(Path(folder) / f"{kind}.log", "wb")
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL,
                                        preexec_fn=lambda: os.sched_setaffinity(0, {PROXY_CORE}))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.log.close()


def measure(kind, arguments, origins, folder):
    with Running(kind, arguments, origins.ports, folder) as proxy:
        time.sleep(arguments.settle)
        if proxy.process.poll() is not None:
            sys.exit(f"{kind} ended:\n" + (Path(folder) / f"{kind}.log").read_text()[-2000:])
        pid, whole = proxy.process.pid, kind == "haproxy"
        done, before, began = origins.answered(), cpu_seconds(pid, whole), time.monotonic()
        time.sleep(arguments.seconds)
        used, lasted = cpu_seconds(pid, whole) - before, time.monotonic() - began
        figures = {"checks": origins.answered() - done, "rss_kib": resident_kib(pid)}
        if kind == "nearhop":
            for path in ("/metrics", "/status"):
                body, took = fetch(proxy.admin, path)
                figures[path] = f"{len(body) / 1024:.0f} KiB in {took * 1000:.0f} ms"
            figures["reload"] = f"{fetch(proxy.admin, '/reload', 'POST')[1] * 1000:.0f} ms"
        figures["us"] = used * 1e6 / figures["checks"]
        figures["per_second"] = figures["checks"] / lasted
        return figures


def main(argv):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--origins", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--settle", type=float, default=8, help="seconds before the measurement (8)")
    parser.add_argument("--proxies", default="nearhop,haproxy")
    parser.add_argument("--nearhop", type=Path, default=ROOT / "build/release/proxy/nearhop")
    arguments = parser.parse_args(argv)
    kinds = arguments.proxies.split(",")
    origins = Origins(arguments.origins)
    rounds = []
    try:
        for turn in range(arguments.rounds):
            shift = turn % len(kinds)
            rounds.append({})
            for kind in kinds[shift:] + kinds[:shift]:
                with tempfile.TemporaryDirectory(prefix="nearhop-checks-") as folder:
                    rounds[-1][kind] = figures = measure(kind, arguments, origins, folder)
                shown = "; ".join(f"{name} {value:.1f}" if isinstance(value, float) else f"{name} {value}"
                                  for name, value in figures.items())
                print(f"round {turn + 1}: {kind}: {shown}", flush=True)
    finally:
        origins.close()
    for kind in kinds:
        print(f"{kind}: {statistics.median(each[kind]['us'] for each in rounds):.1f} us per check")
    if len(kinds) == 2:
        ratios = [each[kinds[0]]["us"] / each[kinds[1]]["us"] for each in rounds]
        print(f"{kinds[0]} to {kinds[1]}: {statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})")


if __name__ == "__main__":
    main(sys.argv[1:])
