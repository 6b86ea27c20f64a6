"""The command line: check, explain, version, help. Exit codes and words that an operator can act on."""

import json
import os
import re
import socket

import pytest
from support.proxy import run
from support.setup import REGIONS

SHORT = """\
listen: 127.0.0.1:0
tls: {{certificate: {certificate}, private_key: {private_key}}}
origins:
  us-east-1: https://us.example.com
  eu-west-1: https://eu.example.com
  ap-southeast-1: https://ap.example.com
"""


@pytest.fixture
def check(authority, tmp_path):
    """check(text, **replacements) runs `nearhop check` over the short form with its lines changed or added."""
    identity = authority.leaf("api.example.com")

    def run_check(more="", replace=(), arguments=()):
        text = SHORT.format(certificate=identity.certificate, private_key=identity.private_key) + more
        for old, new in replace:
            assert old in text
            text = text.replace(old, new)
        file = tmp_path / "nearhop.yaml"
        file.write_text(text)
        done = run("check", file, *arguments)
        done.problems = re.findall(rf"^{re.escape(str(file))}:(\d+):(\d+): (error|warning): (?:([^ :]+): )?(.*)$",
                                   done.stdout + done.stderr, re.M)  # fmt: skip
        return done

    run_check.identity = identity
    return run_check


def test_a_good_file_is_0(check):
    done = check()
    assert done.returncode == 0 and not done.problems, done


def test_a_file_may_come_through_a_pipe(check):
    """As in `check <(make-config)`."""
    text = SHORT.format(certificate=check.identity.certificate, private_key=check.identity.private_key)
    read, write = os.pipe()
    os.write(write, text.encode())
    os.close(write)
    done = run("check", "/dev/stdin", stdin=read)
    os.close(read)
    assert done.returncode == 0 and "/dev/stdin: ok: 1 site" in done.stdout, done


@pytest.mark.parametrize("arguments", [["check"], ["check", "/nonexistent.yaml"], ["frobnicate"], [], ["run", "--nope"]])
def test_wrong_calls_are_2_and_say_so(arguments):
    done = run(*arguments)
    assert done.returncode == 2 and done.stderr.strip(), done


@pytest.mark.parametrize("command", [["--help"], ["run", "--help"], ["check", "--help"], ["explain", "--help"],
                                     ["demo", "--help"], ["version", "--help"]])  # fmt: skip
def test_help_is_0_and_on_stdout(command):
    done = run(*command)
    assert done.returncode == 0 and "nearhop" in done.stdout, done


def test_version():
    done = run("version")
    assert done.returncode == 0 and re.search(r"\d+\.\d+\.\d+", done.stdout)


