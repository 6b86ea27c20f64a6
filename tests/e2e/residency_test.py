"""conf/examples/eu-only.yaml, started and asked: what is of Europe is served there or not at all, and `check` proves it
before anybody asks."""

from pathlib import Path

import pytest
from support.client import HOST
from support.proxy import run
from support.setup import Scene, viewer

EXAMPLE = Path(__file__).resolve().parents[2] / "conf/examples/eu-only.yaml"
EUROPE = {"eu-central-1", "eu-west-1"}
NAMES = {"us-east-1": "us", "eu-west-1": "ie", "eu-central-1": "de"}


@pytest.fixture
def scene(authority):
    with Scene(authority, regions=tuple(NAMES)) as made:
        yield made


@pytest.fixture
def text(scene, authority):
    """The example with this test's addresses and files in it, and nothing else changed."""
    made = EXAMPLE.read_text()
    identity = scene.certificate()
    changes = {
        "0.0.0.0:443": "127.0.0.1:0",
        "/etc/nearhop/fullchain.pem": identity["certificate"],
        "/etc/nearhop/privkey.pem": identity["private_key"],
        "accounts.example.com": HOST,
        **{f"https://{short}.example.com": f"{{url: {scene[name].url}, ca: {authority.file}}}" for name, short in NAMES.items()},
    }  # fmt: skip
    for old, new in changes.items():
        assert old in made, old
        made = made.replace(old, new)
    return made + "clients: {trusted: [127.0.0.1]}\nadmin: {listen: 127.0.0.1:0}\nshutdown: {grace: 0s, drain: 1s}\n"


def check(tmp_path, text):
    file = tmp_path / "nearhop.yaml"
    file.write_text(text)
    return run("check", file)


def test_check_proves_where_requests_stay(tmp_path, text):
    done = check(tmp_path, text)
    assert done.returncode == 0 and "warning" not in done.stderr, done
    stays = done.stdout[done.stdout.index("where requests of rows with only") :]
    for row in ("eea (AT, ", "CH (CH)", "unlocated ("):
        line = next(line for line in stays.splitlines() if row in line)
        assert set(line.split(": ")[1].split(", ")) == EUROPE, line


def test_check_refuses_what_nobody_could_serve(tmp_path, text):
    done = check(tmp_path, text.replace("writes: [us-east-1, eu-central-1]", "writes: us-east-1"))
    assert done.returncode == 2, done
    errors = [line for line in done.stderr.splitlines() if " error: " in line]
    assert len(errors) == 3 and all("POST" in line and "503" in line for line in errors), errors
    assert any("countries.eea" in line for line in errors) and any("unlocated" in line for line in errors), errors


def test_it_may_be_asked_to_be_a_warning(tmp_path, text):
    done = check(tmp_path, text.replace("writes: [us-east-1, eu-central-1]", "writes: us-east-1\n    unserved: warning"))
    assert done.returncode == 0 and done.stderr.count(" warning: ") == 3, done


def test_the_printed_bound_names_requests_that_nothing_takes_over(tmp_path, text):
    done = check(tmp_path, text)
    line = next(line for line in done.stdout.splitlines() if line.startswith("  eu-central-1: verdict"))
    assert "no origin takes over for POST / in site accounts for row eea" in line, line


def test_europe_stays_in_europe_and_the_rest_goes_to_the_nearest(text, scene, start):
    edge = start(text)
    for method in ("GET", "POST"):
        for country in ("DE", "IE", "NO", "CH"):
            assert edge.fetch(method, fields=viewer(country)).region in EUROPE, (method, country)
        assert edge.fetch(method).region in EUROPE, "a client without a known place"
        assert edge.fetch(method, fields=viewer("US")).region == "us-east-1"
    assert edge.fetch(fields=viewer("GB")).region == "eu-west-1"  # by nearness

    scene["us-east-1"].forget()
    for name in EUROPE:
        scene[name].stop()
    for fields in (viewer("DE"), viewer("CH"), ()):
        for method in ("GET", "POST"):
            assert edge.fetch(method, fields=fields).status in (502, 503), (method, fields)
    assert scene["us-east-1"].requests == []
    assert edge.fetch(fields=viewer("GB")).region == "us-east-1"


def test_a_host_that_no_certificate_is_for_is_a_warning(tmp_path, text, scene):
    for hosts, uncovered in (
        (f"[{HOST}, x.example.com, '*.example.com']", None),
        (f"[{HOST}, www.example.org]", "www.example.org"),
        (f"['*.example.org', {HOST}, example.org]", "*.example.org (and 1 more hosts"),
    ):
        done = check(tmp_path, text.replace(f"[{HOST}]", hosts))
        assert done.returncode == 0, done
        warnings = [line for line in done.stderr.splitlines() if "no certificate has the name" in line]
        assert len(warnings) == (1 if uncovered else 0), done
        assert not uncovered or f"no certificate has the name {uncovered}" in warnings[0], warnings
