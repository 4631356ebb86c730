"""The registry: one connection a key, found at once, closed together."""

import asyncio
import random
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from trunkline.manager.errors import NotConnected, WaitTimeout
from trunkline.manager.events import StateChange
from trunkline.manager.manager import ConnectionManager
from trunkline.manager.service import Service
from trunkline.manager.states import ConnectionStatus as Status
from trunkline.protocol.errors import ConnectError, HandshakeError

pytestmark = pytest.mark.anyio

REFUSED = ConnectError.wrap(ConnectionRefusedError(111, "refused"), "tcp", "host.example:80")


class Note(msgspec.Struct):
    text: str


feed = Service("feed", "ws://host.example/feed", sends=Note, receives=Note)
chat = Service("chat", "ws://host.example/chat/{room}", sends=Note, receives=Note)


@pytest.fixture
def manager(clock: Any, net: Any) -> ConnectionManager:
    return ConnectionManager([feed, chat], clock=clock, rng=random.Random(1), dial=net)


async def test_the_same_key_gives_the_same_connection(manager: ConnectionManager, net: Any) -> None:
    async with manager:
        lobby = await manager.connect(chat, room="lobby")
        assert await manager.connect(chat, room="lobby") is lobby
        assert await manager.connect(chat, room="attic") is not lobby
        assert [uri for uri, _ in net.dials] == ["ws://host.example/chat/lobby", "ws://host.example/chat/attic"]


async def test_a_hundred_callers_make_one_dial(manager: ConnectionManager, net: Any) -> None:
    async with manager:
        connections = await asyncio.gather(*(manager.connect(feed) for _ in range(100)))
        assert len(set(connections)) == len(net.dials) == 1


async def test_connect_returns_when_the_line_is_up(manager: ConnectionManager, net: Any, clock: Any) -> None:
    net.script = [REFUSED, REFUSED]
    async with manager:
        connecting = asyncio.create_task(manager.connect(feed))
        await clock.advance(0)
        assert not connecting.done()
        await clock.advance(2)
        assert (await connecting).status is Status.CONNECTED
        assert (await connecting).attempts == 2


async def test_connect_need_not_wait(manager: ConnectionManager, net: Any) -> None:
    net.hangs = True
    async with manager:
        assert (await manager.connect(feed, wait=False)).status is Status.CONNECTING


async def test_connect_raises_when_there_is_no_hope(manager: ConnectionManager, net: Any) -> None:
    net.script = [HandshakeError(410)]
    async with manager:
        with pytest.raises(NotConnected, match="feed is failed: the server answered 410") as caught:
            await manager.connect(feed)
        assert isinstance(caught.value.__cause__, HandshakeError)


async def test_a_connection_that_nobody_waits_for_any_more_is_closed(
    manager: ConnectionManager, net: Any, clock: Any, settle: Callable[[], Any]
) -> None:
    before = asyncio.all_tasks()
    net.hangs = True
    first, second = (asyncio.create_task(manager.connect(feed)) for _ in range(2))
    await settle()
    first.cancel()
    await settle()
    assert manager.find(feed) is not None
    second.cancel()
    await settle()
    assert manager.find(feed) is None
    assert asyncio.all_tasks() == before
    assert clock.pending == 0


async def test_a_cancelled_caller_does_not_close_a_line_that_was_up(
    manager: ConnectionManager, net: Any, settle: Callable[[], Any]
) -> None:
    async with manager:
        connection = await manager.connect(feed)
        net.hangs = True
        net.link.lose(1001, "", "remote")
        await settle()
        again = asyncio.create_task(manager.connect(feed))
        await settle()
        again.cancel()
        await settle()
        assert manager.find(feed) is connection


async def test_connect_waits_no_longer_than_it_is_told(
    manager: ConnectionManager, net: Any, clock: Any, settle: Callable[[], Any]
) -> None:
    before = asyncio.all_tasks()
    net.down = {"host.example"}
    connecting = asyncio.create_task(manager.connect(feed, timeout=60))
    await clock.advance(59.9)
    assert not connecting.done()
    await clock.advance(0.2)
    with pytest.raises(WaitTimeout, match=r"still after 60 s \(timeout\)") as caught:
        await connecting
    assert isinstance(caught.value.__cause__, ConnectError)
    await settle()
    assert manager.find(feed) is None, "nobody else uses it"
    assert asyncio.all_tasks() == before
    assert clock.pending == 0


async def test_a_timeout_gives_the_lease_back_and_leaves_a_line_that_others_use(
    manager: ConnectionManager, net: Any, clock: Any
) -> None:
    net.hangs = True
    async with manager:
        mine = await manager.connect(feed, wait=False)
        assert mine.leases == 1
        connecting = asyncio.create_task(manager.connect(feed, timeout=5))
        await clock.advance(5)
        with pytest.raises(WaitTimeout):
            await connecting
        assert manager.find(feed) is mine
        assert (mine.leases, mine.status) == (1, Status.CONNECTING)


async def test_a_timeout_leaves_a_line_that_has_been_up(manager: ConnectionManager, net: Any, clock: Any) -> None:
    async with manager:
        connection = await manager.connect(feed)
        connection.release()
        net.hangs = True
        net.link.lose(1001, "", "remote")
        await clock.advance(2)
        connecting = asyncio.create_task(manager.connect(feed, timeout=5))
        await clock.advance(5)
        with pytest.raises(WaitTimeout):
            await connecting
        assert manager.find(feed) is connection
        assert (connection.leases, connection.status) == (0, Status.CONNECTING)


