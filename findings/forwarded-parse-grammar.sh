#!/usr/bin/env bash
# forwarded-parse refuses a trailing ";" and empty list elements, which RFC 7239 and RFC 9110 allow, and takes spaces that
# they do not.
#
# Guess: a parser of Forwarded follows its grammar: forwarded-element = [ forwarded-pair ] *( ";" [ forwarded-pair ] ), and
#   list elements may be empty (RFC 9110 section 5.6.1.2).
# Instead: "for=192.0.2.43;" and "for=192.0.2.43, , for=198.51.100.17" are exceptions; "for=192.0.2.43 ; proto=https", which
#   the grammar does not know, is fine.
# Matters: it sits under OpenTelemetry's HTTP instrumentation. A proxy that appends its element to a field that ends in ";" or
#   "," has to tidy it up first, or lose the client's address in the traces behind it.
# Seen with: forwarded-parse 2.2.0 (npm).
source "$(dirname "${BASH_SOURCE[0]}")/support.bash"
npm_packages forwarded-parse@2.2.0

parse() {
    node -e 'try { console.log(JSON.stringify(require("forwarded-parse")(process.argv[1]))); }
catch (error) { console.log("exception: " + error.message); }' "$1"
}
seen "for=192.0.2.43;proto=https" "$(parse 'for=192.0.2.43;proto=https')" '[{"for":"192.0.2.43","proto":"https"}]'
seen "for=192.0.2.43;" "$(parse 'for=192.0.2.43;')" "exception: Unexpected end of input"
seen "for=192.0.2.43;;proto=https" "$(parse 'for=192.0.2.43;;proto=https')" "exception: Unexpected character ';' at index 15"
seen "for=192.0.2.43, , for=198.51.100.17" "$(parse 'for=192.0.2.43, , for=198.51.100.17')" "exception: Unexpected character ',' at index 16"
seen "for=192.0.2.43, " "$(parse 'for=192.0.2.43, ')" "exception: Unexpected end of input"
seen "for=192.0.2.43 ; proto=https" "$(parse 'for=192.0.2.43 ; proto=https')" '[{"for":"192.0.2.43","proto":"https"}]'
finished "forwarded-parse 2.2.0 is stricter than the grammar in one place and looser in another"
