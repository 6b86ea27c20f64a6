"""`nearhop demo` works without any file of the user's, and each command of its tour does what the tour says."""

import os
import re
import signal
import subprocess
import threading

import pytest
from support.clock import patient, wait_until
from support.proxy import REPORTS, binary


class Demo:
    """The running demo and what it has printed."""

    def __init__(self, folder, arguments=("--port", "0", "--admin-port", "0")):
        environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "TMPDIR": str(folder)}
        environment.update({key: value for key, value in os.environ.items() if key.endswith("SAN_OPTIONS")})
        self.process = subprocess.Popen(
            [binary(), "demo", *arguments], cwd=folder, stdin=subprocess.DEVNULL, env=environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        self.lines = []
        self.thread = threading.Thread(target=lambda: self.lines.extend(self.process.stdout), daemon=True)
        self.thread.start()

    def text(self):
        return "".join(self.lines)

    def commands(self):
        """The lines of the tour that are meant to be copied."""
        return [line.strip().removeprefix("$ ") for line in self.text().splitlines() if re.match(r"\s*(\$ )?(curl|nearhop|\S*/nearhop|kill) ", line)]

    def run(self, command):
        done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=patient(30), executable="/bin/bash")
        return done.stdout + done.stderr

    def stop(self, number=signal.SIGINT):
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            code = self.process.wait(patient(15))
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        self.thread.join(patient(5))
        assert not REPORTS.search(self.text()), self.text()
        return code


@pytest.fixture
def demo(tmp_path):
    made = Demo(tmp_path)
    try:
        wait_until(lambda: made.commands() or made.process.poll() is not None, 20, made.text)
        assert made.process.poll() is None, made.text()
        yield made
    finally:
        if made.process.poll() is None:
            made.stop()


def test_it_ends_cleanly_on_ctrl_c_and_leaves_no_files(tmp_path):
    demo = Demo(tmp_path)
    wait_until(lambda: demo.commands(), 20, demo.text)
    assert demo.stop() == 0, demo.text()
    left = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not left, left


def test_it_ends_on_sigterm_too(tmp_path):
    demo = Demo(tmp_path)
    wait_until(lambda: demo.commands(), 20, demo.text)
    assert demo.stop(signal.SIGTERM) == 0, demo.text()


def test_a_taken_port_is_an_error_with_its_reason(demo, tmp_path):
    address = re.search(r"https://localhost:(\d+)", demo.text())[1]
    second = Demo(tmp_path, ("--port", address, "--admin-port", "0"))
    wait_until(lambda: second.process.poll() is not None, 20, second.text)
    assert second.stop() == 1 and re.search("in use", second.text(), re.I), second.text()


def test_every_command_of_the_tour_works(demo):
    wait_until(lambda: len(demo.commands()) >= 5, 10, demo.text)
    commands = demo.commands()
    answers = {command: demo.run(command) for command in commands}
    shown = "\n".join(f"$ {command}\n{answer}" for command, answer in answers.items())
    for command, answer in answers.items():
        assert "curl: (" not in answer and answer.strip(), shown
        assert "-D-" not in command or answer.startswith(("HTTP/1.1 200", "HTTP/2 200")), shown
    for region in ("eu-west-1", "us-east-1", "ap-southeast-1"):
        assert region in shown, shown
    assert "nearhop_requests_total" in shown, shown
    assert any("explain" in command for command in commands), shown


def test_a_broken_region_is_answered_by_the_next_one(demo):
    """The tour's own story: as a German, break the near region, ask again."""
    german = next(command for command in demo.commands() if re.search(r"\bDE\b|German", command))
    assert "eu-west-1" in demo.run(german), demo.text()
    breaking = next((c for c in demo.commands() if re.search("break", c)), None)
    assert breaking, demo.text()
    demo.run(breaking)
    wait_until(lambda: "us-east-1" in demo.run(german), 20, lambda: f"{breaking}\n{demo.run(german)}")
