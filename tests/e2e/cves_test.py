"""Past weaknesses of proxies and their libraries, each with the tests that hold it off here. The list is checked: every id
has a row, and what a row names exists.

A reference is `file: text`, the text standing in that file: a test, a row of a table, or a comment with the id."""

import re
from pathlib import Path

import pytest
from support.client import Connection
from support.clock import patient
from support.proxy import Edge
from support.setup import Scene

ROOT = Path(__file__).resolve().parents[2]

IDS = """
CVE-2013-2028 CVE-2013-4547 CVE-2017-7529 CVE-2019-20372 CVE-2018-16843 CVE-2018-16844 CVE-2019-9511 CVE-2019-9513
CVE-2019-9516 CVE-2021-23017 CVE-2025-23419 CVE-2026-1642 CVE-2026-42055 CVE-2026-42926 CVE-2018-14645 CVE-2020-11100
CVE-2018-20615 CVE-2018-20102 CVE-2018-20103 CVE-2019-18277 CVE-2021-39240 CVE-2021-39241 CVE-2021-39242 CVE-2021-40346
CVE-2023-25725 CVE-2023-40225 CVE-2023-45539 CVE-2024-45506 CVE-2026-26080 CVE-2026-26081 CVE-2019-9900 CVE-2019-9901
CVE-2019-15226 CVE-2019-18801 CVE-2019-18802 CVE-2021-32778 CVE-2021-32779 CVE-2023-27491 CVE-2023-35945 CVE-2024-23326
CVE-2024-30255 CVE-2024-45806 CVE-2024-45808 CVE-2026-47220 CVE-2024-45410 CVE-2026-39858 CVE-2023-47106 CVE-2023-29013
CVE-2026-27588 CVE-2026-30851 CVE-2023-50463 CVE-2020-28241 CVE-2025-4366 CVE-2026-2833 CVE-2026-2835 CVE-2025-32094
CVE-2026-26365 CVE-2023-44487 CVE-2025-8671 CVE-2024-27316 CVE-2024-28182 CVE-2019-9512 CVE-2019-9514 CVE-2019-9515
CVE-2019-9517 CVE-2019-9518 CVE-2020-11080 CVE-2016-6581 CVE-2016-1544 CVE-2026-27135 CVE-2025-55315 CVE-2025-43859
CVE-2024-24791 CVE-2025-22871 CVE-2023-39326 CVE-2022-22720 CVE-2023-25690 CVE-2026-46527 CVE-2014-0160 CVE-2016-8610
CVE-2021-3449 CVE-2024-2511 CVE-2021-32813 Beast-579 Beast-1467
""".split()

REQUESTS = "tests/e2e/tables/requests.py"
FORWARDING = "tests/e2e/tables/forwarding.py"
HTTP1 = "tests/e2e/http1_test.py"
HTTP1_FIELDS = "tests/e2e/http1_fields_test.py"
H2 = "tests/e2e/http2_test.py"
H2_REFUSALS = "tests/e2e/http2_refusals_test.py"
H2_ABUSE = "tests/e2e/http2_abuse_test.py"
CODEC = "tests/proxy/client/http1_codec_test.cpp"
HEADERS = "tests/proxy/message/headers_test.cpp"
TLS = "tests/proxy/control/tls_context_test.cpp"

