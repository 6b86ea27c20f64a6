"""Fixtures of files whose tests share one edge: its origins, renewed before each test. Such a file imports what it
needs from here and adds its `edge`."""

import pytest

from .setup import Scene


@pytest.fixture(scope="module")
def scene(authority):
    with Scene(authority) as made:
        yield made


@pytest.fixture(autouse=True)
def fresh(scene):
    scene.renew()
    yield


@pytest.fixture
def origin(scene):
    """All traffic goes here where the policy is failover: it is first in that order."""
    return scene["us-east-1"]


@pytest.fixture
def connection(edge):
    with edge.connect() as made:
        yield made
