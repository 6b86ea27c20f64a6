"""What operators order of an origin by hand: who, why, until when; over restarts and reloads."""

import json
import resource
import signal
import subprocess
import threading
import urllib.parse

import pytest
from support.client import Connection, request_bytes
from support.clock import patient, wait_until
from support.proxy import TOKEN, binary, run
from support.setup import quick, viewer
from support.tunnel import ASK, echo, switching

NEAR, NEXT = "eu-west-1", "us-east-1"


def order(edge, action, origin=NEAR, token=TOKEN, **parameters):
    """As curl's --data-urlencode does it."""
    given = {"author": "ada", "reason": "database upgrade", **parameters}
    if "lasts" in given:
        given["for"] = given.pop("lasts")
    body = urllib.parse.urlencode({key: value for key, value in given.items() if value is not None}).encode()
    fields = [("Content-Type", "application/x-www-form-urlencoded")]
    if token:
        fields.append(("Authorization", f"Bearer {token}"))
    with Connection(edge.addresses("admin")[0]) as connection:
        connection.send(request_bytes("POST", f"/origins/{origin}/{action}", fields, body, host="admin"))
        return connection.response("POST")


def ask(edge, country="DE"):
    return edge.fetch(fields=viewer(country)).region


def config(scene, file=None, **health):
    made = scene.config(health=quick(**health))
    if file:
        made["admin"]["state_file"] = str(file)
    return made


def test_a_drain_moves_new_requests_at_once_and_says_who_and_why(scene, start):
    edge = start(config(scene))
    assert ask(edge) == NEAR
    answer = order(edge, "drain", reason='upgrade of "db" grün', lasts="2h")
    told = json.loads(answer.body)
    assert answer.status == 200 and told["holds"] and not told["saved"]
    assert ask(edge) == NEXT
    status = edge.origin_status(NEAR)
    assert status["draining"] and status["verdict"] == "up"
    assert status["override"]["order"] == "drain" and status["override"]["author"] == "ada"
    assert status["override"]["reason"] == 'upgrade of "db" grün'
    assert status["override"]["expires"] > status["override"]["set"]
    assert edge.metrics().value("nearhop_origin_override", origin=NEAR, override="drain") == 1
    assert edge.metrics().value("nearhop_origin_override", origin=NEXT, override="drain") == 0
    explained = edge.explain(country="DE")
    assert {each["origin"]: each["override"] for each in explained["others"]} == {NEAR: "drain"}
    lines = edge.log.wait(event="override", origin=NEAR, override="drain")
    assert len(lines) == 1 and lines[0]["author"] == "ada" and '"db"' in lines[0]["reason"]

    assert json.loads(order(edge, "clear", author="bob").body)["override"] is None
    assert ask(edge) == NEAR
    assert edge.origin_status(NEAR)["override"] is None
    edge.log.wait(event="override", origin=NEAR, override="none", author="bob")


def test_an_order_to_be_down_is_kept_even_when_nothing_else_is_left(scene, start):
    edge = start(config(scene))
    for name in scene.origins:
        assert order(edge, "force-down", name).status == 200
    assert edge.fetch(fields=viewer("DE")).status == 503
    assert edge.verdict(NEAR) == "down"
    order(edge, "clear", NEXT)
    assert ask(edge) == NEXT


def test_an_order_to_be_up_stands_above_probes_and_failures(scene, start):
    scene[NEAR].health = 503
    edge = start(config(scene))
    edge.wait_verdict(NEAR, "down")
    assert ask(edge) == NEXT
    order(edge, "force-up")
    assert edge.verdict(NEAR) == "up" and ask(edge) == NEAR
    seen = len(scene[NEAR].probes)
    wait_until(lambda: len(scene[NEAR].probes) > seen + 4, what="probes, which go on")
    assert ask(edge) == NEAR
    order(edge, "clear")
    assert edge.verdict(NEAR) == "down" and ask(edge) == NEXT


