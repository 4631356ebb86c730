"""The wall clock jumps, the loop stalls, the machine sleeps: no connection is given up for that."""

import asyncio
import contextlib
import time

import pytest

import trunkline
from trunkline.testing import FaultProxy, ScriptedServer
from trunkline.testing.script import accept, stay

pytestmark = pytest.mark.anyio

HOST, PROXY = "server.sim.invalid", "proxy.sim.invalid"


@contextlib.asynccontextmanager
async def living():
    """A WebSocket to a server that says nothing; it must still be open at the end."""
    async with ScriptedServer([accept(), stay()], host=HOST) as server:
        ws = await trunkline.connect(server.uri)
        yield ws
        assert ws.close_info is None
        await ws.close()
        await ws.wait_closed()


@contextlib.asynccontextmanager
async def proxied():
    """The same through a proxy, which has carried a connection for 15 s; whether it must be open is the test's."""
    async with (
        ScriptedServer([accept(), stay()], host=HOST) as server,
        FaultProxy(HOST, server.port, listen=PROXY, listen_port=8000) as proxy,
    ):
        ws = await trunkline.connect(f"ws://{PROXY}:8000/")
        await asyncio.sleep(15)
        yield ws, proxy
        ws.abort()
        await ws.wait_closed()


async def test_the_wall_clock_jumps_a_day(monkeypatch, nothing_left):
    """Forward and back: nothing of ours looks at it."""
    real = time.time
    async with living() as ws:
        for shift in (86_400.0, -86_400.0, 0.0):
            monkeypatch.setattr(time, "time", lambda shift=shift: real() + shift)
            await asyncio.sleep(300)
            assert await ws.ping() >= 0


@pytest.mark.parametrize("seconds", [5, 19, 20, 21, 30, 41, 600])
@pytest.mark.parametrize("moment", [0, 19.9995, 20, 20.0005, 20.0015, 30, 39.9995, 40, 40.05, 40.3])
async def test_the_loop_stalls(moment, seconds, nothing_left):
    """At any moment of the keepalive, and longer than any of its times: the line lives."""
    loop = asyncio.get_running_loop()
    async with living():
        loop.call_later(moment, loop.stall, seconds)
        await asyncio.sleep(moment + seconds + 120)


async def test_the_loop_stalls_again_and_again(nothing_left):
    loop = asyncio.get_running_loop()
    async with living():
        while loop.time() < 3600:
            loop.stall(30)
            await asyncio.sleep(7)


async def test_what_slept_with_the_line_gone_is_probed_first(nothing_left):
    """The machine sleeps, and the line is dead when it wakes: a ping goes out and has its time before the verdict."""
    loop = asyncio.get_running_loop()
    async with proxied() as (ws, proxy):
        proxy.half_open()
        await asyncio.sleep(10)  # a ping has gone out, and was not answered
        loop.stall(3600)
        woke = loop.time()
        pings = ws.stats().pings_sent
        with pytest.raises(trunkline.ConnectionClosedError) as caught:
            await ws.recv()
        assert caught.value.category is trunkline.ErrorCategory.TIMEOUT
        assert ws.stats().pings_sent > pings, "probed"
        assert 20 <= loop.time() - woke <= 41


async def test_a_network_that_wakes_after_the_machine(nothing_left):
    """The ping that was under way is answered a moment after we have woken, long after its deadline."""
    async with proxied() as (ws, proxy):
        proxy.stall()
        await asyncio.sleep(10)
        asyncio.get_running_loop().stall(3600)
        await asyncio.sleep(3)
        proxy.resume()
        await asyncio.sleep(60)
        assert ws.close_info is None
        await ws.close()


async def test_bytes_that_came_while_the_loop_stalled_are_read_first(nothing_left):
    loop = asyncio.get_running_loop()

    async def chatter(peer):
        for number in range(100):
            await peer.send(str(number))
            await asyncio.sleep(1)

    async with ScriptedServer([accept(), chatter], host=HOST) as server:
        ws = await trunkline.connect(server.uri)
        got = [await ws.recv() for _ in range(10)]
        loop.stall(45)
        got += [await ws.recv() for _ in range(90)]
        assert got == [str(number) for number in range(100)]
        ws.abort()
        await ws.wait_closed()
