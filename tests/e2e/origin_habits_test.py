"""What origins and balancers do that would bind a client to them, or cost a request: their own names in answers, the time
for which they keep connections, certificates of two kinds, and one connection for several host names."""

import re
import subprocess

import pytest
from support.client import HOST, trusting
from support.clock import patient, wait_until
from support.http2 import Http2
from support.proxy import as_yaml, run
from support.setup import viewer

SHOP = "shop.example.org"


def one_origin(scene, **site):
    config = scene.config(workers=1)
    config["origins"] = {"eu-west-1": scene.origin_config("eu-west-1")}
    config["sites"]["main"].update(origins=["eu-west-1"], **site)
    return config


# ---- names of the origin in its answers -----------------------------------------------------------------------------
def redirecting(target):
    """To `target` under the Host that it was asked with, as web servers and frameworks do."""

    def answer(request):
        request.read_body()
        location = target.format(host=request.get("Host"))
        fields = [("Location", location), ("Content-Location", location), ("Link", f"<{location}>"), ("Alt-Svc", 'h3=":8443"')]
        request.respond(302, b"", fields)

    return answer


LOCATIONS = {
    "https": ("https://{host}/a?b#c", f"https://{HOST}/a?b#c"),
    "http": ("http://{host}/a", f"https://{HOST}/a"),
    "another host": ("https://login.example.org/a", None),
    "a path": ("/a", None),
}


@pytest.mark.parametrize("protocol", ["HTTP/1.1", "HTTP/2"])
@pytest.mark.parametrize("name", LOCATIONS)
def test_a_location_under_the_origin_s_own_name_is_the_client_s(scene, start, authority, name, protocol):
    origin = scene["eu-west-1"]
    sent, got = LOCATIONS[name]
    origin.answer = redirecting(sent)
    edge = start(one_origin(scene, host_header="origin"))
    if protocol == "HTTP/2":
        with Http2(edge.https, authority.file) as client:
            response = client.request()
    else:
        response = edge.fetch()
    assert origin.last().get("Host") != HOST
    assert response.all("location") == response.all("content-location") == [got or sent]
    assert response.all("alt-svc") == [], "clients would go past the edge"


def test_with_the_client_s_own_host_there_is_nothing_to_mend(scene, start):
    scene["eu-west-1"].answer = redirecting("http://{host}/a")
    response = start(one_origin(scene)).fetch()
    assert response.get("Location") == f"http://{HOST}/a" and response.get("Alt-Svc") is None


@pytest.mark.parametrize(
    ("told", "scheme"),
    [([], "https"), ([("X-Forwarded-Proto", "http")], "http"), ([("X-Forwarded-Proto", "https, http")], "https"),
     ([("Forwarded", "for=192.0.2.1;proto=http")], "http")],
)  # fmt: skip
def test_what_a_trusted_peer_says_of_the_scheme_counts(scene, start, told, scheme):
    scene["eu-west-1"].answer = redirecting("http://{host}/a")
    response = start(one_origin(scene, host_header="origin")).fetch(fields=told)
    assert response.get("Location") == f"{scheme}://{HOST}/a"


# ---- how long connections idle --------------------------------------------------------------------------------------
def test_a_connection_idles_for_less_than_its_origin_tells(scene, start):
    """Else a request meets the end on its way, sooner or later."""
    origin = scene["eu-west-1"]
    edge = start(one_origin(scene))

    def answer(request):
        request.read_body()
        request.respond(fields=[("Keep-Alive", "timeout=2, max=100")] if request.target == "/brief" else [])

    origin.answer = answer
    connections = []
    for target in ("/", "/brief"):
        assert edge.fetch(target=target).status == 200
        connections.append(origin.last().connection)
    assert connections[0] is connections[1], "what it said last counts"
    wait_until(lambda: not origin.are_open(connections), 10, "the edge to close it first")
    assert edge.metrics().sum("nearhop_pool_connections", origin="eu-west-1", state="idle") == 0
    edge.fetch()
    assert edge.metrics().sum("nearhop_pool_opened_total", origin="eu-west-1") == 2