def test_an_order_ends_at_its_time(scene, start):
    edge = start(config(scene))
    order(edge, "drain", lasts="1s")
    assert ask(edge) == NEXT
    wait_until(lambda: edge.origin_status(NEAR)["override"] is None, what="its end")
    assert ask(edge) == NEAR
    edge.log.wait(event="override_expired", origin=NEAR, author="ada")


def test_orders_outlive_a_restart_and_a_reload(scene, start, tmp_path):
    file = tmp_path / "overrides.json"
    edge = start(config(scene, file))
    assert json.loads(order(edge, "drain").body)["saved"]
    assert json.loads(order(edge, "force-down", NEXT, lasts="1s").body)["saved"]
    wait_until(lambda: edge.origin_status(NEXT)["override"] is None, what="the end of the short one")
    edge.reload(config(scene, file, path="/health?another=identity"))
    for origin in scene:
        origin.health_path = "/health?another=identity"
    assert edge.origin_status(NEAR)["draining"]
    edge.process.kill()
    edge.expected_end = -signal.SIGKILL
    edge.wait_end()

    again = start(config(scene, file, path="/health?another=identity"))
    assert ask(again) == NEXT, "the first answer knows"
    assert again.origin_status(NEAR)["override"]["author"] == "ada"
    again.log.wait(event="override_restored", origin=NEAR, reason="database upgrade")
    order(again, "clear")
    assert ask(again) == NEAR
    assert json.loads(file.read_text())["overrides"] == []


def test_a_state_file_that_is_not_understood_is_refused_with_a_line_and_the_edge_starts(scene, start, tmp_path):
    file = tmp_path / "overrides.json"
    file.write_text('{"version": 1, "overrides": [{"origin": "eu-west-1"}]}')
    edge = start(config(scene, file))
    assert ask(edge) == NEAR
    assert str(file) in edge.log.wait(event="overrides_refused")[0]["what"]


def test_a_file_that_is_not_understood_is_never_written_over(scene, start, tmp_path):
    """Somebody's configuration by a slip of the pen, or the orders of a newer version."""
    file = tmp_path / "precious.yaml"
    file.write_text("precious: 1\n")
    edge = start(config(scene, file))
    answer = order(edge, "drain")
    told = json.loads(answer.body)
    assert answer.status == 500 and told["holds"] and not told["saved"] and "is not a file of overrides" in told["not_saved"]
    assert ask(edge) == NEXT and file.read_text() == "precious: 1\n"
    file.rename(tmp_path / "away")
    assert json.loads(order(edge, "drain").body)["saved"] and json.loads(file.read_text())["overrides"]


def test_a_reload_that_names_a_file_of_something_else_is_refused(scene, start, tmp_path):
    first, precious = tmp_path / "first.json", tmp_path / "precious.yaml"
    precious.write_text("precious: 1\n")
    edge = start(config(scene, first))
    order(edge, "drain")
    edge.reload(config(scene, precious), result="failed")
    assert precious.read_text() == "precious: 1\n"
    assert "admin.state_file" in edge.log.wait(event="config_problem")[0]["problem"]
    assert json.loads(order(edge, "drain", NEXT).body)["saved"]
    assert len(json.loads(first.read_text())["overrides"]) == 2


def test_a_reload_takes_over_the_orders_in_another_file_and_moves_its_own_there(scene, start, tmp_path):
    first, second = tmp_path / "first.json", tmp_path / "second.json"
    other = start(config(scene, second))
    order(other, "drain", NEXT, reason="in the other file")
    order(other, "force-down", NEAR, reason="in the other file")
    other.stop()

    edge = start(config(scene, first))
    order(edge, "drain", NEAR, reason="in force")
    edge.reload(config(scene, second))
    assert edge.origin_status(NEXT)["override"]["reason"] == "in the other file"
    assert edge.origin_status(NEAR)["override"]["reason"] == "in force", "what holds now is newer"
    edge.log.wait(event="override_restored", origin=NEXT)
    assert ask(edge) == "ap-southeast-1"
    wait_until(lambda: not first.exists(), what="the old file to go, which would bring its orders back one day")
    held = {each["origin"]: each["reason"] for each in json.loads(second.read_text())["overrides"]}
    assert held == {NEXT: "in the other file", NEAR: "in force"}

    order(edge, "clear", NEAR)
    order(edge, "clear", NEXT)
    edge.reload(config(scene, first))
    assert ask(edge) == NEAR
    wait_until(lambda: first.exists() and not second.exists(), what="the way back")
    assert json.loads(first.read_text())["overrides"] == []


