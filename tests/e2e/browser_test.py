"""Clients that repeat a POST by themselves when a used connection ends without an answer, Debian's Chromium and curl,
against two edges behind one port: whatever ends the request at the first edge, the origins carry it out once."""

import signal
import subprocess
import threading

import pytest
from support import faults
from support.balancer import Balancer
from support.chromium import Chromium
from support.client import HOST
from support.clock import patient, wait_until
from support.memory import RESPONSE_FIELDS, without_memory_for
from support.proxy import sanitized
from support.resolver import Resolver
from support.setup import quick

PROTOCOLS = {"HTTP/1.1": False, "HTTP/2": True}


@pytest.fixture(scope="module")
def identity(authority):
    return authority.leaf(HOST)


@pytest.fixture(scope="module")
def chromium(identity, tmp_path_factory):
    with Chromium(tmp_path_factory.mktemp("browser"), identity, [HOST]) as made:
        yield made


class Page:
    """A page of the browser whose connection has been used."""

    def __init__(self, browser, balancer):
        self.browser = browser
        browser.open(f"https://{HOST}:{balancer.port}/page")
        for _ in range(3):
            assert browser.evaluate("fetch('/used').then(answer => answer.status)") == 200

    def post(self):
        return self.browser.begin(
            "fetch('/post', {method: 'POST', body: 'pay 1'}).then("
            "answer => answer.status + ' ' + answer.headers.get('x-nearhop-fault'), error => 'failed: ' + error)"
        )

    def cancel(self, count):
        """So many requests begin and are given up."""
        self.browser.evaluate(
            f"""Promise.all(Array.from({{length: {count}}}, (_, n) => {{
                const stop = new AbortController();
                setTimeout(() => stop.abort(), 100);
                return fetch('/wait?' + n, {{signal: stop.signal}}).catch(() => 0);
            }}))"""
        )

    def answer(self, post):
        return self.browser.value(post)


