"""What a peer has shown to be too big for it is not sent again: over real sockets, with a peer that has a limit."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

import trunkline
from trunkline.testing import ScriptedServer, script
from turns import until

pytestmark = pytest.mark.anyio

LIMIT = 1000  # bytes that the peer takes


class Peer:
    """Takes messages up to LIMIT; past that it closes with 1009, as any server here does."""

    def __init__(self) -> None:
        self.taken: list[Any] = []
        self.closed: list[int] = []
        self.server: Any = None

    async def take(self, ws: trunkline.WebSocket) -> None:
        try:
            async for message in ws:
                self.taken.append(message)
        finally:
            await ws.wait_closed()
            self.closed.append(ws.close_info.code if ws.close_info else 0)

    def service(self, **options: Any) -> Any:
        options = {"sends": str, "receives": str, "codec": trunkline.manager.RawCodec, **options}
        retry = trunkline.manager.RetryPolicy(base=0.001, cap=0.002, reset_after=0.0)
        return trunkline.Service("small", f"ws://127.0.0.1:{self.server.port}/", retry=retry, **options)


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    peer = Peer()
    async with asyncio.timeout(20), trunkline.serve(peer.take, "127.0.0.1", 0, max_size=LIMIT) as peer.server:
        yield peer


async def choke(line: Any, message: Any) -> trunkline.Delivery[Any]:
    """Send what is too big, and wait until the line is up again."""
    generation = line.generation
    delivery: trunkline.Delivery[Any] = await line.send(message)
    await until(lambda: line.generation > generation and line.status == "connected")
    return delivery


async def test_a_message_that_the_peer_choked_on_is_refused_from_then_on(peer: Peer) -> None:
    small = peer.service()
    async with trunkline.ConnectionManager([small]) as manager:
        line = await manager.connect(small)
        assert line.peer_limit is None
        assert (await choke(line, "x" * 1500)).outcome == "unknown"
        assert line.peer_limit == 1500
        with pytest.raises(
            trunkline.PeerLimitExceeded, match=r"2000 bytes is too big .* 1009 for one of 1500"
        ) as caught:
            await line.send("y" * 2000)
        error = caught.value
        assert (error.size, error.limit, error.category) == (2000, 1500, trunkline.ErrorCategory.MESSAGE_TOO_BIG)
        assert 0 <= error.ago < 20
        with pytest.raises(trunkline.PeerLimitExceeded):
            line.send_nowait("y" * 1500)
        await line.send("x" * 1000, confirm=True)
        assert (line.generation, peer.taken) == (2, ["x" * 1000])


async def test_it_is_kept_across_links_narrowed_and_forgotten_when_asked(peer: Peer) -> None:
    small = peer.service()
    async with trunkline.ConnectionManager([small]) as manager:
        line = await manager.connect(small)
        await choke(line, "x" * 1500)
        await choke(line, "x" * 1200)
        assert line.peer_limit == 1200
        for ws in tuple(peer.server.connections):
            ws.abort()
        await until(lambda: line.generation == 4)
        with pytest.raises(trunkline.PeerLimitExceeded):
            await line.send("x" * 1200)
        line.forget_peer_limit()
        assert line.peer_limit is None
        await line.send("x" * 1200)
        await until(lambda: line.peer_limit == 1200)


async def test_bytes_count_and_not_characters(peer: Peer) -> None:
    small = peer.service()
    async with trunkline.ConnectionManager([small]) as manager:
        line = await manager.connect(small)
        await choke(line, "\N{GREEK SMALL LETTER ALPHA}" * 600)
        assert line.peer_limit == 1200
        await line.send("x" * 700, confirm=True)
        with pytest.raises(trunkline.PeerLimitExceeded, match="1240 bytes"):
            await line.send("\N{GREEK SMALL LETTER ALPHA}" * 620)


async def test_what_waits_and_would_be_too_big_is_given_back() -> None:
    """Two large ones: the first is on its way when the peer closes, the second waits for the next link."""

    async def look(peer: Any) -> None:
        await peer.reader.read(100)  # without an answer to the ping behind it

    steps = [script.accept(), look, script.close(1009)], [script.accept(), script.stay()]
    async with asyncio.timeout(20), ScriptedServer(*steps) as server:
        retry = trunkline.manager.RetryPolicy(base=0.001, cap=0.002)
        policy = trunkline.manager.OutboxPolicy(max_unconfirmed=1)
        given_back: list[Any] = []
        small = trunkline.Service(
            "s", server.uri, sends=str, receives=str, retry=retry, outbox=policy, on_undelivered=given_back.append
        )
        async with trunkline.ConnectionManager([small]) as manager:
            line = await manager.connect(small)
            first = line.send_nowait("x" * 500)
            second, third = line.send_nowait("x" * 501), line.send_nowait("small")
            await third.wait_confirmed()
            assert (first.outcome, second.outcome, third.outcome) == ("unknown", "refused", "confirmed")
            assert given_back == [second, first]
            assert server.peers[1].messages == ['"small"']


async def test_an_envelope_is_cut_to_what_the_peer_takes(peer: Peer) -> None:
    batch = trunkline.manager.BatchPolicy(max_messages=100, envelope=True)
    small = peer.service(codec=trunkline.manager.JsonCodec, batch=batch)
    async with trunkline.ConnectionManager([small]) as manager:
        line = await manager.connect(small)
        for _ in range(50):
            line.send_nowait("x" * 30)
        await until(lambda: line.generation == 2 and line.status == "connected")
        assert line.peer_limit is not None
        assert line.peer_limit > LIMIT
        deliveries = [line.send_nowait("y" * 30) for _ in range(50)]
        for delivery in deliveries:
            await delivery.wait_confirmed()
        assert line.generation == 2
        assert sum(message.count("y" * 30) for message in peer.taken) == 50


async def test_members_of_a_pool_learn_from_one_another(peer: Peer) -> None:
    small = peer.service(pool=trunkline.manager.PoolPolicy(size=2, strategy="round_robin"))
    async with trunkline.ConnectionManager([small]) as manager:
        pool = manager.pool(small)
        for _ in range(2):
            await pool.send("up", confirm=True)
        await pool.send("x" * 1500)
        await until(lambda: all(member.peer_limit == 1500 for member in pool.members))
        for _ in range(2):
            with pytest.raises(trunkline.PeerLimitExceeded):
                await pool.send("x" * 1500)


async def test_a_peer_that_says_too_big_of_nothing_teaches_nothing() -> None:
    async with ScriptedServer([script.accept(), script.close(1009)]) as server, asyncio.timeout(20):
        small = trunkline.Service(
            "s", server.uri, sends=str, receives=str, retry=trunkline.manager.RetryPolicy(base=0.001)
        )
        async with trunkline.ConnectionManager([small]) as manager:
            line = await manager.connect(small, wait=False)
            await until(lambda: line.status == "failed")
            assert line.peer_limit is None
