"""Compression with other people's libraries, in both roles: what each speaks by default, and with contexts kept."""

import asyncio
from collections.abc import Callable
from typing import Any

import aiohttp
import picows.websockets.asyncio.client
import picows.websockets.asyncio.server
import pytest
import websockets.asyncio.client
import websockets.asyncio.server
from aiohttp import web

import trunkline
from handlers import echo
from trunkline import Deflate

pytestmark = pytest.mark.anyio

KEEPING = Deflate(server_no_context_takeover=False, client_no_context_takeover=False)
WAYS = {
    "default": Deflate(),
    "takeover": KEEPING,
    "zlib": Deflate(backend="zlib"),
    "everything": Deflate(
        threshold=0, off_thread=5000, server_no_context_takeover=False, client_no_context_takeover=False
    ),
    "narrow": Deflate(client_max_window_bits=9, threshold=0),
}
SENT = [
    "words " * 1000,
    "words " * 1001,
    "é€" * 3000,
    "short",
    "",
    "".join(map(str, range(30_000))),
    b"bytes " * 1000,
    b"words " * 999,
]
LIBRARIES = {
    "websockets": (websockets.asyncio.client.connect, websockets.asyncio.server.serve),
    "picows": (picows.websockets.asyncio.client.connect, picows.websockets.asyncio.server.serve),
}


@pytest.fixture(params=WAYS)
def ours(request: pytest.FixtureRequest) -> Deflate:
    return WAYS[request.param]


@pytest.fixture(params=LIBRARIES)
def library(request: pytest.FixtureRequest) -> tuple[Callable[..., Any], Callable[..., Any]]:
    return LIBRARIES[request.param]


async def test_a_client_of_theirs(library, ours: Deflate) -> None:
    connect, _ = library
    async with (
        asyncio.timeout(20),
        trunkline.serve(echo, "127.0.0.1", 0, compression=ours) as server,
        connect(f"ws://127.0.0.1:{server.port}/", compression="deflate") as ws,
    ):
        (there,) = server.connections
        assert there.agreement is not None
        for message in SENT:
            await ws.send(message)
            assert await ws.recv() == message
        stats = there.stats()
        assert 0 < stats.deflated_bytes_received < stats.inflated_bytes_received
        assert 0 < stats.deflated_bytes_sent < stats.inflated_bytes_sent


async def test_a_server_of_theirs(library, ours: Deflate) -> None:
    _, serve = library
    async with asyncio.timeout(20), serve(echo, "127.0.0.1", 0, compression="deflate") as server:
        port = server.sockets[0].getsockname()[1]
        async with trunkline.connect(f"ws://127.0.0.1:{port}/", compression=ours) as ws:
            assert ws.agreement is not None
            for message in SENT:
                await ws.send(message)
                assert await ws.recv() == message
            await ws.send(["in ", "parts " * 1000])
            assert await ws.recv() == "in " + "parts " * 1000
            stats = ws.stats()
            assert 0 < stats.deflated_bytes_received < stats.inflated_bytes_received


async def echo_of_aiohttp(request: web.Request) -> web.WebSocketResponse:
    ws = web.WebSocketResponse(compress=True)
    await ws.prepare(request)
    async for message in ws:
        await (ws.send_str if message.type is aiohttp.WSMsgType.TEXT else ws.send_bytes)(message.data)
    return ws


async def test_a_server_of_aiohttp(aiohttp_server, ours: Deflate) -> None:
    async with (
        asyncio.timeout(20),
        aiohttp_server(echo_of_aiohttp) as port,
        trunkline.connect(f"ws://127.0.0.1:{port}/", compression=ours) as ws,
    ):
        assert ws.agreement is not None
        for message in SENT:
            await ws.send(message)
            assert await ws.recv() == message
        assert ws.stats().deflated_bytes_received > 0


@pytest.mark.parametrize("bits", range(9, 16))
async def test_a_client_of_aiohttp(ours: Deflate, bits: int) -> None:
    async with (
        asyncio.timeout(20),
        trunkline.serve(echo, "127.0.0.1", 0, compression=ours) as server,
        aiohttp.ClientSession() as session,
        session.ws_connect(f"http://127.0.0.1:{server.port}/", compress=bits) as ws,
    ):
        (there,) = server.connections
        assert there.agreement is not None
        for message in SENT:
            await (ws.send_str(message) if isinstance(message, str) else ws.send_bytes(message))
            assert (await ws.receive()).data == message
        assert there.stats().deflated_bytes_received > 0
