"""trunkline as a server for other people's clients."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest

import trunkline

pytestmark = pytest.mark.anyio

Serve = Callable[..., AbstractAsyncContextManager[Any]]  # gives what the fixture `served` gives


class Line:
    """A trunkline connection as `obey` wants it."""

    def __init__(self, ws: trunkline.WebSocket) -> None:
        self.send = self.send_fragments = ws.send
        self.ping, self.close = ws.ping, ws.close
        self.header = ws.request.headers.get
        self.ws = ws

    async def recv(self) -> str | bytes | None:
        try:
            return await self.ws.recv()
        except trunkline.ConnectionClosed:
            return None


def note_end(served: Any, ws: trunkline.WebSocket) -> None:
    """Notes how a connection ended."""
    served.closes.put_nowait((ws.close_code, ws.close_reason))


@pytest.fixture
def serve(served: Any, handle: Callable) -> Serve:
    """A trunkline server that does what its clients say."""

    async def obey(ws: trunkline.WebSocket) -> None:
        await handle(Line(ws))
        note_end(served, ws)

    @asynccontextmanager
    async def serve(**options: Any) -> AsyncIterator[Any]:
        async with trunkline.serve(obey, "127.0.0.1", 0, **options) as server:
            served.port = server.port
            yield served

    return serve


@pytest.fixture
def serve_callbacks(served: Any) -> Serve:
    """A trunkline server on callbacks that echoes."""

    class Echo(trunkline.Listener):
        def on_message(self, ws: trunkline.WebSocket, message: str | bytes) -> None:
            ws.send_nowait(message)

        def on_close(self, ws: trunkline.WebSocket, close: trunkline.Close) -> None:
            note_end(served, ws)

    @asynccontextmanager
    async def serve(**options: Any) -> AsyncIterator[Any]:
        async with trunkline.serve(listener=Echo, host="127.0.0.1", port=0, **options) as server:
            served.port = server.port
            yield served

    return serve


@pytest.fixture(params=["serve", "serve_callbacks"])
def serve_echo(request: pytest.FixtureRequest) -> Serve:
    """A trunkline server that echoes, of either style."""
    return request.getfixturevalue(request.param)


async def test_a_message_comes_back_as_it_was(peer, serve_echo: Serve, message: str | bytes) -> None:
    async with serve_echo() as server, peer.connect(f"ws://127.0.0.1:{server.port}/") as line:
        await line.send(message)
        assert await line.recv() == message


async def test_their_fragments_are_one_message_to_us(fragmenting_peer, serve_echo: Serve, parts: list[str]) -> None:
    async with serve_echo() as server, fragmenting_peer.connect(f"ws://127.0.0.1:{server.port}/") as line:
        await line.send_fragments(parts)
        assert await line.recv() == "".join(parts)


async def test_our_fragments_are_one_message_to_them(peer, serve: Serve, parts: list[str]) -> None:
    async with serve() as server, peer.connect(f"ws://127.0.0.1:{server.port}/") as line:
        await line.send("fragments")
        assert await line.recv() == "".join(parts)


async def test_our_pong_answers_their_ping(peer, serve_echo: Serve) -> None:
    async with serve_echo() as server, peer.connect(f"ws://127.0.0.1:{server.port}/") as line:
        await line.ping()
        await line.send("after the pong")
        assert await line.recv() == "after the pong"


async def test_their_pong_answers_our_ping(peer, serve: Serve) -> None:
    async with serve() as server, peer.connect(f"ws://127.0.0.1:{server.port}/") as line:
        await line.send("ping")
        assert await line.recv() == "ponged"


@pytest.mark.parametrize(
    ("spoken", "offered", "agreed"),
    [
        (["trunk.1"], ["trunk.1"], "trunk.1"),
        (["trunk.2", "trunk.1"], ["other", "trunk.2"], "trunk.2"),
        ([], ["trunk.1"], None),
    ],
)
async def test_a_subprotocol_is_agreed_on(
    peer, serve: Serve, spoken: list[str], offered: list[str], agreed: str | None
) -> None:
    async with (
        serve(subprotocols=spoken) as server,
        peer.connect(f"ws://127.0.0.1:{server.port}/", subprotocols=offered) as line,
    ):
        assert line.subprotocol == agreed


async def test_we_see_their_close_code_and_reason(peer, serve_echo: Serve) -> None:
    async with serve_echo() as server:
        async with peer.connect(f"ws://127.0.0.1:{server.port}/") as line:
            await line.close(4001, "fare well ✓")
        assert await server.ended() == (4001, "fare well ✓")


async def test_they_see_our_close_code_and_reason(peer, serve: Serve) -> None:
    async with serve() as server, peer.connect(f"ws://127.0.0.1:{server.port}/") as line:
        await line.send("close 4002 enough")
        assert await line.recv() is None
        assert await line.closed() == (4002, "enough")


async def test_their_headers_reach_us(peer, serve: Serve) -> None:
    async with serve() as server, peer.connect(f"ws://127.0.0.1:{server.port}/") as line:
        await line.send("header X-Trunk")
        assert await line.recv() == "from a peer"


async def test_over_tls(peer, serve_echo: Serve, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext) -> None:
    async with (
        serve_echo(ssl=server_tls) as server,
        peer.connect(f"wss://localhost:{server.port}/", tls=client_tls) as line,
    ):
        await line.send(b"s" * 300_000)
        assert await line.recv() == b"s" * 300_000


async def test_many_connections_at_once(peer, serve_echo: Serve) -> None:
    async with serve_echo() as server:

        async def converse(number: int) -> list[str | bytes | None]:
            async with peer.connect(f"ws://127.0.0.1:{server.port}/") as line:
                for turn in range(20):
                    await line.send(f"{number} {turn}")
                return [await line.recv() for _ in range(20)]

        heard = await asyncio.gather(*map(converse, range(40)))
    assert heard == [[f"{number} {turn}" for turn in range(20)] for number in range(40)]