# (lines added or replaced), line, key path, what must be said
PROBLEMS = {
    "unknown key": ("limts: {}\n", 7, "limts", "did you mean .*limits"),
    "unknown nested key": ("health: {intervall: 5s}\n", 7, "health.intervall", "did you mean .*interval"),
    "duplicate key": ("listen: 127.0.0.1:1\n", 7, "listen", "(?i)twice|duplicate|second|again"),
    "no unit": ("health: {interval: 5}\n", 7, "health.interval", "5"),
    "wrong unit": ("health: {interval: 5 KiB}\n", 7, "health.interval", "KiB"),
    "wrong size unit": ("limits: {head_bytes: 32s}\n", 7, "limits.head_bytes", "32s"),
    "below the range": ("health: {interval: 1ms}\n", 7, "health.interval", "100 ?ms"),
    "above the range": ("health: {fall: 101}\n", 7, "health.fall", "100"),
    "not a number": ("health: {fall: many}\n", 7, "health.fall", "many"),
    "not a boolean": ("failover: {enabled: perhaps}\n", 7, "failover.enabled", "perhaps"),
    "unknown policy": ("sites: {main: {policy: nearst}}\n", 7, "sites.main.policy", "did you mean .*nearest"),
    "unknown origin": ("sites: {main: {origins: [us-east-2]}}\n", 7, "sites.main.origins", "did you mean .*us-east-1"),
    "list for a map": ("health: [1]\n", 7, "health", "map|keys"),
    "everybody trusted": ("clients: {trusted: [0.0.0.0/0]}\n", 7, "clients.trusted", "unsafe_trust_any_peer"),
    "every IPv6 trusted": ("clients: {trusted: [{cidr: '::/0'}]}\n", 7, "clients.trusted", "unsafe_trust_any_peer"),
    "not a network": ("clients: {trusted: [10.0.0.0/33]}\n", 7, "clients.trusted", "10.0.0.0/33"),
    "host bits": ("clients: {trusted: [10.0.0.1/8]}\n", 7, "clients.trusted", "10.0.0."),
    "same host twice": ("sites: {a: {hosts: [x.test]}, b: {hosts: [x.test]}}\n", 7, "sites.b.hosts", "x.test"),
    "not a country": ("geo: {overrides: [{cidr: 10.0.0.0/8, country: XX}]}\n", 7, "geo.overrides", "XX"),
    "log in no folder": ("log: {access: nodir/access.log}\n", 7, "log.access", "no folder .*nodir"),
    "folder for a log": ("log: {access: /tmp}\n", 7, "log.access", "found a folder"),
    "no database": ("geo: {databases: [/nonexistent.mmdb]}\n", 7, "geo.databases", "nonexistent"),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_a_problem_has_its_line_its_key_and_its_words(check, name):
    more, line, path, words = PROBLEMS[name]
    done = check(more)
    assert done.returncode == 2, done
    found = [p for p in done.problems if p[2] == "error"]
    assert found, done
    assert any(int(p[0]) == line and int(p[1]) >= 1 and p[3].startswith(path) and re.search(words, p[4]) for p in found), found


REPLACED = {
    "URL with a path": (("https://us.example.com", "https://us.example.com/api"), 4, "origins.us-east-1", "path"),
    "URL with a query": (("https://us.example.com", "https://us.example.com?x=1"), 4, "origins.us-east-1", "query|URL|url"),
    "URL without a scheme": (("https://us.example.com", "us.example.com"), 4, "origins.us-east-1", "https"),
    "unknown region": (("us-east-1:", "us-esat-1:"), 4, "origins.us-esat-1", "region|coordinates"),
    "no such certificate": (("{certificate: ", "{certificate: /nonexistent"), 2, "tls.certificate", "nonexistent|readable"),
    "bad listener": (("127.0.0.1:0", "127.0.0.1:99999"), 1, "listen", "99999"),
    "no port": (("127.0.0.1:0", "127.0.0.1"), 1, "listen", "port|127.0.0.1"),
}


@pytest.mark.parametrize("name", REPLACED)
def test_a_problem_in_the_short_form(check, name):
    replace, line, path, words = REPLACED[name]
    done = check(replace=[replace])
    assert done.returncode == 2, done
    assert any(int(p[0]) == line and p[3].startswith(path) and re.search(words, p[4]) for p in done.problems), done.problems


def test_a_key_of_another_certificate_is_refused(check, authority):
    other = authority.leaf("api.example.com")
    done = check(replace=[(str(check.identity.private_key), str(other.private_key))])
    assert done.returncode == 2
    assert any(p[0] == "2" and re.search("key", p[4]) for p in done.problems), done


def test_an_unreadable_ca_file_is_found(check):
    done = check(replace=[("us-east-1: https://us.example.com", "us-east-1: {url: https://us.example.com, ca: /nonexistent.pem}")])
    assert done.returncode == 2 and any(p[3].startswith("origins.us-east-1.ca") for p in done.problems), done


def test_what_only_the_meaning_pass_finds_stands_beside_errors_of_form(check):
    ca = "us-east-1: {url: https://us.example.com, ca: /nonexistent.pem}"
    done = check("helth: {interval: 5s}\n", replace=[("us-east-1: https://us.example.com", ca), ("eu-west-1: https://", "eu-wset-1: https://")])
    assert done.returncode == 2
    errors = [p[3:] for p in done.problems if p[2] == "error"]
    assert [path for path, *_ in errors] == ["origins.us-east-1.ca", "origins.eu-wset-1", "helth"], errors


def test_one_error_is_not_told_twice(check):
    done = check(replace=[("us-east-1: https://us.example.com", "us-east-1: {url: ftp://us.example.com}")])
    assert done.returncode == 2 and len([p for p in done.problems if p[2] == "error"]) == 1, done.problems


def test_all_problems_of_both_passes_are_listed_at_once(check):
    more = "limts: {}\nhealth: {interval: 5, fall: 0}\nclients: {trusted: [0.0.0.0/0]}\n"
    done = check(more, replace=[("https://us.example.com", "https://us.example.com/api")])
    assert done.returncode == 2
    assert [p[0] for p in done.problems if p[2] == "error"] == ["4", "7", "8", "8", "9"], done.problems


# Lines that replace or follow the short form, and the key that is told. A start ends with each.
CANNOT_START = {
    "an address within 0.0.0.0": ("listeners: [{address: '0.0.0.0:PORT', protocol: http}, {address: '127.0.0.1:PORT', protocol: http}]", "listeners[1].address"),
    "0.0.0.0 around an address": ("listeners: [{address: '127.0.0.1:PORT', protocol: http}, {address: '0.0.0.0:PORT', protocol: http}]", "listeners[1].address"),
    "both versions": ("listeners: [{address: '0.0.0.0:PORT', protocol: http}, {address: '[::]:PORT', protocol: http}]", "listeners[1].address"),
    "a mapped address": ("listeners: [{address: '127.0.0.1:PORT', protocol: http}, {address: '[::ffff:127.0.0.1]:PORT', protocol: http}]", "listeners[1].address"),
    "admin within 0.0.0.0": ("listen: 0.0.0.0:PORT\nadmin: {listen: '127.0.0.1:PORT'}", "admin.listen"),
    "admin within [::]": ("listen: '[::]:PORT'\nadmin: {listen: '127.0.0.1:PORT'}", "admin.listen"),
    "an address of another machine": ("listen: 192.0.2.1:0", "listen"),
    "admin on another machine": ("listen: 127.0.0.1:0\nadmin: {listen: '192.0.2.1:0'}", "admin.listen"),
    "a log that is a pipe without a reader": ("listen: 127.0.0.1:0\nlog: {access: pipe}", "log.access"),
    "a log that is a socket": ("listen: 127.0.0.1:0\nlog: {access: socket}", "log.access"),
    "a log with too long a name": (f"listen: 127.0.0.1:0\nlog: {{access: {'a' * 300}}}", "log.access"),
}  # fmt: skip


@pytest.mark.parametrize("name", CANNOT_START)
def test_check_refuses_what_cannot_start(check, tmp_path, monkeypatch, name):
    lines, path = CANNOT_START[name]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])  # free in a moment, and hardly anybody's until then
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as bound:
        monkeypatch.chdir(tmp_path)  # a path of a socket has 107 characters at most
        bound.bind("socket")
        admin = "" if "admin" in lines else "admin: {listen: '127.0.0.1:0'}\n"
        done = check(admin, replace=[("listen: 127.0.0.1:0\ntls", lines.replace("PORT", port) + "\ntls")])
        assert done.returncode == 2, done
        assert [p[3] for p in done.problems if p[2] == "error"] == [path], done.problems
        assert run("run", "--config", tmp_path / "nearhop.yaml").returncode in (1, 2)


