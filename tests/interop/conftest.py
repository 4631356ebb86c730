"""The libraries that trunkline is tried against, each behind one small interface, in both roles.

Every server here, theirs and ours, does what the text messages it gets tell it to do (see `obey`) and sends everything
else back. A `Line` is one connection of any library; a `Peer` makes lines and servers of one library.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from types import ModuleType
from typing import Protocol

import aiohttp
import picows.websockets.asyncio.client
import picows.websockets.asyncio.server
import picows.websockets.exceptions
import pytest
import websockets.asyncio.client
import websockets.asyncio.server
import websockets.exceptions
from aiohttp import web

PARTS = ["a message ", "in three ", "fragments: ✓"]
MESSAGES = [
    pytest.param("text: ✓ 𝔘𝔫𝔦𝔠𝔬𝔡𝔢", id="text"),
    pytest.param(bytes(range(256)), id="binary"),
    pytest.param("", id="empty text"),
    pytest.param(b"", id="empty binary"),
    pytest.param(b"x" * 125, id="125"),
    pytest.param(b"x" * 126, id="126"),
    pytest.param(b"x" * 65535, id="65535"),
    pytest.param("y" * 65536, id="65536"),
    pytest.param(b"z" * 1_000_000, id="a million"),
]


class Line(Protocol):
    """One connection. `recv` gives None once it is closed; `closed` then gives the close code and reason received."""

    subprotocol: str | None

    async def send(self, message: str | bytes) -> None: ...
    async def send_fragments(self, parts: Sequence[str]) -> None: ...
    async def recv(self) -> str | bytes | None: ...
    async def ping(self) -> None: ...
    async def close(self, code: int, reason: str) -> None: ...
    async def closed(self) -> tuple[int, str]: ...
    def header(self, name: str) -> str | None: ...


@dataclass
class Served:
    """A running server: its port, and how each of its connections ended."""

    port: int = 0
    closes: asyncio.Queue[tuple[int, str]] = field(default_factory=asyncio.Queue)

    async def ended(self) -> tuple[int, str]:
        """The close code and reason of the connection that ends next."""
        async with asyncio.timeout(30):  # reached only by what would hang for ever
            return await self.closes.get()


class Peer(Protocol):
    """A library in both roles."""

    def serve(
        self, *, tls: ssl.SSLContext | None = None, subprotocols: Sequence[str] = ()
    ) -> AbstractAsyncContextManager[Served]: ...
    def connect(
        self, url: str, *, tls: ssl.SSLContext | None = None, subprotocols: Sequence[str] = ()
    ) -> AbstractAsyncContextManager[Line]: ...


async def obey(line: Line) -> None:
    """What every server does with a connection, until it is closed."""
    while (message := await line.recv()) is not None:
        match message.split() if isinstance(message, str) else []:
            case ["close", code, reason]:
                await line.close(int(code), reason)
            case ["ping"]:
                await line.ping()
                await line.send("ponged")
            case ["fragments"]:
                await line.send_fragments(PARTS)
            case ["header", name]:
                await line.send(line.header(name) or "absent")
            case _:
                await line.send(message)


class WebsocketsLine:
    """A connection of `websockets`, or of a library of its shape."""

    def __init__(self, ws: websockets.asyncio.client.ClientConnection, closed: type[Exception]) -> None:
        self.ws, self.closed_error = ws, closed
        self.subprotocol = ws.subprotocol

    async def send(self, message: str | bytes) -> None:
        await self.ws.send(message)

    async def send_fragments(self, parts: Sequence[str]) -> None:
        await self.ws.send(parts)

    async def recv(self) -> str | bytes | None:
        try:
            return await self.ws.recv()
        except self.closed_error:
            return None

    async def ping(self) -> None:
        await (await self.ws.ping())

    async def close(self, code: int, reason: str) -> None:
        await self.ws.close(code, reason)

    async def closed(self) -> tuple[int, str]:
        await self.ws.wait_closed()
        return self.ws.close_code, self.ws.close_reason

    def header(self, name: str) -> str | None:
        return self.ws.request.headers.get(name)


class WebsocketsPeer:
    """`websockets`, or a library of its shape, with its defaults: it offers and takes compression, for one."""

    def __init__(self, client: ModuleType, server: ModuleType, errors: ModuleType) -> None:
        self.client, self.server, self.closed_error = client, server, errors.ConnectionClosed

    @asynccontextmanager
    async def serve(
        self, *, tls: ssl.SSLContext | None = None, subprotocols: Sequence[str] = ()
    ) -> AsyncIterator[Served]:
        served = Served()

        async def handle(ws: websockets.asyncio.server.ServerConnection) -> None:
            line = WebsocketsLine(ws, self.closed_error)
            await obey(line)
            served.closes.put_nowait(await line.closed())

        spoken = list(subprotocols) or None
        async with self.server.serve(handle, "127.0.0.1", 0, ssl=tls, subprotocols=spoken) as server:
            served.port = server.sockets[0].getsockname()[1]
            yield served

    @asynccontextmanager
    async def connect(
        self, url: str, *, tls: ssl.SSLContext | None = None, subprotocols: Sequence[str] = ()
    ) -> AsyncIterator[Line]:
        headers = {"X-Trunk": "from a peer"}
        offered = list(subprotocols) or None
        async with self.client.connect(url, ssl=tls, subprotocols=offered, additional_headers=headers) as ws:
            yield WebsocketsLine(ws, self.closed_error)


class AiohttpLine:
    """A connection of aiohttp, which leaves answering pings and pongs to whoever receives."""

    def __init__(self, ws: aiohttp.ClientWebSocketResponse | web.WebSocketResponse, header: Callable) -> None:
        self.ws, self.header = ws, header
        self.subprotocol = ws.ws_protocol if isinstance(ws, web.WebSocketResponse) else ws.protocol
        self.end: asyncio.Future[tuple[int, str]] = asyncio.get_running_loop().create_future()

    async def send(self, message: str | bytes) -> None:
        await (self.ws.send_str(message) if isinstance(message, str) else self.ws.send_bytes(message))

    async def send_fragments(self, parts: Sequence[str]) -> None:
        raise NotImplementedError("aiohttp has no way to send fragments")

    async def recv(self) -> str | bytes | None:
        message = await self.ws.receive()
        if message.type is aiohttp.WSMsgType.CLOSE:
            self.end.set_result((message.data, message.extra))
        if message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
            return message.data
        if message.type is aiohttp.WSMsgType.PING:
            await self.ws.pong(message.data)
            return await self.recv()
        return None

    async def ping(self) -> None:
        await self.ws.ping(b"there?")
        message = await self.ws.receive()
        assert (message.type, message.data) == (aiohttp.WSMsgType.PONG, b"there?")

    async def close(self, code: int, reason: str) -> None:
        await self.ws.close(code=code, message=reason.encode())
        self.end.set_result((self.ws.close_code, reason))  # aiohttp keeps the code that the peer answered, not the text

    async def closed(self) -> tuple[int, str]:
        return await self.end


@asynccontextmanager
async def run_aiohttp(handle: Callable, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A server of aiohttp's; gives its port."""
    application = web.Application()
    application.router.add_get("/", handle)
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


