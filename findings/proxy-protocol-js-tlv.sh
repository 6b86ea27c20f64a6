#!/usr/bin/env bash
# proxy-protocol-js leaves the TLVs of a PROXY v2 header in the payload, and refuses "PROXY UNKNOWN".
#
# Guess: after a v2 header the payload begins where the header's length says; "PROXY UNKNOWN" (a health check, or a sender
#   that does not know) means "use the connection's own addresses".
# Instead: the parser stops after the addresses, so with a TLV (ALPN, authority, AWS' endpoint id) its "data" begins with the
#   TLV's bytes, which no HTTP parser reads. The shortest legal v1 header, "PROXY UNKNOWN\r\n", is an exception.
# Matters: works in the lab against HAProxy's bare send-proxy-v2, fails behind an AWS NLB or with send-proxy-v2-ssl.
# Seen with: proxy-protocol-js 4.0.6 (npm).
source "$(dirname "${BASH_SOURCE[0]}")/support.bash"
npm_packages proxy-protocol-js@4.0.6

cat >parse.js <<'JS'
const { V1ProxyProtocol, V2ProxyProtocol } = require("proxy-protocol-js");
const form = process.argv[2];
const addresses = Buffer.from([198, 51, 100, 7, 192, 0, 2, 1, 0x0f, 0xa0, 0x01, 0xbb]);    // 198.51.100.7:4000 to 192.0.2.1:443
const authority = Buffer.concat([Buffer.from([2, 0, 11]), Buffer.from("example.com")]);    // PP2_TYPE_AUTHORITY
const v2 = (...parts) => {
    const rest = Buffer.concat(parts);
    return Buffer.concat([Buffer.from("\r\n\r\n\0\r\nQUIT\n\x21\x11\0", "latin1"), Buffer.from([rest.length]), rest]);
};
const header = { plain: v2(addresses), tlv: v2(addresses, authority), unknown: Buffer.from("PROXY UNKNOWN\r\n") }[form];
const bytes = Buffer.concat([header, Buffer.from("GET / HTTP/1.1\r\n\r\n")]);
try {
    if (form === "unknown") console.log(V1ProxyProtocol.parse(bytes.toString()).inetProtocol);
    else console.log(JSON.stringify(V2ProxyProtocol.parse(bytes).data.toString("latin1")));
} catch (error) { console.log("exception: " + error.message); }
JS
seen "data behind a plain v2 header" "$(node parse.js plain)" '"GET / HTTP/1.1\r\n\r\n"'
seen "data behind one with an authority TLV" "$(node parse.js tlv)" '"\u0002\u0000\u000bexample.comGET / HTTP/1.1\r\n\r\n"'
seen "PROXY UNKNOWN" "$(node parse.js unknown)" "exception: given data isn't suitable for V1 PROXY protocols definition"
finished "proxy-protocol-js 4.0.6 skips no TLVs and knows no PROXY UNKNOWN"
