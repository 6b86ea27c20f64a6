#!/usr/bin/env python3
"""The side-by-side run: nearhop, nginx and HAProxy do the same job on one core, load and origin on the other.

Prints tables of CPU cost per request and of speed; README.md says how to read them. `./dev bench` calls this.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import contenders
import http2
import report

ROOT = Path(__file__).resolve().parent.parent
PROXY_CORE, LOAD_CORE = 0, 1


@dataclass
class Scenario:
    name: str
    mode: str = "keepalive"
    request: str = "small"
    connections: int = 32
    unit: str = "us/request"
    origin_tls: bool = False
    logged: bool = False
    streams: int = 0  # HTTP/2, so many at a time on each connection


SCENARIOS = [
    Scenario("small_plain"),
    Scenario("small_tls", origin_tls=True),
    Scenario("small_logged", logged=True),
    Scenario("handshake_full", mode="full", connections=16, unit="us/connection"),
    Scenario("handshake_resumed", mode="resumed", connections=16, unit="us/connection"),
    Scenario("download_1m", request="download", connections=6, unit="ms/GiB"),
    Scenario("upload_1m", request="upload", connections=6, unit="ms/GiB"),
    Scenario("idle_memory", mode="idle", connections=5000, unit="KiB/connection"),
    Scenario("http2", connections=16, streams=32),
    Scenario("http2_idle", mode="idle", connections=1000, streams=1, unit="KiB/connection"),
]


def make_certificates(folder):
    """An edge certificate and an origin certificate, ECDSA P-256, the latter from a CA of its own."""
    def openssl(*arguments):
        subprocess.run(["openssl", *map(str, arguments)], cwd=folder, check=True, capture_output=True)

    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30"]
    openssl("req", "-x509", *key, "-keyout", "edge.key", "-out", "edge.crt", "-subj", "/CN=bench.example",
            "-addext", "subjectAltName=DNS:bench.example")
    openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=bench origins")
    (folder / "names").write_text(f"subjectAltName=DNS:{contenders.ORIGIN_NAME},IP:127.0.0.1\n")
    openssl("req", *key, "-keyout", "origin.key", "-out", "origin.csr", "-subj", "/CN=origin")
    openssl("x509", "-req", "-in", "origin.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
            "-days", "30", "-extfile", "names", "-out", "origin.crt")
    (folder / "edge.pem").write_text((folder / "edge.crt").read_text() + (folder / "edge.key").read_text())


class Bench:
    def __init__(self, arguments, folder):
        self.arguments, self.folder = arguments, folder
        self.count = 0
        make_certificates(folder)
        self.origin = subprocess.Popen(
            [arguments.tools / "bench_origin", "--ports", "3", "--certificate", folder / "origin.crt",
             "--key", folder / "origin.key"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            preexec_fn=lambda: os.sched_setaffinity(0, {LOAD_CORE}))
        self.ports = json.loads(self.origin.stdout.readline())

    def close(self):
        self.origin.stdin.close()
        self.origin.wait()

    def proxy(self, kind, scenario):
        """Fresh for every measurement: no proxy profits or suffers from what it did before."""
        self.count += 1
        job = contenders.Job(
            folder=self.folder / f"{self.count}-{kind}", certificate=self.folder / "edge.pem",
            ca=self.folder / "ca.pem", ports=self.ports["tls" if scenario.origin_tls else "plain"],
            origin_tls=scenario.origin_tls, logged=scenario.logged, http2=scenario.streams > 0, extra=self.arguments.extra.get(kind, []))
        return contenders.Proxy(kind, self.arguments.programs[kind], job, PROXY_CORE)

    def load(self, proxy, scenario, **options):
        """Starts the load generator; its stdin and stdout are ours."""
        settings = {"port": proxy.port, "mode": scenario.mode, "request": scenario.request,
                    "connections": scenario.connections, "warmup": self.arguments.warmup,
                    "seconds": self.arguments.seconds, **options}
        command = [str(self.arguments.tools / "bench_load")]
        for name, value in settings.items():
            command += [f"--{name}", str(value)]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                preexec_fn=lambda: os.sched_setaffinity(0, {LOAD_CORE}))

    def finish(self, load, proxy):
        """The generator's last line, as figures."""
        out, _ = load.communicate()
        if load.returncode != 0 or not out.strip():
            raise RuntimeError(f"the load generator failed against {proxy.kind}:\n{proxy.said()}")
        return json.loads(out.strip().splitlines()[-1])

    def measure(self, kind, scenario):
        with self.proxy(kind, scenario) as proxy:
            if scenario.streams:
                if scenario.mode == "idle":
                    return http2.measure_memory(proxy, scenario)
                return http2.measure(proxy, scenario, self.arguments.seconds, LOAD_CORE)
            if scenario.mode == "idle":
                return self.measure_memory(proxy, scenario)
            pids = proxy.pids()
            sample = self.finish(self.load(proxy, scenario, pids=",".join(map(str, pids))), proxy)
            if pids != proxy.pids():
                raise RuntimeError(f"{kind} changed its processes while it was measured:\n{proxy.said()}")
        if sample["requests"] == 0:
            raise RuntimeError(f"{kind} answered nothing in {scenario.name}: {sample['errors']}\n{proxy.said()}")
        if scenario.unit == "ms/GiB":
            sample["cost"] = sample["cpu_ns"] / 1e6 / (sample["bytes"] / 2**30)
        else:
            sample["cost"] = sample["cpu_ns"] / 1e3 / sample["requests"]
        sample["rps"] = sample["requests"] / sample["seconds"]
        self.cross_check(sample)
        return sample

    def cross_check(self, sample):
        """The two clocks of the kernel must agree, or threads have ended and taken their time with them."""
        ticks = sample["user_ns"] + sample["system_ns"]
        if abs(ticks - sample["cpu_ns"]) > 0.03 * ticks + 50e6:
            sample["errors"]["cpu_clocks_disagree"] = 1
            sample["error_count"] += 1

    def measure_memory(self, proxy, scenario):
        """Growth of the resident memory per held connection, after a few requests have warmed the process."""
        warm = Scenario("warm-up")
        self.finish(self.load(proxy, warm, warmup=0.2, seconds=0.1), proxy)
        time.sleep(0.3)
        before = proxy.rss_bytes()
        load = self.load(proxy, scenario)
        load.stdout.readline()  # all connections are open and have had their answer
        time.sleep(0.5)
        grown = proxy.rss_bytes() - before
        load.stdin.write("end\n")
        load.stdin.flush()
        sample = json.loads(load.stdout.readline())
        self.close_load(load)
        if sample["open"] != scenario.connections:
            sample["error_count"] += 1
        return {**sample, "cost": grown / 1024 / scenario.connections, "rps": 0.0, "grown_bytes": grown}

    def close_load(self, load):
        load.stdin.close()
        load.wait()

    def syscalls(self, kind, scenario, requests=2000):
        """System calls per request, under strace: the connections are there before it looks."""
        with self.proxy(kind, scenario) as proxy:
            load = self.load(proxy, scenario, hold=1, count=requests, seconds=60)
            load.stdout.readline()
            file = proxy.job.folder / "strace"
            tracer = subprocess.Popen(["strace", "-c", "-f", "-o", file, *(f"-p{pid}" for pid in proxy.pids())],
                                      stderr=subprocess.PIPE, text=True)
            tracer.stderr.readline()  # "Process N attached"
            time.sleep(0.2)
            load.stdin.write("go\n")
            load.stdin.flush()
            sample = json.loads(load.stdout.readline())
            tracer.send_signal(signal.SIGINT)
            tracer.communicate()
            self.close_load(load)
        return {call: calls / sample["requests"] for call, calls in parse_strace(file.read_text()).items()}


