"""A consumer that does not read: bounded bytes, the outcome that the policy says, and nobody else is affected."""

import asyncio
import contextlib

import pytest

import trunkline
from trunkline.testing import FaultProxy
from turns import now

pytestmark = pytest.mark.anyio

HOST, PROXY = "server.sim.invalid", "proxy.sim.invalid"
HEALTHY = 10
MESSAGE = b"x" * 10_000


@contextlib.asynccontextmanager
async def one_slow_among_many(**limits):
    """A server, the clients that read, and the server's end of the one that does not."""
    async with (
        trunkline.serve(trunkline.WebSocket.wait_closed, HOST, 8000, **limits) as server,
        FaultProxy(HOST, 8000, listen=PROXY, listen_port=8000) as proxy,
    ):
        slow = await trunkline.connect(f"ws://{PROXY}:8000/", ping_interval=None)
        (behind,) = server.connections
        clients = [await trunkline.connect(f"ws://{HOST}:8000/") for _ in range(HEALTHY)]
        proxy.stall()
        counts = [0] * HEALTHY

        async def read(index):
            async for _ in clients[index]:
                counts[index] += 1

        reading = [asyncio.create_task(read(index)) for index in range(HEALTHY)]
        yield server, behind, counts
        for ws in [slow, *clients]:
            ws.abort()
            await ws.wait_closed()
        await asyncio.gather(*reading, return_exceptions=True)


def unsent(ws):
    """Bytes of one connection that wait in this process."""
    return ws.transport.get_write_buffer_size() if ws.transport is not None else 0


@pytest.mark.parametrize("slow", ["close", "drop"])
async def test_a_broadcast(slow, nothing_left):
    async with one_slow_among_many(ping_interval=None) as (server, behind, counts):
        most, result = 0, trunkline.Broadcast()
        for _ in range(500):
            told = trunkline.broadcast(server.connections, MESSAGE, slow=slow)
            result.dropped += told.dropped
            result.closed += told.closed
            await asyncio.sleep(0.1)
            most = max(most, unsent(behind))
        assert counts == [500] * HEALTHY, "nobody else missed one"
        assert most <= 2**20 + len(MESSAGE) + 100, "the default write_limit"
        if slow == "close":
            assert result.closed == 1
            assert behind.close_info.code == 1013
            assert behind.transport is None, "and its socket is freed"
        else:
            assert result.dropped > 380
            assert behind.close_info is None


async def test_a_broadcast_is_patient_for_so_long(nothing_left):
    """A burst that is over the limit at once: the one that does not read has its time, and no more."""
    async with one_slow_among_many(ping_interval=None, write_limit=100_000) as (server, behind, counts):
        began, closed_at = now(), None
        while closed_at is None:
            for _ in range(20 if now() == began else 1):
                result = trunkline.broadcast(server.connections, MESSAGE, patience=7)
            closed_at = now() if result.closed else None
            await asyncio.sleep(1)
        assert 7 <= closed_at - began <= 8
        assert behind.close_info.code == 1013
        assert all(count == 20 + closed_at - began for count in counts)


async def test_without_waiting(nothing_left):
    """send_nowait raises at the hard limit, and holds no more than that."""
    async with one_slow_among_many(ping_interval=None, write_limit=200_000) as (server, behind, counts):
        refused = 0
        for _ in range(500):
            for ws in server.connections:
                try:
                    ws.send_nowait(MESSAGE)
                except trunkline.SlowConsumer:
                    assert ws is behind
                    refused += 1
            await asyncio.sleep(0.1)
            assert unsent(behind) <= 200_000 + len(MESSAGE)
        assert refused > 400
        assert counts == [500] * HEALTHY


async def test_with_waiting(nothing_left):
    """send waits at the high-water mark; the others go on at their own pace."""
    async with one_slow_among_many(ping_interval=None) as (server, behind, counts):

        async def push(ws):
            for _ in range(500):
                await ws.send(MESSAGE)

        pushing = {ws: asyncio.create_task(push(ws)) for ws in server.connections}
        await asyncio.sleep(60)
        assert counts == [500] * HEALTHY
        assert [ws for ws, task in pushing.items() if not task.done()] == [behind]
        assert unsent(behind) <= 64 * 1024 + len(MESSAGE) + 100
        pushing[behind].cancel()


async def test_with_the_keepalive_it_is_gone_in_time(nothing_left):
    """A stalled peer answers no ping either."""
    async with one_slow_among_many() as (_, behind, _):
        began = now()
        await behind.wait_closed()
        assert now() - began <= 20 + 20 + 1 + 5 + 1
