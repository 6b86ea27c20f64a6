"""conf/schema.json as an editor uses it: the examples pass, wrong files do not. That it says what the parser says is
checked by schema_test.cpp."""
import json
import pathlib
import re

import jsonschema
import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCHEMA = json.loads((ROOT / "conf/schema.json").read_text())
EXAMPLES = sorted((ROOT / "conf/examples").glob("*.yaml"))


class Yaml12(yaml.SafeLoader):
    """PyYAML reads YAML 1.1, where NO is false; the parser and today's editors read 1.2."""


Yaml12.yaml_implicit_resolvers = {}
for tag, form, first in (("bool", r"true|false", "tf"), ("int", r"-?[0-9]+", "-0123456789"),
                         ("float", r"-?[0-9]+\.[0-9]+", "-0123456789"), ("null", r"~|null|", ["~", "n", ""])):
    Yaml12.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(f"^(?:{form})$"), list(first))

BASE = """
listen: 127.0.0.1:443
tls: {certificate: c.pem, private_key: k.pem}
origins: {us: https://us.example, eu: {url: "https://eu.example", coordinates: [50.1, 8.7]}}
"""


def problems(text):
    validator = jsonschema.Draft7Validator(SCHEMA)
    return [error.message for error in validator.iter_errors(yaml.load(text, Yaml12))]


def test_the_schema_is_one():
    jsonschema.Draft7Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.name)
def test_examples_pass(file):
    assert problems(file.read_text()) == []


GOOD = [
    "",
    "workers: 4",
    "health: {statuses: 204}",
    "health: {statuses: [200-299, 304], jitter: 20%, interval: 1s}",
    "admin: off",
    "admin: {listen: '127.0.0.1:9'}",
    "clients: {trusted: [10.0.0.0/8, {cidr: 192.0.2.0/24, secret_header: {name: X-Key, value: 12345678}}]}",
    "clients: {trusted: [{ip_ranges: /r.json, service: EC2, certificate: {san: 'DNS:a.example'}}]}",
    "sites: {a: {hosts: [a.example, b.example], routes: [{path: /x, methods: GET}]}}",
    "sites: [{name: a, hosts: a.example}, {name: b, default: true}]",
    "sites: {a: {policy: country, groups: {nordic: [SE, NO]}, countries: {nordic: eu, NO: [us, eu], "
    "default: {origins: us, only: true}}}}",
    "geo: {overrides: [{cidr: 10.0.0.0/8, point: [1, 2.5]}]}",
    "limits: {replay_total: 0}",
]


@pytest.mark.parametrize("more", GOOD)
def test_good_files_pass(more):
    assert problems(BASE + more) == []


WRONG = [
    "unknown: 1",
    "workers: many",
    "workers: 1025",
    "health: {interval: 5}",
    "health: {interval: 5 s}",
    "health: {statuses: [99]}",
    "health: {statuses: [200, 200]}",
    "health: {jitter: 51}",
    "health: {path: health}",
    "health: {nested: {}}",
    "admin: on",
    "passive: {enabled: yes}",
    "clients: {trusted: 10.0.0.0/8}",
    "clients: {trusted: [{secret_header: {name: X-Key}}]}",
    "clients: {trusted: [{cidr: 10.0.0.0/8, secret_header: {name: X-Key, value: short}}]}",
    "clients: {trusted: [{ip_ranges: /r.json, service: ec2}]}",
    "clients: {trusted: [{cidr: 10.0.0.0/8, certificate: {fingerprint: abc}}]}",
    "geo: {overrides: [{point: [1, 2]}]}",
    "geo: {overrides: [{cidr: 10.0.0.0/8, point: [91, 2]}]}",
    "geo: {overrides: [{cidr: 10.0.0.0/8, point: [1]}]}",
    "sites: {}",
    "sites: []",
    "sites: [{hosts: a.example}]",
    "sites: {a: {name: b}}",
    "sites: {a: {policy: fastest}}",
    "sites: {a: {routes: [{path: x}]}}",
    "sites: {a: {routes: [{methods: get}]}}",
    "limits: {head_bytes: 64}",
    "limits: {head_bytes: 64K}",
    "log: {level: loud}",
    "listeners: [{address: '127.0.0.1:80'}]",
]


@pytest.mark.parametrize("more", WRONG)
def test_wrong_files_do_not(more):
    assert problems(BASE + more) != []


def test_what_must_be_there():
    assert problems("workers: 1") != []
    assert problems(BASE.replace("origins: {us", "#")) != []
    assert problems(BASE.replace("eu: {url: \"https://eu.example\", ", "eu: {")) != []
