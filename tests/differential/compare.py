"""Our reading of a connection beside llhttp's. What we refuse, we refuse; where both accept, they must have read the
same, and where only we accept, a row of LENIENT says why that is right."""
import re

# The methods that the generator uses and llhttp has in its fixed list; a mutation may make any other token.
COMMON_METHODS = {"GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "CONNECT", "TRACE", "PROPFIND", "M-SEARCH"}


def path_of(target):
    """The origin-form of an absolute target (RFC 9112 section 3.2.2), as we forward it."""
    match = re.match(r"https?://[^/?]*(.*)", target, re.IGNORECASE)
    return match and match.group(1)


def same_target(ours, theirs):
    if ours["target"] == theirs["target"]:
        return True
    path = path_of(theirs["target"])
    return path is not None and ours["target"] == (path or ("*" if ours["method"] == "OPTIONS" else "/"))


def trimmed(fields):
    """llhttp keeps blanks at the end of a value; they are no part of it (RFC 9110 section 5.5)."""
    return [[name, value.strip(" \t")] for name, value in fields]


def has_field(request, name, value):
    return any(key.lower() == name and value in held.lower() for key, held in request["fields"])


# What we accept and llhttp refuses: why that is right, and the test whether it is what happened: llhttp's error, our
# request, the one before it, the connection's bytes.
LENIENT = [
    ("llhttp has a fixed list of methods; any token is one (RFC 9110 section 9.1)",
     lambda end, request, before, raw: end == "HPE_INVALID_METHOD" and request["method"] not in COMMON_METHODS),
    ("llhttp obeys Proxy-Connection, which was never a standard and is ignored here (RFC 9112 appendix C.2.2)",
     lambda end, request, before, raw: end in ("HPE_CLOSED_CONNECTION", "pending") and before is not None
     and has_field(before, "proxy-connection", "close")),
    ("blanks behind a chunk size are skipped: some senders pad it, and it can be read in one way only",
     lambda end, request, before, raw: end in CHUNK_ERRORS and re.search(rb"[0-9a-fA-F][ \t]+(;|\r\n)", raw)),
    ("a chunk extension may be any text without controls: it is dropped, never forwarded",
     lambda end, request, before, raw: end in CHUNK_ERRORS and re.search(rb"[0-9a-fA-F];", raw)),
    ("framing fields among the trailers count for nothing and are dropped (RFC 9110 section 6.5.1)",
     lambda end, request, before, raw: end in TRAILER_ERRORS and has_field(request, "transfer-encoding", "chunked")),
    ("llhttp 6 (Debian 12) takes a trailer's Content-Length for the next request's",
     lambda end, request, before, raw: end == "pending" and before is not None
     and has_field(before, "transfer-encoding", "chunked") and re.search(rb"(?i)\n0+[^\r\n]*\r\n(.+\r\n)*content-length:", raw)),
    ("a tab behind a length is no part of it (RFC 9110 section 5.5)",
     lambda end, request, before, raw: end == "HPE_INVALID_CONTENT_LENGTH"
     and re.search(rb"(?i)content-length:[ \t]*[0-9]+ *\t[ \t]*\r\n", raw)),
    ("a tab behind Connection's keep-alive is no part of it (RFC 9110 section 5.5)",
     lambda end, request, before, raw: end == "HPE_CLOSED_CONNECTION" and before is not None and before["minor"] == 0
     and re.search(rb"(?i)\nconnection:[ \t]*keep-alive *\t[ \t]*(,|\r\n)", raw)),
]
# llhttp's error, or its wish to upgrade behind a request whose end it did not understand.
CHUNK_ERRORS = {"HPE_INVALID_CHUNK_SIZE", "HPE_STRICT", "HPE_INVALID_CHUNK_EXTENSION", "upgrade"}
TAB_BEHIND_CHUNKED = re.compile(rb"(?i)\ntransfer-encoding:[ \t]*chunked *\t[ \t]*\r\n")
TRAILER_ERRORS = {"HPE_INVALID_CONTENT_LENGTH", "HPE_INVALID_TRANSFER_ENCODING", "HPE_UNEXPECTED_CONTENT_LENGTH", "upgrade"}


def difference(ours, theirs, raw, used):
    """None when there is no unexplained difference; else a sentence. Adds the explanations it needed to `used`."""
    before = None
    for index, mine in enumerate(ours["requests"]):
        if index > 0:
            before = ours["requests"][index - 1]
        refused_here = not mine["complete"] and ours["end"] not in ("pending",)
        if index >= len(theirs["requests"]):
            if theirs["end"] == "upgrade":
                used.add("llhttp stops where a request asks for an upgrade; with us the route decides")
                return None
            if refused_here:
                return None
            for why, holds in LENIENT:
                if holds(theirs["end"], mine, before, raw):
                    used.add(why)
                    return None
            return f"request {index + 1} is accepted by us only: {theirs['end']}"
        other = theirs["requests"][index]
        for key in ("method", "minor"):
            if mine[key] != other[key]:
                return f"{key}: {mine[key]!r} and {other[key]!r}"
        if not same_target(mine, other):
            return f"target: {mine['target']!r} and {other['target']!r}"
        if mine["fields"] != trimmed(other["fields"]):
            return f"fields: {mine['fields']} and {other['fields']}"
        if refused_here:
            return None
        if mine["body"] != other["body"] or mine["complete"] != other["complete"]:
            if theirs["end"] == "upgrade" and TAB_BEHIND_CHUNKED.search(raw):
                used.add("a tab behind chunked is no part of it (RFC 9110 section 5.5); we write it anew without")
                return None
            for why, holds in LENIENT:
                if not other["complete"] and holds(theirs["end"], mine, before, raw):
                    used.add(why)
                    return None
            return (f"body: {mine['body']!r} ({mine['complete']}) and "
                    f"{other['body']!r} ({other['complete']}, {theirs['end']})")
    return None
