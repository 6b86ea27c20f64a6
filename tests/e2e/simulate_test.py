"""`nearhop simulate`: exit codes, output and problems; and what `nearhop check` says of the worst case."""

import json
import re

import pytest
from support.proxy import run

SCENARIO = """\
config:
  origins:
    us-east-1: https://us.example.com
    eu-west-1: https://eu.example.com
seed: 7
duration: 40s
traffic: [{countries: [DE, FR], rate: 40/s, puts: 20%}]
events: [{at: 12s, origin: eu-west-1, fault: refused}]
assert:
  - share of eu clients on eu-west-1 <= 0 after t=13s
  - errors <= 0
"""


@pytest.fixture
def simulate(tmp_path):
    def run_simulate(text, *arguments):
        file = tmp_path / "scenario.yaml"
        file.write_text(text)
        return run("simulate", file, *arguments)

    return run_simulate


def test_asserts_that_hold_are_0_and_shown_with_the_timeline(simulate):
    done = simulate(SCENARIO)
    assert done.returncode == 0 and not done.stderr, done
    assert "12.000s  origin=eu-west-1 fault=refused" in done.stdout
    assert re.search(r"^PASS  errors <= 0  \(0\)$", done.stdout, re.M)


def test_an_assert_that_does_not_hold_is_1_with_what_was_measured(simulate):
    done = simulate(SCENARIO + "  - switches of DE <= 0\n")
    assert done.returncode == 1, done
    assert re.search(r"^FAIL  switches of DE <= 0  \(1\)$", done.stdout, re.M), done.stdout


def test_the_same_seed_is_the_same_to_the_byte_and_another_is_not(simulate):
    first = simulate(SCENARIO, "--json")
    assert first.stdout == simulate(SCENARIO, "--json").stdout
    other = simulate(SCENARIO.replace("seed: 7", "seed: 8"), "--json")
    assert other.returncode == 0 and other.stdout != first.stdout
    fractions = []
    json.loads(first.stdout, parse_float=fractions.append)
    assert fractions and not [number for number in fractions if "E" in number], "12.5, not 1.25E1"
    answer = json.loads(first.stdout)
    assert answer["holds"] and answer["errors"] == 0
    assert sum(interval["requests"] for interval in answer["intervals"]) == answer["requests"]


@pytest.mark.parametrize("text, problem", [
    (SCENARIO.replace("fault: refused", "fault: refusd"), r"scenario\.yaml:8:46: error: events\[0\]\.fault: .*did you mean \"refused\""),
    (SCENARIO + "  - errors < none\n", r"scenario\.yaml:12:5: error: assert\[2\]: want a number"),
    (SCENARIO.replace("us-east-1:", "us-esat-1:"), r"scenario\.yaml:3:5: error: config\.origins\.us-esat-1"),
    ("config: [\n", r"scenario\.yaml:\d+:\d+: error"),
])  # fmt: skip
def test_a_bad_file_is_2_with_every_problem(simulate, text, problem):
    done = simulate(text)
    assert done.returncode == 2 and not done.stdout, done
    assert re.search(problem, done.stderr), done.stderr


def test_no_file_is_2():
    assert run("simulate", "/nonexistent.yaml").returncode == 2


CONFIG = """\
listen: 127.0.0.1:0
tls: {{certificate: {certificate}, private_key: {private_key}}}
origins: {{us-east-1: https://us.example.com, eu-west-1: https://eu.example.com}}
"""


def test_check_prints_the_worst_case_and_refuses_one_above_the_target(authority, tmp_path):
    identity = authority.leaf("api.example.com")
    text = CONFIG.format(certificate=identity.certificate, private_key=identity.private_key)
    file = tmp_path / "nearhop.yaml"
    file.write_text(text)
    done = run("check", file)
    assert done.returncode == 0, done
    assert re.search(r"^  eu-west-1: verdict down after \d+\.\ds; .* over after \d+\.\ds$", done.stdout, re.M), done.stdout
    file.write_text(text + "rto_target: 5s\n")
    done = run("check", file)
    assert done.returncode == 2, done
    assert re.search(r"nearhop\.yaml:4:13: error: rto_target: origin eu-west-1: want at most 5s", done.stderr), done.stderr