# What could be taken for one of those.
CAN_START = ["listeners: [{address: '0.0.0.0:0', protocol: http}, {address: '127.0.0.1:0', protocol: http}]",
             "listeners: [{address: '127.0.0.1:PORT', protocol: http}, {address: '127.0.0.2:PORT', protocol: http}]",
             "listeners: [{address: '0.0.0.0:PORT', protocol: http}, {address: '[::1]:PORT', protocol: http}]",
             "listen: 127.0.0.1:0\nlog: {access: fresh.log}", "listen: 127.0.0.1:0\nlog: {access: /dev/null}"]  # fmt: skip


@pytest.mark.parametrize("lines", CAN_START)
def test_check_refuses_nothing_that_can_start(check, tmp_path, start, lines):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
    more = "admin: {listen: '127.0.0.1:0'}\nshutdown: {grace: 0s, drain: 0s}\n"
    done = check(more, replace=[("listen: 127.0.0.1:0\ntls", lines.replace("PORT", port) + "\ntls")])
    assert done.returncode == 0, done
    assert not (tmp_path / "fresh.log").exists(), "check makes nothing"
    edge = start((tmp_path / "nearhop.yaml").read_text(), wait=False)
    edge.log.wait(event="listening", listener="https" if "listen:" in lines else "http")


