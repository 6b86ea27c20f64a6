"""Paths: bytes as sent by default, and still no way around a route; the normal form where a site asks for it."""

import pytest
from support import strict
from support.client import HOST
from support.proxy import Edge
from support.setup import Scene

ROUTES = [{"path": "/admin", "origins": "eu-west-1"}, {"path": "/files/", "origins": "ap-southeast-1"}]


@pytest.fixture(scope="module")
def scene(authority):
    with Scene(authority, tls=False) as made:
        yield made


@pytest.fixture(scope="module")
def edge(scene, authority, tmp_path_factory):
    config = scene.config(site={"policy": "failover", "routes": ROUTES})
    base = config["sites"]["main"]
    for name, how in (("normal", "refuse"), ("kept", "keep"), ("decoded", "decode")):
        config["sites"][name] = dict(base, hosts=[f"{name}.example.com"], normalize_path=True, encoded_slashes=how)
    with Edge(tmp_path_factory.mktemp("edge"), config, ca=authority.file) as running:
        yield running


@pytest.fixture(autouse=True)
def fresh(scene):
    scene.renew()
    yield


def seen(scene):
    """The targets that stand on the wire, by origin."""
    return [(origin.region, request.target.decode()) for origin in scene
            for data in origin.recordings() for request in strict.requests(data)]  # fmt: skip


AS_SENT = ["/", "/x/../y", "/x//y", "/x/./y", "/%2e%2e/x", "/%41", "/a%2fb", "/a\\b", "/100%", "/%00", "/a;b=c", "/?x=/../admin"]


@pytest.mark.parametrize("target", AS_SENT)
def test_bytes_go_on_as_sent_by_default(edge, scene, target):
    assert edge.fetch(target=target).status == 200
    assert seen(scene) == [("us-east-1", target)]


AROUND = ["/x/../admin", "/x/%2e%2e/admin", "//admin", "/./admin", "/%61dmin", "/x/..%2fadmin", "/x\\..\\admin", "/x/..%5cadmin",
          "/x/..;/admin", "/admin;v=1", "/admin/../x", "/admin/..;/x", "/y/../admin/%2e%2e/z", "/files/../admin?q"]  # fmt: skip


@pytest.mark.parametrize("target", AROUND)
def test_a_path_with_two_readings_does_not_walk_around_a_route(edge, scene, target):
    """CVE-2019-9901: what the edge routes by is not what the origin may read."""
    before = edge.settled().sum("nearhop_deviations_total", reason="path_reading")
    response = edge.fetch(target=target)
    assert (response.status, response.fault) == (400, "client_bad_request") and response.closes
    assert not scene.attempts()
    assert edge.settled().sum("nearhop_deviations_total", reason="path_reading") == before + 1


def test_a_route_holds_for_odd_paths_that_stay_under_it(edge, scene):
    targets = ("/admin//x", "/admin/./x", "/admin/%41", "/admin/x;y")
    for target in targets:
        assert edge.fetch(target=target).region == "eu-west-1", target
    # Recordings are by connection, and each worker has its own.
    assert sorted(seen(scene)) == sorted(("eu-west-1", target) for target in targets)


NORMAL = {  # sent: (origin, forwarded)
    "/x/../admin": ("eu-west-1", "/admin"),
    "//admin///y/.?q=/../": ("eu-west-1", "/admin/y/?q=/../"),
    "/%61dmin": ("eu-west-1", "/admin"),
    "/admin/%2e%2e/x": ("us-east-1", "/x"),
    "/files/../../x": ("us-east-1", "/x"),
    "/files/a%20b%3f": ("ap-southeast-1", "/files/a%20b%3F"),
    "/%7euser?%7e": ("us-east-1", "/~user?%7e"),
    "/x": ("us-east-1", "/x"),
}


@pytest.mark.parametrize("target", NORMAL)
def test_a_site_may_route_and_forward_the_normal_form(edge, scene, target):
    assert edge.fetch(target=target, host="normal.example.com").region == NORMAL[target][0]
    assert seen(scene) == [NORMAL[target]]


def test_an_absolute_target_is_normalised_too(edge, scene):
    assert edge.fetch(target="https://normal.example.com/x/../admin", host="normal.example.com").region == "eu-west-1"
    assert edge.fetch("OPTIONS", "*", host="normal.example.com").status == 200
    assert sorted(seen(scene)) == [("eu-west-1", "/admin"), ("us-east-1", "*")]


REFUSED = {"/a%2fb": "encoded_slash", "/a%5Cb": "encoded_slash", "/a\\b": "encoded_slash", "/..%2fadmin": "encoded_slash",
           "/%": "bad_percent", "/%zz": "bad_percent", "/a%00b": "bad_percent", "/x/..;/admin": "path_reading"}  # fmt: skip


@pytest.mark.parametrize("target", REFUSED)
def test_what_has_no_normal_form_is_refused(edge, scene, target):
    before = edge.settled().sum("nearhop_deviations_total", reason=REFUSED[target])
    response = edge.fetch(target=target, host="normal.example.com")
    assert (response.status, response.fault) == (400, "client_bad_request")
    assert not scene.attempts()
    assert edge.settled().sum("nearhop_deviations_total", reason=REFUSED[target]) == before + 1


def test_encoded_slashes_may_be_kept_or_decoded(edge, scene):
    assert edge.fetch(target="/a%2fb%5cc\\d", host="kept.example.com").status == 200
    assert edge.fetch(target="/x/..%2fadmin", host="kept.example.com").status == 400, "kept, it has two readings"
    assert edge.fetch(target="/x%2f..%5cadmin\\y", host="decoded.example.com").region == "eu-west-1"
    assert seen(scene) == [("us-east-1", "/a%2Fb%5Cc\\d"), ("eu-west-1", "/admin/y")]


def test_escaped_line_ends_stay_escaped(edge, scene):
    """CVE-2023-25690: a decoded CRLF never stands in the request line."""
    target = "/a%0d%0aX:%20y%0D%0A%0d%0aGET%20/inner"
    for host in (HOST, "normal.example.com", "decoded.example.com"):
        assert edge.fetch(target=target, host=host).status == 200
    assert [found.lower() for _, found in seen(scene)] == [target.lower()] * 3


def test_explain_reads_a_path_as_a_request_would_be_read(edge):
    for host, path, route in (("normal.example.com", "/x/../admin", "/admin"), (HOST, "/admin/x", "/admin")):
        assert edge.explain(ip="127.0.0.1", host=host, path=path)["route"] == route