COVERED = {
    # Lengths and chunks
    "CVE-2013-2028": [f"{REQUESTS}: a size above 2^63", f"{REQUESTS}: a size of 2^64 + 1"],
    "CVE-2025-55315": [f"{REQUESTS}: LF in an extension", "tests/proxy/wire/chunked_test.cpp: FeedInExtension"],
    "CVE-2025-43859": [f"{REQUESTS}: two wrong bytes behind the data", "tests/e2e/tables/responses.py: wrong bytes behind a chunk"],
    "CVE-2025-22871": [f"{REQUESTS}: LF behind a size", "tests/e2e/tables/responses.py: LF behind a chunk size"],
    "CVE-2023-39326": [f"{REQUESTS}: a long extension", "tests/e2e/framing_test.py: CVE-2023-39326"],
    "CVE-2019-18277": [f"{REQUESTS}: chunked behind a vertical tab"],
    "CVE-2021-40346": [f"{FORWARDING}: a name that begins like Content-Length", "tests/e2e/framing_test.py: CVE-2021-40346"],
    "CVE-2023-40225": [f"{REQUESTS}: no length", f"{REQUESTS}: an empty length before a length"],
    "CVE-2026-2835": [f"{REQUESTS}: chunked in HTTP/1.0", f"{REQUESTS}: identity, chunked"],
    "CVE-2026-26365": [f"{FORWARDING}: Connection lists the coding", f"{REQUESTS}: Connection lists the coding beside a length"],
    "CVE-2026-42926": [f"{FORWARDING}: a body that looks like the end and a request", f"{FORWARDING}: a chunk that looks like the end and a request"],
    # Request lines and targets
    "CVE-2013-4547": [f"{REQUESTS}: a space in the target"],
    "CVE-2023-45539": [f"{REQUESTS}: a fragment"],
    "CVE-2021-32779": [f"{REQUESTS}: a fragment"],
    "CVE-2023-47106": [f"{REQUESTS}: a fragment behind a query"],
    "CVE-2023-25690": ["tests/e2e/path_test.py: CVE-2023-25690", f"{FORWARDING}: an escaped line end stays escaped"],
    "CVE-2019-9901": ["tests/e2e/path_test.py: CVE-2019-9901", "tests/proxy/steering/path_test.cpp: CVE-2019-9901"],
    "CVE-2017-7529": [f"{FORWARDING}: a thousand ranges", f"{FORWARDING}: ranges that overflow"],
    # Fields
    "CVE-2023-25725": [f"{REQUESTS}: an empty name before the framing"],
    "CVE-2019-9900": [f"{REQUESTS}: a NUL in a value"],
    "CVE-2019-15226": ["tests/e2e/framing_test.py: 20000 tiny fields", "tests/proxy/wire/head_test.cpp: CVE-2019-15226"],
    "CVE-2023-29013": ["tests/e2e/framing_test.py: endless field", "tests/e2e/framing_test.py: 20000 tiny fields"],
    "CVE-2019-18801": [f"{H2_REFUSALS}: test_heads_above_the_limits_are_answered_as_in_http1"],
    "CVE-2019-18802": [f"{FORWARDING}: blanks around a value", f"{FORWARDING}: blanks around the host"],
    "CVE-2025-32094": [f"{REQUESTS}: a folded expectation"],
    "CVE-2024-45410": [f"{FORWARDING}: Connection lists what the edge writes", f"{FORWARDING}: Connection lists what a trusted peer says"],
    "CVE-2021-32813": [f"{HEADERS}: CVE-2021-32813"],
    "CVE-2026-39858": ["tests/e2e/forwarding_test.py: CVE-2026-39858", f"{FORWARDING}: names with underscores"],
    "CVE-2026-27588": ["tests/e2e/forwarding_test.py: CVE-2026-27588"],
    "CVE-2026-30851": [f"{HEADERS}: CVE-2026-30851", "tests/e2e/routing_test.py: test_an_untrusted_peer_cannot_pass_viewer_fields_on"],
    "CVE-2024-45806": [f"{FORWARDING}: an internal field", "tests/e2e/routing_test.py: test_an_untrusted_peer_cannot_pass_viewer_fields_on"],
    "CVE-2024-45808": ["tests/proxy/account/access_line_test.cpp: EscapesWhatCouldEndAStringALineOrTheTextItself"],
    "CVE-2026-47220": [f"{HTTP1}: test_http_1_0_with_and_without_host_is_served_and_closed"],
    "CVE-2026-46527": [f"{FORWARDING}: a forwarded chain of commas", "tests/proxy/steering/locate_test.cpp: GoesFromThePeerToTheFirstUntrustedAddress"],
    "CVE-2023-50463": ["tests/proxy/steering/locate_test.cpp: AnUntrustedPeersFieldsAreIgnored", "tests/e2e/routing_test.py: test_the_place_of_a_viewer"],
    # One message never becomes another
    "CVE-2019-20372": [f"{HTTP1_FIELDS}: CVE-2019-20372"],
    "CVE-2022-22720": ["tests/e2e/framing_test.py: CVE-2022-22720"],
    "CVE-2024-24791": [f"{HTTP1_FIELDS}: CVE-2024-24791"],
    "CVE-2025-4366": [f"{HTTP1_FIELDS}: CVE-2025-4366"],
    "CVE-2024-23326": ["tests/e2e/upgrade_test.py: CVE-2024-23326"],
    "CVE-2026-2833": ["tests/e2e/upgrade_test.py: CVE-2026-2833"],
    "CVE-2026-1642": ["tests/e2e/origin_faults_test.py: plain bytes instead of TLS", "tests/proxy/wire/stream_tls_test.cpp: CVE-2026-1642"],
    "Beast-579": ["tests/e2e/forwarding_test.py: strict.requests(recorded)", "tests/e2e/desync_requests_test.py: strict.requests(data)"],
    "Beast-1467": [f"{HTTP1}: test_a_request_may_come_byte_by_byte", f"{HTTP1}: test_a_response_may_come_byte_by_byte"],
    # DNS, databases
    "CVE-2021-23017": ["tests/e2e/dns_test.py: CVE-2021-23017", "tests/proxy/control/resolver_test.cpp: CVE-2021-23017"],
    "CVE-2018-20102": ["tests/proxy/control/resolver_test.cpp: CVE-2018-20102"],
    "CVE-2018-20103": ["tests/proxy/control/resolver_test.cpp: CVE-2018-20103"],
    "CVE-2020-28241": ["tests/geo/corruption_test.cpp: WithAnyByteFlippedNothingCrashes", "tests/geo/corruption_test.cpp: CutShortAnywhereItIsRefusedOrStillSound"],
    # TLS
    "CVE-2025-23419": [f"{TLS}: CVE-2025-23419"],
    "CVE-2021-3449": [f"{TLS}: CVE-2021-3449"],
    "CVE-2016-8610": ["tests/e2e/cves_test.py: def test_a_flood_of_alerts_ends_its_connection"],
    "CVE-2024-2511": [f"{TLS}: SendsOneTicketAndTakesNoEarlyDataAndNoOldVersion", "tests/e2e/limits_test.py: test_many_connections_come_and_go_without_a_leak"],
    "CVE-2014-0160": ["tests/e2e/cves_test.py: def test_a_heartbeat_is_not_answered"],
    # HTTP/2
    "CVE-2023-44487": [f"{H2_ABUSE}: test_rapid_reset"],
    "CVE-2021-32778": [f"{H2_ABUSE}: test_many_resets_cost_little_cpu"],
    "CVE-2019-9514": [f"{H2_ABUSE}: test_rapid_reset"],
    "CVE-2025-8671": [f"{H2_ABUSE}: test_made_you_reset"],
    "CVE-2024-27316": [f"{H2_ABUSE}: test_a_head_without_end"],
    "CVE-2024-28182": [f"{H2_ABUSE}: test_a_head_without_end"],
    "CVE-2024-30255": [f"{H2_ABUSE}: test_a_head_without_end"],
    "CVE-2019-9512": [f"{H2_ABUSE}: test_floods_of_control_frames"],
    "CVE-2019-9515": [f"{H2_ABUSE}: test_floods_of_control_frames"],
    "CVE-2018-16843": [f"{H2_ABUSE}: test_floods_of_control_frames"],
    "CVE-2018-16844": [f"{H2_ABUSE}: test_floods_of_empty_frames"],
    "CVE-2019-9518": [f"{H2_ABUSE}: test_floods_of_empty_frames"],
    "CVE-2019-9513": [f"{H2_ABUSE}: test_floods_of_control_frames"],
    "CVE-2019-9516": [f"{H2_REFUSALS}: test_a_malformed_request_is_refused_and_its_connection_goes_on"],
    "CVE-2019-9511": [f"{H2_ABUSE}: test_a_dribble_of_windows_ends"],
    "CVE-2019-9517": [f"{H2_ABUSE}: test_a_client_that_never_reads_holds_little"],
    "CVE-2024-45506": [f"{H2_ABUSE}: test_tiny_windows_on_many_streams_do_not_spin"],
    "CVE-2020-11080": [f"{H2_ABUSE}: test_settings_with_thousands_of_entries"],
    "CVE-2016-6581": [f"{H2_ABUSE}: test_an_hpack_bomb"],
    "CVE-2016-1544": [f"{H2_ABUSE}: test_an_hpack_bomb"],
    "CVE-2018-14645": [f"{H2_REFUSALS}: test_a_broken_frame_ends_its_connection_only"],
    "CVE-2020-11100": [f"{H2_REFUSALS}: test_a_broken_frame_ends_its_connection_only"],
    "CVE-2018-20615": [f"{H2_REFUSALS}: test_a_broken_frame_ends_its_connection_only"],
    "CVE-2026-27135": [f"{H2_REFUSALS}: test_a_broken_frame_ends_its_connection_only"],
    "CVE-2021-39240": [f"{H2_REFUSALS}: test_a_malformed_request_is_refused_and_its_connection_goes_on"],
    "CVE-2021-39241": [f"{H2_REFUSALS}: test_a_malformed_request_is_refused_and_its_connection_goes_on"],
    "CVE-2021-39242": [f"{H2_REFUSALS}: test_a_malformed_request_is_refused_and_its_connection_goes_on"],
    "CVE-2023-27491": [f"{H2_REFUSALS}: test_a_malformed_request_is_refused_and_its_connection_goes_on"],
    "CVE-2023-35945": [f"{H2_ABUSE}: test_reset_and_goaway_leak_nothing"],
}  # fmt: skip