def test_an_address_in_use_is_no_error_since_a_running_edge_holds_it(check, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = check("admin: {listen: '127.0.0.1:0'}\n", replace=[("0\ntls", f"{taken.getsockname()[1]}\ntls")])
    assert done.returncode == 0, done


def test_a_place_for_orders_that_is_not_there_is_a_warning(check, tmp_path):
    for place in ("nowhere/orders.json", "."):
        done = check(f"admin: {{state_file: {place}}}\n")
        assert done.returncode == 0 and [p[3] for p in done.problems] == ["admin.state_file"], done


WARNINGS = {
    "probe timeout above the interval": ("health: {interval: 1s, timeout: 2s}\n", "timeout|interval"),
    "deadline shorter than one attempt": ("sites: {main: {deadline: 1s}}\n", "deadline"),
}


@pytest.mark.parametrize("name", WARNINGS)
def test_traps_are_warnings_and_no_errors(check, name):
    more, words = WARNINGS[name]
    done = check(more)
    assert done.returncode == 0, done
    assert any(p[2] == "warning" and re.search(words, p[3] + p[4]) for p in done.problems), done


def test_run_refuses_a_bad_file_with_the_same_words(check, tmp_path):
    done = check("limts: {}\n")
    again = run("run", "--config", tmp_path / "nearhop.yaml")
    assert again.returncode == 2
    assert "limts" in again.stderr and "7:" in again.stderr and done.returncode == 2


@pytest.mark.parametrize("text", ["", "[]", "\t", "a: b: c", "&a [*a]", "listen: !!binary x", "- " * 5000, "{" * 5000, "\xff\xfe", "a: &x [1]\nb: *x"])
def test_odd_files_are_problems_and_no_crashes(tmp_path, text):
    file = tmp_path / "odd.yaml"
    file.write_bytes(text.encode("latin-1"))
    done = run("check", file)
    assert done.returncode == 2 and done.stdout + done.stderr, done


# ---- explain --------------------------------------------------------------------------------------------------------
def explain(*arguments):
    done = run("explain", "--json", *arguments)
    assert done.returncode == 0, done
    return json.loads(done.stdout)


CASES = {
    "German": (["--country", "DE"], ["eu-west-1", "us-east-1", "ap-southeast-1"]),
    "Japanese": (["--country", "jp"], ["ap-southeast-1", "eu-west-1", "us-east-1"]),
    "by address": (["--ip", "133.11.1.1"], ["ap-southeast-1"]),
    "by mapped address": (["--ip", "::ffff:133.11.1.1"], ["ap-southeast-1"]),
    "by 6to4 address": (["--ip", "2002:850b:0101::1"], ["ap-southeast-1"]),
    "by point": (["--lat", "-33.9", "--lon", "151.2"], ["ap-southeast-1"]),
    "private address": (["--ip", "10.0.0.1"], list(REGIONS)),
}


@pytest.mark.parametrize("name", CASES)
def test_explain_orders_the_candidates(check, tmp_path, name):
    check()
    arguments, order = CASES[name]
    told = explain(*arguments, "--config", tmp_path / "nearhop.yaml")
    assert [c["origin"] for c in told["candidates"]][: len(order)] == order, told
    assert all(c["reason"] for c in told["candidates"])


def test_explain_follows_methods_paths_and_hosts(check, tmp_path):
    check("sites:\n  a: {hosts: [a.test], writes: [us-east-1]}\n"
          "  b: {hosts: [b.test], routes: [{path: /pin, origins: [ap-southeast-1]}]}\n")  # fmt: skip
    config = ["--config", tmp_path / "nearhop.yaml", "--country", "DE"]

    def first(*arguments):
        return explain(*config, *arguments)["candidates"][0]["origin"]

    assert first("--host", "a.test") == "eu-west-1"
    assert first("--host", "a.test", "--method", "POST") == "us-east-1"
    assert first("--host", "b.test", "--path", "/pin/x?y") == "ap-southeast-1"
    assert first("--host", "b.test", "--path", "/other") == "eu-west-1"


def test_explain_in_text_names_each_step(check, tmp_path):
    check()
    done = run("explain", "--country", "DE", "--host", "x.test", "--config", tmp_path / "nearhop.yaml")
    assert done.returncode == 0
    for word in ("DE", "eu-west-1", "nearest", "km"):
        assert word in done.stdout, done.stdout
    assert "eu.example.com" in done.stdout, "the name that is verified"


@pytest.mark.parametrize("arguments", [["--ip", "nonsense"], ["--country", "XYZ"], ["--lat", "91", "--lon", "0"], ["--lat", "1"], []])
def test_explain_refuses_what_it_cannot_understand(check, tmp_path, arguments):
    check()
    done = run("explain", *arguments, "--config", tmp_path / "nearhop.yaml")
    assert done.returncode == 2 and done.stderr, done
