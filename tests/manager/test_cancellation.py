"""Cancellation at every wait of what the manager offers: no task, timer, socket, lease or queue entry is left of it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from wsproto.connection import ConnectionState

import trunkline
from cancelling import cancel_everywhere, nothing_left
from handlers import echo
from turns import until

pytestmark = pytest.mark.anyio


class Bench:
    """A manager with one service to an echo server, which can be cut off."""

    def __init__(self, server: Any, **options: Any) -> None:
        self.server = server
        retry = trunkline.manager.RetryPolicy(base=0.001, cap=0.002, reset_after=0.0)
        outbox = trunkline.manager.OutboxPolicy(confirm=0.01)
        options = {"correlate": ("id", "id"), "retry": retry, "outbox": outbox, **options}
        self.service: Any = trunkline.Service(
            "echo", f"ws://127.0.0.1:{server.port}/", sends=dict, receives=dict, **options
        )
        gate, budget = trunkline.manager.GatePolicy(per_second=100_000), trunkline.manager.RetryBudget(100_000)
        self.manager = trunkline.ConnectionManager([self.service], gate=gate, budget=budget)

    async def start(self) -> Any:
        """A whole line."""
        line = await self.manager.connect(self.service)
        await until(lambda: self.is_whole(line))
        return line

    def is_whole(self, line: Any) -> bool:
        """Whether the line has a link, and the server has the other end of it and nothing else."""
        ends = [ws.remote_address for ws in self.server.connections if ws.state is ConnectionState.OPEN]
        return line.websocket is not None and ends == [line.websocket.local_address]

    def cut(self, line: Any) -> None:
        """Aborts the server's end of a whole link. One that only the server takes for open, as the answer to the
        handshake is on its way, would be cut after the line has begun to use it: another test than is meant here.
        """
        assert self.is_whole(line)
        for ws in tuple(self.server.connections):
            ws.abort()

    def check_idle(self, line: Any) -> None:
        """Nothing of an operation is left on the line, but for what it was before."""
        assert (line.pending, line.leases, line.health().queue_depth) == (0, 1, 0)


@contextlib.asynccontextmanager
async def bench(**options: Any) -> AsyncIterator[Bench]:
    async with nothing_left(), trunkline.serve(echo, "127.0.0.1", 0) as server:
        it = Bench(server, **options)
        async with it.manager:
            yield it


async def test_connect(late: bool) -> None:
    async with bench() as it:

        async def act() -> None:
            line = await it.manager.connect(it.service)
            await line.close()

        async def after() -> None:
            for line in it.manager.connections():  # it was up before its caller was cancelled, so it stays, unleased
                assert line.leases == 0
                await line.close()
            await until(lambda: not it.manager.connections() and not it.server.connections)

        assert await cancel_everywhere(act, late=late, after=after) >= 2


async def send(manager: Any, line: Any) -> None:
    await line.send({"id": 1}, confirm=True)
    await anext(line)


async def ask(manager: Any, line: Any) -> None:
    await line.request({"id": None})


async def ask_twice(manager: Any, line: Any) -> None:
    await asyncio.gather(line.request({"id": None}), line.request({"id": None}, idempotent=True))


async def wait_connected(manager: Any, line: Any) -> None:
    await line.wait_connected(timeout=5)


async def lease(manager: Any, line: Any) -> None:
    async with manager.lease(line.service) as leased:
        assert line.leases == 2
        await leased.request({"id": None})


@pytest.mark.parametrize("operation", [send, ask, ask_twice, wait_connected, lease])
async def test_on_a_line_that_is_down_at_first(late: bool, operation: Callable[[Any, Any], Awaitable[None]]) -> None:
    """The queue, the waits for the link, the pong and the reply, and the lease."""
    async with bench() as it:
        line = await it.start()

        async def act() -> None:
            it.cut(line)
            await until(lambda: line.websocket is None)
            await operation(it.manager, line)

        async def after() -> None:
            if operation is lease:  # at once
                it.check_idle(line)
            await until(lambda: it.is_whole(line))
            await until(lambda: line.pending == 0 and line.health().unconfirmed == 0)
            it.check_idle(line)

        assert await cancel_everywhere(act, late=late, after=after) >= 2


async def test_a_send_that_waits_for_room(late: bool) -> None:
    """The line is paused, so the outbox stays full: whoever waits leaves no turn taken and no message behind."""
    policy = trunkline.manager.OutboxPolicy(max_messages=1, confirm=0.01)
    async with bench(outbox=policy) as it:
        line = await it.manager.connect(it.service)
        it.manager.pause(it.service)
        await until(lambda: line.websocket is None)
        first = line.send_nowait({"id": "first"})

        async def act() -> None:
            await line.send({"id": "second"}, timeout=0.01)

        for _ in range(3):
            task = asyncio.create_task(act())
            await asyncio.sleep(0)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            assert line.pending == 1
        with pytest.raises(trunkline.WaitTimeout):
            await act()
        it.manager.resume(it.service)
        await first.wait_confirmed()
        assert await anext(line) == {"id": "first"}
        it.check_idle(line)


async def test_a_pool(late: bool) -> None:
    async with bench(pool=trunkline.manager.PoolPolicy(size=2)) as it:
        pool = it.manager.pool(it.service)

        async def act() -> None:
            async with pool.lease() as line:
                await line.request({"id": None})
            await pool.request({"id": None})

        async def after() -> None:
            await until(lambda: all(not member.pending and not member.leases for member in pool.members))

        assert await cancel_everywhere(act, late=late, after=after) >= 2


async def test_events(late: bool) -> None:
    async with bench() as it:
        line = await it.start()

        async def act() -> None:
            events = it.manager.events()
            it.cut(line)
            async for change in events:
                if change.after == "connected":
                    break

        async def after() -> None:
            await until(lambda: it.is_whole(line))

        assert await cancel_everywhere(act, late=late, after=after) >= 1


@pytest.mark.parametrize("drain", [0.0, 5.0])
async def test_closing_the_manager(late: bool, drain: float) -> None:
    async with nothing_left(), trunkline.serve(echo, "127.0.0.1", 0) as server:
        made: list[Bench] = []

        async def act() -> None:
            it = Bench(server)
            made.append(it)
            line = await it.manager.connect(it.service)
            line.send_nowait({"id": 1})
            await it.manager.close(drain=drain)

        async def after() -> None:
            it = made.pop()
            if not it.manager._closed:  # it was cancelled before it came to close
                await it.manager.close()
            await until(lambda: not server.connections)

        assert await cancel_everywhere(act, late=late, after=after) >= 2
