"""The short form of the fault suite. Counts are exact: no error that could be hidden, nothing carried out twice. Times
are only bounded where a busy machine cannot blur them; `./dev faults` measures them."""

import sys
from pathlib import Path

import pytest

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from faults import judge  # noqa: E402
from faults.catalogue import FAULTS  # noqa: E402
from faults.contenders import Nearhop  # noqa: E402
from faults.suite import perform  # noqa: E402
from support.ca import Authority  # noqa: E402
from support.clock import SLOW, patient  # noqa: E402

RATE = 300 if SLOW == 1 else 60


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault.short], ids=lambda fault: fault.name)
def test_nobody_notices(fault, authority, tmp_path):
    row = perform(fault, Nearhop, authority, tmp_path / "stage", seconds=2.5, rate=RATE, returns=False)
    print(row)
    assert row["requests"] > RATE, "the load did not run"
    assert not judge.misses(fault, row, exact_only=True), row
    assert row["slowest"] < patient(4), row  # what may move has moved
    assert row["truncated"] <= 5, row  # answers that had begun when their origin died


@pytest.mark.parametrize("name", ["kill", "hang", "health_lies_good"])
def test_a_blip_is_over_for_everybody_half_a_minute_later(name, authority, tmp_path):
    fault = next(each for each in FAULTS if each.name == name)
    row = perform(fault, Nearhop, authority, tmp_path / "stage", rate=RATE)
    print(row)
    assert row["back"] < patient(30), row
