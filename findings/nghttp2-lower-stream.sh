#!/usr/bin/env bash
# nghttp2 passes over a request on a stream id below one already used.
#
# Guess: RFC 9113 section 5.1.1, an unexpected stream identifier is a connection error: GOAWAY.
# Instead: HEADERS on stream 3 after stream 5 are taken for late frames of a stream that is closed: no answer, no reset, no
#   GOAWAY; the connection goes on, in Apache as well, which sits on nghttp2. nginx sends GOAWAY(PROTOCOL_ERROR),
#   HAProxy GOAWAY(STREAM_CLOSED).
# Matters: a client, or a proxy's pool, that sends two streams' HEADERS in the wrong order waits for an answer that never
#   comes. The server that embeds nghttp2 has to notice it itself.
# Seen with: nghttp2-server and libnghttp2 1.52.0, apache2-bin 2.4.71, nginx 1.22.1, haproxy 2.6.12 (Debian 12).
source "$(dirname "${BASH_SOURCE[0]}")/support.bash"
debian nghttp2-server=1.52.0-1+deb12u3 libnghttp2-14=1.52.0-1+deb12u3 apache2-bin=2.4.71-1~deb12u1 nginx=1.22.1-9+deb12u11 \
    haproxy=2.6.12-1+deb12u4 python3-hpack=4.0.0-2 python3-hyperframe=6.0.0-1
mapfile -t port < <(free_ports 4)
mkdir nginx files
echo hello >files/index.html
cat >apache.conf <<CONF
ServerRoot $root/usr/lib/apache2
PidFile $lab/apache.pid
ErrorLog $lab/apache.log
Listen 127.0.0.1:${port[1]}
ServerName localhost
$([ "$(id -u)" != 0 ] || printf 'User nobody\nGroup nogroup')
LoadModule mpm_event_module modules/mod_mpm_event.so
LoadModule authz_core_module modules/mod_authz_core.so
LoadModule http2_module modules/mod_http2.so
Protocols h2c http/1.1
DocumentRoot $lab/files
CONF
cat >nginx.conf <<CONF
daemon off; pid nginx/pid; error_log nginx/error.log; events {}
http { access_log off; client_body_temp_path nginx; proxy_temp_path nginx; fastcgi_temp_path nginx; uwsgi_temp_path nginx; scgi_temp_path nginx;
server { listen 127.0.0.1:${port[2]} http2; location / { return 200 hello; } } }
CONF
cat >haproxy.cfg <<CONF
defaults
    mode http
    timeout client 5s
    timeout server 5s
    timeout connect 5s
frontend front
    bind 127.0.0.1:${port[3]} proto h2
    http-request return status 200 content-type text/plain string hello
CONF
start "${port[0]}" nghttpd.log "$root/usr/sbin/nghttpd" --no-tls -d files -a 127.0.0.1 "${port[0]}"
start "${port[1]}" apache.out "$root/usr/sbin/apache2" -X -f "$lab/apache.conf"
start "${port[2]}" nginx.log "$root/usr/sbin/nginx" -p "$lab" -c "$lab/nginx.conf"
start "${port[3]}" haproxy.log "$root/usr/sbin/haproxy" -f haproxy.cfg

cat >order.py <<'PYTHON'
import hpack, socket, sys
from hyperframe.frame import Frame, GoAwayFrame, HeadersFrame, PingFrame, SettingsFrame
encoder = hpack.Encoder()
def request(stream):
    head = [(":method", "GET"), (":path", "/index.html"), (":scheme", "http"), (":authority", "localhost")]
    return HeadersFrame(stream, data=encoder.encode(head), flags=["END_HEADERS", "END_STREAM"]).serialize()
client = socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=5)
reader = client.makefile("rb")
def frames():
    while len(head := reader.read(9)) == 9:
        frame, length = Frame.parse_frame_header(memoryview(head))
        frame.parse_body(memoryview(reader.read(length)))
        yield frame
incoming = frames()
client.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + SettingsFrame(0).serialize() + request(5))
print("5 answered" if any(frame.stream_id == 5 and "END_STREAM" in frame.flags for frame in incoming) else "5 not answered", end=", ")
client.sendall(request(3) + PingFrame(0, opaque_data=b"12345678").serialize())
for frame in incoming:
    if frame.stream_id == 3 or isinstance(frame, GoAwayFrame):
        print("3:", type(frame).__name__, getattr(frame, "error_code", ""))
        break
    if isinstance(frame, PingFrame):
        client.sendall(request(7))
        answered = any(frame.stream_id == 7 and "END_STREAM" in frame.flags for frame in incoming)
        print("3 passed over, ping answered, 7", "answered" if answered else "not answered")
        break
PYTHON
order() { unpacked timeout 20 /usr/bin/python3 order.py "$1"; }
seen "nghttpd, requests on streams 5, 3, 7" "$(order "${port[0]}")" "5 answered, 3 passed over, ping answered, 7 answered"
seen "Apache" "$(order "${port[1]}")" "5 answered, 3 passed over, ping answered, 7 answered"
seen "nginx" "$(order "${port[2]}")" "5 answered, 3: GoAwayFrame 1"
seen "HAProxy" "$(order "${port[3]}")" "5 answered, 3: GoAwayFrame 5"
finished "nghttp2 1.52.0 says nothing about a request on a lower stream id"
