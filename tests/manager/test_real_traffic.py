"""What a managed connection carries over real sockets: slow peers, large messages, envelopes, cancellation."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

import trunkline
from turns import settle, until

pytestmark = pytest.mark.anyio

QUICK = trunkline.manager.RetryPolicy(base=0.01, cap=0.02)


class Note(msgspec.Struct):
    text: str
    id: int | None = None


class Sink:
    """A server that reads when it may, and keeps what it got."""

    def __init__(self) -> None:
        self.may_read = asyncio.Event()
        self.may_read.set()
        self.payloads: list[str | bytes] = []
        self.answers = False
        self.server: Any = None

    async def serve(self, ws: trunkline.WebSocket) -> None:
        with contextlib.suppress(trunkline.ConnectionClosed):
            await self.may_read.wait()
            async for payload in ws:
                self.payloads.append(payload)
                if self.answers:
                    await ws.send(payload)
                await self.may_read.wait()

    def service(self, **options: Any) -> trunkline.Service[Note, Note]:
        url = f"ws://127.0.0.1:{self.server.port}/"
        return trunkline.Service(
            "notes", url, sends=Note, receives=Note, retry=QUICK, correlate=("id", "id"), **options
        )

    @property
    def texts(self) -> list[str]:
        codec = trunkline.manager.JsonCodec(Note, Note)
        parts = [part for payload in self.payloads for part in codec.split(payload) or [payload]]
        return [codec.decode(part).text for part in parts]


@pytest.fixture
async def sink() -> AsyncIterator[Sink]:
    sink = Sink()
    async with trunkline.serve(sink.serve, "127.0.0.1", 0, max_size=None) as sink.server:
        yield sink


async def test_a_peer_that_does_not_read_fills_the_outbox_and_no_more(sink: Sink) -> None:
    sink.may_read.clear()
    notes = sink.service(outbox=trunkline.manager.OutboxPolicy(max_messages=50, max_unconfirmed_bytes=64 * 2**20))
    async with trunkline.ConnectionManager([notes]) as manager:
        line = await manager.connect(notes)
        sent = 0

        async def send() -> None:
            nonlocal sent
            for _ in range(500):
                await line.send(Note("x" * 50_000), timeout=None)
                sent += 1

        sending = asyncio.create_task(send())
        await until(lambda: line.health().queue_depth > 0)
        await settle(500)
        assert sent < 500
        assert line.health().queue_depth == 1, "a sender that waits has one message in the outbox"
        before = asyncio.get_running_loop().time()
        sink.may_read.set()
        await sending
        assert await manager.close(drain=30) == []
        assert asyncio.get_running_loop().time() - before < 30
    assert len(sink.payloads) == 500


async def test_a_message_larger_than_every_bound(sink: Sink) -> None:
    notes = sink.service()
    async with trunkline.ConnectionManager([notes]) as manager:
        line = await manager.connect(notes)
        sizes = [5_000_000, 1, 9_000_000, 2]
        for size in sizes:
            await line.send(Note("x" * size))
        await manager.close(drain=30)
    assert [len(text) for text in sink.texts] == sizes


async def test_envelopes_between_two_ends(sink: Sink) -> None:
    sink.answers = True
    notes = sink.service(batch=trunkline.manager.BatchPolicy(max_messages=10, envelope=True))
    async with trunkline.ConnectionManager([notes]) as manager:
        line = await manager.connect(notes)
        for number in range(95):
            line.send_nowait(Note(str(number)))
        assert [(await anext(line)).text for _ in range(95)] == [str(number) for number in range(95)]
    assert len(sink.payloads) == 10


async def test_a_send_is_cancelled_at_every_wait(sink: Sink) -> None:
    """Cancelled after 0, 1, 2, ... turns: nothing of it is left behind, and nothing is sent twice."""
    notes = sink.service()
    async with trunkline.ConnectionManager([notes]) as manager:
        line = await manager.connect(notes)
        sent = []
        for turns in range(60):
            await line.wait_connected()
            for ws in tuple(sink.server.connections):
                ws.abort()
            await until(lambda: line.websocket is None)
            task = asyncio.create_task(line.send(Note(str(turns))))
            for _ in range(turns * 3):
                await asyncio.sleep(0)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                sent.append((await task).message.text)
            assert line.health().queue_depth == 0
        await line.send(Note("last"), confirm=True)
        await until(lambda: "last" in sink.texts)
    assert len(sink.texts) == len(set(sink.texts))


async def test_a_request_is_cancelled_at_every_wait(sink: Sink) -> None:
    sink.answers = True
    notes = sink.service()
    async with trunkline.ConnectionManager([notes]) as manager:
        line = await manager.connect(notes)
        for turns in range(40):
            task = asyncio.create_task(line.request(Note("?")))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            assert line.pending == 0
        assert (await line.request(Note("last"))).text == "last"
        assert line.health().unknown_replies == 0


async def test_a_pool_over_a_server_that_restarts(sink: Sink) -> None:
    sink.answers = True
    notes = sink.service(pool=trunkline.manager.PoolPolicy(size=3, strategy="round_robin"))
    async with trunkline.ConnectionManager([notes]) as manager:
        pool = manager.pool(notes)
        for _ in range(6):
            await pool.send(Note("a"), confirm=True)
        for ws in tuple(sink.server.connections):
            ws.abort()
        replies = await asyncio.gather(*(pool.request(Note(str(number)), idempotent=True) for number in range(30)))
        assert [reply.text for reply in replies] == [str(number) for number in range(30)]
