"""Every fault of issue 4, section 5: how it is done to an origin (or the edge), undone, and what it may cost."""

import signal
from dataclasses import dataclass, field
from typing import Callable, Optional

from .stage import FAULTY, Burners

CONNECT = 1.0  # the connect timeout of every contender


@dataclass
class Fault:
    name: str
    title: str
    begin: Callable  # of a Stage
    end: Callable
    seconds: float = 6.0
    turn: Optional[Callable] = None  # (stage, number of the turn), `every` so many seconds while the fault lasts
    every: float = 0.0

    # The stage
    rate: int = 300
    mix: str = "all"
    addresses: int = 1
    dns: bool = False
    clock: bool = False
    control: bool = False  # a control target stands beside the origins
    site: dict = field(default_factory=dict)
    ours_only: bool = False  # nothing to compare: it is done to our process
    not_for: tuple = ()  # contenders without the feature that it is about

    # The bars
    hides: bool = True  # the retry table can hide it: no error on an idempotent request
    truncates: bool = False  # answers that had begun are cut, visibly
    within: float = 0.0  # at least this share of requests within 250 ms of normal
    slowest: float = 0.0  # seconds; 0: no bar
    most_slow: Optional[int] = None
    probes_only: bool = False  # after detection
    recordable: bool = True  # the faulty origin sees what still comes; otherwise our own count of attempts says so
    back: float = 30.0  # seconds; its traffic leaves, and all of it must return within so many of the fault's end
    leaves: bool = True  # its traffic should leave it, so that what still reaches it is worth a figure
    calm: bool = False  # no verdict may change
    total: float = 0.0  # all origins are gone; seconds of grace after their return
    short: bool = False


def command(text, undo="normal"):
    return {"begin": lambda s: s.faulty.command(text), "end": lambda s: s.faulty.command(undo)}


def lying(health, text):
    def begin(stage):
        stage.faulty.command(f"health {health}")
        stage.faulty.command(text)

    def end(stage):
        stage.faulty.command("normal")
        stage.faulty.command("health")

    return {"begin": begin, "end": end}


def identity(make):
    def put(stage, one):
        stage.faulty.command(f"identity {one.certificate} {one.private_key}")

    return {"begin": lambda s: put(s, make(s.authority)), "end": lambda s: put(s, s.identity)}


def flapping(seconds, full):
    def turn(stage, number):
        stage.faulty.command("refuse" if number % 2 else "normal")

    return Fault(f"flap_{seconds:g}s", f"flapping, every {seconds:g} s", lambda s: None, lambda s: s.faulty.command("normal"),
                 seconds=full, turn=turn, every=seconds / 2, truncates=True, within=0.99, slowest=1.2,
                 back=240.0, leaves=False)  # fmt: skip


def dns(mode):
    names = [f"{FAULTY}.origins.test"]

    def begin(stage):
        for name in names:
            if mode == "empty":
                stage.resolver.set(name, ttl=1)
            else:
                stage.resolver.fail(name, mode)

    def end(stage):
        for name in names:
            stage.resolver.set(name, "127.0.0.1", ttl=1)

    return {"begin": begin, "end": end, "dns": True, "not_for": ("nginx",), "within": 0.99, "slowest": 1.2, "back": 0,
            "leaves": False}


def dns_turn(stage, number):
    stage.resolver.set(f"{FAULTY}.origins.test", f"127.0.0.{1 + number % 2}", ttl=1)


def kill_all(stage):
    for origin in stage.origins.values():
        origin.kill()


def start_all(stage):
    for origin in stage.origins.values():
        origin.start()


def hush(stage):
    stage.control.fail("", "silence")


def unhush(stage):
    stage.control.set("", "127.0.0.1")


def cut_off(stage):
    hush(stage)
    stage.each("drop")


def reconnect(stage):
    stage.pause(10, lambda: not stage.proxy.ready())
    assert not stage.proxy.ready(), "the edge is cut off and says that it is ready"
    unhush(stage)
    stage.each("normal")


def burn(stage):
    stage.burners = Burners(4)


def cool(stage):
    stage.burners.stop()


def jump(stage, number):
    stage.clock.write_text(("+1h", "-1h", "+30d", "+0")[number % 4] + "\n")


STOPPED = {"begin": lambda s: s.faulty.signal(signal.SIGSTOP), "end": lambda s: s.faulty.signal(signal.SIGCONT)}
GONE = {"within": 0.99, "slowest": 1.2, "probes_only": True, "recordable": False}
BLACKHOLE = {"slowest": CONNECT + 0.25, "probes_only": True, "recordable": False}