class AiohttpPeer:
    """aiohttp."""

    @asynccontextmanager
    async def serve(
        self, *, tls: ssl.SSLContext | None = None, subprotocols: Sequence[str] = ()
    ) -> AsyncIterator[Served]:
        served = Served()

        async def handle(request: web.Request) -> web.WebSocketResponse:
            ws = web.WebSocketResponse(protocols=subprotocols, autoping=False)
            await ws.prepare(request)
            line = AiohttpLine(ws, request.headers.get)
            await obey(line)
            served.closes.put_nowait(await line.closed())
            return ws

        async with run_aiohttp(handle, tls) as served.port:
            yield served

    @asynccontextmanager
    async def connect(
        self, url: str, *, tls: ssl.SSLContext | None = None, subprotocols: Sequence[str] = ()
    ) -> AsyncIterator[Line]:
        options = {"headers": {"X-Trunk": "from a peer"}, "autoping": False, "protocols": subprotocols}
        async with aiohttp.ClientSession() as session, session.ws_connect(url, ssl=tls or True, **options) as ws:
            yield AiohttpLine(ws, ws.get_extra_info)


PEERS = {
    "websockets": WebsocketsPeer(websockets.asyncio.client, websockets.asyncio.server, websockets.exceptions),
    "picows": WebsocketsPeer(
        picows.websockets.asyncio.client, picows.websockets.asyncio.server, picows.websockets.exceptions
    ),
    "aiohttp": AiohttpPeer(),
}


@pytest.fixture(params=PEERS)
def peer(request: pytest.FixtureRequest) -> Peer:
    """Each library in turn."""
    return PEERS[request.param]


@pytest.fixture(params=["websockets", "picows"])
def fragmenting_peer(request: pytest.FixtureRequest) -> Peer:
    """Each library that can send a message in fragments."""
    return PEERS[request.param]


@pytest.fixture(params=MESSAGES)
def message(request: pytest.FixtureRequest) -> str | bytes:
    """Messages of both kinds, on both sides of each boundary of the length field."""
    return request.param


@pytest.fixture
def served() -> Served:
    """The record of a running server of ours."""
    return Served()


@pytest.fixture
def parts() -> list[str]:
    """What a server sends when it is told "fragments"."""
    return PARTS


@pytest.fixture
def handle() -> Callable[[Line], Awaitable[None]]:
    """What every server does with a connection: see `obey`."""
    return obey


@pytest.fixture
def aiohttp_server() -> Callable[..., AbstractAsyncContextManager[int]]:
    """`async with aiohttp_server(handle) as port:` see `run_aiohttp`."""
    return run_aiohttp
