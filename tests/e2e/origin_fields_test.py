"""Fields that the edge writes into requests and probes, secrets that stand in files and variables, and Via."""

import gzip
import json
import os

import pytest
from support import faults, setup
from support.client import chunked, request_bytes
from support.clock import wait_until
from support.http2 import Http2
from support.proxy import TOKEN, as_yaml, run
from support.setup import quick

SECRET = "hunter2-hunter2"
FIELD = "X-Origin-Secret"


def locked(request):
    """As a balancer that only its front may ask."""
    request.read_body()
    good = request.all(FIELD) == [SECRET]
    request.respond(200 if good else 403)


def secret_file(tmp_path, text=SECRET + "\n", name="origin.secret"):
    file = tmp_path / name
    file.write_text(text)
    file.chmod(0o600)
    return str(file)


def one_origin(scene, **changes):
    config = scene.config(workers=1)
    name = "eu-west-1"
    config["origins"] = {name: scene.origin_config(name, **changes)}
    config["sites"]["main"]["origins"] = [name]
    return config


def with_secret(scene, value, **changes):
    return one_origin(scene, headers={"set": {FIELD: value}, "remove": ["X-Debug"]}, health=quick(), **changes)


# ---- fields ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("source", ["text", "file", "env"])
def test_a_balancer_that_wants_a_secret_gets_it_from_requests_and_probes(scene, start, tmp_path, source):
    origin = scene["eu-west-1"]
    origin.answer = origin.health = locked
    value = {"text": SECRET, "file": {"file": secret_file(tmp_path)}, "env": {"env": "ORIGIN_SECRET"}}[source]
    edge = start(with_secret(scene, value), environment={"ORIGIN_SECRET": SECRET})
    edge.wait_verdict("eu-west-1", "up")
    assert edge.fetch().status == 200
    assert edge.fetch("POST", body=b"x").status == 200


def test_no_client_can_forge_or_remove_them(scene, start, authority):
    origin = scene["eu-west-1"]
    origin.answer = locked
    config = with_secret(scene, SECRET)
    config["clients"]["underscores"] = "keep"
    edge = start(config)
    forged = [(FIELD, "evil"), (FIELD.lower(), "evil"), ("X_Origin_Secret", "evil"), ("X-Debug", "evil"), ("x_debug", "evil")]
    listed = [("Connection", f"{FIELD}, X-Debug")]
    assert edge.fetch(fields=forged).status == 200
    assert edge.fetch(fields=[*listed, *forged]).status == 200
    with edge.connect() as connection:
        head = [*listed, ("Transfer-Encoding", "chunked"), ("TE", "trailers"), ("Trailer", FIELD)]
        trailers = [*forged, ("X-Sum", "1")]
        connection.send(request_bytes("POST", fields=head) + chunked(b"hello", trailers=trailers))
        assert connection.response().status == 200
    assert [name for name, _ in origin.last().trailers] == ["X-Sum"]
    with Http2(edge.https, authority.file) as client:
        assert client.request(fields=[(name.lower(), value) for name, value in forged]).status == 200
    for request in origin.requests:
        assert b"evil" not in request.raw and request.all("X-Debug") == []


def test_fields_of_probes_alone(scene, start):
    origin = scene["eu-west-1"]
    health = quick(headers={"X-Probe": "edge", FIELD.lower(): "of probes", "User-Agent": "ELB-HealthChecker/2.0"})
    edge = start(one_origin(scene, headers={"set": {FIELD: SECRET}}, health=health))
    edge.wait_verdict("eu-west-1", "up")
    assert edge.fetch().status == 200
    probe, request = origin.probes[-1], origin.last()
    assert (probe.all("X-Probe"), probe.all("User-Agent"), probe.all(FIELD)) == (["edge"], ["ELB-HealthChecker/2.0"], ["of probes"])
    assert (request.all("X-Probe"), request.all(FIELD)) == ([], [SECRET])


