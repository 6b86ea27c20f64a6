"""WebSockets at both ends: Debian's python3-websockets, as an origin on a thread of its own, which also answers the
edge's probes, and as a client."""

import asyncio
import http
import threading
from contextlib import contextmanager

# What websockets 10 (Debian 12) and 15 (Debian 13) have in common.
from websockets.legacy.client import connect
from websockets.legacy.server import serve as serve_websockets

from .client import HOST, split, trusting
from .clock import patient
from .setup import viewer


class WebSocketOrigin:
    """`serve(websocket)` is the handler; `options` go to websockets.serve."""

    def __init__(self, identity=None, serve=None, **options):
        self.paths = []
        self.fields = []
        self._serve = serve or echo
        self._tls = identity.serve() if identity else None
        self._options = {"max_size": None, "ping_interval": None, "compression": None, **options}
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._ready.wait(20)

    @property
    def url(self):
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    def _run(self):
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._main())

    async def _main(self):
        self._stop = asyncio.Event()
        server = await serve_websockets(
            self._handle, "127.0.0.1", 0, ssl=self._tls, process_request=self._request, **self._options
        )
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()
        await server.wait_closed()

    async def _request(self, path, fields):
        if path == "/health":
            return http.HTTPStatus.OK, [], b"ok\n"
        self.paths.append(path)
        self.fields.append(fields)
        return None

    async def _handle(self, websocket):
        await self._serve(websocket)

    def stop(self):
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(20)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


async def echo(websocket):
    async for message in websocket:
        await websocket.send(message)


@contextmanager
def websocket_edge(scene, start, serve=None, site=None, **options):
    """An edge in front of a WebSocket origin."""
    with WebSocketOrigin(scene.origin_identity, serve, **options) as origin:
        config = scene.config(site=site)
        config["origins"]["eu-west-1"]["url"] = origin.url
        edge = start(config)
        yield edge, origin


def dial(edge, authority, path="/chat", country="DE", **options):
    """A WebSocket through the edge; `options` go to websockets.connect."""
    host, port = split(edge.https)
    options = {"compression": None, "max_size": None, "ping_interval": None, **options}
    return connect(
        f"wss://{HOST}{path}", host=host, port=port, ssl=trusting(authority.file), server_hostname=HOST,
        extra_headers=viewer(country), open_timeout=patient(10), close_timeout=patient(10), **options
    )  # fmt: skip
