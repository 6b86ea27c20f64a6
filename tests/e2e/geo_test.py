"""Geo databases as operators bring them: what is warned of, and which origins their records lead to."""

import json
import re
import subprocess
import time
from pathlib import Path

import pytest
from support.proxy import run
from support.setup import REGIONS

MAKE = Path(__file__).resolve().parents[1] / "geo" / "make_databases.pl"


@pytest.fixture(scope="module")
def databases(tmp_path_factory):
    """The folder of the tiny databases that the geo tests use."""
    folder = tmp_path_factory.mktemp("databases")
    subprocess.run(["perl", MAKE, folder], check=True)
    return folder


@pytest.fixture
def configured(databases, scene, tmp_path):
    """configured(*names, **site) writes a configuration with these databases and gives its file."""

    def write(*names, **site):
        config = scene.config(site=site) if site else scene.config()
        config["geo"] = {"databases": [str(databases / f"{name}.mmdb") for name in names]}
        file = tmp_path / "nearhop.yaml"
        file.write_text(json.dumps(config))
        return file

    return write


def aged(file, days, folder):
    """The same database, built so long ago."""
    data = bytearray(file.read_bytes())
    at = data.rindex(b"build_epoch") + len("build_epoch")
    size, kind = data[at], data[at + 1]
    assert size <= 8 and kind == 2, "an unsigned number of 64 bits, in as many bytes as it needs"
    data[at + 2 : at + 2 + size] = int(time.time() - days * 86400).to_bytes(size, "big")
    copy = folder / f"built-{days}-days-ago.mmdb"
    copy.write_bytes(data)
    return str(copy)


def test_an_old_database_is_old_by_one_measure_everywhere(databases, scene, start, tmp_path):
    fresh, old = (aged(databases / "nested.mmdb", days, tmp_path) for days in (44, 46))
    config = scene.config(geo={"databases": [fresh, old]})
    edge = start(config)
    assert [event["file"] for event in edge.log.find(event="geo_database", old="true", age_days="46")] == [old]
    assert not edge.log.find(event="geo_database", file=fresh)
    told = {each["name"]: (each["old"], each["age_days"]) for each in edge.status()["geo_databases"]}
    assert told == {fresh: (False, 44), old: (True, 46)}
    metrics = edge.metrics()
    assert metrics.value("nearhop_geo_database_old", database=Path(fresh).name) == 0
    assert metrics.value("nearhop_geo_database_old", database=Path(old).name) == 1
    checked = run("check", edge.file)
    assert re.findall(r"warning: geo\.databases\S*: the geo database (\S+) is old: .* 45 days, found 46 days", checked.stderr) == [old]
    reference = (Path(__file__).resolve().parents[2] / "docs" / "metrics.md").read_text()
    assert "expr: nearhop_geo_database_old == 1" in reference, "the alert that is shipped"


UNLOCATED = {  # databases -> the version of IP that no one of them locates
    ("nested",): None,
    ("v6_only",): "IPv4",
    ("v4_only",): "IPv6",
    ("floats",): "IPv6",  # a file whose tree is one of IPv4
    ("floats", "v6_only"): None,  # one for each, as the free city databases come
    ("own", "floats"): "IPv6",
}


@pytest.mark.parametrize("names", UNLOCATED, ids="+".join)
def test_a_version_of_ip_that_no_database_locates_is_warned_of(configured, names):
    done = run("check", configured(*names))
    assert done.returncode == 0, done
    warned = re.findall(r"warning: geo\.databases\S*: no client with an (IPv.) address will be located", done.stdout + done.stderr)
    assert warned == ([UNLOCATED[names]] if UNLOCATED[names] else []), done


REGISTERED = {  # address -> the first origin under `nearest`, and who may serve where Europe has a row of its own
    "81.2.90.1": ("eu-west-1", {"eu-west-1"}),  # continent EU, a point in Frankfurt, registered in the US
    "81.2.91.1": ("us-east-1", {"eu-west-1"}),  # no point: nearest knows nothing, and keeps the configuration's order
    "81.2.92.1": ("eu-west-1", set(REGIONS)),  # the point alone, which no rule asks for
    "81.2.95.1": ("us-east-1", {"us-east-1"}),  # nothing contradicts: the US
}
RULES = {
    "policy": "country",
    "countries": {"US": {"origins": ["us-east-1"], "only": True}, "continent:EU": {"origins": ["eu-west-1"], "only": True}},
}


@pytest.mark.parametrize("address", REGISTERED)
def test_a_registered_country_does_not_decide_against_continent_and_point(configured, address):
    nearest, allowed = REGISTERED[address]

    def candidates(**site):
        done = run("explain", "--config", configured("registered", **site), "--ip", address, "--json")
        assert done.returncode == 0, done
        return [origin["origin"] for origin in json.loads(done.stdout)["candidates"]]

    assert candidates(policy="nearest")[0] == nearest
    assert set(candidates(**RULES)) == allowed
