#!/usr/bin/env bash
# A Python client that cancels one download over HTTP/2 sends a reset for every DATA frame still on its way.
#
# Guess: cancelling a stream is one RST_STREAM, and what was on its way is dropped in silence (RFC 9113 section 5.4.2: more
#   than one for a stream only when frames still come after a round trip).
# Instead: h2, under httpx, hypercorn and mitmproxy, answers each DATA frame of the stream that it has reset with another
#   RST_STREAM(STREAM_CLOSED). With 16 KiB frames and a window of 1 MiB one cancellation is 64 resets more.
# Matters: a server that counts resets (CVE-2023-44487) sees a burst of dozens from one honest click and ends the session with
#   all its other streams. Count a stream's resets once.
# Seen with: python3-h2 4.1.0, python3-hpack 4.0.0, python3-hyperframe 6.0.0 (Debian 12).
source "$(dirname "${BASH_SOURCE[0]}")/support.bash"
debian python3-h2=4.1.0-4 python3-hpack=4.0.0-2 python3-hyperframe=6.0.0-1

cat >cancel.py <<'PYTHON'
import h2.config, h2.connection, h2.settings
from hyperframe.frame import Frame
def frames(data):
    while data:
        frame, length = Frame.parse_frame_header(memoryview(data[:9]))
        frame.parse_body(memoryview(data[9:9 + length]))
        yield type(frame).__name__, frame.stream_id, getattr(frame, "error_code", "")
        data = data[9 + length:]
client = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
server = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
client.initiate_connection()
client.increment_flow_control_window(1 << 20)
client.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 1 << 20})
server.initiate_connection()
for _ in range(2):
    server.receive_data(client.data_to_send())
    client.receive_data(server.data_to_send())
client.send_headers(1, [(":method", "GET"), (":path", "/"), (":scheme", "https"), (":authority", "localhost")], end_stream=True)
server.receive_data(client.data_to_send())
server.send_headers(1, [(":status", "200")])
client.receive_data(server.data_to_send())
for _ in range(64):
    server.send_data(1, b"x" * (16 << 10))          # on their way when the client cancels
client.reset_stream(1, 8)
print("at once:", *frames(client.data_to_send()))
client.receive_data(server.data_to_send())
late = [frame for frame in frames(client.data_to_send()) if frame[0] == "RstStreamFrame"]
print("then:", len(late), "times", *set(late))
PYTHON
seen "a cancelled download with 64 DATA frames on their way" "$(unpacked /usr/bin/python3 cancel.py | paste -sd ' ')" \
    "at once: ('RstStreamFrame', 1, 8) then: 64 times ('RstStreamFrame', 1, 5)"
finished "h2 4.1.0 answers each late DATA frame with a reset of its own"
