"""Regions that are processes of their own, so that one of them can be killed or stopped under load."""

import signal
import time
from contextlib import ExitStack, contextmanager

from .clock import wait_until
from .load import Load
from .origin_process import OriginProcess
from .setup import REGIONS, Scene, viewer


@contextmanager
def region_processes(authority, folder):
    """All regions by name, each with a certificate for 127.0.0.1."""
    identity = authority.leaf("127.0.0.1")
    with ExitStack() as stack:
        yield {name: stack.enter_context(OriginProcess(name, identity, folder)) for name in REGIONS}


def config_of_processes(authority, processes, **settings):
    with Scene(authority) as scene:  # its origins are not used, only its configuration
        config = scene.config(**settings)
    for name, process in processes.items():
        config["origins"][name]["url"] = process.url
    return config


@contextmanager
def load_on_a_stopped_region(authority, folder, start, *, rate, before, elsewhere, **settings):
    """Germans ask until eu-west-1 has given `before` answers. Then it stops: it accepts, and answers nothing, until
    us-east-1 has given `elsewhere` in its place. Yields the edge, the load, which has ended, and when eu-west-1 stopped.
    `settings` as of Scene.config."""
    with region_processes(authority, folder) as processes:
        edge = start(config_of_processes(authority, processes, **settings))
        load = Load(edge.https, authority.file, rate=rate, connections=64, fields=viewer("DE"))
        with load.running():
            wait_until(lambda: load.regions()["eu-west-1"] > before, what=load.summary)
            since = time.monotonic()
            processes["eu-west-1"].signal(signal.SIGSTOP)
            try:
                wait_until(lambda: load.regions(since)["us-east-1"] > elsewhere, 20, load.summary)
            finally:
                processes["eu-west-1"].signal(signal.SIGCONT)
        yield edge, load, since
