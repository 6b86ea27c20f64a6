#!/usr/bin/env bash
# h2load files an answer that had Early Hints under "3xx".
#
# Guess: its "status codes" count final answers, so 103 and then 200 is one 2xx, over HTTP/2 as over HTTP/1.1.
# Instead: over HTTP/2 "0 2xx, 10 3xx": no redirect was sent, and every request succeeded. Over HTTP/1.1 the same tool and
#   the same origin give "10 2xx".
# Matters: a load test that asserts on 2xx fails, and a comparison of two proxies, of which one passes 103 on, says that one of
#   them redirects.
# Seen with: nghttp2-client 1.52.0, nghttp2-proxy 1.52.0 in front of a small origin (Debian 12).
source "$(dirname "${BASH_SOURCE[0]}")/support.bash"
debian nghttp2-client=1.52.0-1+deb12u3 nghttp2-proxy=1.52.0-1+deb12u3
mapfile -t port < <(free_ports 2)

cat >origin.py <<'PYTHON'
import socketserver, sys
class Origin(socketserver.StreamRequestHandler):
    def handle(self):
        while line := self.rfile.readline():
            early = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n" if b"/early" in line else b""
            while self.rfile.readline().strip():
                pass
            self.wfile.write(early + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npage")
class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address, daemon_threads = True, True
Server(("127.0.0.1", int(sys.argv[1])), Origin).serve_forever()
PYTHON
start "${port[0]}" origin.log /usr/bin/python3 origin.py "${port[0]}"
start "${port[1]}" nghttpx.log "$root/usr/sbin/nghttpx" --conf=/dev/null --errorlog-file=nghttpx.log -f "127.0.0.1,${port[1]};no-tls" -b "127.0.0.1,${port[0]}"
codes() { unpacked "$root/usr/bin/h2load" -n 10 -c 1 "${@:2}" "http://127.0.0.1:${port[1]}/$1" | grep 'status codes'; }
seen "200 over HTTP/2" "$(codes plain)" "status codes: 10 2xx, 0 3xx, 0 4xx, 0 5xx"
seen "103, 200 over HTTP/2" "$(codes early)" "status codes: 0 2xx, 10 3xx, 0 4xx, 0 5xx"
seen "103, 200 over HTTP/1.1" "$(codes early --h1)" "status codes: 10 2xx, 0 3xx, 0 4xx, 0 5xx"
finished "h2load 1.52.0 counts a final 200 behind a 103 as 3xx over HTTP/2"
