"""The watch that every test in this folder keeps on the loop's exception handler: it notices what it should."""

import asyncio
import gc

import pytest

pytestmark = pytest.mark.anyio


class Broken(asyncio.Protocol):
    """A protocol that does what none of ours may do."""

    def data_received(self, data: bytes) -> None:
        raise ZeroDivisionError("a fault of the protocol's")


async def test_a_protocol_that_raises_is_noticed(told_the_loop):
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Broken, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    writer.write(b"x")
    async with asyncio.timeout(20):
        assert await reader.read() == b""
    writer.close()
    server.close()
    assert [type(context["exception"]) for context in told_the_loop] == [ZeroDivisionError]
    told_the_loop.clear()


async def test_a_callback_that_raises_is_noticed(told_the_loop):
    def broken() -> None:
        raise ZeroDivisionError("a fault of the callback's")

    asyncio.get_running_loop().call_soon(broken)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert [type(context["exception"]) for context in told_the_loop] == [ZeroDivisionError]
    told_the_loop.clear()


async def test_pings_that_nobody_waits_for(line, told_the_loop):
    """A program may send pings and forget them. If the peer then goes away, the handler is not called."""
    async with line() as (ws, peer):
        for _ in range(100):  # more than may wait, so that some are given up
            ws.ping_nowait()
        peer.reset()
        await ws.wait_closed()
    gc.collect()
    await asyncio.sleep(0)
    assert told_the_loop == []
