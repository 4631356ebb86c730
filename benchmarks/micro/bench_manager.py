"""Send over a managed connection, on loopback. Both ends are in this process, and the CPU time of both counts."""

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack

import msgspec
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

import trunkline

MESSAGES = 100  # in one turn of the loop


class Tick(msgspec.Struct):
    """A message."""

    symbol: str
    price: float
    number: int


class Count(trunkline.Listener):
    """A listener that counts messages and reports when all have come."""

    def __init__(self) -> None:
        self.left = 0
        self.all = asyncio.Event()

    def on_batch(self, ws: trunkline.WebSocket, messages: list[str | bytes]) -> None:
        self.left -= len(messages)
        if not self.left:
            self.all.set()


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    with asyncio.Runner() as runner:
        yield runner.get_loop()


def test_manager_send(benchmark: BenchmarkFixture, loop: asyncio.AbstractEventLoop) -> None:
    stack = AsyncExitStack()

    async def open_connection() -> tuple[trunkline.Connection, Count]:
        count = Count()
        server = await stack.enter_async_context(trunkline.serve(listener=lambda: count, host="127.0.0.1", port=0))
        service = trunkline.Service("ticks", f"ws://127.0.0.1:{server.port}/", sends=Tick, receives=str)
        manager = await stack.enter_async_context(trunkline.ConnectionManager([service]))
        return await manager.connect(service), count

    connection, count = loop.run_until_complete(open_connection())
    tick = Tick("EURUSD", 1.0812, 7)

    async def send() -> None:
        count.left += MESSAGES
        count.all.clear()
        for _ in range(MESSAGES):
            await connection.send(tick)
        await count.all.wait()

    benchmark(lambda: loop.run_until_complete(send()))
    assert count.left == 0
    loop.run_until_complete(stack.aclose())
