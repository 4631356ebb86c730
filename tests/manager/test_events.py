"""Event streams: in order, bounded, and gone when nobody reads them."""

import asyncio
import gc
import logging

import pytest

from trunkline.manager.events import Events, StateChange
from trunkline.manager.states import ConnectionStatus

pytestmark = pytest.mark.anyio


def change(generation: int) -> StateChange:
    return StateChange(
        "id", "service", ConnectionStatus.IDLE, ConnectionStatus.CONNECTING, at=0.0, generation=generation
    )


@pytest.fixture
def events() -> Events:
    return Events(logging.getLogger("test"))


async def test_a_slow_reader_loses_the_oldest_and_knows_how_many(events: Events) -> None:
    stream = events.stream(3)
    for number in range(10):
        events.publish(change(number))
    events.end()
    assert [seen.generation async for seen in stream] == [7, 8, 9]
    assert stream.dropped == 7


async def test_readers_do_not_share(events: Events) -> None:
    one, two = events.stream(10), events.stream(10)
    events.publish(change(1))
    assert (await anext(one), await anext(two)) == (change(1), change(1))


async def test_a_waiting_reader_is_woken(events: Events) -> None:
    stream = events.stream(10)
    reader = asyncio.create_task(anext(stream))  # type: ignore[arg-type]
    await asyncio.sleep(0)
    events.publish(change(1))
    assert await reader == change(1)


async def test_a_cancelled_reader_loses_nothing(events: Events) -> None:
    stream = events.stream(10)
    reader = asyncio.create_task(anext(stream))  # type: ignore[arg-type]
    await asyncio.sleep(0)
    events.publish(change(1))
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    assert await anext(stream) == change(1)


async def test_two_readers_of_one_stream_are_a_mistake(events: Events) -> None:
    stream = events.stream(10)
    reader = asyncio.create_task(anext(stream))  # type: ignore[arg-type]
    await asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="another task"):
        await anext(stream)
    events.end()
    with pytest.raises(StopAsyncIteration):
        await reader


async def test_a_stream_that_was_let_go_is_not_filled(events: Events) -> None:
    events.stream(10)
    gc.collect()
    assert len(events._streams) == 0


async def test_a_limit_of_nothing(events: Events) -> None:
    with pytest.raises(ValueError, match="limit is 0, wanted at least 1"):
        events.stream(0)
