#!/usr/bin/env bash
# libcurl 7.88 loses an answer that is complete when RST_STREAM(NO_ERROR) comes in the same TLS record.
#
# Guess: an early answer (413 to an upload) and the reset that asks the client to stop sending, which RFC 9113 section 8.1
#   describes together, may leave in one write: the answer is complete, the client shows it.
# Instead: curl ends with error 92, "Stream error in the HTTP/2 framing layer", and status 000. When the reset follows in a
#   later record, the same curl shows 413 and ends with 0. nghttp shows 413 both ways.
# Matters: Debian 12's curl and all that link it report a broken server instead of "too large" or "sign in first". A server
#   has to send the reset in a later write.
# Seen with: curl and libcurl4 7.88.1-10+deb12u15, nghttp2-client 1.52.0, python3-h2 4.1.0 as the server (Debian 12).
source "$(dirname "${BASH_SOURCE[0]}")/support.bash"
needs openssl
debian curl=7.88.1-10+deb12u15 libcurl4=7.88.1-10+deb12u15 nghttp2-client=1.52.0-1+deb12u3 libnghttp2-14=1.52.0-1+deb12u3 \
    python3-h2=4.1.0-4 python3-hpack=4.0.0-2 python3-hyperframe=6.0.0-1
mapfile -t port < <(free_ports 2)
openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 2 -subj /CN=localhost 2>/dev/null
head -c 1000000 /dev/zero >upload

cat >server.py <<'PYTHON'
import h2.config, h2.connection, h2.events, socket, ssl, sys, time
tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
tls.load_cert_chain("cert.pem", "key.pem")
tls.set_alpn_protocols(["h2"])
together = sys.argv[2] == "together"
def serve(client):
    session = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
    session.initiate_connection()
    client.sendall(session.data_to_send())
    while data := client.recv(65536):
        for event in session.receive_data(data):
            if isinstance(event, h2.events.RequestReceived):
                session.send_headers(event.stream_id, [(":status", "413"), ("content-length", "9")])
                session.send_data(event.stream_id, b"too large", end_stream=True)
                if not together:
                    client.sendall(session.data_to_send())
                    time.sleep(0.3)
                session.reset_stream(event.stream_id, 0)
        client.sendall(session.data_to_send())
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    try:
        serve(tls.wrap_socket(server.accept()[0], server_side=True))
    except OSError:
        pass
PYTHON
start "${port[0]}" together.log /usr/bin/python3 server.py "${port[0]}" together
start "${port[1]}" apart.log /usr/bin/python3 server.py "${port[1]}" apart

with_curl() {
    unpacked "$root/usr/bin/curl" -sk --http2 -m 10 -T upload -o /dev/null -w '%{http_code}, exit code %{exitcode}' "https://127.0.0.1:$1/" || true
}
with_nghttp() { unpacked "$root/usr/bin/nghttp" -nvy -d upload "https://127.0.0.1:$1/" | grep -o ':status: 413' || echo none; }
for try in 1 2 3; do
    seen "curl $try, answer and reset in one record" "$(with_curl "${port[0]}")" "000, exit code 92"
    seen "curl $try, reset 0.3 s later" "$(with_curl "${port[1]}")" "413, exit code 0"
done
seen "nghttp, answer and reset in one record" "$(with_nghttp "${port[0]}")" ":status: 413"
finished "libcurl 7.88.1 gives error 92 for a complete early answer whose reset comes in the same record"
