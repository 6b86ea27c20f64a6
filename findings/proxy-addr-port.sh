#!/usr/bin/env bash
# For Express (proxy-addr) a trusted proxy with a port is the client.
#
# Guess: an entry of X-Forwarded-For with a port, as Azure's Application Gateway and some balancers write it, is compared by
#   its address.
# Instead: "10.1.1.1:4711" is no address, therefore no trusted proxy, therefore the client: req.ip is the gateway, with its
#   port, for everybody. A client's own "198.51.100.7:5555" comes back with the port as well.
# Matters: one hop that adds ports turns rate limits and geo lookups of all users into those of one address; an edge between
#   has to strip ports of hops that it trusts.
# Seen with: proxy-addr 2.0.7 (npm).
source "$(dirname "${BASH_SOURCE[0]}")/support.bash"
npm_packages proxy-addr@2.0.7

client() {  # X-FORWARDED-FOR
    node -p 'require("proxy-addr")({ headers: { "x-forwarded-for": process.argv[1] }, connection: { remoteAddress: "127.0.0.1" } },
["loopback", "10.0.0.0/8"])' "$1"
}
seen "198.51.100.7, 10.1.1.1" "$(client '198.51.100.7, 10.1.1.1')" 198.51.100.7
seen "198.51.100.7:5555, 10.1.1.1:4711" "$(client '198.51.100.7:5555, 10.1.1.1:4711')" 10.1.1.1:4711
seen "198.51.100.7:5555, 10.1.1.1" "$(client '198.51.100.7:5555, 10.1.1.1')" 198.51.100.7:5555
finished "proxy-addr 2.0.7 trusts no entry that has a port"
