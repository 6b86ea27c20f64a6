"""Whoever reads what the edge prints may stop reading: a supervisor that hangs, a terminal with Ctrl-S, a pipe to less.
Nothing waits for it: not the control thread, not a request, not the end. What is lost is counted."""

import fcntl
import os
import re
import signal

import pytest
from support.clock import wait_until
from support.setup import quick, viewer

SMALL = 4096  # bytes of a pipe
RING = 1024 * 1024  # bytes of lines that wait in the edge


def fill(edge, config):
    """Reloads that are refused, with a line for each of many problems, until more was said than anybody keeps."""
    bad = {**config, **{f"surprise-{i}-{'x' * 180}": 1 for i in range(1000)}}
    edge.write(bad)
    for _ in range(RING // (1000 * 200) + 3):
        edge.reload(result="failed")


def hold(edge):
    """Nobody reads from now on; a pipe is made small, so that it is full at once."""
    edge.log.stop_reading()
    if edge.process.stderr:
        fcntl.fcntl(edge.process.stderr.fileno(), fcntl.F_SETPIPE_SZ, SMALL)


WAYS = {
    "pipe": {},
    "one pipe for both": {"limits": lambda: os.dup2(2, 1)},
    "terminal": {"terminal": True},
    "terminal for both": {"terminal": True, "limits": lambda: os.dup2(2, 1)},
}


@pytest.mark.parametrize("way", WAYS)
def test_output_that_nobody_reads_stops_nothing(scene, start, way):
    config = scene.config(health=quick())
    edge = start(config, **WAYS[way])
    hold(edge)
    try:
        fill(edge, config)
        metrics = edge.metrics()
        assert metrics.value("nearhop_event_log_dropped_total") > 0
        assert edge.admin("/livez").status == 200 and edge.admin("/readyz").status == 200
        probes = metrics.sum("nearhop_probes_total", result="passed")
        wait_until(lambda: edge.metrics().sum("nearhop_probes_total", result="passed") > probes + 5, what="probes")
        edge.reload(config)
        assert edge.fetch(fields=viewer("DE")).region == "eu-west-1"
        edge.signal(signal.SIGTERM)
        assert edge.wait_end(20) == 0
    finally:
        edge.log.go_on_reading()


def test_what_was_lost_is_said_once_somebody_reads_again(scene, start):
    config = scene.config(health=quick())
    edge = start(config)
    hold(edge)
    fill(edge, config)
    lost = edge.metrics().value("nearhop_event_log_dropped_total")
    assert lost > 0
    edge.log.go_on_reading()

    def told():
        edge.reload(config)
        return edge.log.find(event="event_lines_lost")

    (loss,) = wait_until(told, what="the loss to be told")
    edge.log.wait(event="reload", result="ok")
    assert int(loss["lines"]) == edge.metrics().value("nearhop_event_log_dropped_total") >= lost
    assert len(edge.log.find(event="event_lines_lost")) == 1
    torn = [line for line in edge.log.lines if not re.fullmatch(r"time=\S+ level=\w+ event=.*", line)]
    assert not torn, torn[:3]


def test_a_full_disk_under_the_event_log_stops_nothing(scene, start):
    config = scene.config(health=quick())
    config["listeners"] = [{"address": "127.0.0.1:0", "protocol": "https"}]
    edge = start(config, wait=False, limits=lambda: os.dup2(os.open("/dev/full", os.O_WRONLY), 2))
    # No log line tells where it listens: the kernel does.
    wait_until(lambda: len(edge.listening_ports()) == 2, what="both listeners")
    edge.signal(signal.SIGHUP)
    edge.signal(signal.SIGTERM)
    assert edge.wait_end(20) == 0


@pytest.mark.parametrize("closed", [[1], [2], [0, 1, 2]])
def test_a_closed_standard_descriptor_is_not_some_connection_later(scene, start, closed):
    """The next socket would get its number, and the log's lines with it."""
    edge = start(scene.config(), wait=False, limits=lambda: [os.close(number) for number in closed])
    wait_until(lambda: len(edge.listening_ports()) == 2, what="both listeners")
    names = [os.readlink(f"/proc/{edge.pid}/fd/{number}") for number in closed]
    assert names == ["/dev/null"] * len(closed)
    edge.signal(signal.SIGTERM)
    assert edge.wait_end(20) == 0


def test_a_command_that_could_not_print_its_answer_fails(tmp_path, scene):
    """`nearhop explain --json > FILE` on a full disk must not look like success."""
    import subprocess

    from support.proxy import as_yaml, binary

    file = tmp_path / "nearhop.yaml"
    file.write_text(as_yaml(scene.config()))
    with open("/dev/full", "w") as full:
        for command in (["explain", "--country", "DE", "--config", file], ["check", file], ["version"]):
            done = subprocess.run([binary(), *map(str, command)], stdout=full, stderr=subprocess.PIPE, text=True)
            assert done.returncode == 1 and "cannot write to standard output" in done.stderr, (command, done)