def test_the_same_file_by_another_name_stays(scene, start, tmp_path):
    folder, other = tmp_path / "folder", tmp_path / "other"
    folder.mkdir()
    other.symlink_to(folder)
    edge = start(config(scene, folder / "overrides.json"))
    order(edge, "drain")
    edge.reload(config(scene, other / "overrides.json"))
    assert json.loads(order(edge, "drain", NEXT).body)["saved"]
    assert len(json.loads((folder / "overrides.json").read_text())["overrides"]) == 2


def test_a_full_disk_fails_the_answer_but_the_order_holds(scene, start, tmp_path):
    ignored = lambda: signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # noqa: E731 - a full disk sends none either
    edge = start(config(scene, tmp_path / "overrides.json"), limits=ignored)
    resource.prlimit(edge.pid, resource.RLIMIT_FSIZE, (0, 0))
    answer = order(edge, "drain")
    told = json.loads(answer.body)
    assert answer.status == 500
    assert told["holds"] and not told["saved"] and "File too large" in told["not_saved"]
    edge.log.wait(event="overrides_not_saved")
    assert ask(edge) == NEXT and edge.origin_status(NEAR)["draining"]


@pytest.mark.parametrize("action", ["drain", "force-down"])
def test_an_order_stands_above_an_idempotency_key_that_the_origin_has_seen(scene, start, action):
    edge = start(config(scene))

    def pay(key):
        return edge.fetch("POST", "/pay", [*viewer("DE"), ("Idempotency-Key", key)], b"pay")

    assert pay('"seen"').region == NEAR
    assert order(edge, action).status == 200
    answer = pay('"seen"')
    assert (answer.status, answer.fault, answer.get("Retry-After")) == (503, "key_pinned", "5")
    assert pay('"new"').region == NEXT, "who was not there before goes elsewhere"
    assert len([request for request in scene[NEAR].requests if request.method == "POST"]) == 1
    order(edge, "clear")
    assert pay('"seen"').region == NEAR


@pytest.mark.parametrize(
    "changes, status",
    [({"token": None}, 401), ({"token": "wrong-wrong"}, 401), ({"author": None}, 400), ({"reason": None}, 400),
     ({"reason": "a\nb"}, 400), ({"lasts": "200h"}, 400), ({"origin": "nobody"}, 404)],
)  # fmt: skip
def test_what_is_not_complete_or_not_allowed_changes_nothing(scene, start, changes, status):
    edge = start(config(scene))
    assert order(edge, "drain", **changes).status == status
    assert ask(edge) == NEAR and not edge.log.find(event="override")


def test_the_command_line_gives_orders_too(scene, start, tmp_path):
    edge = start(config(scene))
    token = tmp_path / "token"
    token.write_text(TOKEN + "\n")
    at = ("--admin", edge.addresses("admin")[0], "--token-file", token)
    done = run("drain", NEAR, "--author", "ada", "--reason", "grün & more", "--for", "90m", *at)
    assert done.returncode == 0 and json.loads(done.stdout)["override"]["reason"] == "grün & more"
    assert ask(edge) == NEXT
    assert run("clear", NEAR, "--author", "ada", "--reason", "done", *at).returncode == 0
    assert ask(edge) == NEAR
    refused = run("force-down", "nobody", "--author", "ada", "--reason", "x", *at)
    assert refused.returncode == 1 and "no origin has this name" in refused.stderr
    assert run("drain", NEAR, "--author", "ada", "--reason", "x", *at[:2]).returncode == 1
    assert run("drain", NEAR, "--author", "ada", *at).returncode == 2
    edge.stop()
    assert "no admin listener" in run("drain", NEAR, "--author", "a", "--reason", "x", *at).stderr


