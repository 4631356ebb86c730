"""First come, first served: what many tasks send goes out in the order in which they called `send`."""

import asyncio
import itertools
from collections.abc import Callable
from typing import Any

import pytest

import trunkline
from trunkline.manager.codecs import RawCodec
from trunkline.manager.policies import OutboxPolicy
from trunkline.manager.service import Service
from turns import until

pytestmark = pytest.mark.anyio


async def run(line: Any, connection: Any, tasks: int, rounds: int, sizes: tuple[int, ...]) -> list[int]:
    """What the peer sees of `tasks` tasks that each send `rounds` numbered messages, which begin on a paused line."""
    numbers = itertools.count()

    async def send() -> None:
        for _ in range(rounds):
            number = next(numbers)
            await connection.send(line.note(f"{number:06}" + "x" * sizes[number % len(sizes)]))

    line.manager.pause(line.service)
    await line.clock.advance(1)
    senders = [asyncio.create_task(send()) for _ in range(tasks)]
    await line.clock.advance(0)
    line.manager.resume(line.service)
    await line.clock.advance(1)
    for _ in range(200):
        await line.clock.advance(0)
    await asyncio.gather(*senders)
    return [int(payload[9:15]) for payload in line.net.link.sent]


@pytest.mark.parametrize(("tasks", "bound"), [(2, 1), (3, 1), (5, 2), (7, 2), (20, 5), (300, 100), (1100, 1024)])
@pytest.mark.parametrize("rounds", [1, 3])
async def test_many_senders(make_line: Callable[..., Any], tasks: int, bound: int, rounds: int) -> None:
    line = make_line(outbox=OutboxPolicy(max_messages=bound))
    connection = await line.start()
    sent = await run(line, connection, tasks, rounds, (1,))
    assert sent == list(range(tasks * rounds))


@pytest.mark.parametrize("sizes", [(10, 900), (300, 10, 900, 10), (900, 10)])
async def test_senders_of_different_sizes(make_line: Callable[..., Any], sizes: tuple[int, ...]) -> None:
    """A small message does not slip through where a large one waits for more room."""
    line = make_line(outbox=OutboxPolicy(max_bytes=1000))
    connection = await line.start()
    sent = await run(line, connection, 30, 3, sizes)
    assert sent == list(range(90))


async def test_nobody_overtakes_a_sender_that_has_been_let_in(make_line: Callable[..., Any]) -> None:
    """Between the moment that there is room and the turn of whoever waited for it, nothing else goes out."""
    line = make_line(outbox=OutboxPolicy(max_messages=1))
    connection = await line.start()
    line.net.link.set_writable(False)
    senders = [asyncio.create_task(connection.send(line.note(name))) for name in "abc"]
    await line.clock.advance(0)
    line.net.link.set_writable(True)
    for _ in range(10):
        senders.append(asyncio.create_task(connection.send(line.note("late"))))
        await asyncio.sleep(0)
    await line.clock.advance(1)
    await asyncio.gather(*senders)
    assert [payload[9:-2] for payload in line.net.link.sent] == ["a", "b", "c"] + ["late"] * 10


async def test_a_sender_that_leaves_lets_the_next_one_in(make_line: Callable[..., Any]) -> None:
    line = make_line(outbox=OutboxPolicy(max_bytes=100))
    connection = await line.start()
    line.net.link.set_writable(False)
    texts = ["a", "b" * 95, "c", "d"]  # what b lacks in room, c has
    senders = [asyncio.create_task(connection.send(line.note(text))) for text in texts]
    await line.clock.advance(0)
    assert connection.health().queue_depth == 1
    senders[1].cancel()
    await line.clock.advance(0)
    assert connection.health().queue_depth == 3
    line.net.link.set_writable(True)
    await line.clock.advance(0)
    await asyncio.gather(senders[0], *senders[2:])
    assert [payload[9:-2] for payload in line.net.link.sent] == ["a", "c", "d"]


async def test_over_a_real_line() -> None:
    got: list[int] = []

    async def take(ws: trunkline.WebSocket) -> None:
        got.extend([int(bytes(message).rstrip(b"x")) async for message in ws])

    async with trunkline.serve(take, "127.0.0.1", 0) as server:
        service = Service(
            "s",
            f"ws://127.0.0.1:{server.port}/",
            sends=bytes,
            receives=bytes,
            codec=RawCodec,
            outbox=OutboxPolicy(max_messages=20, max_bytes=2000),
        )
        async with trunkline.ConnectionManager([service]) as manager:
            connection = await manager.connect(service)
            manager.pause(service)
            await until(lambda: connection.websocket is None)
            numbers = itertools.count()

            async def send() -> None:
                for _ in range(3):
                    number = next(numbers)
                    await connection.send(b"%d" % number + b"x" * (number * 37 % 500))

            async with asyncio.TaskGroup() as group:
                for _ in range(300):
                    group.create_task(send())
                await asyncio.sleep(0)
                manager.resume(service)
            assert await connection.drain(10)
        await until(lambda: len(got) == 900)
    assert got == list(range(900))