def parse_strace(text):
    """call -> number, from the table of `strace -c`: percent, seconds, usecs/call, calls, [errors,] name."""
    counts = {}
    for line in text.splitlines():
        fields = line.split()
        if len(fields) >= 5 and fields[0][0].isdigit() and fields[-1] != "total":
            counts[fields[-1]] = int(fields[3])
    return counts


def arguments_from(argv):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nearhop", type=Path, default=ROOT / "build" / "nearhop", help="the binary under test")
    parser.add_argument("--tools", type=Path, help="folder of bench_origin and bench_load (default: build/release/bench)")
    parser.add_argument("--proxies", default="nearhop,nginx,haproxy",
                        help="the first is compared with the others; `nginx,nginx` shows the noise of the method")
    parser.add_argument("--scenarios", default=",".join(s.name for s in SCENARIOS))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=2.0, help="measured span of one sample")
    parser.add_argument("--warmup", type=float, default=0.5)
    parser.add_argument("--quick", action="store_true", help="3 rounds of 1 s: to see that all works")
    parser.add_argument("--syscalls", action="store_true", help="also count system calls per request (strace)")
    parser.add_argument("--extra", action="append", default=[], metavar="PROXY=LINE",
                        help="one more line of configuration for a proxy, to try a setting")
    parser.add_argument("--json", type=Path, help="write every sample here")
    parser.add_argument("--check", action="store_true", help="exit with 1 when a bar is missed")
    arguments = parser.parse_args(argv)
    if arguments.quick:
        arguments.rounds, arguments.seconds, arguments.warmup = 3, 1.0, 0.3
    extra = {}
    for line in arguments.extra:
        kind, _, text = line.partition("=")
        extra.setdefault(kind, []).append(text)
    arguments.extra = extra
    arguments.tools = arguments.tools or find_tools()
    arguments.kinds = arguments.proxies.split(",")
    arguments.programs = {}
    for kind in set(arguments.kinds):
        if kind not in contenders.KINDS:
            parser.error(f"unknown proxy {kind}")
        known = contenders.KINDS[kind].program
        if kind == "nearhop":
            program = arguments.nearhop.resolve()
        elif kind == "floor":
            program = arguments.tools / known
        else:
            program = contenders.find_program(known)
        if program is None or not Path(program).exists():
            parser.error(f"{kind} is not there ({program or 'install the package'})")
        arguments.programs[kind] = str(program)
    unknown = set(arguments.scenarios.split(",")) - {s.name for s in SCENARIOS}
    if unknown:
        parser.error(f"unknown scenario {', '.join(sorted(unknown))}")
    return arguments