# ---- certificates of two kinds --------------------------------------------------------------------------------------
def kind_shown(edge, authority, *arguments):
    """And whether it came with its OCSP response."""
    host, _, port = edge.https.rpartition(":")
    done = subprocess.run(
        ["openssl", "s_client", "-connect", f"{host}:{port}", "-servername", HOST, "-CAfile", str(authority.file), "-status",
         *arguments],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=patient(20),
    )  # fmt: skip
    assert "Verify return code: 0 (ok)" in done.stdout, done
    shown = re.search(r"Peer signature type: (\S+)", done.stdout)[1]
    names = {"ecdsa_secp256r1_sha256": "ECDSA", "rsa_pss_rsae_sha256": "RSA-PSS"}  # as OpenSSL 3.5 says it
    return names.get(shown, shown), "OCSP Response Status: successful" in done.stdout


def two_kinds(scene, authority, order=("P-256", "RSA"), names=(HOST,)):
    config = scene.config()
    config["tls"]["certificates"] = []
    for kind in order:
        identity = authority.leaf(*names, kind=kind)
        with open(identity.certificate, "ab") as chain:
            chain.write(authority.file.read_bytes())  # whose signature an OCSP response has
        config["tls"]["certificates"].append({**scene.certificate(identity), "ocsp": str(authority.ocsp(identity))})
    return config


CLIENTS = {
    "takes both, TLS 1.3": ((), "ECDSA"),
    "takes both, TLS 1.2": (("-tls1_2",), "ECDSA"),
    "RSA only, TLS 1.3": (("-sigalgs", "RSA-PSS+SHA256"), "RSA-PSS"),
    "RSA only, TLS 1.2": (("-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"), "RSA-PSS"),
    "ECDSA only, TLS 1.3": (("-sigalgs", "ECDSA+SHA256"), "ECDSA"),
    "ECDSA only, TLS 1.2": (("-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"), "ECDSA"),
}


@pytest.mark.parametrize("order", [("P-256", "RSA"), ("RSA", "P-256")])
def test_each_client_gets_the_kind_that_it_can_verify(scene, start, authority, order):
    edge = start(two_kinds(scene, authority, order))
    seen = {name: kind_shown(edge, authority, *arguments) for name, (arguments, _) in CLIENTS.items()}
    assert seen == {name: (kind, True) for name, (_, kind) in CLIENTS.items()}


def test_so_does_a_name_of_a_wildcard_beside_another_certificate(scene, start, authority):
    config = two_kinds(scene, authority, names=(HOST, "*.example.com"))
    other = authority.leaf(SHOP)
    config["tls"]["certificates"].append(scene.certificate(other))
    config["sites"]["main"]["hosts"] += [SHOP, "www.example.com"]
    edge = start(config)
    for cipher in ("ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256"):
        for name in (HOST, "www.example.com"):
            context = trusting(authority.file)
            context.maximum_version = 0x0303
            context.set_ciphers(cipher)
            with edge.connect(tls=context, name=name) as connection:
                assert connection.request(host=name).status == 200
    assert edge.fetch(host=SHOP, name=SHOP).status == 200


def test_a_certificate_that_nobody_is_shown_is_warned_of(scene, authority, tmp_path):
    config = two_kinds(scene, authority, ("P-256", "RSA", "P-384"))
    file = tmp_path / "nearhop.yaml"
    file.write_text(as_yaml(config))
    done = run("check", file)
    hidden = config["tls"]["certificates"][2]["certificate"]
    assert done.returncode == 0 and f"the certificate in {hidden} is never used" in done.stdout + done.stderr, done
    assert (done.stdout + done.stderr).count("is never used") == 1


# ---- one connection for several host names --------------------------------------------------------------------------
def test_a_trusted_peer_may_ask_for_several_hosts_on_one_connection(scene, start, authority):
    """A CDN pools its connections; a browser that does it gets a 421, and tries again on another one."""
    config = scene.config(clients={"trusted": ["127.0.0.2/32"]})
    config["tls"]["certificates"].append(scene.certificate(authority.leaf(SHOP)))
    config["sites"]["main"]["hosts"].append(SHOP)
    edge = start(config)
    for source, status in (("127.0.0.2", 200), ("127.0.0.1", 421)):
        with edge.connect(source=source) as connection:
            assert connection.request(fields=viewer("DE")).status == 200
            assert connection.request(host=SHOP).status == status
            assert connection.request(fields=viewer("DE")).status == 200
        with Http2(edge.https, authority.file, source=source) as client:
            assert client.request(host=SHOP).status == status
            assert client.request().status == 200
