"""Real connections on loopback, with a peer by hand on the other end or with our own: fixtures for a folder's conftest.

Each context manager here gives up after LIMIT seconds, so that a test that waits for what never comes fails.
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

import rawpeer
import trunkline
from rawpeer import Peer

LIMIT = 20  # seconds

Script = Callable[[Peer], Awaitable[object]]


def listening_socket(buffers: int | None) -> socket.socket:
    """A socket to accept on. `buffers`: bytes of the kernel's buffers of what it accepts."""
    sock = socket.socket()
    _bound_buffers(sock, buffers)
    sock.bind(("127.0.0.1", 0))
    sock.listen()
    return sock


def connected_socket(port: int, buffers: int | None) -> socket.socket:
    """A socket connected to a port of this machine."""
    sock = socket.socket()
    _bound_buffers(sock, buffers)
    sock.connect(("127.0.0.1", port))
    return sock


def _bound_buffers(sock: socket.socket, buffers: int | None) -> None:
    if buffers is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffers)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffers)


def _reader_limit(buffers: int | None) -> int:
    return 2**24 if buffers is None else buffers  # a StreamReader stops reading at twice its limit


async def _run(script: Script, peer_of: Callable[[], Awaitable[Peer]], writer: asyncio.StreamWriter) -> None:
    try:
        await script(await peer_of())
    except BaseException:
        writer.transport.abort()
        raise
    writer.close()


@contextlib.asynccontextmanager
async def _raw_server(script: Script, *, buffers: int | None = None) -> AsyncIterator[str]:
    talks: list[asyncio.Task[None]] = []

    def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talks.append(asyncio.ensure_future(_run(script, lambda: rawpeer.accept(reader, writer), writer)))

    sock = listening_socket(buffers)
    server = await asyncio.start_server(talk, sock=sock, limit=_reader_limit(buffers))
    try:
        async with asyncio.timeout(LIMIT):
            yield f"ws://127.0.0.1:{sock.getsockname()[1]}/"
    finally:
        server.close()
        for task in talks:
            task.cancel()
        results = await asyncio.gather(*talks, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception):
            raise result


@pytest.fixture
def raw_server() -> Callable[..., contextlib.AbstractAsyncContextManager[str]]:
    """`async with raw_server(script) as uri:` a TCP server whose every connection, once it has shaken hands, is given
    to `script(peer)`. When the script ends, so does the connection; what it raises is raised at the end of the block,
    where scripts that are not done are cancelled. `buffers`: bytes of the kernel's buffers.
    """
    return _raw_server


@contextlib.asynccontextmanager
async def _raw_client(
    server: trunkline.Server | int, *, fields: bytes = b"", buffers: int | None = None
) -> AsyncIterator[Peer]:
    port = server if isinstance(server, int) else server.port
    sock = connected_socket(port, buffers)
    reader, writer = await asyncio.open_connection(sock=sock, limit=_reader_limit(buffers))
    try:
        async with asyncio.timeout(LIMIT):
            yield await rawpeer.request(reader, writer, fields)
    finally:
        writer.transport.abort()


@pytest.fixture
def raw_client() -> Callable[..., contextlib.AbstractAsyncContextManager[Peer]]:
    """`async with raw_client(server) as peer:` a TCP client that has shaken hands with our server (or with what listens
    on a port). `fields`: header lines to add to its request. At the end of the block its connection is aborted.
    """
    return _raw_client


@contextlib.asynccontextmanager
async def _client_line(buffers: int | None, options: dict[str, Any]) -> AsyncIterator[tuple[trunkline.WebSocket, Peer]]:
    there: asyncio.Future[Peer] = asyncio.get_running_loop().create_future()
    over = asyncio.Event()

    async def hand_over(peer: Peer) -> None:
        there.set_result(peer)
        await over.wait()
        peer.writer.transport.abort()

    async with _raw_server(hand_over, buffers=buffers) as uri:
        sock = connected_socket(int(uri.rstrip("/").rsplit(":", 1)[1]), buffers)
        ws = await trunkline.connect(uri, sock=sock, **options)
        try:
            yield ws, await there
        finally:
            over.set()
            ws.abort()
            await ws.wait_closed()


@contextlib.asynccontextmanager
async def _server_line(
    buffers: int | None, options: dict[str, Any], fields: bytes = b""
) -> AsyncIterator[tuple[trunkline.WebSocket, Peer]]:
    listener = options.pop("listener", None)
    if listener is not None:
        options["listener"] = lambda: listener
    else:
        options["handler"] = trunkline.WebSocket.wait_closed
    made: list[trunkline.WebSocket] = []

    def keep(ws: trunkline.WebSocket, request: trunkline.Request) -> None:
        made.append(ws)

    async with (
        trunkline.serve(sock=listening_socket(buffers), process_request=keep, **options) as server,
        _raw_client(server, buffers=buffers, fields=fields) as peer,
    ):
        (ws,) = made
        try:
            yield ws, peer
        finally:
            ws.abort()


@pytest.fixture(params=["client", "server"])
def line(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """`async with line(**options) as (ws, peer):` a WebSocket of ours, once a client and once a server, and the peer by
    hand that it is connected to. `listener`: an object. `buffers`: bytes of the kernel's buffers, for both ends.
    """
    make = _client_line if request.param == "client" else _server_line
    return lambda *, buffers=None, **options: make(buffers, options)


@contextlib.asynccontextmanager
async def _compressed(settings: Any = "deflate", **options: Any) -> AsyncIterator[tuple[trunkline.WebSocket, Peer]]:
    offer = b"Sec-WebSocket-Extensions: permessage-deflate\r\n"
    async with _server_line(None, {"compression": settings, **options}, offer) as (ws, peer):
        assert b"permessage-deflate" in peer.head
        yield ws, peer


@pytest.fixture
def compressed() -> Callable[..., contextlib.AbstractAsyncContextManager[tuple[trunkline.WebSocket, Peer]]]:
    """`async with compressed(Deflate(...), **options) as (ws, peer):` a WebSocket of a server of ours that has agreed
    on compression with the peer by hand; otherwise as `line`.
    """
    return _compressed


@contextlib.asynccontextmanager
async def _pair(
    *, buffers: int | None = None, client: dict[str, Any] | None = None, server: dict[str, Any] | None = None
) -> AsyncIterator[tuple[trunkline.WebSocket, trunkline.WebSocket]]:
    options = {"handler": trunkline.WebSocket.wait_closed, **(server or {})}
    if "listener" in options:
        del options["handler"]
    async with asyncio.timeout(LIMIT), trunkline.serve(sock=listening_socket(buffers), **options) as listening:
        sock = connected_socket(listening.port, buffers)
        here = await trunkline.connect(f"ws://127.0.0.1:{listening.port}/", sock=sock, **(client or {}))
        (there,) = listening.connections
        try:
            yield here, there
        finally:
            here.abort()
            there.abort()
            await here.wait_closed()


@pytest.fixture
def pair() -> Callable[..., contextlib.AbstractAsyncContextManager[tuple[trunkline.WebSocket, trunkline.WebSocket]]]:
    """`async with pair(client={...}, server={...}) as (here, there):` our client connected to our server; the options
    are those of `connect` and `serve`.
    """
    return _pair
