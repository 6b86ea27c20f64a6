"""HTTP/2 clients that are not ours: what curl and the libraries that people use need of a server."""

import struct
import subprocess

import pytest
from support.client import HOST, split
from support.clock import patient, wait_until
from support.http2 import CANCEL, DATA, ENHANCE_YOUR_CALM, INITIAL_WINDOW_SIZE, RST_STREAM, WINDOW_UPDATE, Http2, frame
from support.http2_edge import ended
from support.proxy import Edge
from support.shared_scene import fresh, origin, scene  # noqa: F401 - fixtures


@pytest.fixture(scope="module")
def edge(scene, authority, tmp_path_factory):
    config = scene.config(site={"default": True, "policy": "failover", "body_limit": "1MiB"})
    with Edge(tmp_path_factory.mktemp("edge"), config, ca=authority.file) as running:
        yield running


@pytest.fixture
def curl(edge, authority, tmp_path):
    """curl(...) prints status, version and the names of fields; its exit code and what it said."""

    def run(*arguments):
        host, port = split(edge.https)
        command = ["curl", "-q", "--silent", "--show-error", "--http2", "--cacert", str(authority.file)]
        command += ["--connect-to", f"{HOST}:443:{host}:{port}", "--output", str(tmp_path / "body"), "--noproxy", "*"]
        command += ["--write-out", "%{http_code} %{http_version}", *arguments, f"https://{HOST}/"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=patient(30))
        return done.returncode, done.stdout, done.stderr

    return run


# ---- answers before the whole body ----------------------------------------------------------------------------------
UPLOADS = {"declared": [], "streamed": ["-H", "Content-Length:", "-H", "Transfer-Encoding: chunked"]}


@pytest.mark.parametrize("size", [300_000, 3_000_000])
@pytest.mark.parametrize("upload", UPLOADS)
def test_curl_gets_an_answer_that_comes_before_the_end_of_its_body(curl, origin, tmp_path, upload, size):
    """libcurl 7.88 ends with error 92 when END_STREAM and RST_STREAM come in one read."""
    origin.answer = lambda request: request.respond(401, b"who are you?\n")
    file = tmp_path / "upload"
    file.write_bytes(bytes(size))
    for _ in range(6):
        code, said, error = curl("--data-binary", f"@{file}", "-H", "Expect:", *UPLOADS[upload])
        too_large = size > 1 << 20
        wanted = {"401 2", "413 2"} if too_large and upload == "streamed" else {"413 2" if too_large else "401 2"}
        assert code == 0 and said in wanted, error  # where it is a race, either will do


def test_a_client_that_ends_its_answered_uploads_is_no_attacker(edge, authority, origin):
    """Go's clients reset the stream of each answer that comes before the end of the body; 200 resets are allowed."""
    origin.answer = lambda request: request.respond(401, b"who are you?\n")
    with Http2(edge.https, authority.file) as client:
        for _ in range(5):
            streams = [client.open("POST", "/", end=False) for _ in range(80)]
            for stream in streams:
                assert client.reply(stream).status == 401
            client.send(b"".join(frame(RST_STREAM, 0, stream, struct.pack(">I", CANCEL)) for stream in streams))
        origin.answer = lambda request: request.respond(200, b"welcome\n")
        assert client.request().status == 200


def test_a_client_that_resets_a_stream_for_each_frame_that_comes_late_cancels_it_once(edge, authority, origin):
    """Debian's python3-h2 does so; 200 resets are allowed. A page that was cancelled may be followed by hundreds."""
    size = 12 << 20

    def answer(request):
        request.connection.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (size + 1) + bytes(size))
        request.connection.wait_until_left()

    origin.answer = answer
    before = {why: ended(edge, why) for why in ("rapid_reset", "control_flood")}
    with Http2(edge.https, authority.file, settings={INITIAL_WINDOW_SIZE: 2 * size}, window=2 * size, replenish=False) as client:
        stream = client.open()
        client.until(lambda: stream in client.replies and len(client.replies[stream].body) == size)
        frames = len(client.replies[stream].pieces)
        assert frames > 400
        client.send(frame(RST_STREAM, 0, stream, struct.pack(">I", CANCEL)) * frames)
        origin.answer = lambda request: request.respond(200, b"welcome\n")
        assert client.request().status == 200
        # More than that are for nothing.
        client.try_send(frame(RST_STREAM, 0, stream, struct.pack(">I", CANCEL)) * 100_000)
        assert client.end() == ENHANCE_YOUR_CALM
    wait_until(lambda: ended(edge, "control_flood") == before["control_flood"] + 1, what="the flood's end")
    assert ended(edge, "rapid_reset") == before["rapid_reset"]


# ---- windows --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("late", [False, True], ids=["as it comes", "all at the end"])
def test_windows_may_be_given_back_in_small_steps(edge, authority, origin, late):
    """Go's clients do so every 4 KiB, on the stream and on the connection, and may be far behind the bytes."""
    size, step = 6 << 20, 4096
    origin.answer = lambda request: request.respond(200, bytes(size))
    with Http2(edge.https, authority.file, settings={INITIAL_WINDOW_SIZE: size}, window=size, replenish=False) as client:
        stream, owed, came = client.open(), 0, 0
        while stream not in client.replies or not client.replies[stream].over:
            assert client.pump(), client.goaways
            got = sum(len(payload) for kind, _, number, payload in client.frames if kind == DATA and number == stream)
            client.frames.clear()
            came += got
            owed += got
            if not late or came == size:
                updates = (frame(WINDOW_UPDATE, 0, number, struct.pack(">I", step)) for number in (stream, 0))
                client.send(b"".join(updates) * (owed // step))
                owed %= step
        assert client.reply(stream).status == 200 and came == size