CANNOT_APPLY = {
    "CVE-2026-26080": "QUIC: there is no HTTP/3 here",
    "CVE-2026-26081": "QUIC: there is no HTTP/3 here",
    "CVE-2026-42055": "origins are spoken to in HTTP/1.1 only; its large fields are bounded by limits.head_bytes",
}

# Their files come with the part that they test; the rows above hold as soon as they are there.
WITH_HTTP2 = {H2, H2_REFUSALS, H2_ABUSE}


def test_every_id_has_its_tests_or_a_reason():
    assert len(IDS) == len(set(IDS))
    assert set(COVERED) | set(CANNOT_APPLY) == set(IDS)
    assert not set(COVERED) & set(CANNOT_APPLY)
    assert all(COVERED.values())


@pytest.mark.parametrize("reference", sorted({text for row in COVERED.values() for text in row}))
def test_what_a_row_names_exists(reference):
    name, _, text = reference.partition(": ")
    if name in WITH_HTTP2 and not (ROOT / name).exists():
        pytest.skip("the tests of HTTP/2 are not in this tree")
    source = (ROOT / name).read_text()
    if name.startswith("tests/e2e/tables/"):
        assert f'"{text}":' in source, f"no row {text!r} in {name}"
    else:
        assert re.search(re.escape(text) + r"(?![0-9])", source), f"no {text!r} in {name}"


