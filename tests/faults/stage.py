"""What stands on the stage of one fault: three TLS origins in processes of their own, the proxy under test, the load.
Every process is ours, is known by its pid, and ends with the stage."""

import os
import select
import socket
import subprocess
import threading
import time
from collections import namedtuple
from pathlib import Path

from support.resolver import Resolver

REGIONS = ("us-east-1", "eu-west-1", "ap-southeast-1")
FAULTY = "eu-west-1"  # the region that every fault happens to

Outcome = namedtuple("Outcome", "began seconds id method kind protocol status outcome region")
Record = namedtuple("Record", "at what method id")


def tool(name):
    """NEARHOP_FAULTS names the folder of faults_origin and faults_load."""
    path = Path(os.environ.get("NEARHOP_FAULTS", "")) / name
    assert path.is_file(), f"set NEARHOP_FAULTS to the folder with {name}"
    return str(path)


def _held_ports(addresses):
    """Bound sockets that do not listen: the port stays ours while the origin is dead, and connects are refused."""
    for _ in range(50):
        held = []
        try:
            for number in range(addresses):
                held.append(socket.socket())
                held[-1].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                held[-1].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                held[-1].bind((f"127.0.0.{number + 1}", held[0].getsockname()[1] if number else 0))
            return held
        except OSError:
            for one in held:
                one.close()
    raise AssertionError("no port that is free on all addresses")


class Origin:
    def __init__(self, region, identity, folder, addresses=1):
        self.region, self.identity, self.addresses = region, identity, addresses
        self.record = Path(folder) / f"{region}.requests"
        self.record.touch()
        self._held = _held_ports(addresses)
        self.port = self._held[0].getsockname()[1]
        self.process = None
        self.start()

    def start(self):
        command = [tool("faults_origin"), "--region", self.region, "--port", str(self.port), "--record", str(self.record),
                   "--certificate", str(self.identity.certificate), "--key", str(self.identity.private_key),
                   "--addresses", str(self.addresses)]  # fmt: skip
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        self._await_ok("to start")

    def _await_ok(self, what):
        ready, _, _ = select.select([self.process.stdout], [], [], 20)
        assert ready and self.process.stdout.readline() == "ok\n", f"{self.region} did not answer {what}"

    def command(self, text):
        self.process.stdin.write(text + "\n")
        self._await_ok(text)

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()

    def signal(self, number):
        self.process.send_signal(number)

    def records(self):
        lines = [line.split(" ") for line in self.record.read_text().splitlines()]
        return [Record(int(at) / 1e6, what, method, id) for at, what, method, id in lines]

    def stop(self):
        if self.process.poll() is None:
            self.kill()  # also ends a stopped one
        for one in self._held:
            one.close()


class Load:
    """Runs faults_load and reads its outcomes as they come."""

    def __init__(self, port, ca, folder, *, rate, mix):
        self.file = Path(folder) / "outcomes"
        self.file.touch()
        self._reader = open(self.file)
        self._rest = ""
        self.outcomes = []
        self.process = subprocess.Popen(
            [tool("faults_load"), "--port", str(port), "--ca", str(ca), "--rate", str(rate), "--mix", mix,
             "--out", str(self.file)], stdin=subprocess.PIPE)  # fmt: skip

    def read(self):
        *lines, self._rest = (self._rest + self._reader.read()).split("\n")
        for line in lines:
            began, took, id, method, kind, protocol, status, outcome, region = line.split(" ")
            self.outcomes.append(
                Outcome(int(began) / 1e6, int(took) / 1e6, id, method, kind, protocol, int(status), outcome, region)
            )
        return self.outcomes

    def finish(self):
        """No new requests; waits for those in flight."""
        self.process.stdin.close()
        try:
            assert self.process.wait(60) == 0, "the load failed"
        except subprocess.TimeoutExpired:
            raise AssertionError("the load did not end: more than this machine can do now") from None
        return self.read()

    def stop(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._reader.close()


class Burners:
    """Busy loops that want every core; they end by themselves should nobody end them."""

    def __init__(self, count):
        code = "import time\nend = time.monotonic() + 30\nwhile time.monotonic() < end: pass"
        self._processes = [subprocess.Popen(["/usr/bin/python3", "-c", code]) for _ in range(count)]

    def stop(self):
        for process in self._processes:
            process.kill()
            process.wait()


class Stage:
    """`fault` says what it needs, `contender` which proxy stands in the middle."""

    def __init__(self, contender, fault, authority, folder, rate=None):
        self.authority, self.folder = authority, Path(folder)
        self.folder.mkdir(parents=True)
        self.fault = fault
        self.origins, self.resolver, self.load, self.proxy = {}, None, None, None
        self.burners = self.clock = self.control = None
        self.stopped = threading.Event()
        self.rate = rate or fault.rate
        # Names for proxies that cannot verify an address; the address for those that are told only that.
        self.identity = authority.leaf("127.0.0.1", "127.0.0.2", "*.origins.test")
        try:
            for region in REGIONS:
                addresses = fault.addresses if region == FAULTY else 1
                self.origins[region] = Origin(region, self.identity, self.folder, addresses)
            if fault.dns or fault.addresses > 1:
                self.resolver = Resolver()
                for region, origin in self.origins.items():
                    known = 1 if fault.dns else origin.addresses
                    self.resolver.set(f"{region}.origins.test", *[f"127.0.0.{n + 1}" for n in range(known)], ttl=1)
            if fault.control:
                self.control = Resolver()
                self.control.set("", "127.0.0.1")
            self.proxy = contender(self)
            self.load = Load(self.proxy.port, authority.file, self.folder, rate=self.rate, mix=fault.mix)
        except BaseException:
            self.stop()
            raise

    @property
    def faulty(self):
        return self.origins[FAULTY]

    def each(self, text):
        for origin in self.origins.values():
            origin.command(text)

    def pause(self, seconds, until=lambda: False):
        """Lets the load run; ends early when `until()` holds."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and not until():
            assert self.load.process.poll() is None, "the load ended"
            self.proxy.check()
            time.sleep(min(0.05, max(0.0, end - time.monotonic())))

    def stop(self):
        for part in (self.load, self.burners, self.proxy, self.resolver, self.control, *self.origins.values()):
            if part:
                part.stop()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
