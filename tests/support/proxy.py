"""The real binary as a process: writes its configuration, learns its ports from the event log, reads its figures,
sends it signals, and insists on a clean end without a sanitizer report."""

import json
import mmap
import os
import re
import signal
import subprocess
import threading
import time
import urllib.parse
from pathlib import Path

from .client import HOST, Connection, request_bytes
from .clock import patient, wait_until

REPORTS = re.compile(r"AddressSanitizer|ThreadSanitizer|LeakSanitizer|UndefinedBehaviorSanitizer|runtime error:")
_PAIR = re.compile(r'([A-Za-z0-9_.-]+)=(?:"((?:[^"\\]|\\.)*)"|(\S*))')
_SAMPLE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)")
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"')
TOKEN = "let-me-in"


def binary():
    path = os.environ.get("NEARHOP")
    assert path and Path(path).exists(), "set NEARHOP to the nearhop binary"
    return path


def sanitized():
    """The sanitizer the binary was built with, or "": its memory is then not ours to judge."""
    with open(binary(), "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
        for name in ("asan", "tsan"):
            if text.find(f"__{name}_init".encode()) >= 0:
                return name
    return ""


def run(*arguments, timeout=30, **options):
    """A command of the binary that ends by itself."""
    options.setdefault("stdin", subprocess.DEVNULL)
    done = subprocess.run(
        [binary(), *map(str, arguments)], capture_output=True, text=True, timeout=patient(timeout), **options
    )
    assert not REPORTS.search(done.stderr), done.stderr
    return done


def parse_logfmt(line):
    return {
        key: json.loads(f'"{quoted}"', strict=False) if quoted else plain for key, quoted, plain in _PAIR.findall(line)
    }


class EventLog:
    """The lines of the event log, as they come."""

    def __init__(self, stream):
        self.lines = []
        self.events = []
        self.ended = False
        self._changed = threading.Condition()
        self._reads = threading.Event()
        self._reads.set()
        self._thread = threading.Thread(target=self._read, args=(stream,), daemon=True)
        self._thread.start()

    def stop_reading(self):
        """From now on what the edge writes fills its pipe."""
        self._reads.clear()

    def go_on_reading(self):
        self._reads.set()

    def _lines(self, stream):
        try:
            for line in stream:
                yield line
                self._reads.wait()
        except OSError:  # a terminal whose other side is gone
            pass

    def _read(self, stream):
        for line in self._lines(stream):
            with self._changed:
                self.lines.append(line.rstrip("\n"))
                self.events.append(parse_logfmt(line))
                self._changed.notify_all()
        with self._changed:
            self.ended = True
            self._changed.notify_all()

    def text(self):
        return "\n".join(self.lines)

    def find(self, **wanted):
        return [e for e in list(self.events) if all(e.get(key) == value for key, value in wanted.items())]

    def wait(self, seconds=15, count=1, **wanted):
        """The first `count` events with these fields."""
        deadline = time.monotonic() + patient(seconds)
        with self._changed:
            while len(found := self.find(**wanted)) < count:
                left = deadline - time.monotonic()
                if self.ended or left <= 0:
                    raise AssertionError(f"no event {wanted} in:\n{self.text()}")
                self._changed.wait(left)
        return found

    def wait_text(self, pattern, seconds=15):
        """The first line that matches."""
        wait_until(lambda: re.search(pattern, self.text()) or self.ended, seconds, lambda: f"{pattern} in:\n{self.text()}")
        found = [line for line in self.lines if re.search(pattern, line)]
        assert found, f"no {pattern} in:\n{self.text()}"
        return found[0]

    def join(self):
        self._thread.join(patient(10))


class Metrics:
    """One scrape. `metrics.sum("nearhop_requests_total", origin="eu-west-1")` adds up the samples that match."""

    def __init__(self, text):
        self.text = text
        self.samples = []
        for line in text.splitlines():
            if line and not line.startswith("#"):
                match = _SAMPLE.fullmatch(line)
                assert match, f"not a sample: {line!r}"
                self.samples.append((match[1], dict(_LABEL.findall(match[2] or "")), float(match[3])))

    def names(self):
        return {name for name, _, _ in self.samples}

    def all(self, metric, **labels):
        return [
            (found, value)
            for name, found, value in self.samples
            if name == metric and all(found.get(key) == wanted for key, wanted in labels.items())
        ]

    def sum(self, metric, **labels):
        return sum(value for _, value in self.all(metric, **labels))

    def value(self, metric, **labels):
        found = self.all(metric, **labels)
        assert len(found) == 1, f"{len(found)} samples of {metric} {labels}"
        return found[0][1]


def as_yaml(config):
    """JSON is YAML, and shows every value unambiguously."""
    return config if isinstance(config, str) else json.dumps(config, indent=1) + "\n"


class Edge:
    """A running `nearhop run`. Use as a context manager: leaving it stops the process and checks its end."""

    def __init__(self, folder, config, *, ca=None, wait=True, environment=None, limits=None, terminal=False,
                 admin_tls=None):  # fmt: skip
        """`config`: a dictionary, or YAML text with one https listener. `limits` runs in the child before exec.
        `terminal`: standard error is one. `admin_tls`: the context to reach an admin listener with TLS."""
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.file = self.folder / "nearhop.yaml"
        self.ca = ca
        self.admin_tls = admin_tls
        self.config = config
        self.write(config)
        self.expected_end = 0
        ours, theirs = os.openpty() if terminal else (None, subprocess.PIPE)
        self.process = subprocess.Popen(
            [binary(), "run", "--config", str(self.file)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=theirs,
            text=True,
            errors="backslashreplace",
            env={**os.environ, **(environment or {})},
            preexec_fn=limits,
        )
        if terminal:
            os.close(theirs)
        self.log = EventLog(os.fdopen(ours, errors="backslashreplace") if terminal else self.process.stderr)
        self.output = EventLog(self.process.stdout)
        if wait:
            try:
                self.wait_ready()
            except BaseException:
                self.process.kill()
                self.process.wait()
                raise

    # ---- configuration and control
    def write(self, config):
        """The configuration file changes in one step, as an operator's tool would do it."""
        fresh = self.file.with_suffix(".new")
        fresh.write_text(as_yaml(config))
        fresh.rename(self.file)

    def signal(self, number):
        self.process.send_signal(number)

    def reload(self, config=None, *, result="ok", by="signal"):
        """Reloads and waits until `nearhop_reloads_total{result}` has counted it."""
        if config is not None:
            self.write(config)
        before = self.metrics().sum("nearhop_reloads_total", result=result)
        if by == "signal":
            self.signal(signal.SIGHUP)
        else:
            self.post("/reload")
        wait_until(
            lambda: self.metrics().sum("nearhop_reloads_total", result=result) > before,
            15,
            lambda: f"a reload that ends in {result}:\n{self.log.text()}",
        )

    def wait_ready(self):
        config = {"listeners": [{}]} if isinstance(self.config, str) else self.config
        wanted = [listener.get("protocol", "https") for listener in config["listeners"]]
        for kind in set(wanted):
            self.log.wait(20, wanted.count(kind), event="listening", listener=kind)
        if config.get("admin") != "off":
            self.log.wait(20, event="listening", listener="admin")
            wait_until(lambda: self.admin("/readyz").status == 200, 20, lambda: f"ready:\n{self.log.text()}")

    def addresses(self, kind):
        return [event["address"] for event in self.log.find(event="listening", listener=kind)]

    @property
    def https(self):
        return self.addresses("https")[0]

    @property
    def http(self):
        return self.addresses("http")[0]

    @property
    def pid(self):
        return self.process.pid

    # ---- talking to it
    def connect(self, **options):
        options.setdefault("ca", self.ca)
        return Connection(options.pop("address", None) or self.https, **options)

    def fetch(self, method="GET", target="/", fields=(), body=None, host=HOST, **options):
        """One exchange on a connection of its own."""
        with self.connect(**options) as connection:
            return connection.request(method, target, fields, body, host)

    def admin(self, target, method="GET", fields=()):
        with Connection(self.addresses("admin")[0], tls=self.admin_tls) as connection:
            connection.send(request_bytes(method, target, [*fields, ("Connection", "close")], host="admin"))
            return connection.response(method)

    def post(self, target, token=TOKEN):
        fields = [("Authorization", f"Bearer {token}")] if token is not None else []
        return self.admin(target, "POST", [*fields, ("Content-Length", "0")])

    def metrics(self):
        answer = self.admin("/metrics")
        assert answer.status == 200, answer
        return Metrics(answer.body.decode())

    def settled(self):
        """The metrics once every exchange is counted: a response reaches its client before the counters do."""
        wait_until(lambda: self.metrics().sum("nearhop_exchanges") == 0, what="exchanges to be counted")
        return self.metrics()

    def status(self):
        answer = self.admin("/status")
        assert answer.status == 200, answer
        return json.loads(answer.body)

    def origin_status(self, name):
        origins = self.status()["origins"]
        if isinstance(origins, dict):
            return origins[name]
        return next(origin for origin in origins if origin["name"] == name)

    def verdict(self, name):
        return self.origin_status(name)["verdict"]

    def wait_verdict(self, name, verdict, seconds=15):
        wait_until(
            lambda: self.verdict(name) == verdict,
            seconds,
            lambda: f"{name} to be {verdict}; it is {self.origin_status(name)}\n{self.log.text()}",
        )
        return self.origin_status(name)

    def explain(self, **query):
        answer = self.admin("/explain?" + urllib.parse.urlencode(query))
        assert answer.status == 200, answer
        return json.loads(answer.body)

    def resident_kib(self, what="VmRSS"):
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(what + ":"):
                return int(line.split()[1])
        raise AssertionError(f"no {what}")

    def open_files(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def listening_ports(self):
        """TCP ports that this process listens on, as the kernel says: also where no log line tells of them."""
        inodes = set()
        for name in os.listdir(f"/proc/{self.pid}/fd"):
            try:
                target = os.readlink(f"/proc/{self.pid}/fd/{name}")
            except FileNotFoundError:
                continue
            if target.startswith("socket:["):
                inodes.add(target[8:-1])
        ports = set()
        for table in ("tcp", "tcp6"):
            for line in Path(f"/proc/{self.pid}/net/{table}").read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == "0A" and fields[9] in inodes:
                    ports.add(int(fields[1].rpartition(":")[2], 16))
        return ports

    def cpu_seconds(self):
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    # ---- the end
    def wait_end(self, seconds=30):
        try:
            return self.process.wait(patient(seconds))
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"the edge did not end\n{self.log.text()}") from None

    def stop(self):
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
        code = self.wait_end()
        self.log.join()
        self.output.join()
        for text in (self.log.text(), self.output.text()):
            assert not REPORTS.search(text), text
        assert code == self.expected_end, f"exit code {code}\n{self.log.text()}"
        return code

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        try:
            self.stop()
        except AssertionError:
            if kind is None:
                raise
            print("and at its end:", self.log.text())