FAULTS = [
    Fault("kill", "SIGKILL", lambda s: s.faulty.kill(), lambda s: s.faulty.start(), truncates=True, short=True, **GONE),
    Fault("refuse", "connection refused", **command("refuse"), truncates=True, short=True, **GONE),
    Fault("syn_drop", "SYN blackhole (backlog full)", **command("syn_drop"), truncates=True, short=True, **BLACKHOLE),
    Fault("drop", "every packet dropped", **command("drop"), truncates=True, short=True, **BLACKHOLE),
    Fault("hang", "accepts, then hangs", **command("hang"), probes_only=True, truncates=True, short=True),
    Fault("tls_hang", "TLS handshake hangs", **command("tls_hang"), truncates=True, probes_only=True, recordable=False),
    Fault("expired", "expired certificate", **identity(lambda ca: ca.expired("127.0.0.1", "*.origins.test")),
          truncates=True, **GONE),
    Fault("wrong_name", "certificate of another name", **identity(lambda ca: ca.leaf("127.0.0.9", "other.test")),
          truncates=True, **GONE),
    Fault("untrusted", "self-signed certificate", **identity(lambda ca: ca.self_signed("127.0.0.1", "*.origins.test")),
          truncates=True, **GONE),
    Fault("slow_head", "slow head (3 s), health good", **lying("200", "slow_head 3000")),
    Fault("slow_body", "slow body (3 s), health good", **lying("200", "slow_body 300"), back=0, leaves=False),
    Fault("reset_phases", "reset at each phase in turn", **command("reset_phases"), within=0.99, slowest=1.2,
          probes_only=True, truncates=True, short=True),
    Fault("reset_body", "reset after each 1 KiB of a body", **lying("200", "reset_body"), truncates=True, within=0.99,
          slowest=1.2),
    Fault("truncate", "truncated heads and bodies", **lying("200", "truncate"), truncates=True),
    Fault("garbage", "garbage answers", **command("garbage"), within=0.99, slowest=1.2, probes_only=True, truncates=True),
    Fault("503_10", "503 to 10 %, health good", **lying("200", "status 503 10"), within=0.99, back=0, leaves=False),
    Fault("503_50", "503 to 50 %, health good", **lying("200", "status 503 50"), within=0.99),
    Fault("503_100", "503 to 100 %", **command("status 503 100"), within=0.99, probes_only=True, short=True),
    flapping(2, 8),
    flapping(5, 15),
    flapping(20, 40),
    Fault("address_refused", "one of two addresses refuses", **command("at 1 refuse"), addresses=2, dns=False,
          truncates=True, within=0.99, slowest=1.2, leaves=False, back=0),
    Fault("address_dropped", "one of two addresses drops packets", **command("at 1 drop"), addresses=2, truncates=True,
          slowest=CONNECT + 0.25, leaves=False, back=0),
    Fault("dns_fail", "DNS: SERVFAIL", **dns("servfail")),
    Fault("dns_silent", "DNS: no answer", **dns("silence")),
    Fault("dns_empty", "DNS: an answer without addresses", **dns("empty")),
    Fault("dns_change", "DNS: another address every second", lambda s: None,
          lambda s: s.resolver.set(f"{FAULTY}.origins.test", "127.0.0.1", ttl=1), turn=dns_turn, every=1.0, dns=True,
          addresses=2, not_for=("nginx",), within=0.99, slowest=1.2, back=0, leaves=False),
    Fault("all", "all origins down and back", kill_all, start_all, seconds=4, total=1.5, leaves=False, truncates=True,
          recordable=False),
    Fault("control", "control target gone", hush, unhush, control=True, ours_only=True, within=0.99, slowest=1.2,
          back=0, leaves=False, calm=True, short=True),
    # The network's end is no probe interval of 1 s away: full service by then, whatever was held against the origins.
    Fault("isolated", "the edge cut off from everything", cut_off, reconnect, control=True, ours_only=True, seconds=8,
          total=1.0, truncates=True, leaves=False, recordable=False, calm=True, short=True),
    Fault("health_lies_good", "health good, all requests 503", **lying("200", "status 503 100"), within=0.99),
    # Only probes can tell: up to 8.4 s by default.
    Fault("health_lies_bad", "health bad, all requests good, 12 s", **lying("503", "normal"), seconds=12, within=0.99,
          probes_only=True, slowest=1.2),
    Fault("stop", "SIGSTOP, 1,000 GET/s", **STOPPED, rate=1000, mix="gets", most_slow=300, probes_only=True,
          recordable=False, truncates=True),
    Fault("stop_hedged", "the same with hedging", **STOPPED, rate=1000, mix="gets", slowest=0.5, probes_only=True,
          recordable=False, ours_only=True, site={"hedge": "p95"}, truncates=True),
    Fault("clock", "the edge's clock jumps", lambda s: None, lambda s: jump(s, 3), turn=jump, every=1.5, clock=True,
          ours_only=True, within=0.99, slowest=1.2, back=0, leaves=False, calm=True),
    Fault("busy", "every core wanted by others", burn, cool, back=0, leaves=False, calm=True, ours_only=True),
    Fault("stalled", "the edge itself stands still for 2.5 s", lambda s: s.proxy.edge.signal(signal.SIGSTOP),
          lambda s: s.proxy.edge.signal(signal.SIGCONT), seconds=2.5, back=0, leaves=False, calm=True, ours_only=True),
]  # fmt: skip
