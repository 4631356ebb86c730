"""Waiting for messages: with all that asyncio offers, by one task at a time, and without losing any when cancelled."""

import asyncio
import types
from collections.abc import Coroutine, Generator
from typing import Any

import pytest

import trunkline
from rawpeer import TEXT
from trunkline import ConnectionClosedOK, LocalProtocolError
from turns import settle, until

pytestmark = pytest.mark.anyio


WAYS = {
    "recv": lambda ws: ws.recv(),
    "iteration": lambda ws: anext(ws),
    "batches": lambda ws: first_of(ws.batches()),
}


async def first_of(batches: Any) -> Any:
    (message,) = await anext(batches)
    return message


@pytest.fixture(params=WAYS.values(), ids=WAYS.keys())
def take(request):
    """A way to take one message."""
    return request.param


async def waiting(awaitable: Any) -> asyncio.Task[Any]:
    """A task that has begun to wait."""

    async def wait() -> Any:
        return await awaitable

    task = asyncio.create_task(wait())
    await settle(3)
    assert not task.done()
    return task


# The ways to wait


async def test_recv_in_a_task_a_timeout_and_a_gather(pair):
    async with pair() as (client, server):
        tasks = [asyncio.create_task(client.recv()), asyncio.ensure_future(server.recv())]
        await settle(3)
        client.send_nowait("to the server")
        server.send_nowait("to the client")
        assert await asyncio.gather(*tasks) == ["to the client", "to the server"]

        client.send_nowait("1")
        assert await asyncio.wait_for(server.recv(), 10) == "1"
        client.send_nowait("2")
        async with asyncio.timeout(10):
            assert await server.recv() == "2"
        server.send_nowait("4")
        client.send_nowait("3")
        assert await asyncio.gather(server.recv(), client.recv()) == ["3", "4"]
        client.send_nowait("5")
        async with asyncio.TaskGroup() as group:
            task = group.create_task(server.recv())
        assert task.result() == "5"


async def test_a_timeout_that_passes_takes_nothing(line):
    async with line() as (ws, peer):
        for _ in range(3):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(ws.recv(), 0.001)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.001):
                    await ws.recv()
        peer.send(TEXT, b"whole")
        assert await ws.recv() == "whole"


async def test_a_message_that_is_there_takes_no_turn(line):
    async with line() as (ws, peer):
        peer.writer.write(peer.encode(TEXT, b"1") + peer.encode(TEXT, b"2"))
        await until(lambda: ws.stats().messages_received == 2)
        turns = []
        asyncio.get_running_loop().call_soon(turns.append, 1)
        assert [await ws.recv(), await anext(ws)] == ["1", "2"]
        assert turns == []


async def test_sends_in_tasks_and_gathers(line):
    async with line() as (ws, peer):
        await asyncio.create_task(ws.send("1"))
        await asyncio.gather(ws.send("2"), ws.send(bytearray(b"3")), ws.send(["4"]))
        await asyncio.wait_for(ws.send("5"), 10)
        payloads = [frame.payload for frame in await peer.frames(6)]
        assert sorted(payloads) == [b"", b"1", b"2", b"3", b"4", b"5"]


# One task at a time


async def test_a_second_task_that_waits_is_refused(line, take):
    async with line() as (ws, peer):
        first = await waiting(take(ws))
        for second in WAYS.values():
            with pytest.raises(LocalProtocolError, match="another task is already waiting"):
                await second(ws)
        peer.send(TEXT, b"for the first")
        assert await first == "for the first"


async def test_the_next_may_wait_once_the_first_has_gone(line, take):
    async with line() as (ws, peer):
        first = await waiting(take(ws))
        first.cancel()
        await asyncio.wait([first])
        second = await waiting(take(ws))
        peer.send(TEXT, b"for the second")
        assert await second == "for the second"


async def test_an_end_wakes_the_task_that_waits(line, take):
    async with line() as (ws, peer):
        first = await waiting(take(ws))
        peer.send_close(1000)
        ending = StopAsyncIteration if take is not WAYS["recv"] else ConnectionClosedOK
        (outcome,) = await asyncio.gather(first, return_exceptions=True)
        # A coroutine cannot raise StopAsyncIteration: Python says so with a RuntimeError.
        assert isinstance(outcome.__cause__ if isinstance(outcome, RuntimeError) else outcome, ending)


async def test_a_connection_with_a_listener_gives_no_messages_to_tasks(line):
    async with line(listener=trunkline.Listener()) as (ws, _):
        for ask in (ws.recv, ws.__anext__, ws.batches):
            with pytest.raises(LocalProtocolError, match="go to its listener, not to recv"):
                ask()


# Nothing is lost


@types.coroutine
def meddled(inner: Coroutine[Any, Any, Any], meddle: Any) -> Generator[Any, Any, Any]:
    """Run `inner`, and call `meddle(future)` for each future that it waits for, before its task sees it."""
    sent = None
    while True:
        try:
            future = inner.send(sent)
        except StopIteration as end:
            return end.value
        meddle(future)
        try:
            sent = yield future
        except BaseException as error:
            inner.throw(error)
            raise AssertionError("the error was swallowed") from error


async def test_a_recv_that_is_cancelled_before_it_begins(line, take):
    async with line() as (ws, peer):
        task = asyncio.ensure_future(ws.recv())
        task.cancel()
        await asyncio.wait([task])
        peer.send(TEXT, b"kept")
        assert await take(ws) == "kept"


async def test_a_recv_that_is_cancelled_while_it_waits(line, take):
    async with line() as (ws, peer):
        task = await waiting(take(ws))
        task.cancel()
        peer.send(TEXT, b"kept")
        await asyncio.wait([task])
        assert task.cancelled()
        assert await take(ws) == "kept"


async def test_a_recv_that_is_cancelled_when_its_message_has_come(line, take):
    """The message is in the inbox and the task has been woken, but has not run yet: the latest possible moment."""
    async with line() as (ws, peer):

        async def receive() -> Any:
            return await meddled(ws.recv(), lambda future: future.add_done_callback(lambda _: task.cancel()))

        task = asyncio.create_task(receive())
        await settle(3)
        peer.send(TEXT, b"kept")
        await asyncio.wait([task])
        assert task.cancelled()
        assert await take(ws) == "kept"


async def test_a_message_taken_by_another_first_leaves_the_first_waiting(line):
    """Between the moment that wakes a task and the moment it runs, somebody else may take the message."""
    async with line() as (ws, peer):
        taken = []

        def snatch(_: object) -> None:
            if not taken:
                with pytest.raises(StopIteration) as end:
                    ws.recv().send(None)
                taken.append(end.value.value)

        async def receive() -> Any:
            return await meddled(ws.recv(), lambda future: future.add_done_callback(snatch))

        task = await waiting(receive())
        peer.send(TEXT, b"1")
        await until(lambda: taken)
        await settle()
        assert not task.done()
        peer.send(TEXT, b"2")
        assert [*taken, await task] == ["1", "2"]


async def test_nothing_is_lost_or_doubled_among_many_cancelled_recvs(pair):
    async with pair(server={"max_queue": 4}) as (client, server):
        taken: list[int] = []

        async def receive() -> None:
            while True:
                taken.append(int(await server.recv()))

        for index in range(300):
            task = asyncio.create_task(receive())
            await client.send(str(index))
            for _ in range(index % 7):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
        await client.close()
        taken += [int(message) async for message in server]
        assert taken == list(range(300))
