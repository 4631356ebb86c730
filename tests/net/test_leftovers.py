"""What a connection that has ended leaves behind: nothing, whatever was still scheduled for it."""

import asyncio
import gc
import weakref

import pytest

import trunkline
from trunkline.net.loops import state_of
from trunkline.net.timers import Timers
from turns import settle, until

pytestmark = pytest.mark.anyio


def waiting(timers: Timers) -> int:
    """How many items are waiting."""
    count = 0
    for queue in timers._queues.values():
        item = queue.behind
        while item is not queue:
            count, item = count + 1, item.behind
    return count


@pytest.mark.parametrize("way", ["close", "abort", "lost"])
async def test_a_keepalive_is_forgotten_at_close(pair, way):
    timers = state_of(asyncio.get_running_loop()).timers
    options = {"ping_interval": 3600, "ping_timeout": 3600}
    async with pair(client=options, server=options) as (here, there):
        assert waiting(timers) == 2
        if way == "close":
            await here.close()
        elif way == "abort":
            here.abort()
        else:
            here.transport.abort()
        await asyncio.gather(here.wait_closed(), there.wait_closed())
        assert waiting(timers) == 0


@pytest.mark.parametrize("options", [{}, {"compression": "deflate"}, {"max_control_rate": 1}], ids=str)
async def test_nothing_keeps_a_connection_that_has_ended(options):
    """No timer of an hour keeps it, no queue, and no set of the server."""
    seen = []

    async def handle(ws):
        seen.append(weakref.ref(ws))
        async for message in ws:
            await ws.send(message)

    long = {"ping_interval": 3600, "close_timeout": 3600, "open_timeout": 3600, **options}
    async with asyncio.timeout(20), trunkline.serve(handle, "127.0.0.1", 0, **long) as server:
        async with trunkline.connect(f"ws://127.0.0.1:{server.port}/", proxy=None, **long) as ws:
            seen.append(weakref.ref(ws))
            pings = [ws.ping_nowait() for _ in range(5)]
            await ws.send("x")
            assert await ws.recv() == "x"
            await asyncio.gather(*pings)
        del ws, pings
        await until(lambda: not server.connections and not server._handlers)
        await settle()
        gc.collect()
        assert [ref() for ref in seen] == [None, None]
        assert (len(server._pending), len(server._leaving)) == (0, 0)
