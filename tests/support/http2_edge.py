"""An edge for hostile HTTP/2 clients, with a good neighbour beside them: fixtures, to be imported."""

import pytest

from . import faults
from .client import HOST
from .http2 import Http2
from .proxy import Edge

GOOD = [(":method", "GET"), (":scheme", "https"), (":authority", HOST), (":path", "/")]


@pytest.fixture(scope="module")
def edge(scene, authority, tmp_path_factory):
    config = scene.config(site={"default": True, "policy": "failover"})
    config["workers"] = 1  # a connection that hurt would hurt the neighbour too
    with Edge(tmp_path_factory.mktemp("edge"), config, ca=authority.file) as running:
        yield running


@pytest.fixture
def connect(edge, authority, scene):
    """connect(...) opens connections to the edge; a good neighbour is asked again when the test is over."""
    opened = []

    def make(**options):
        opened.append(Http2(edge.https, authority.file, **options))
        return opened[-1]

    neighbour = Http2(edge.https, authority.file)
    assert neighbour.request(target="/before").body == b"us-east-1 GET /before\n"
    yield make
    for client in opened:
        client.close()
    for origin in scene:
        origin.answer = faults.normally
    reply = neighbour.request(target="/after")
    neighbour.close()
    assert reply.status == 200 and reply.body.endswith(b" GET /after\n")  # of another region where one was ejected


def ended(edge, why):
    """How many sessions ended so."""
    return edge.metrics().sum("nearhop_http2_ended_total", why=why)
