"""How a line goes on, or ends, whatever comes at whatever moment: while it is greeted, while it is closed."""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Any

import pytest

from trunkline.manager.delivery import Delivery
from trunkline.manager.errors import NotConnected
from trunkline.manager.failure.retry import RetryPolicy
from trunkline.manager.guard import Guard
from trunkline.manager.health import Meter
from trunkline.manager.outgoing.unconfirmed import Unconfirmed
from trunkline.manager.policies import OutboxPolicy
from trunkline.manager.states import ConnectionStatus as Status

pytestmark = pytest.mark.anyio

QUICK = RetryPolicy(base=0.1, cap=0.1)


async def wait_long(session: Any) -> None:
    """A hook that has something to wait for, on every link but the first."""
    if not session.is_first:
        await asyncio.get_running_loop().create_future()


# While the link is greeted


async def test_a_link_lost_while_it_is_greeted_after_a_busier_one(make_line: Callable[..., Any]) -> None:
    line = make_line(retry=QUICK, on_connected=wait_long)
    connection = await line.start()
    line.net.link.traffic = (1000, 1000)
    line.net.link.lose()
    await line.clock.advance(1)
    assert connection.status is Status.CONNECTING
    line.net.link.traffic = (10, 10)
    line.net.link.lose()
    await line.clock.advance(1)
    assert len(line.net.links) == 3
    assert connection.status is Status.CONNECTING  # the third is greeted
    assert connection.health().bytes_received == 1010
    await line.manager.close()
    assert [link.aborted for link in line.net.links] == [True] * 3


async def test_closing_drops_a_link_that_is_greeted(make_line: Callable[..., Any]) -> None:
    line = make_line(retry=QUICK, on_connected=wait_long)
    connection = await line.start()
    line.net.link.traffic = (1000, 1000)
    line.net.link.lose()
    await line.clock.advance(1)
    await connection.close()
    assert [link.aborted for link in line.net.links] == [True] * 2
    assert connection.status is Status.CLOSED


async def test_the_peer_ends_the_connection_while_it_is_greeted(make_line: Callable[..., Any]) -> None:
    async def wait(session: Any) -> None:
        await asyncio.get_running_loop().create_future()

    line = make_line(on_connected=wait)
    connecting = asyncio.create_task(line.manager.connect(line.service, book="b"))
    await line.clock.advance(0)
    line.net.link.lose(1000, "not today", "remote")
    await line.clock.advance(1)
    assert connecting.done()
    with pytest.raises(NotConnected, match=r"is closed: received 1000 .*not today"):
        await connecting
    assert line.path == "connecting closed"
    assert line.manager.connections() == []


async def test_a_pause_that_comes_when_the_greeting_is_done_does_not_open_the_link(
    make_line: Callable[..., Any],
) -> None:
    greeted = asyncio.Event()

    async def wait(session: Any) -> None:
        await greeted.wait()

    line = make_line(on_connected=wait)
    connection = await line.start()
    greeted.set()
    line.manager.pause(line.service)
    await line.clock.advance(1)
    assert line.path == "connecting suspended"
    await connection.close()


async def test_a_pause_that_the_credentials_swallow_closes_the_link(make_line: Callable[..., Any]) -> None:
    async def swallow() -> dict[str, str]:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.get_running_loop().create_future()
        return {}

    line = make_line(headers=swallow)
    connection = await line.start()
    line.manager.pause(line.service)
    await line.clock.advance(1)
    assert connection.status is Status.SUSPENDED
    assert connection.websocket is None
    assert [link.closed_with for link in line.net.links] == [(1000, "")]
    line.manager.resume(line.service)
    await line.clock.advance(1)
    assert connection.status is Status.CONNECTING
    closing = asyncio.create_task(connection.close())  # which it does not let be cancelled either
    await line.clock.advance(1)
    assert closing.done()
    assert connection.status is Status.CLOSED
    assert line.net.link.aborted


# A pong and the loss in one turn


async def test_a_pong_and_the_loss_in_one_turn(net: Any, clock: Any) -> None:
    """The pong's future has its result, and its callback is yet to come when the link is put away."""
    seen: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: seen.append(context))
    link = await net("ws://host.example/")
    link.answers_pings = False
    guard = Guard("notes", clock, logging.getLogger("trunkline.manager"), Meter(clock))
    unconfirmed: Any = Unconfirmed(link, OutboxPolicy(), guard, lambda: None)
    first, second = Delivery("notes", "a", "a", clock.time()), Delivery("notes", "b", "b", clock.time())
    unconfirmed.add(first)
    unconfirmed.ask()
    unconfirmed.add(second)
    link.pong()
    assert unconfirmed.take_rest() == [second]
    assert first.outcome == "confirmed"
    await clock.advance(1)
    assert seen == []


# Closing the manager


@pytest.mark.parametrize("drain", [0.0, 5.0])
@pytest.mark.parametrize("cancel_after", range(6))
async def test_a_cancelled_close_drops_every_link(
    make_line: Callable[..., Any], drain: float, cancel_after: int
) -> None:
    before = asyncio.all_tasks()
    line = make_line(retry=QUICK)
    up, down = await line.start("up"), await line.start("down")
    down.websocket.lose()
    line.net.hangs = True
    await line.clock.advance(1)
    up.websocket.answers_close = up.websocket.answers_pings = False
    await up.send(line.note("a"))
    closing = asyncio.create_task(line.manager.close(drain=drain))
    for _ in range(cancel_after):
        await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    await line.clock.advance(0)
    if cancel_after:  # cancelled before its first step, it has done nothing
        assert (up.status, down.status) == (Status.CLOSED, Status.CLOSED)
        assert all(link.aborted for link in line.net.links)
        assert line.manager.connections() == []
        assert asyncio.all_tasks() == before
        assert line.clock.pending == 0
    else:
        up.websocket.answers_close = True
        await line.manager.close()


async def test_one_connection_that_cannot_close_does_not_keep_the_others_open(make_line: Callable[..., Any]) -> None:
    line = make_line()
    first, second = await line.start("first"), await line.start("second")

    async def fail(code: int, reason: str) -> None:
        raise KeyError("out of order")

    first.websocket.close = fail
    with pytest.raises(KeyError, match="out of order"):
        await line.manager.close()
    await line.clock.advance(0)
    assert (first.status, second.status) == (Status.CLOSED, Status.CLOSED)
    assert all(link.state == link.state.CLOSED for link in line.net.links)


# Who has it


async def test_a_cancelled_connect_leaves_a_line_that_another_has_leased(make_line: Callable[..., Any]) -> None:
    line = make_line()
    line.net.hangs = True
    leased = await line.manager.connect(line.service, wait=False, book="b")
    waiting = asyncio.create_task(line.manager.connect(line.service, book="b"))
    await line.clock.advance(1)
    waiting.cancel()
    await line.clock.advance(1)
    assert leased.status is Status.CONNECTING
    assert (leased.leases, line.manager.connections()) == (1, [leased])


async def test_the_last_cancelled_connect_closes_a_line_that_was_never_up(make_line: Callable[..., Any]) -> None:
    line = make_line()
    line.net.hangs = True
    (await line.manager.connect(line.service, wait=False, book="b")).release()
    waiting = [asyncio.create_task(line.manager.connect(line.service, book="b")) for _ in range(2)]
    await line.clock.advance(1)
    for task in waiting:
        assert len(line.manager.connections()) == 1
        task.cancel()
        await line.clock.advance(1)
    assert line.manager.connections() == []
