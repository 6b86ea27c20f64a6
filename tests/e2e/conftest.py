"""Fixtures of the end-to-end tests. Each module gets its own certificates; each edge ends cleanly or fails its test."""

import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
pytest.register_assert_rewrite("support")  # what fails in a helper shows its values, as in a test

from support.ca import Authority  # noqa: E402
from support.proxy import Edge  # noqa: E402
from support.setup import Scene  # noqa: E402


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def scene(authority):
    """Three TLS origins of this test alone."""
    with Scene(authority) as made:
        yield made


@pytest.fixture
def plain_scene(authority):
    """Three origins without TLS: for tests that count bytes on the wire."""
    with Scene(authority, tls=False) as made:
        yield made


@pytest.fixture
def start(authority, tmp_path):
    """start(config) runs an edge; all are stopped, and their ends checked, after the test."""
    with ExitStack() as edges:
        count = 0

        def run(config, **options):
            nonlocal count
            count += 1
            return edges.enter_context(Edge(tmp_path / f"edge-{count}", config, ca=authority.file, **options))

        yield run
