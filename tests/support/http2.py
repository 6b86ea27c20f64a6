"""An HTTP/2 client at the level of frames: it can send any frame, and it says exactly what came back. HPACK is Debian's
python3-hpack; framing is here, so that a test may break any of its rules."""

import socket
import ssl
import struct
from dataclasses import dataclass, field

import hpack

from .client import HOST, forget_errors, received, split, trusting
from .clock import patient
from .fields import Fields

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM = ACK = 0x1
END_HEADERS, PADDED, PRIORITY_FLAG = 0x4, 0x8, 0x20
NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR = 0, 1, 2, 3
STREAM_CLOSED, FRAME_SIZE_ERROR, REFUSED_STREAM, CANCEL, COMPRESSION_ERROR = 5, 6, 7, 8, 9
ENHANCE_YOUR_CALM = 11
HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE, MAX_HEADER_LIST_SIZE = range(1, 7)
ENABLE_CONNECT_PROTOCOL = 8
MAGIC = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def frame(kind, flags=0, stream=0, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def settings_payload(pairs):
    return b"".join(struct.pack(">HI", key, value) for key, value in dict(pairs).items())


@dataclass
class Reply(Fields):
    """What came on one stream so far."""

    status: int = 0
    fields: list = field(default_factory=list)
    body: bytes = b""
    trailers: list = field(default_factory=list)
    interim: list = field(default_factory=list)  # (status, fields)
    ended: bool = False  # END_STREAM came
    reset: int = None  # code of RST_STREAM
    pieces: list = field(default_factory=list)  # sizes of DATA frames

    def all(self, name):  # names are in lower case on the wire (RFC 9113 section 8.2.1)
        return [value for key, value in self.fields if key == name]

    @property
    def fault(self):
        return self.get("x-nearhop-fault")

    @property
    def over(self):
        return self.ended or self.reset is not None


class Http2:
    """One connection. `settings` are the client's own; `replenish` gives windows back as DATA comes."""

    def __init__(self, address, ca, *, name=HOST, settings=(), replenish=True, timeout=10, source=None, alpn=("h2",),
                 preface=True, receive_buffer=None, window=None, tls=None):  # fmt: skip
        self.socket = socket.socket()
        self.socket.settimeout(patient(timeout))
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        if source:
            self.socket.bind((source, 0))
        self.socket.connect(split(address))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        context = tls or trusting(ca)
        context.set_alpn_protocols(list(alpn))
        self.socket = context.wrap_socket(self.socket, server_hostname=name, suppress_ragged_eofs=False)
        self.protocol = self.socket.selected_alpn_protocol()
        self.encoder, self.decoder = hpack.Encoder(), hpack.Decoder()
        self.decoder.max_header_list_size = 1 << 20
        self.buffer = b""
        self.replies = {}
        self.frames = []  # (kind, flags, stream, payload) as they came
        self.peer = {}  # the edge's settings
        self.goaways = []  # (last stream, code)
        self.pings = []  # payloads of PING ACKs
        self.windows = {}  # what the edge allows, as WINDOW_UPDATE and SETTINGS said
        self.closed = False
        self.replenish = replenish
        self.answer_pings = True
        self.next = 1
        self.block = b""  # of a header block that goes on
        if preface:
            self.send(MAGIC + frame(SETTINGS, payload=settings_payload(settings)))
            if window:
                self.send(frame(WINDOW_UPDATE, payload=struct.pack(">I", window)))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    # ---- out
    def send(self, data):
        self.socket.sendall(data)

    def send_frame(self, kind, flags=0, stream=0, payload=b""):
        self.send(frame(kind, flags, stream, payload))

    def try_send(self, data):
        """False when the edge has closed the connection already."""
        try:
            self.send(data)
            return True
        except (BrokenPipeError, ConnectionError, ssl.SSLError):
            forget_errors()
            return False

    def head(self, method="GET", target="/", fields=(), host=HOST, scheme="https"):
        pairs = [(":method", method), (":scheme", scheme), (":authority", host), (":path", target)]
        return [pair for pair in pairs if pair[1] is not None] + list(fields)

    def headers(self, stream, pairs, end=True):
        """One HEADERS frame, encoded as it is."""
        block = self.encoder.encode(pairs, huffman=False)
        return frame(HEADERS, END_HEADERS | (END_STREAM if end else 0), stream, block)

    def open(self, method="GET", target="/", fields=(), end=True, host=HOST, scheme="https"):
        """Sends a request's head; returns its stream."""
        return self.open_raw(self.head(method, target, fields, host, scheme), end)

    def open_large(self, pairs, end=True):
        """A head that one frame does not hold."""
        stream = self.take()
        block = self.encoder.encode(pairs, huffman=False)
        pieces = [block[at : at + 16384] for at in range(0, len(block), 16384)]
        for number, piece in enumerate(pieces):
            flags = END_HEADERS if number == len(pieces) - 1 else 0
            if number == 0 and end:
                flags |= END_STREAM
            self.send_frame(CONTINUATION if number else HEADERS, flags, stream, piece)
        return stream

    def open_raw(self, pairs, end=True):
        stream = self.take()
        self.send(self.headers(stream, pairs, end))
        return stream

    def take(self):
        """A fresh stream's number."""
        stream, self.next = self.next, self.next + 2
        return stream

    def data(self, stream, payload=b"", end=False):
        for at in range(0, max(len(payload), 1), 16384):
            piece = payload[at : at + 16384]
            self.send_frame(DATA, END_STREAM if end and at + 16384 >= len(payload) else 0, stream, piece)

    def upload(self, stream, payload, end=True):
        """Body bytes within the edge's windows."""
        self.settled()
        while payload:
            room = min(self.window(0), self.window(stream), 16384, len(payload))
            if room <= 0:
                self.pump()
                assert not self.closed, self.frames[-3:]
                continue
            piece, payload = payload[:room], payload[room:]
            self.windows[0] = self.window(0) - room
            self.windows[stream] = self.window(stream) - room
            self.send_frame(DATA, END_STREAM if end and not payload else 0, stream, piece)

    def window(self, stream):
        return self.windows.get(stream, 65535 if stream == 0 else self.peer.get(INITIAL_WINDOW_SIZE, 65535))

    def reset(self, stream, code=CANCEL):
        self.send_frame(RST_STREAM, 0, stream, struct.pack(">I", code))

    def update(self, stream, by):
        self.send_frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", by))

    # ---- in
    def pump(self):
        """Receives once and takes in every whole frame; False at the end of the connection."""
        try:
            data = received(self.socket)
        except (ssl.SSLEOFError, ConnectionError, BrokenPipeError):
            data = b""
        if not data:
            self.closed = True
            return False
        self.buffer += data
        while len(self.buffer) >= 9:
            size = int.from_bytes(self.buffer[:3], "big")
            if len(self.buffer) < 9 + size:
                break
            kind, flags = self.buffer[3], self.buffer[4]
            stream = int.from_bytes(self.buffer[5:9], "big") & 0x7FFFFFFF
            payload, self.buffer = self.buffer[9 : 9 + size], self.buffer[9 + size :]
            self.frames.append((kind, flags, stream, payload))
            self._take(kind, flags, stream, payload)
        return True

    def _take(self, kind, flags, stream, payload):
        reply = self.replies.setdefault(stream, Reply()) if stream else None
        if kind in (HEADERS, CONTINUATION):
            assert not flags & (PADDED | PRIORITY_FLAG)
            self.block += payload
            if flags & END_HEADERS:
                self._head(reply, self.decoder.decode(self.block))
                self.block = b""
        elif kind == DATA:
            reply.body += payload
            reply.pieces.append(len(payload))
            if self.replenish and payload:
                try:
                    self.update(0, len(payload))
                    if not flags & END_STREAM:
                        self.update(stream, len(payload))
                except (OSError, ssl.SSLError):
                    pass
        elif kind == RST_STREAM:
            reply.reset = int.from_bytes(payload, "big")
        elif kind == SETTINGS and not flags & ACK:
            for at in range(0, len(payload), 6):
                key, value = struct.unpack(">HI", payload[at : at + 6])
                self.peer[key] = value
            self.try_send(frame(SETTINGS, ACK))
        elif kind == PING and flags & ACK:
            self.pings.append(payload)
        elif kind == PING and self.answer_pings:
            self.try_send(frame(PING, ACK, 0, payload))
        elif kind == GOAWAY:
            self.goaways.append(struct.unpack(">II", payload[:8]))
        elif kind == WINDOW_UPDATE:
            self.windows[stream] = self.window(stream) + int.from_bytes(payload, "big")
        if kind in (DATA, HEADERS) and flags & END_STREAM:
            reply.ended = True

    def _head(self, reply, pairs):
        pairs = [(str(name), str(value)) for name, value in pairs]
        for name, _ in pairs:
            assert name == name.lower(), name
        if reply.status:
            reply.trailers = pairs
            return
        assert pairs[0][0] == ":status", pairs
        status = int(pairs[0][1])
        if status < 200:
            reply.interim.append((status, pairs[1:]))
        else:
            reply.status, reply.fields = status, pairs[1:]

    def settled(self):
        """Until the edge's SETTINGS have come."""
        while not self.peer and self.pump():
            pass

    def until(self, condition):
        """Receives until it holds; fails at the end of the connection."""
        while not condition():
            assert self.pump(), f"the connection ended; {self.goaways} {self.frames[-3:]}"

    def reply(self, stream):
        """The whole answer of a stream, or its reset."""
        self.until(lambda: stream in self.replies and self.replies[stream].over)
        return self.replies[stream]

    def request(self, method="GET", target="/", fields=(), body=None, host=HOST):
        stream = self.open(method, target, fields, end=body is None, host=host)
        if body is not None:
            self.upload(stream, body) if body else self.data(stream, b"", end=True)
        return self.reply(stream)

    def ping(self, payload=b"nearhop!"):
        """A round trip: everything sent before has been seen."""
        before = len(self.pings)
        self.send_frame(PING, 0, 0, payload)
        self.until(lambda: len(self.pings) > before)

    def end(self):
        """Waits for the end of the connection; the code of the last GOAWAY, if one came."""
        while self.pump():
            pass
        return self.goaways[-1][1] if self.goaways else None