class Curl:
    """Two requests of one process, so that the POST finds a used connection."""

    def __init__(self, folder, authority, protocol, balancer):
        self.command = [
            "curl", "--silent", "--show-error", "--cacert", str(authority.file), "--max-time", str(int(patient(30))),
            "--http2" if protocol == "HTTP/2" else "--http1.1",
            "--resolve", f"{HOST}:{balancer.port}:127.0.0.1",
        ]  # fmt: skip
        self.url = f"https://{HOST}:{balancer.port}"
        self.output = folder / "answer"

    def post(self):
        write = ["--output", str(self.output), "--write-out", "%{http_code} %header{x-nearhop-fault}\n"]
        return subprocess.Popen(
            [*self.command, *write, f"{self.url}/used", "--next", *self.command[1:], *write, "--data", "pay 1", f"{self.url}/post"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    def answer(self, post):
        said = post.communicate(timeout=patient(40))[0].splitlines()
        assert said[0].strip() == "200", said
        return said[1].strip()


class World:
    """Two edges, the second of which is next as soon as the POST has reached an origin."""

    def __init__(self, scene, start, protocol, identity):
        self.scene, self.start, self.protocol, self.identity = scene, start, protocol, identity
        self.gate = threading.Event()
        self.page = self.balancer = None
        self.respond = faults.normally

    def answer(self, request):
        if request.target.startswith("/wait"):
            return faults.hang(request)
        if request.method != "POST":
            return faults.normally(request)
        request.read_body()
        if len(self.posts()) > 1:
            return faults.normally(request)  # one too many
        self.gate.wait(60)
        return self.respond(request)

    def configured(self, **changes):
        config = self.scene.config(**changes)
        config["tls"] = {"certificates": [self.scene.certificate(self.identity)]}
        config["listeners"] = [{"address": "127.0.0.1:0", "protocol": "https", "http2": PROTOCOLS[self.protocol]}]
        return config

    def run(self, environment=None, **changes):
        for origin in self.scene:
            origin.answer = self.answer
        self.first = self.start(self.configured(**changes), environment=environment)
        self.second = self.start(self.configured())
        self.balancer = Balancer(self.first.https)
        return self.balancer

    def posts(self):
        return [request for request in self.scene.requests() if request.method == "POST"]

    def wait_post(self):
        wait_until(self.posts, 20, "the POST to reach an origin")
        self.balancer.to = self.second.https


@pytest.fixture(params=PROTOCOLS)
def world(request, scene, start, identity):
    made = World(scene, start, request.param, identity)
    yield made
    made.gate.set()  # whatever still waits may go


@pytest.fixture(params=["Chromium", "curl"])
def client(request, world, authority, tmp_path):
    """client(): one that has not connected yet to the edges of this test."""
    browser = request.getfixturevalue("chromium") if request.param == "Chromium" else None

    def make():
        if browser:
            return Page(browser, world.balancer)
        return Curl(tmp_path, authority, world.protocol, world.balancer)

    make.is_browser = bool(browser)
    return make


def carried_out(world, client, during, answered):
    """Sends a POST, does `during` while it waits at an origin, and insists on one answer and one execution."""
    with world.balancer:
        sender = client()
        post = sender.post()
        world.wait_post()
        during(sender)
        answer = sender.answer(post)
        assert len(world.posts()) == 1, "it was carried out again"
        assert answer == answered


# ---- the ends -------------------------------------------------------------------------------------------------------
def test_the_end_of_the_drain(world, client):
    world.run(shutdown={"grace": "0s", "drain": "500ms"})
    carried_out(world, client, lambda _: world.first.signal(signal.SIGTERM), "503 edge_stopped")
    assert world.first.wait_end() == 0


def test_signals_that_skip_the_drain(world, client):
    world.run(shutdown={"grace": "1h", "drain": "1h"})

    def insist(_):
        while world.first.process.poll() is None and not world.first.log.find(event="draining"):
            world.first.signal(signal.SIGTERM)
        world.first.signal(signal.SIGTERM)

    carried_out(world, client, insist, "503 edge_stopped")
    assert world.first.wait_end() == 0


@pytest.mark.skipif(bool(sanitized()), reason="the sanitizer has an allocator of its own")
def test_an_exception_in_the_exchange(world, client, tmp_path):
    world.run(without_memory_for(RESPONSE_FIELDS, tmp_path))
    world.respond = lambda request: request.respond(200, b"done", [(f"X-{n}", "y") for n in range(600)])
    carried_out(world, client, lambda _: world.gate.set(), "500 edge_internal")
    world.first.log.wait(event="exchange_failed", fault="edge_internal")


def test_a_limit_on_what_a_connection_cancels(world, client):
    if not client.is_browser or world.protocol != "HTTP/2":
        pytest.skip("only a browser cancels streams beside a request")
    world.run(http2={"resets": 3, "reset_rate": 0})
    carried_out(world, client, lambda page: page.cancel(8), "503 client_session_ended")
    assert world.first.metrics().sum("nearhop_http2_ended_total", why="rapid_reset") == 1


def test_a_limit_on_the_requests_of_a_connection(world, client):
    world.run(limits={"session_requests": 2})
    carried_out(world, client, lambda _: world.gate.set(), "200 null" if client.is_browser else "200")
    wait_until(lambda: world.first.metrics().sum("nearhop_sessions_used_up_total") != 0, what="a connection that was used up")


@pytest.mark.parametrize("how", ["rst", "fin"])
def test_an_origin_that_dies(world, client, how):
    world.run()

    def die(_):
        world.respond = faults.reset if how == "rst" else faults.close
        world.gate.set()

    carried_out(world, client, die, "502 origin_stale")  # within half a second of the request


def test_an_origin_that_does_not_answer_in_time(world, client):
    world.run(site={"head_timeout": "300ms", "deadline": "600ms"})
    carried_out(world, client, lambda _: None, "504 origin_head_timeout")


def test_a_reload_without_that_origin_and_without_that_listener(world, client):
    world.run()

    def reload(_):
        config = world.configured()
        used = world.posts()[0].connection.origin.region
        del config["origins"][used]
        config["sites"]["main"]["origins"].remove(used)
        world.first.reload(config)
        world.gate.set()

    carried_out(world, client, reload, "200 null" if client.is_browser else "200")


def test_isolation(world, client):
    with Resolver() as target:
        target.set("", "127.0.0.1")
        isolation = {"control": [f"dns://{target.server}"], "interval": "1s", "interval_failing": "200ms", "timeout": "200ms"}
        # Not found to be dead (docs/retries.md) before the edge finds that it is cut off itself, however slow it is.
        world.run(isolation=isolation, health=quick(), failover={"connect_timeout": "30s", "tls_timeout": "30s"})

        def cut_off(_):
            target.fail("", "silence")
            for origin in world.scene:
                origin.fall_silent()
            wait_until(lambda: world.first.metrics().value("nearhop_isolated") == 1, what="isolation")
            for origin in world.scene:
                origin.speak()
            world.gate.set()

        carried_out(world, client, cut_off, "200 null" if client.is_browser else "200")