class Waiting:
    """An edge with one request at NEAR that is answered only when `finish()` is called, and `drain --wait` beside it."""

    def __init__(self, scene, start, tmp_path):
        self.finish_now = threading.Event()

        def answer(request):
            assert self.finish_now.wait(patient(30))
            request.respond()

        scene[NEAR].answer = answer
        self.edge = start(config(scene))
        self.edge_client = self.edge.connect()
        self.edge_client.send(request_bytes("GET", "/slow", viewer("DE")))
        wait_until(lambda: scene[NEAR].targets() == ["/slow"], what="a request in flight")
        self.token = tmp_path / "token"
        self.token.write_text(TOKEN)

    def drain(self, *more):
        command = [binary(), "drain", NEAR, "--author", "ada", "--reason", "upgrade", "--wait", *more,
                   "--admin", self.edge.addresses("admin")[0], "--token-file", str(self.token)]  # fmt: skip
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def finish(self):
        self.finish_now.set()
        assert self.edge_client.response().status == 200
        self.edge_client.close()


@pytest.fixture
def waiting(scene, start, tmp_path):
    made = Waiting(scene, start, tmp_path)
    yield made
    made.finish_now.set()


def test_a_drain_can_wait_until_nothing_is_in_flight_there(waiting, scene):
    command = waiting.drain()
    assert command.stderr.readline() == f"in flight at {NEAR}: 1\n"
    assert waiting.edge.origin_status(NEAR)["in_flight"] == 1 and ask(waiting.edge) == NEXT
    assert command.poll() is None
    waiting.finish()
    out, _ = command.communicate(timeout=patient(20))
    assert command.returncode == 0 and out.endswith(f"nothing is in flight at {NEAR}\n"), out
    assert waiting.edge.origin_status(NEAR)["in_flight"] == 0
    done = waiting.drain()
    assert done.wait(patient(20)) == 0, "at once where nothing is"
    done.communicate()


def test_a_drain_that_waits_too_long_fails_and_holds(waiting):
    command = waiting.drain("--at-most", "300ms")
    _, told = command.communicate(timeout=patient(20))
    assert command.returncode == 1 and f"still in flight at {NEAR}; the order holds" in told
    assert waiting.edge.origin_status(NEAR)["draining"]


def test_a_drain_that_waits_hears_that_the_order_was_ended(waiting):
    command = waiting.drain()
    assert command.stderr.readline()
    order(waiting.edge, "clear", author="bob")
    _, told = command.communicate(timeout=patient(20))
    assert command.returncode == 1 and "the order was ended or replaced" in told


def test_what_cannot_be_waited_for_orders_nothing(waiting):
    for more in (["--at-most", "5"], ["--at-most", "200h"]):
        command = waiting.drain(*more)
        assert command.wait(patient(20)) == 1 and "--at-most" in command.stderr.read()
        command.communicate()
    assert waiting.edge.origin_status(NEAR)["override"] is None


def test_a_drain_waits_for_tunnels_too(scene, start, tmp_path):
    scene[NEAR].answer = switching(echo)
    edge = start(config(scene))
    token = tmp_path / "token"
    token.write_text(TOKEN)
    with edge.connect() as connection:
        connection.send(request_bytes("GET", "/tunnel", [*viewer("DE"), *ASK]))
        wait_until(lambda: edge.metrics().sum("nearhop_tunnels") == 1, what="the tunnel")
        done = run("drain", NEAR, "--author", "ada", "--reason", "x", "--wait", "--at-most", "300ms",
                   "--admin", edge.addresses("admin")[0], "--token-file", token)  # fmt: skip
        assert done.returncode == 1 and f"in flight at {NEAR}: 1" in done.stderr