# ---- TLS, where no other file looks at it ----------------------------------------------------------------------------
@pytest.fixture(scope="module")
def edge(authority, tmp_path_factory):
    with Scene(authority, tls=False) as scene:
        with Edge(tmp_path_factory.mktemp("edge"), scene.config(), ca=authority.file) as running:
            yield running


def ends(edge, data, times):
    """Plain records on the TLS port: the connection ends, and what came back is at most an alert."""
    with Connection(edge.https) as connection:
        connection.socket.settimeout(patient(10))
        try:
            for _ in range(times):
                connection.send(data)
        except OSError:
            pass  # it has ended it
        try:
            answer = connection.rest()
        except OSError:
            answer = b""
    assert len(answer) < 100 and (not answer or answer[:1] == b"\x15"), answer[:40]
    assert edge.fetch().status == 200


def test_a_flood_of_alerts_ends_its_connection(edge):
    """CVE-2016-8610: warnings that begin no handshake cost nothing for long."""
    ends(edge, b"\x15\x03\x01\x00\x02\x01\x00" * 1000, 200)


def test_a_heartbeat_is_not_answered(edge):
    """CVE-2014-0160: a heartbeat that asks for 16 KiB and holds one byte."""
    ends(edge, b"\x18\x03\x02\x00\x03\x01\x40\x00", 1)
