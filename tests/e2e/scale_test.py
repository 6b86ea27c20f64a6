"""Thirty services in three regions are ninety origins and more: each site steers among its own, and no site may have
more than a decision can look at."""

import pytest
from support.proxy import run
from support.setup import REGIONS, Scene, quick, viewer

SERVICES = 32
NAMES = [f"s{service}-{region}" for service in range(SERVICES) for region in REGIONS]


@pytest.fixture(scope="module")
def scene(authority):
    with Scene(authority, tls=False, regions=NAMES) as made:
        yield made


def host(service):
    return f"s{service}.example.com"


def config(scene):
    made = scene.config()
    for name in NAMES:
        made["origins"][name].update({"region": name.split("-", 1)[1], "health": quick()})
        del made["origins"][name]["ca"]
    # Each service lists its regions in another order, so that no origin stands at the same place as in its neighbour.
    made["sites"] = {
        f"s{service}": {
            "hosts": [host(service)],
            "origins": [f"s{service}-{REGIONS[(service + i) % 3]}" for i in range(3)],
            "policy": "nearest",
            "decision_header": True,
            "writes": [f"s{service}-us-east-1"],
        }
        for service in range(SERVICES)
    }
    return made


def served(edge, service, country="DE", method="GET"):
    answer = edge.fetch(method=method, host=host(service), fields=viewer(country))
    return answer.status, answer.region


def test_each_of_32_services_is_routed_and_moved_by_itself(scene, start):
    edge = start(config(scene))
    for name in NAMES:
        edge.wait_verdict(name, "up")
    for country, region in (("DE", "eu-west-1"), ("US", "us-east-1"), ("JP", "ap-southeast-1")):
        for service in range(SERVICES):
            assert served(edge, service, country) == (200, f"s{service}-{region}")
    for service in range(SERVICES):
        assert served(edge, service, "JP", "POST") == (200, f"s{service}-us-east-1"), "a write"

    # Behind the first 64 origins as well as among them.
    gone = (0, 7, 22, SERVICES - 1)
    for service in gone:
        scene[f"s{service}-eu-west-1"].stop()
    for service in range(SERVICES):
        region = "us-east-1" if service in gone else "eu-west-1"
        assert served(edge, service) == (200, f"s{service}-{region}"), "before a probe has said so, and after"
    for service in gone:
        edge.wait_verdict(f"s{service}-eu-west-1", "down")
    assert [served(edge, service)[1] for service in gone] == [f"s{service}-us-east-1" for service in gone]
    states = {each["name"]: each["verdict"] for each in edge.status()["origins"]}
    assert sorted(states) == sorted(NAMES)
    assert {name for name, verdict in states.items() if verdict == "down"} == {f"s{service}-eu-west-1" for service in gone}


@pytest.mark.parametrize(
    "origins, sites, expect",
    [
        (65, "", "3:3: error: origins: want at most 64 origins of one site, found 65"),
        (65, "sites:\n  a: {default: true, origins: [%s]}\n", "69:31: error: sites.a.origins: want at most 64 origins of one site, found 65"),
        (4097, "sites:\n  a: {default: true, origins: [o0]}\n", "3:3: error: origins: want at most 4096 origins, found 4097"),
    ],
    ids=["all_of_one_site", "a_list", "in_all"],
)  # fmt: skip
def test_check_refuses_too_many_with_the_place(tmp_path, origins, sites, expect):
    file = tmp_path / "nearhop.yaml"
    names = [f"o{i}" for i in range(origins)]
    listed = sites % ", ".join(names) if "%s" in sites else sites
    file.write_text(
        "listeners: [{address: '127.0.0.1:0', protocol: http}]\norigins:\n"
        + "".join(f"  {name}: {{url: 'http://127.0.0.1:1', region: us-east-1}}\n" for name in names)
        + listed
    )
    done = run("check", file)
    assert done.returncode == 2 and f"nearhop.yaml:{expect}" in done.stderr, done
    assert len([line for line in done.stderr.splitlines() if " error: " in line]) == 1, done
