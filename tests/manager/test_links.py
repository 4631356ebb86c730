"""Messages for one link only, and messages that tell which link they came over."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

import trunkline
from trunkline.manager.delivery import Delivery
from trunkline.manager.errors import MessageDropped
from trunkline.manager.failure.retry import RetryPolicy
from trunkline.manager.policies import BatchPolicy, OutboxPolicy
from trunkline.manager.service import Service

pytestmark = pytest.mark.anyio

QUICK = RetryPolicy(base=0.1, cap=0.1)


def text(note: str) -> str:
    return f'{{"text":"{note}"}}'


@pytest.fixture
def told() -> list[Delivery[Any]]:
    """What was reported as undelivered."""
    return []


async def test_a_message_for_this_link_goes_out_on_it(make_line: Callable[..., Any], told: list[Any]) -> None:
    line = make_line(on_undelivered=told.append)
    connection = await line.start()
    await connection.send(line.note("a"), generation=1)
    connection.send_nowait(line.note("b"), generation=connection.generation)
    assert line.net.link.sent == [text("a"), text("b")]
    assert told == []


@pytest.mark.parametrize("generation", [0, 1, 3])
async def test_a_message_for_another_link_is_dropped(
    make_line: Callable[..., Any], told: list[Any], generation: int
) -> None:
    line = make_line(retry=QUICK, on_undelivered=told.append)
    connection = await line.start()
    line.net.link.lose()
    await line.clock.advance(1)
    assert connection.generation == 2
    with pytest.raises(MessageDropped, match="for one link only, and that link is gone"):
        await connection.send(line.note("a"), generation=generation)
    delivery = connection.send_nowait(line.note("b"), generation=generation)
    assert [one.outcome for one in told] == ["stale", "stale"]
    assert told[1] is delivery
    assert connection.health().dropped == 2
    assert line.net.link.sent == []


@pytest.mark.parametrize("batch", [None, BatchPolicy(max_delay=1.0)])
async def test_what_waits_for_a_link_goes_with_it(
    make_line: Callable[..., Any], told: list[Any], batch: BatchPolicy | None
) -> None:
    """In the outbox, in a batch, and for room; what is for any link goes over the next."""
    line = make_line(retry=QUICK, on_undelivered=told.append, outbox=OutboxPolicy(max_messages=2), batch=batch)
    connection = await line.start()
    line.net.link.set_writable(False)
    mine = connection.send_nowait(line.note("mine"), generation=1)
    anybody = connection.send_nowait(line.note("anybody's"))
    waiting = asyncio.create_task(connection.send(line.note("no room"), generation=1))
    later = asyncio.create_task(connection.send(line.note("later")))
    await line.clock.advance(0)
    line.net.link.lose()
    await line.clock.advance(2)
    assert mine.outcome == "stale"
    assert waiting.done()
    with pytest.raises(MessageDropped):
        await waiting
    await later
    assert line.net.link.sent == [text("anybody's"), text("later")]
    assert anybody.outcome == "confirmed"


async def test_a_link_that_is_greeted_has_its_generation(make_line: Callable[..., Any]) -> None:
    """What is sent for it meanwhile goes out behind the greeting."""
    greeted = asyncio.Event()

    async def greet(session: Any) -> None:
        generations.append(session.generation)
        await greeted.wait()
        await session.send(line.note("hello"))

    generations: list[int] = []
    line = make_line(on_connected=greet)
    connection = await line.start()
    sending = asyncio.create_task(connection.send(line.note("a"), generation=generations[0]))
    await line.clock.advance(1)
    assert not sending.done()
    greeted.set()
    await line.clock.advance(0)
    await sending
    assert line.net.link.sent == [text("hello"), text("a")]


async def test_each_message_tells_its_link(make_line: Callable[..., Any]) -> None:
    line = make_line(retry=QUICK)
    connection = await line.start()
    line.net.link.deliver(text("a"), text("b"))
    line.net.link.lose()
    await line.clock.advance(1)
    line.net.link.deliver(text("c"))
    await line.clock.advance(0)
    received = connection.received()
    assert [(one.message.text, one.generation) for one in [await anext(received) for _ in range(2)]] == [
        ("a", 1),
        ("b", 1),
    ]
    assert (await anext(connection)).text == "c"
    line.net.link.deliver(text("d"))
    await line.clock.advance(0)
    await connection.close()
    assert [(one.message.text, one.generation) async for one in received] == [("d", 2)]


class Topics:
    """What a program subscribes to: by the hook on a new link, by itself on the one that there is."""

    def __init__(self) -> None:
        self.wanted: list[str] = []
        self.generation = 0

    async def greet(self, session: Any) -> None:
        self.generation = session.generation
        for topic in tuple(self.wanted):
            await session.send(topic)

    def add(self, connection: Any) -> None:
        topic = str(len(self.wanted))
        self.wanted.append(topic)
        connection.send_nowait(topic, generation=self.generation)

    async def add_while_cut(self, connection: Any, server: trunkline.Server) -> None:
        """Add one in each turn, and cut the line after some, until there is another link."""
        links = connection.generation
        while connection.generation == links:
            self.add(connection)
            if len(self.wanted) % 7 == 0:
                for ws in tuple(server.connections):
                    ws.abort()
            await asyncio.sleep(0)


async def test_a_subscription_goes_out_once_a_link_whenever_it_is_made() -> None:
    """No link gets a topic twice, and the last one has all."""

    async def take(ws: trunkline.WebSocket) -> None:
        mine: list[str] = []
        got.append(mine)
        async for topic in ws:
            mine.append(str(topic))  # noqa: PERF401  # what came is there when the link is cut

    got: list[list[str]] = []
    topics = Topics()
    async with trunkline.serve(take, "127.0.0.1", 0) as server:
        service = Service(
            "topics",
            f"ws://127.0.0.1:{server.port}/",
            sends=str,
            receives=str,
            codec=trunkline.manager.RawCodec,
            retry=RetryPolicy(base=0.001, cap=0.001),
            outbox=OutboxPolicy(when_full="drop_oldest", max_messages=10_000),
            on_connected=topics.greet,
        )
        async with trunkline.ConnectionManager([service], budget=trunkline.manager.RetryBudget(10_000)) as manager:
            connection = await manager.connect(service)
            for _ in range(5):
                await topics.add_while_cut(connection, server)
            while not await is_taken(connection):
                pass
    assert all(len(mine) == len(set(mine)) for mine in got)
    assert [topic for topic in sorted(got[-1], key=int) if topic != "-1"] == topics.wanted


async def is_taken(connection: Any) -> bool:
    """Whether the link that there is has taken a last message; it may be cut yet."""
    try:
        await connection.send("-1", confirm=True)
    except trunkline.SendInterrupted:
        return False
    return True