def find_tools():
    """The release build's; else the newest other one."""
    found = sorted(ROOT.glob("build/*/bench/bench_load"),
                   key=lambda path: ("release" in path.parts, path.stat().st_mtime))
    if not found:
        sys.exit("bench_load is not built: `./dev bench` does it, or give --tools FOLDER")
    return found[-1].parent


def labels(kinds):
    """Names for the columns; a proxy that runs against itself is numbered."""
    return [kind if kinds.index(kind) == i else f"{kind} ({kinds[:i].count(kind) + 1})" for i, kind in enumerate(kinds)]


def run_rounds(bench, scenario, kinds, names):
    samples = {name: [] for name in names}
    for turn in range(bench.arguments.rounds):
        shift = turn % len(kinds)  # each goes first in its turn: what drifts hits all alike
        for i in [*range(shift, len(kinds)), *range(shift)]:
            samples[names[i]].append(bench.measure(kinds[i], scenario))
        print(f"bench: {scenario.name}, round {turn + 1} of {bench.arguments.rounds}", file=sys.stderr, flush=True)
    return samples


def main(argv):
    arguments = arguments_from(argv)
    kinds, names = arguments.kinds, labels(arguments.kinds)
    if os.cpu_count() < 2:
        sys.exit("the side-by-side run needs two cores: one for the proxy, one for load and origin")
    chosen = [s for s in SCENARIOS if s.name in arguments.scenarios.split(",")]
    os.sched_setaffinity(0, {LOAD_CORE})
    load_before = os.getloadavg()[0]
    if load_before > 0.7:
        print(f"bench: the machine is busy (load {load_before:.1f}); figures will be noisy", file=sys.stderr)
    rows, counts = [], {}
    with tempfile.TemporaryDirectory(prefix="nearhop-bench-") as folder:
        bench = Bench(arguments, Path(folder))
        try:
            for scenario in chosen:
                rows.append(report.summarise(scenario, names, run_rounds(bench, scenario, kinds, names)))
            if arguments.syscalls:
                for scenario in chosen:
                    if scenario.mode == "keepalive" and scenario.request == "small" and not scenario.streams:
                        counts[scenario.name] = {n: bench.syscalls(k, scenario) for n, k in zip(names, kinds)}
        finally:
            bench.close()
    print("CPU cost (medians; ratios: median of the rounds, lowest-highest)\n")
    print(report.cost_table(rows, names))
    print("\nSpeed in a closed loop\n")
    print(report.speed_table(rows, names))
    if counts:
        print()
        print(report.syscall_table(counts, names))
    missed = report.shortfalls(rows)
    for line in missed:
        print(f"bench: {line}", file=sys.stderr)
    if arguments.json:
        arguments.json.write_text(json.dumps(
            {"rounds": arguments.rounds, "seconds": arguments.seconds, "load_before": load_before,
             "rows": rows, "syscalls": counts, "missed": missed}, indent=1))
    return 1 if arguments.check and missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
