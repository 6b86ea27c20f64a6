"""What operators see: metrics, status, explanations, the access log."""

import json
import re
import signal
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from collections import Counter

import pytest
from support import faults
from support.client import Connection, Ended, request_bytes, split
from support.clock import patient, wait_until
from support.proxy import Metrics, run
from support.setup import REGIONS, VIEWERS, viewer


def traffic(edge):
    """A little of everything."""
    for country in VIEWERS:
        edge.fetch(fields=viewer(country))
    edge.fetch("POST", fields=viewer("DE"), body=b"x" * 100)
    edge.fetch(host="unknown.test")
    with edge.connect() as connection:
        connection.send(b"garbage\r\n\r\n")
        connection.response()


def test_promtool_finds_nothing_to_say_about_the_metrics(scene, start):
    edge = start(scene.config())
    traffic(edge)
    done = subprocess.run(["promtool", "check", "metrics"], input=edge.metrics().text, text=True, capture_output=True)
    assert done.returncode == 0 and not done.stdout + done.stderr, done.stdout + done.stderr


def test_requests_are_counted_by_site_origin_reason_and_class(scene, start):
    edge = start(scene.config())
    traffic(edge)
    metrics = edge.settled()
    expected = Counter(VIEWERS.values())
    expected["eu-west-1"] += 1
    for region, count in expected.items():
        assert metrics.sum("nearhop_requests_total", site="main", origin=region) == count
    assert metrics.sum("nearhop_requests_total", reason="nearest") == sum(expected.values())
    assert metrics.sum("nearhop_faults_total", fault="client_unknown_host") == 1
    assert metrics.sum("nearhop_faults_total", fault="client_bad_request") == 1
    for _, labels, _ in metrics.samples:
        assert not any(len(value) > 64 for value in labels.values())


def test_every_counted_name_follows_the_conventions_and_is_there_before_it_counts(scene, start):
    edge = start(scene.config())
    metrics = edge.metrics()
    ours = {name for name in metrics.names() if name.startswith("nearhop_")}
    assert len(ours) > 20
    for wanted in ("nearhop_requests_total", "nearhop_faults_total", "nearhop_reloads_total", "nearhop_origin_verdict"):
        assert wanted in ours, sorted(ours)
    for topic in ("session", "handshake", "geo", "certificate", "build_info", "bytes"):
        assert any(topic in name for name in ours), f"nothing about {topic}: {sorted(ours)}"
    traffic(edge)  # a histogram is sixteen lines, which pairs of site and origin that never met are spared
    assert "nearhop_request_duration_seconds_bucket" in edge.settled().names()


def test_counters_never_go_back_not_even_over_a_reload(scene, start):
    edge = start(scene.config())
    traffic(edge)
    before = edge.settled()
    edge.reload()
    traffic(edge)
    after = edge.settled()
    for name, labels, value in before.samples:
        if name.endswith(("_total", "_count", "_bucket")) and name.startswith("nearhop_"):
            assert after.value(name, **labels) >= value, (name, labels)