# ---- secrets --------------------------------------------------------------------------------------------------------
def test_a_reload_reads_a_new_secret_and_no_request_fails_for_it(scene, start, tmp_path):
    origin = scene["eu-west-1"]
    file = secret_file(tmp_path)
    config = with_secret(scene, {"file": file})
    edge = start(config)
    edge.wait_verdict("eu-west-1", "up")
    assert edge.fetch().status == 200 and origin.last().all(FIELD) == [SECRET]
    secret_file(tmp_path, "another-one\r\n")
    assert edge.fetch().status == 200 and origin.last().all(FIELD) == [SECRET], "not before the reload"
    edge.reload()
    assert edge.verdict("eu-west-1") == "up", "it says nothing of the origin"
    assert edge.fetch().status == 200 and origin.last().all(FIELD) == ["another-one"]
    wait_until(lambda: origin.probes[-1].all(FIELD) == ["another-one"], what="probes with it")
    assert origin.accepted <= 2 + len(origin.probes), "the connection for requests is used again"


BAD = {
    "gone": (None, "No such file"),
    "empty": ("", "found nothing"),
    "a line's end alone": ("\n", "found nothing"),
    "two lines": (f"{SECRET}\nmore\n", f"a line feed at byte {len(SECRET) + 1}"),
    "a blank behind it": (SECRET + " \n", f"a blank at byte {len(SECRET) + 1}"),
    "a byte outside ASCII": (SECRET + "é", f"a byte outside ASCII at byte {len(SECRET) + 1}"),
    "too long": ("x" * 4200, "4"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_reload_with_a_bad_secret_changes_nothing(scene, start, tmp_path, name):
    origin = scene["eu-west-1"]
    file = secret_file(tmp_path)
    edge = start(with_secret(scene, {"file": file}))
    text, found = BAD[name]
    os.unlink(file) if text is None else secret_file(tmp_path, text)
    edge.reload(result="failed")
    assert edge.fetch().status == 200 and origin.last().all(FIELD) == [SECRET]
    line = next(line for line in edge.log.lines if FIELD in line)
    assert found in line and file in line and "hunter2" not in line
    done = run("check", edge.file)
    assert done.returncode != 0 and found in done.stdout + done.stderr and "hunter2" not in done.stdout + done.stderr


def test_check_reads_them_and_warns_of_files_for_everybody(scene, tmp_path):
    def check(value, **variables):
        file = tmp_path / "nearhop.yaml"
        file.write_text(as_yaml(with_secret(scene, value)))
        done = run("check", file, env={**os.environ, **variables})
        return done.returncode, done.stdout + done.stderr

    file = secret_file(tmp_path)
    code, text = check({"file": file})
    assert code == 0 and "warning" not in text
    os.chmod(file, 0o644)
    code, text = check({"file": file})
    assert code == 0 and f"every user may read {file}" in text
    code, text = check({"env": "ORIGIN_SECRET"})
    assert code != 0 and "want the environment variable ORIGIN_SECRET, which is not set" in text
    assert check({"env": "ORIGIN_SECRET"}, ORIGIN_SECRET=SECRET)[0] == 0
    code, text = check({"env": "ORIGIN_SECRET"}, ORIGIN_SECRET=SECRET + "\n")
    assert code != 0 and "a line feed" in text and "hunter2" not in text


def test_the_token_and_a_trusted_peer_s_secret_may_stand_elsewhere(scene, start, tmp_path):
    config = scene.config()
    config["admin"]["token"] = {"file": secret_file(tmp_path, TOKEN + "\n", "token")}
    config["clients"]["trusted"] = [{"cidr": "127.0.0.1/32", "secret_header": {"name": "X-Front", "value": {"env": "FRONT"}}}]
    edge = start(config, environment={"FRONT": SECRET})
    viewer = setup.viewer("JP")
    assert edge.fetch(fields=[*viewer, ("X-Front", SECRET)]).decision["origin"] == "ap-southeast-1"
    assert edge.fetch(fields=[*viewer, ("X-Front", "another")]).decision["origin"] != "ap-southeast-1"
    assert all(request.get("X-Front") is None for request in scene.requests())
    assert edge.post("/reload", token="wrong-one").status == 401
    assert edge.post("/reload").status in (200, 202)
    secret_file(tmp_path, "another-token\n", "token")
    edge.reload()
    assert edge.post("/reload").status == 401
    assert edge.post("/reload", token="another-token").status in (200, 202)


def test_nobody_is_shown_one(scene, start, tmp_path):
    """Every page, both logs, and what the commands print."""
    config = with_secret(scene, SECRET)
    config["origins"]["eu-west-1"]["health"]["headers"] = {"X-Probe": {"file": secret_file(tmp_path)}}
    config["admin"]["token"] = {"env": "SOME_TOKEN"}
    config["clients"]["trusted"].append({"cidr": "127.0.0.9/32", "secret_header": {"name": "X-Front", "value": SECRET}})
    config["log"]["level"] = "debug"
    environment = {"SOME_TOKEN": SECRET}
    edge = start(config, environment=environment)
    edge.wait_verdict("eu-west-1", "up")
    assert edge.fetch().status == 200
    scene["eu-west-1"].answer = faults.status(503)
    edge.fetch()
    edge.reload()
    shown = [edge.admin(page).body.decode() for page in ("/status", "/metrics", "/explain?country=DE", "/explain?country=DE&format=text")]
    for command in (["check", edge.file], ["explain", "--country", "DE", "--config", edge.file]):
        done = run(*command, env={**os.environ, **environment})
        assert done.returncode == 0, done
        shown.append(done.stdout + done.stderr)
    shown += [edge.log.text(), edge.output.text()]
    assert all(shown) and not [text for text in shown if "hunter2" in text]


def test_explain_needs_none_of_them(scene, tmp_path):
    file = tmp_path / "nearhop.yaml"
    file.write_text(as_yaml(with_secret(scene, {"env": "NOT_SET_HERE"})))
    done = run("explain", "--country", "DE", "--config", file)
    assert done.returncode == 0 and "eu-west-1" in done.stdout, done


# ---- Via ------------------------------------------------------------------------------------------------------------
def nginx(request):
    """With `gzip on` and the default of gzip_proxied, off: what has come through a proxy is not compressed."""
    request.read_body()
    text = b"compressible " * 2000
    if request.all("Via") or "gzip" not in (request.get("Accept-Encoding") or ""):
        return request.respond(200, text)
    request.respond(200, gzip.compress(text), [("Content-Encoding", "gzip")])


@pytest.mark.parametrize(
    ("site", "origin", "small"), [(None, None, False), (False, None, True), (None, False, True), (False, True, False)]
)
def test_via_can_be_left_out_so_that_nginx_compresses(scene, start, site, origin, small):
    changes = {} if origin is None else {"via": origin}
    config = one_origin(scene, **changes)
    if site is not None:
        config["sites"]["main"]["via"] = site
    scene["eu-west-1"].answer = nginx
    edge = start(config)
    response = edge.fetch(fields=[("Accept-Encoding", "gzip"), ("Via", "2.0 1234.cloudfront.net (CloudFront)")])
    assert response.get("Content-Encoding") == ("gzip" if small else None) and (len(response.body) < 1000) == small
    request = scene["eu-west-1"].last()
    assert request.all("Via") == ([] if small else ["2.0 1234.cloudfront.net (CloudFront)", "1.1 nearhop"])
    assert request.all("CDN-Loop") == (["nearhop"] if small else [])


@pytest.mark.parametrize("via", [True, False])
def test_a_circle_ends(scene, start, via):
    """An origin whose name leads back to the edge, by whatever stands between them."""
    config = scene.config(site={"via": via}, workers=2)
    edge = start(config)

    def back_to_the_edge(request):
        request.read_body()
        told = [(name, value) for name, value in request.fields if name.lower() in ("via", "cdn-loop")]
        answer = edge.fetch(fields=[*told, ("Accept", "application/json")])
        request.respond(answer.status, answer.body, [("Content-Type", "application/json")])

    for origin in scene:
        origin.answer = back_to_the_edge
    answer = edge.fetch()
    assert answer.status == 508 and json.loads(answer.body)["fault"] == "edge_loop"
    assert len(scene.requests()) == 8
    assert edge.settled().sum("nearhop_faults_total", fault="edge_loop") == 1
