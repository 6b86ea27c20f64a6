#!/usr/bin/env bash
# Go's HTTP/2 client gives its windows back with every read: up to 512 WINDOW_UPDATE frames for each MiB.
#
# Guess: as nghttp2 and libcurl, a client returns a window when half of it is used up; a frame for 32 KiB and more.
# Instead: golang.org/x/net/http2 announces 4 MiB for a stream and 1 GiB for the connection, and yet sends two WINDOW_UPDATEs
#   (stream and connection) for each 4 KiB that a bufio.Reader takes, and one or two for each 8 KiB of an io.Copy.
# Matters: a server that counts small control frames as abuse (CVE-2019-9511 and its kind) ends ordinary downloads of Go
#   programs after a few MiB. What returns a window for bytes that were sent is no flood: credit by bytes, not by frames.
# Seen with: golang-golang-x-net-dev 0.7.0, golang-1.19-go 1.19.8, python3-h2 4.1.0 as the server (Debian 12). 90 MB to fetch.
source "$(dirname "${BASH_SOURCE[0]}")/support.bash"
debian golang-1.19-go=1.19.8-2 golang-1.19-src=1.19.8-2 golang-golang-x-net-dev=1:0.7.0+dfsg-1 golang-golang-x-text-dev=0.7.0-1 \
    nghttp2-client=1.52.0-1+deb12u3 python3-h2=4.1.0-4 python3-hpack=4.0.0-2 python3-hyperframe=6.0.0-1
mapfile -t port < <(free_ports 1)

cat >server.py <<'PYTHON'
import h2.config, h2.connection, h2.events, socket, sys
SIZE = 16 << 20
def serve(client):
    session = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
    session.initiate_connection()
    client.sendall(session.data_to_send())
    left, updates = {}, 0
    while data := client.recv(65536):
        for event in session.receive_data(data):
            if isinstance(event, h2.events.RequestReceived):
                session.send_headers(event.stream_id, [(":status", "200")])
                left[event.stream_id] = SIZE
            updates += isinstance(event, h2.events.WindowUpdated)
        for stream in [stream for stream in left if left[stream]]:
            while size := min(left[stream], session.local_flow_control_window(stream), session.max_outbound_frame_size):
                left[stream] -= size
                session.send_data(stream, b"x" * size, end_stream=not left[stream])
        client.sendall(session.data_to_send())
        yield updates // (SIZE >> 20)
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    updates = None
    try:
        for updates in serve(server.accept()[0]): pass
    except OSError: pass
    if updates: print(updates, flush=True)
PYTHON
mkdir -p go/src/client
cat >go/src/client/main.go <<'GO'
package main

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"golang.org/x/net/http2"
)

func main() {
	dial := func(network, address string, _ *tls.Config) (net.Conn, error) { return net.Dial(network, address) }
	client := &http.Client{Transport: &http2.Transport{AllowHTTP: true, DialTLS: dial}}
	response, err := client.Get(os.Args[2])
	if err != nil {
		panic(err)
	}
	defer time.Sleep(time.Second)
	if os.Args[1] == "copy" {
		io.Copy(io.Discard, response.Body)
		return
	}
	for reader := bufio.NewReader(response.Body); err == nil; {
		_, err = reader.ReadByte()
	}
}
GO
GOROOT=$root/usr/lib/go-1.19 GO111MODULE=off GOCACHE=$lab/go/cache GOPATH=$lab/go:$root/usr/share/gocode CGO_ENABLED=0 GOFLAGS='' \
    "$root/usr/lib/go-1.19/bin/go" build -o client client
start "${port[0]}" updates /usr/bin/python3 server.py "${port[0]}"
updates() {  # COMMAND...: WINDOW_UPDATE frames for a MiB
    local before
    before=$(wc -l <updates)
    unpacked "$@" >/dev/null
    for _ in $(seq 50); do [ "$(wc -l <updates)" = "$before" ] || break; sleep 0.1; done
    tail -n 1 updates
}
between() {  # COUNT LEAST MOST
    echo "  counted: $1" >&2
    if [ "$1" -ge "$2" ] && [ "$1" -le "$3" ]; then echo "$2 to $3"; else echo "$1"; fi
}
url=http://127.0.0.1:${port[0]}/
seen "Go, bufio.Reader: WINDOW_UPDATEs for a MiB" "$(between "$(updates ./client bytes "$url")" 350 520)" "350 to 520"
seen "Go, io.Copy" "$(between "$(updates ./client copy "$url")" 150 300)" "150 to 300"
seen "nghttp" "$(between "$(updates "$root/usr/bin/nghttp" -n "$url")" 0 70)" "0 to 70"
finished "x/net/http2 0.7.0 returns its windows with each read, whatever their size"