def test_a_prometheus_server_scrapes_it(scene, start, tmp_path):
    edge = start(scene.config())
    traffic(edge)
    config = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
        "scrape_configs": [{"job_name": "nearhop", "static_configs": [{"targets": edge.addresses("admin")}]}],
    }
    (tmp_path / "prometheus.yml").write_text(json.dumps(config))
    with socket.socket() as free:  # Prometheus cannot say which port it got
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with open(tmp_path / "log", "wb") as log:
        server = subprocess.Popen(
            ["prometheus", f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/data",
             f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log)  # fmt: skip

    def query(what):
        try:
            url = f"http://127.0.0.1:{port}/api/v1/query?" + urllib.parse.urlencode({"query": what})
            with urllib.request.urlopen(url, timeout=patient(5)) as answer:
                return json.load(answer)["data"]["result"]
        except OSError:
            assert server.poll() is None, (tmp_path / "log").read_text()
            return None

    try:
        result = wait_until(lambda: query('sum by (origin) (nearhop_requests_total{origin!=""})'), 60, "a scrape", every=0.2)
        seen = {row["metric"]["origin"]: float(row["value"][1]) for row in result}
        assert seen["eu-west-1"] == 3 and query("up{job='nearhop'}")[0]["value"][1] == "1"
    finally:
        server.kill()
        server.wait()


def test_a_scraper_that_never_reads_delays_nobody(scene, start):
    edge = start(scene.config())
    stuck = []
    for _ in range(20):
        connection = Connection(edge.addresses("admin")[0], receive_buffer=2048)
        connection.send(request_bytes(target="/metrics", host="admin") * 50)
        stuck.append(connection)
    began = time.monotonic()
    for _ in range(10):
        assert edge.fetch().status == 200 and edge.metrics().samples
    assert time.monotonic() - began < patient(5)
    for connection in stuck:
        connection.close()


def test_livez_readyz_and_unknown_pages(scene, start):
    edge = start(scene.config())
    assert edge.admin("/livez").status == 200 and edge.admin("/readyz").status == 200
    assert edge.admin("/nothing").status == 404
    assert edge.admin("/metrics", "DELETE").status in (404, 405)
    with Connection(edge.addresses("admin")[0]) as connection:
        try:
            connection.send(b"GET /metrics HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 200_000)
            assert connection.response().status in (400, 431)
        except (Ended, OSError):
            pass
    assert edge.admin("/livez").status == 200


def test_the_status_names_origins_verdicts_reasons_and_addresses(scene, start):
    scene["eu-west-1"].health = 503
    edge = start(scene.config())
    down = edge.wait_verdict("eu-west-1", "down")
    assert "status 503" in json.dumps(down) and f"127.0.0.1:{scene['eu-west-1'].port}" in json.dumps(down)
    for name in ("us-east-1", "ap-southeast-1"):
        assert edge.verdict(name) == "up"


QUERIES = [
    {"country": "DE"}, {"country": "JP", "method": "POST", "path": "/x"}, {"ip": "133.11.1.1"}, {"ip": "2a00:1450:4001:80b::1"},
    {"ip": "10.0.0.1"}, {"country": "BR", "host": "api.example.com"}, {"lat": "48.85", "lon": "2.35"},
]  # fmt: skip


@pytest.mark.parametrize("query", QUERIES, ids=str)
def test_explain_says_the_same_on_the_command_line_and_over_admin(scene, start, query):
    edge = start(scene.config())
    live = edge.explain(host=query.get("host", "api.example.com"), **{k: v for k, v in query.items() if k != "host"})
    arguments = [f"--{key}={value}" for key, value in {"host": "api.example.com", **query}.items()]
    done = run("explain", *arguments, "--config", edge.file, "--json")
    assert done.returncode == 0, done.stderr
    offline = json.loads(done.stdout)
    assert [c["origin"] for c in live["candidates"]] == [c["origin"] for c in offline["candidates"]]
    assert live["candidates"][0]["reason"] == offline["candidates"][0]["reason"]
    assert live["place"] == offline["place"]
    assert set(REGIONS) == {c["origin"] for c in live["candidates"]}


def fractions_of(text):
    """The numbers of a JSON text that are not whole, as they stand there."""
    found = []
    json.loads(text, parse_float=found.append)
    return found


def test_numbers_stand_as_people_write_them(scene, start):
    """2.05, not 2.054513E0."""
    edge = start(scene.config())
    wait_until(lambda: all(origin["rtt_ms"] for origin in edge.status()["origins"]), what="round trips")
    texts = {
        "/status": edge.admin("/status").body,
        "/explain": edge.admin("/explain?country=DE&host=api.example.com").body,
        "explain": run("explain", "--country=DE", "--host=api.example.com", "--config", edge.file, "--json").stdout,
    }
    assert fractions_of(texts["/status"]) and fractions_of(texts["/explain"])
    for name, text in texts.items():
        found = fractions_of(text)
        assert all(re.fullmatch(r"\d+\.\d+", number) for number in found), f"{name}: {found}"
    for origin in edge.status()["origins"]:
        assert len(str(origin["rtt_ms"]).replace(".", "").lstrip("0")) <= 3, "three digits say enough"


def test_explain_is_what_then_happens(scene, start):
    edge = start(scene.config())
    for country, region in VIEWERS.items():
        assert edge.explain(country=country, host="api.example.com")["candidates"][0]["origin"] == region
        assert edge.fetch(fields=viewer(country)).region == region


def test_explain_over_admin_shows_the_live_state(scene, start):
    scene["eu-west-1"].health = 503
    edge = start(scene.config())
    edge.wait_verdict("eu-west-1", "down")
    told = edge.explain(country="DE", host="api.example.com")
    assert told["candidates"][0]["origin"] == "us-east-1"
    assert "eu-west-1" not in [candidate["origin"] for candidate in told["candidates"]]
    assert '"down"' in json.dumps(told)


@pytest.mark.parametrize("query", ["", "country=DEU", "ip=nonsense", "country=DE&host=unknown.test", "lat=1", "%00=%ff", "country=" + "x" * 5000])
def test_explain_answers_odd_questions_with_an_error_or_a_decision(scene, start, query):
    edge = start(scene.config())
    assert edge.admin("/explain?" + query).status in (200, 400, 404, 414, 421, 431)
    assert edge.admin("/livez").status == 200


def test_whoever_is_on_the_machine_may_ask_the_admin_listener_whatever_else_is_allowed(scene, start):
    config = scene.config()
    config["admin"]["allow"] = ["10.0.0.0/8"]
    edge = start(config)  # is seen to be ready by /readyz, over loopback
    with Connection(edge.addresses("admin")[0], source="127.0.0.9") as connection:
        connection.send(request_bytes(target="/livez", host="admin"))
        assert connection.response().status == 200


def test_the_admin_listener_serves_only_allowed_peers(scene, start):
    config = scene.config()
    config["admin"].update(allow=["127.0.0.1/32"], allow_loopback=False)
    edge = start(config)
    assert edge.admin("/livez").status == 200
    with Connection(edge.addresses("admin")[0], source="127.0.0.9") as connection:
        connection.send(request_bytes(target="/metrics", host="admin"))
        try:
            assert connection.response().status == 403
        except (Ended, OSError):
            pass  # closing at once is as good


# ---- access log -----------------------------------------------------------------------------------------------------
FIELDS = {"time", "id", "client", "method", "host", "path", "protocol", "upgrade", "status", "site", "origin", "reason", "place", "geo_source",
          "attempts", "fault", "class", "class_reason", "bytes_in", "bytes_out", "edge_ms", "connect_ms", "origin_ms", "total_ms"}  # fmt: skip


def test_one_access_line_per_exchange_with_all_its_fields(scene, start):
    config = scene.config()
    config["workers"] = 1  # lines of several workers may stand in another order for a moment
    edge = start(config)
    scene["eu-west-1"].answer = faults.status(503)
    edge.fetch("PUT", "/find?q=1", viewer("DE"), b"x" * 123)
    edge.fetch(host="unknown.test", target="/nobody")
    wait_until(lambda: len(edge.output.lines) >= 2, what="two lines")
    moved, unknown = (json.loads(line) for line in edge.output.lines)
    assert FIELDS <= set(moved) and FIELDS - {"origin", "reason"} <= set(unknown)
    assert (moved["method"], moved["status"], moved["origin"], moved["attempts"]) == ("PUT", 200, "us-east-1", 2)
    assert (moved["place"], moved["geo_source"], moved["client"], moved["site"]) == ("DE", "header", "127.0.0.1", "main")
    assert moved["bytes_in"] == 123 and moved["bytes_out"] == len(b"us-east-1 PUT /find?q=1\n")
    assert moved["path"].startswith("/find") and moved["fault"] == "-" and moved["host"] == "api.example.com"
    assert moved["total_ms"] >= moved["origin_ms"] >= 0 and moved["id"] == scene["us-east-1"].last().id
    assert (unknown["status"], unknown["fault"]) == (421, "client_unknown_host")
    assert moved["upgrade"] == unknown["upgrade"] == "-"


def test_tokens_in_queries_need_not_stand_in_the_access_log(scene, start):
    """A reload is enough, and refused requests are no exception. Of a head that was not understood no target is told."""
    config = scene.config(workers=1)
    edge = start(config)
    wanted = []
    for query, told in [("keep", "?page=2&token=secret"), ("drop", ""), (["page"], "?page=2")]:
        config["log"]["query"] = query
        edge.reload(config)
        edge.fetch(target="/served?page=2&token=secret")
        edge.fetch(target="/nobody?page=2&token=secret", host="unknown.test")
        edge.fetch(target="/bad?page=2&token=secret", fields=[("Content-Length", "x")])
        wanted += ["/served" + told, "/nobody" + told, "-"]
    wait_until(lambda: len(edge.output.lines) >= len(wanted), what="every line")
    assert [json.loads(line)["path"] for line in edge.output.lines] == wanted
    assert scene.requests()[0].target == "/served?page=2&token=secret", "the origin gets all of it"


@pytest.mark.parametrize("form", ["json", "logfmt"])
def test_log_lines_cannot_be_forged(scene, start, form):
    config = scene.config()
    config["log"]["format"] = form
    config["workers"] = 1
    edge = start(config)
    edge.fetch(target='/%0aevent=forged"\\x', host="api.example.com", fields=[("User-Agent", 'a" b=c')])
    edge.fetch(target="/last")
    wait_until(lambda: any("/last" in line for line in edge.output.lines), what="the last line")
    assert len(edge.output.lines) == 2
    if form == "json":
        assert json.loads(edge.output.lines[0])["path"].startswith("/%0aevent=forged")
    else:
        assert edge.output.events[0]["path"].startswith("/%0aevent=forged") and "event" not in edge.output.events[0]


def test_the_access_log_is_reopened_on_sigusr1(scene, start, tmp_path):
    config = scene.config()
    log, rotated = tmp_path / "access.log", tmp_path / "access.log.1"
    config["log"]["access"] = str(log)
    edge = start(config)
    edge.fetch(target="/one")
    wait_until(lambda: log.exists() and "/one" in log.read_text(), what="the first line")
    log.rename(rotated)
    edge.fetch(target="/two")
    wait_until(lambda: "/two" in rotated.read_text(), what="the line in the renamed file")
    edge.signal(signal.SIGUSR1)
    wait_until(log.exists, what="the new file")
    edge.fetch(target="/three")
    wait_until(lambda: "/three" in log.read_text(), what="the line in the new file")
    assert "/three" not in rotated.read_text() and "/one" not in log.read_text()


def test_the_access_log_can_be_off(scene, start):
    config = scene.config()
    config["log"]["access"] = "off"
    edge = start(config)
    edge.fetch()
    edge.stop()
    assert not edge.output.lines


# ---- answers to balancers and browsers ------------------------------------------------------------------------------
def test_the_ready_path_is_answered_by_the_edge(scene, start):
    config = scene.config()
    config["listeners"][0]["ready_path"] = "/ready-for-nlb"
    config["shutdown"] = {"grace": "30s", "drain": "1s"}
    edge = start(config)
    assert edge.fetch(target="/ready-for-nlb", host="10.0.0.1").status == 200
    assert not scene.requests()
    edge.signal(signal.SIGTERM)
    wait_until(lambda: edge.fetch(target="/ready-for-nlb", host="10.0.0.1").status == 503, what="not ready")
    assert edge.admin("/readyz").status == 503 and edge.admin("/livez").status == 200
    edge.signal(signal.SIGTERM)  # a second signal shortens it


def test_server_timing_and_the_decision_are_opt_in(scene, start):
    edge = start(scene.config(site={"decision_header": False}))
    response = edge.fetch()
    assert response.get("X-Nearhop-Decision") is None and response.get("Server-Timing") is None
    config = scene.config(site={"server_timing": True})
    edge = start(config)
    response = edge.fetch()
    for phase in ("edge", "connect", "origin"):
        assert phase in response.get("Server-Timing")
    assert response.decision["origin"] == "us-east-1"


def test_a_raw_tcp_scan_of_the_admin_port_is_harmless(scene, start):
    edge = start(scene.config())
    for data in (b"", b"\0" * 50, b"GET", b"\x16\x03\x01"):
        with socket.create_connection(split(edge.addresses("admin")[0])) as raw:
            raw.sendall(data)
    assert isinstance(edge.metrics(), Metrics)
