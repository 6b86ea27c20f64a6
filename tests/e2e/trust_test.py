"""Who is believed: peers by AWS's list of networks, and by client certificate. Each test shows one peer that is trusted
and one that is not."""

import hashlib
import json
import os
import ssl

import pytest
from support.ca import Authority
from support.client import trusting
from support.clock import wait_until
from support.http2 import Http2
from support.proxy import run
from support.setup import viewer

CDN, STRANGER = "127.0.0.1", "127.0.0.9"
SERVICE = "CLOUDFRONT_ORIGIN_FACING"
SECRET = {"name": "X-Edge-Secret", "value": "swordfish"}


def ranges(*networks, service=SERVICE, more=()):
    """A list as AWS publishes it, with networks of another service beside."""
    rows = [(network, service) for network in networks] + [("127.0.0.9/32", "EC2"), *more]
    def listed(six):
        key = "ipv6_prefix" if six else "ip_prefix"
        return [{key: network, "region": "GLOBAL", "service": name, "network_border_group": "GLOBAL"}
                for network, name in rows if (":" in network) == six]  # fmt: skip
    return json.dumps({"syncToken": "1", "createDate": "2026-01-01-00-00-00",
                       "prefixes": listed(False), "ipv6_prefixes": listed(True)})  # fmt: skip


class List:
    """The file of networks, replaced in one step as a download would be; never as new as one still being written."""

    def __init__(self, folder):
        self.file = folder / "ip-ranges.json"
        self.age = 3600

    def write(self, text):
        self.age += 1
        fresh = self.file.with_suffix(".new")
        fresh.write_text(text)
        status = fresh.stat()
        os.utime(fresh, (status.st_atime - self.age, status.st_mtime - self.age))
        fresh.rename(self.file)

    def entry(self, **more):
        return {"ip_ranges": str(self.file), "service": SERVICE, **more}


@pytest.fixture
def listed(tmp_path):
    made = List(tmp_path)
    made.write(ranges(f"{CDN}/32", "198.51.100.0/24", "192.0.2.0/25", "2001:db8::/32"))
    return made


def clients(*entries, **more):
    return {"trusted": list(entries), "watch": "1s", **more}


def is_believed(edge, source=CDN, fields=(), **options):
    """Whether a viewer's country counts: JP is nearest to ap-southeast-1; a stranger on loopback is nowhere."""
    response = edge.fetch(fields=[*viewer("JP"), *fields], source=source, **options)
    assert response.status == 200, response
    return response.region == "ap-southeast-1"


# ---- by a list of networks ------------------------------------------------------------------------------------------
def test_peers_in_the_service_s_networks_are_trusted(scene, start, listed):
    edge = start(scene.config(clients=clients(listed.entry())))
    assert is_believed(edge, CDN)
    assert not is_believed(edge, STRANGER), "a network of another service"
    assert edge.metrics().value("nearhop_ip_ranges_networks", service=SERVICE) == 4
    assert edge.status()["ip_ranges"] == [{"file": str(listed.file), "service": SERVICE, "networks": 4, "problem": None}]


def test_a_secret_is_wanted_beside_the_network(scene, start, listed):
    edge = start(scene.config(clients=clients(listed.entry(secret_header=SECRET))))
    right, wrong = [(SECRET["name"], SECRET["value"])], [(SECRET["name"], "sardine")]
    assert is_believed(edge, CDN, right)
    assert not is_believed(edge, CDN) and not is_believed(edge, CDN, wrong) and not is_believed(edge, STRANGER, right)
    assert not any(request.get(SECRET["name"]) for request in scene.requests())


def test_each_of_many_secret_headers_counts(scene, start):
    """A name for each partner; none is ever forwarded."""
    secrets = [{"name": f"X-Partner-{number}", "value": f"swordfish-{number}"} for number in range(20)]
    edge = start(scene.config(clients={"trusted": [{"cidr": f"{CDN}/32", "secret_header": secret} for secret in secrets]}))
    for secret in secrets:
        assert is_believed(edge, fields=[(secret["name"], secret["value"])]), secret
        assert not is_believed(edge, fields=[(secret["name"], "swordfish-x")]), secret
    assert not any(name.startswith("X-Partner") for request in scene.requests() for name, _ in request.fields)


def test_the_walk_through_forwarded_for_uses_the_networks(scene, start, listed):
    geo = {"overrides": [{"cidr": "203.0.113.0/24", "country": "JP"}, {"cidr": "198.51.100.0/24", "country": "DE"},
                         {"cidr": "192.0.2.0/24", "country": "DE"}]}  # fmt: skip
    edge = start(scene.config(clients=clients(listed.entry()), geo=geo))

    def region(hops):
        return edge.fetch(fields=[("X-Forwarded-For", hops)], source=CDN).region

    assert region("203.0.113.7, 198.51.100.9") == "ap-southeast-1", "the CDN's own hop is passed over"
    assert region("203.0.113.7, 2001:db8::1, 192.0.2.127") == "ap-southeast-1"
    assert region("203.0.113.7, 192.0.2.128") == "eu-west-1", "outside of its network: that is the client"


