"""Examples of conf/examples as they stand, started and asked. What they name outside (balancers, files, ports) is put in
front of them: names in a resolver, and the rest by replacing words of the text."""

import os
from contextlib import ExitStack
from pathlib import Path

import pytest
from support.client import HOST
from support.clock import wait_until
from support.origin import Origin
from support.proxy import run
from support.resolver import Resolver

EXAMPLES = Path(__file__).resolve().parents[2] / "conf" / "examples"
SECRET = "only-the-edge-knows"
REGIONS = {"us-east-1": "api-1111111111", "eu-west-1": "api-2222222222", "ap-southeast-1": "api-3333333333"}


def locked(request):
    """A listener whose rules want the Host of users and the secret of the edge."""
    request.read_body()
    good = request.get("Host") == HOST and request.all("X-Origin-Secret") == [SECRET]
    request.respond(200 if good else 403)


@pytest.fixture
def balancers(authority):
    """For each region a balancer with the site's certificate; its requests and its health have a port of their own, the
    same for all, as those of real ones have."""
    identity = authority.leaf(HOST)
    made = {}
    with ExitStack() as stack:
        ports = {"requests": 0, "health": 0}
        for number, region in enumerate(REGIONS, 1):
            for what in ports:
                origin = Origin(region, identity, address=f"127.0.0.{number}", port=ports[what], answer=locked, health_path="/healthz")
                made[region, what] = stack.enter_context(origin)
                origin.health = locked
                ports[what] = origin.port
        yield made


def replaced(text, *pairs):
    for old, new in pairs:
        assert old in text, old
        text = text.replace(old, new)
    return text


def test_alb(authority, tmp_path, start, balancers):
    edge_identity = authority.leaf(HOST)
    secret = tmp_path / "origin.secret"
    secret.write_text(SECRET + "\n")
    secret.chmod(0o600)
    text = replaced(
        (EXAMPLES / "alb.yaml").read_text(),
        ("0.0.0.0:443", "127.0.0.1:0"),
        ("/etc/nearhop/fullchain.pem", str(edge_identity.certificate)),
        ("/etc/nearhop/privkey.pem", str(edge_identity.private_key)),
        ("/etc/nearhop/origin.secret", str(secret)),
        ("port: 8443", f"port: {balancers['us-east-1', 'health'].port}"),
        (".elb.amazonaws.com\n", f".elb.amazonaws.com:{balancers['us-east-1', 'requests'].port}\n"),
    )
    with Resolver() as resolver:
        for number, (region, name) in enumerate(REGIONS.items(), 1):
            resolver.set(f"{name}.{region}.elb.amazonaws.com", f"127.0.0.{number}")
        text += f"dns: {{servers: ['{resolver.server}']}}\nadmin: {{listen: '127.0.0.1:0'}}\nshutdown: {{grace: 0s, drain: 1s}}\n"
        environment = {"SSL_CERT_FILE": str(authority.file)}
        edge = start(text, environment=environment)
        for region in REGIONS:
            edge.wait_verdict(region, "up")
        warnings = [line for line in edge.log.find(level="warning") if line["event"] != "geo_database"]  # of its age
        assert warnings == [], edge.log.text()
        done = run("check", edge.file, env={**os.environ, **environment})
        assert done.returncode == 0 and "warning" not in done.stdout + done.stderr, done
        order = [edge.fetch().region]
        for _ in range(2):  # and whoever is gone is passed over
            for what in ("requests", "health"):
                balancers[order[-1], what].refuse()
                balancers[order[-1], what].drop()
            response = edge.fetch()
            assert response.status == 200
            order.append(response.region)
        assert sorted(order) == sorted(REGIONS)
        for region in REGIONS:
            requests, health = balancers[region, "requests"], balancers[region, "health"]
            assert set(requests.server_names) == set(health.server_names) == {HOST}
            assert requests.requests and not requests.probes and health.probes and not health.requests
        assert SECRET not in edge.log.text() + edge.output.text() + edge.admin("/status").body.decode()
        wait_until(lambda: edge.verdict(order[-1]) == "up", what="the last one to be up")