async def test_a_timeout_leaves_what_waits_to_be_sent(manager: ConnectionManager, net: Any, clock: Any) -> None:
    net.hangs = True
    async with manager:
        connecting = asyncio.create_task(manager.connect(feed, timeout=5))
        await clock.advance(0)
        connection = manager.find(feed)
        assert connection is not None
        connection.send_nowait(Note("later"))
        await clock.advance(5)
        with pytest.raises(WaitTimeout):
            await connecting
        assert manager.find(feed) is connection


async def test_a_lease_waits_no_longer_than_it_is_told(manager: ConnectionManager, net: Any, clock: Any) -> None:
    async def use() -> None:
        async with manager.lease(feed, timeout=5):
            raise AssertionError("there is no link")

    net.hangs = True
    async with manager:
        using = asyncio.create_task(use())
        await clock.advance(5)
        with pytest.raises(WaitTimeout):
            await using
        await clock.advance(0)
        assert manager.find(feed) is None


@pytest.mark.parametrize("timeout", [-1, float("nan")])
async def test_a_timeout_that_cannot_be(manager: ConnectionManager, timeout: float) -> None:
    async with manager:
        with pytest.raises(ValueError, match=r"timeout is .*, wanted 0 or more, or None for no limit"):
            await manager.connect(feed, timeout=timeout)
        assert manager.find(feed) is None


async def test_get_and_find(manager: ConnectionManager) -> None:
    async with manager:
        assert manager.find(chat) is None
        lobby = await manager.connect(chat, room="lobby")
        attic = await manager.connect(chat, room="attic")
        assert manager.get(lobby.id) is lobby
        assert manager.get("nobody") is None
        assert manager.find(chat) is lobby
        assert manager.find(chat, room="attic") is attic
        assert manager.find(chat, room="cellar") is None
        await lobby.close()
        assert manager.find(chat) is attic
        with pytest.raises(TypeError, match="takes room"):
            manager.find(chat, rooms="attic")


async def test_finding_takes_no_longer_among_many(manager: ConnectionManager) -> None:
    async with manager:
        for room in range(200):
            await manager.connect(chat, room=room, wait=False)
        compared = 0

        class Key(str):
            def __eq__(self, other: object) -> bool:
                nonlocal compared
                compared += 1
                return str.__eq__(self, other)

            __hash__ = str.__hash__

        assert manager.get(Key("chat?room=150")) is not None
        assert compared <= 5


async def test_a_closed_connection_is_replaced(manager: ConnectionManager, net: Any, settle: Callable[[], Any]) -> None:
    async with manager:
        old = await manager.connect(feed)
        net.link.answers_close = False
        closing = asyncio.create_task(old.close())
        await settle()
        new = await manager.connect(feed)
        assert new is not old
        closing.cancel()
        await settle()
        assert manager.find(feed) is new


async def test_strangers_are_refused(manager: ConnectionManager) -> None:
    twin = Service("feed", "ws://elsewhere.example/", sends=Note, receives=Note)
    with pytest.raises(ValueError, match="two services have the name 'feed'"):
        ConnectionManager([feed, twin])
    async with manager:
        with pytest.raises(ValueError, match="does not have the service 'feed'"):
            await manager.connect(twin)
        with pytest.raises(ValueError, match="does not have the service"):
            manager.find(twin)


async def test_leaving_closes_everything_at_once(manager: ConnectionManager, net: Any, clock: Any) -> None:
    before = asyncio.all_tasks()
    async with manager:
        for room in "abc":
            await manager.connect(chat, room=room)
        net.hangs = True
        await manager.connect(feed, wait=False)
    assert [link.closed_with for link in net.links] == [(1000, "")] * 3
    assert manager.health() == []
    assert asyncio.all_tasks() == before
    assert clock.pending == 0
    with pytest.raises(RuntimeError, match="the manager is closed"):
        await manager.connect(feed)


async def test_a_cancelled_close_still_leaves_nothing(
    manager: ConnectionManager, net: Any, settle: Callable[[], Any]
) -> None:
    before = asyncio.all_tasks()
    for room in "abc":
        await manager.connect(chat, room=room)
        net.link.answers_close = False
    closing = asyncio.create_task(manager.close())
    await settle()
    closing.cancel()
    await settle()
    assert closing.cancelled()
    assert all(link.aborted for link in net.links)
    assert asyncio.all_tasks() == before


async def test_events_tell_every_change_and_end_with_the_manager(manager: ConnectionManager, net: Any) -> None:
    async with manager:
        events = manager.events()
        await manager.connect(feed)
    told = [f"{change.connection_id}: {change.before} to {change.after}" async for change in events]
    assert told == [
        "feed: idle to connecting",
        "feed: connecting to connected",
        "feed: connected to closing",
        "feed: closing to closed",
    ]
    assert [change async for change in manager.events()] == []


async def test_health_lists_every_connection(manager: ConnectionManager) -> None:
    async with manager:
        await manager.connect(feed)
        await manager.connect(chat, room="lobby")
        assert [health.connection_id for health in manager.health()] == ["feed", "chat?room=lobby"]


async def test_subscribers(manager: ConnectionManager, caplog: pytest.LogCaptureFixture) -> None:
    told: list[StateChange] = []

    def fail(change: StateChange) -> None:
        raise KeyError("a listener's fault")

    manager.subscribe(fail)
    unsubscribe = manager.subscribe(told.append)
    async with manager:
        await manager.connect(feed)
        assert [change.after for change in told] == ["connecting", "connected"]
        assert "a listener's fault" in caplog.text
        unsubscribe()
        unsubscribe()
    assert len(told) == 2