def test_a_changed_list_takes_effect_without_a_reload(scene, start, listed):
    edge = start(scene.config(clients=clients(listed.entry())))
    assert is_believed(edge, CDN) and not is_believed(edge, STRANGER)
    with edge.connect(source=STRANGER) as connection:  # it is the request that is judged, not the connection
        assert connection.request(fields=viewer("JP")).region == "us-east-1"
        listed.write(ranges(f"{STRANGER}/32", "198.51.100.0/24", "192.0.2.0/25"))
        wait_until(lambda: is_believed(edge, STRANGER), what="the new networks")
        assert connection.request(fields=viewer("JP")).region == "ap-southeast-1"
    assert not is_believed(edge, CDN)
    metrics = edge.metrics()
    assert metrics.value("nearhop_ip_ranges_networks", service=SERVICE) == 3
    assert metrics.value("nearhop_ip_ranges_changes_total", result="ok") == 1
    assert metrics.value("nearhop_config_generation") == 1
    edge.log.wait(event="ip_ranges", networks="3", before="4")


REFUSED = {
    "shrunk by more than half": (ranges(f"{STRANGER}/32"), "at least half of the 4"),
    "without the service": (ranges(), "no network of " + SERVICE),
    "damaged": (ranges(f"{STRANGER}/32", "198.51.100.0/24", "192.0.2.0/25")[:-20], "not the JSON"),
    "empty": ("", "it is empty"),
    "of everybody": (ranges("0.0.0.0/0", f"{CDN}/32", "198.51.100.0/24"), "wider than any"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_list_not_to_be_believed_leaves_the_networks_in_force(scene, start, listed, name):
    text, words = REFUSED[name]
    edge = start(scene.config(clients=clients(listed.entry())))
    listed.write(text)
    wait_until(lambda: edge.metrics().value("nearhop_ip_ranges_changes_total", result="failed") == 1, what="the refusal")
    assert is_believed(edge, CDN) and not is_believed(edge, STRANGER)
    assert words in edge.log.wait(event="ip_ranges_refused")[0]["error"]
    assert words in edge.status()["ip_ranges"][0]["problem"]
    assert edge.metrics().value("nearhop_ip_ranges_networks", service=SERVICE) == 4

    edge.reload(result="failed")  # the same holds for a reload, as a whole
    assert is_believed(edge, CDN) and not is_believed(edge, STRANGER)
    wait_until(lambda: any(words in event["problem"] for event in edge.log.find(event="config_problem")), what="the problem")

    listed.write(ranges(f"{STRANGER}/32", "198.51.100.0/24"))
    wait_until(lambda: is_believed(edge, STRANGER), what="the mended list")
    assert not is_believed(edge, CDN)
    edge.reload()


def test_another_file_may_be_as_short_as_it_is(scene, start, listed, tmp_path):
    config = scene.config(clients=clients(listed.entry()))
    edge = start(config)
    other = tmp_path / "other.json"
    other.write_text(ranges(f"{STRANGER}/32"))
    config["clients"]["trusted"][0]["ip_ranges"] = str(other)
    edge.reload(config)
    assert is_believed(edge, STRANGER) and not is_believed(edge, CDN)


@pytest.mark.parametrize("text", [None, "", "{}", ranges()])
def test_a_bad_list_at_the_start_is_a_problem_of_its_line(scene, listed, tmp_path, text):
    listed.file.unlink() if text is None else listed.write(text)
    file = tmp_path / "nearhop.yaml"
    config = scene.config()
    config.pop("clients")
    file.write_text("clients:\n  trusted:\n    - ip_ranges: ip-ranges.json\n      service: " + SERVICE + "\n" +
                    "".join(f"{key}: {json.dumps(value)}\n" for key, value in config.items()))  # fmt: skip
    for command in (["check", file], ["run", "--config", file]):
        done = run(*command)
        assert done.returncode == 2, done
        assert f"{file}:3:18: error: clients.trusted[0].ip_ranges: want a list of networks" in done.stdout + done.stderr, done


WARNED = {
    "CloudFront by file": ({}, True),
    "CloudFront by file and secret": ({"secret_header": SECRET}, False),
    "CloudFront by network": ({"cidr": "130.176.0.0/17"}, True),
    "CloudFront by network and secret": ({"cidr": "130.176.0.0/17", "secret_header": SECRET}, False),
    "another network": ({"cidr": "10.0.0.0/8"}, False),
}


@pytest.mark.parametrize("name", WARNED)
def test_check_warns_of_networks_through_which_anybody_can_send(scene, listed, tmp_path, name):
    entry, warned = WARNED[name]
    file = tmp_path / "nearhop.yaml"
    file.write_text(json.dumps(scene.config(clients=clients(entry if "cidr" in entry else listed.entry(**entry)))))
    done = run("check", file)
    assert done.returncode == 0, done
    assert ("any customer of AWS can send through these networks" in done.stdout + done.stderr) == warned, done


# ---- by certificate -------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def authority_of_clients(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("clients"), "Clients CA")


@pytest.fixture(scope="module")
def cdn(authority_of_clients):
    return authority_of_clients.leaf("cdn.example", "spiffe://example/cdn", client=True)


@pytest.fixture(scope="module")
def partner(authority_of_clients):
    return authority_of_clients.leaf("partner.example", client=True)


def shown(authority, identity):
    context = trusting(authority.file)
    if identity:
        context.load_cert_chain(identity.certificate, identity.private_key)
    return context


def fingerprint(identity):
    der = ssl.PEM_cert_to_DER_cert(identity.certificate.read_text())
    return hashlib.sha256(der).hexdigest()


def asking(scene, authority_of_clients, *entries, **more):
    config = scene.config(clients=clients(*entries, **more))
    config["tls"]["client_ca"] = str(authority_of_clients.file)
    config["sites"]["main"]["client_certificates"] = "optional"
    return config


@pytest.mark.parametrize("part", ["fingerprint", "FINGER:PRINT", "host name", "URI", "both"])
def test_a_peer_is_trusted_by_its_certificate(scene, start, authority, authority_of_clients, cdn, partner, part):
    print_of = fingerprint(cdn)
    certificate = {
        "fingerprint": {"fingerprint": print_of},
        "FINGER:PRINT": {"fingerprint": ":".join(print_of[i : i + 2] for i in range(0, 64, 2)).upper()},
        "host name": {"san": "DNS:cdn.example"},
        "URI": {"san": "URI:spiffe://example/cdn"},
        "both": {"fingerprint": print_of, "san": "DNS:cdn.example"},
    }[part]
    edge = start(asking(scene, authority_of_clients, {"cidr": f"{CDN}/32", "certificate": certificate}))
    assert is_believed(edge, CDN, tls=shown(authority, cdn))
    assert not is_believed(edge, CDN, tls=shown(authority, partner)), "verified, but somebody else"
    assert not is_believed(edge, CDN), "none shown"
    assert not is_believed(edge, STRANGER, tls=shown(authority, cdn)), "right, from elsewhere"


def test_both_parts_of_a_certificate_must_match(scene, start, authority, authority_of_clients, cdn, partner):
    certificate = {"fingerprint": fingerprint(partner), "san": "DNS:cdn.example"}
    edge = start(asking(scene, authority_of_clients, {"cidr": f"{CDN}/32", "certificate": certificate}))
    assert not is_believed(edge, CDN, tls=shown(authority, cdn))
    assert not is_believed(edge, CDN, tls=shown(authority, partner))


def test_a_resumed_session_and_http2_keep_the_certificate(scene, start, authority, authority_of_clients, cdn):
    edge = start(asking(scene, authority_of_clients, {"cidr": f"{CDN}/32", "certificate": {"san": "DNS:cdn.example"}}))
    context = shown(authority, cdn)
    context.maximum_version = ssl.TLSVersion.TLSv1_2  # its sessions can be resumed without reading a ticket first
    with edge.connect(tls=context) as first:
        first.request()
        session = first.socket.session
    with edge.connect(tls=context, session=session) as second:
        assert second.socket.session_reused
        assert second.request(fields=viewer("JP")).region == "ap-southeast-1"
    for identity, region in ((cdn, "ap-southeast-1"), (None, "us-east-1")):
        with Http2(edge.https, authority.file, tls=shown(authority, identity)) as client:
            fields = [(name.lower(), value) for name, value in viewer("JP")]
            assert client.request(fields=fields).get("x-region") == region


def test_without_a_network_the_unsafe_key_is_needed(scene, start, authority, authority_of_clients, cdn, partner, tmp_path):
    entry = {"certificate": {"fingerprint": fingerprint(cdn)}}
    file = tmp_path / "nearhop.yaml"
    file.write_text(json.dumps(asking(scene, authority_of_clients, entry)))
    refused = run("check", file)
    assert refused.returncode == 2 and "trusts every peer that shows the certificate" in refused.stdout + refused.stderr
    edge = start(asking(scene, authority_of_clients, entry, unsafe_trust_any_peer=True))
    assert is_believed(edge, STRANGER, tls=shown(authority, cdn))
    assert not is_believed(edge, STRANGER, tls=shown(authority, partner)) and not is_believed(edge, STRANGER)


def test_a_certificate_combines_with_the_list_of_networks(scene, start, authority, authority_of_clients, listed, cdn):
    entry = listed.entry(certificate={"san": "DNS:cdn.example"}, secret_header=SECRET)
    edge = start(asking(scene, authority_of_clients, entry))
    secret = [(SECRET["name"], SECRET["value"])]
    assert is_believed(edge, CDN, secret, tls=shown(authority, cdn))
    assert not is_believed(edge, CDN, secret) and not is_believed(edge, CDN, tls=shown(authority, cdn))
    assert not is_believed(edge, STRANGER, secret, tls=shown(authority, cdn))


def test_a_certificate_that_nobody_is_asked_for_is_a_problem(scene, tmp_path):
    file = tmp_path / "nearhop.yaml"
    file.write_text(json.dumps(scene.config(clients=clients({"cidr": f"{CDN}/32", "certificate": {"san": "DNS:a.example"}}))))
    done = run("check", file)
    assert done.returncode == 2 and "no client is asked for one" in done.stdout + done.stderr, done
