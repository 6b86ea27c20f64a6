"""Connections of one or two HTTP/1.1 requests: mostly legal by a small grammar, then bent by a few mutations."""

METHODS = ["GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "CONNECT", "TRACE", "PROPFIND", "M-SEARCH", "get",
           "G", "QUERY", "FOO"]
TARGETS = ["/", "/a", "/a?b=c", "/a//b/../c", "/%2e%2f", "/a%20b", "*", "http://a/", "http://a", "https://a:8/x?y",
           "//a", "a", "a:80", "/a#b", "/a\"<>\\^`{|}", "/\xe9", "http://b/", "?x", "/;p", ""]
VERSIONS = ["HTTP/1.1"] * 13 + ["HTTP/1.0"] * 2 + ["HTTP/0.9", "HTTP/1.2", "HTTP/2.0", "http/1.1", "HTTP/1.10",
                                                  "HTTP/01.1", "HTTP/1", "HTCPCP/1.0", "ICE/1.0", "RTSP/1.0", ""]
HOSTS = ["a"] + ["a:80", "b", "", "a b", "a,b", "a/b", "[::1]", "[::1]:8", "a:", ":80", "a:b", "u@a", "\xe9"]
LENGTHS = ["{n}"] + ["0{n}", "+{n}", "-{n}", " {n} ", "{n}, {n}", "{n},", "0x{n}", "{n}.0", "", "{n} 1", "\t{n}",
                        "18446744073709551616", "9223372036854775808", "99999999999999999999", "{n}\x0b", "1{n}"]
CODINGS = ["chunked"] + ["Chunked", "chunked, chunked", "gzip, chunked", "chunked, gzip", "identity", "xchunked",
                            "chunkedx", "chunked;a=b", "\x0bchunked", "chunked\x0b", ",chunked", "chunked,", "\"chunked\"",
                            "", "chunked chunked", "identity, chunked", "c hunked"]
OTHERS = ["X: y", "X:", "X:  y  ", "X:\ty\t", "Connection: close", "Connection: keep-alive", "Connection: Keep-Alive, X",
          "Connection: upgrade\r\nUpgrade: websocket", "Upgrade: h2c", "Expect: 100-continue", "Expect: x", "X: \xe9\xff",
          "X: a\x01b", "X: a\x7fb", "X : y", " X: y", "\tX: y", "X y", ": y", "X: a\r\n b", "X:\r\n b", "X: a\n b", "X: a\rb",
          "X: a\x00b", "X\x00: y", "X(: y", "X\xe9: y", "Content_Length: 5", "Transfer_Encoding: chunked", "Trailer: T",
          "TE: trailers", "Content-Length : 3", "Transfer-Encoding : chunked", "Content-Length\t: 3",
          "Proxy-Connection: close", "Keep-Alive: timeout=5", "Transfer-Encoding\x00: chunked"]
CHUNK_ENDS = ["\r\n"] + ["\n", "\r", "", "\r\n\r\n", " \r\n"]
CHUNK_SIZES = ["{n:x}"] + ["{n:X}", "0{n:x}", "00000000000000000{n:x}", "{n:x} ", " {n:x}", "{n:x};a", "{n:x};a=b",
                              "{n:x};a=\"b\"", "{n:x};a\nb", "{n:x} ;a", "0x{n:x}", "+{n:x}", "{n:x}\t", "-{n:x}", "{n:x},",
                              "1000000000000000{n:x}", "{n:x};", "{n:x};a\x00", "{n:x};\xe9", "{n:x};a\rb"]
TRAILERS = [""] + ["T: v\r\n", "T: v\r\nU: w\r\n", "Content-Length: 5\r\n", "T\r\n", "T: v\n", " T: v\r\n", "T : v\r\n",
                       "T: a\r\n b\r\n", "Transfer-Encoding: chunked\r\n", "T: \x01\r\n"]
PIECES = ["\r\n", "\n", "\r", " ", "\t", "\x00", "\x0b", ":", ",", ";", "0", "\x7f", "\xff", "\r\n\r\n", "chunked", "5"]
# Never to be mistaken for what came before: where it begins is where a parser saw the end of a message.
SENTINEL = "GET /sentinel HTTP/1.1\r\nHost: s\r\n\r\n"


def mostly(random, options, first=1, share=0.9):
    """One of the `first` ordinary options, or now and then any."""
    return random.choice(options[:first] if random.random() < share else options)


def chunked(random):
    text = ""
    for _ in range(random.choice([0, 1, 1, 2])):
        data = random.choice(["a", "hello", "0\r\n\r\n", "x" * 17])
        size = len(data) + random.choice([0] * 12 + [1, -1])
        text += (mostly(random, CHUNK_SIZES).format(n=size) + mostly(random, CHUNK_ENDS) + data +
                 mostly(random, CHUNK_ENDS))
    last = random.choice(["0"] * 8 + ["00", "0;a", "0 ", "0x0", ""])
    return text + last + mostly(random, CHUNK_ENDS) + mostly(random, TRAILERS) + mostly(random, CHUNK_ENDS)


def request(random):
    body = random.choice(["", "", "hello", "x=1"])
    framed = random.random()
    lines = []
    if random.random() < 0.97:
        lines.append("Host: " + mostly(random, HOSTS))
    if random.random() < 0.03:
        lines.append("host: " + random.choice(HOSTS))
    if not body and framed < 0.6 and random.random() < 0.8:
        framed = 0.5
    if framed < 0.4 or (body and framed < 0.6):
        lines.append("Content-Length: " + mostly(random, LENGTHS).format(n=len(body)))
    if framed < 0.03:
        lines.append("content-length: " + random.choice(LENGTHS).format(n=len(body)))
    if framed > 0.6:
        lines.append("Transfer-Encoding: " + mostly(random, CODINGS))
        body = chunked(random)
    if framed > 0.98:
        lines.append(random.choice(["Transfer-Encoding: ", "Content-Length: 5\r\nX: "]) + random.choice(CODINGS))
    for _ in range(random.choice([0, 0, 0, 1, 1, 2])):
        lines.insert(random.randint(0, len(lines)), mostly(random, OTHERS, 8, 0.6))
    first = " ".join([mostly(random, METHODS, 7), mostly(random, TARGETS, 6), mostly(random, VERSIONS, 15, 0.95)])
    end = mostly(random, ["\r\n", "\n"], 1, 0.98)
    return first + end + "".join(line + end for line in lines) + end + body


def connection(random):
    """Bytes of one connection."""
    text = random.choice([""] * 50 + ["\r\n", "\n", "\r\n\r\n", " "])
    text += request(random)
    if random.random() < 0.2:
        text += request(random)
    for _ in range(random.choice([0, 0, 0, 1, 1, 2])):
        at = random.randint(0, len(text))
        kind = random.random()
        if kind < 0.6:
            text = text[:at] + random.choice(PIECES) + text[at:]
        elif kind < 0.8:
            text = text[:at] + text[at + random.randint(1, 3):]
        else:
            text = text[:at] + chr(random.randrange(256)) + text[at + 1:]
    return (text + SENTINEL).encode("latin-1")
