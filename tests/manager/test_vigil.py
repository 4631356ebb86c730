"""A link that has shown how it breathes and goes silent: asked early, compared with another, given up for no less."""

import asyncio
from typing import Any

import pytest

from trunkline.manager.failure.retry import RetryPolicy
from trunkline.protocol.errors import ConnectError

pytestmark = pytest.mark.anyio

REFUSED = ConnectError.wrap(ConnectionRefusedError(111, "refused"), "tcp", "host.example:80")


async def breathe(line: Any, count: int = 80, every: float = 1.0) -> Any:
    """A line over which something comes once in a while, with round trips of 10 ms."""
    connection = await line.start()
    line.net.link.record_latency(0.01)
    for _ in range(count):
        await line.clock.advance(every)
        line.net.link.deliver('{"text":"tick"}')
        await line.clock.advance(0)
    return connection


async def test_a_dead_link_is_replaced_by_one_that_opened_meanwhile(line: Any, clock: Any, net: Any) -> None:
    connection = await breathe(line)
    net.link.answers_pings = False
    await clock.advance(1.1)
    assert (len(net.links), connection.generation) == (1, 1)
    await clock.advance(0.4)  # a silence of 1.12 s, and 0.2 s for a pong
    assert (connection.status, connection.generation, len(net.links)) == ("connected", 2, 2)
    assert (net.links[0].aborted, connection.websocket) == (True, net.links[1])
    assert line.changes[-3].explain() == "silent for 1.3 s while the server answers others"
    assert line.changes[-3].delay == 0


async def test_a_link_that_answers_is_asked_ever_more_seldom(line: Any, clock: Any, net: Any) -> None:
    connection = await breathe(line)
    await clock.advance(600)
    assert (connection.generation, len(net.links), net.link.aborted) == (1, 1, False)
    assert line.path == "connecting connected"
    assert net.link.questions <= 7


@pytest.mark.parametrize("why", ["refused", "no answer"])
async def test_a_server_that_answers_nobody_is_left_to_the_keepalive(why: str, line: Any, clock: Any, net: Any) -> None:
    connection = await breathe(line)
    net.link.answers_pings = False
    net.hangs = why == "no answer"
    net.script = [REFUSED] * 100 if why == "refused" else []
    await clock.advance(30)
    assert (connection.status, net.link.aborted) == ("connected", False)
    assert 2 <= len(net.dials) <= 6
    net.script.clear()


async def test_a_server_that_only_stalled_is_not_given_up(line: Any, clock: Any, net: Any) -> None:
    """Everybody waits for its handshake, and the old link speaks first."""
    connection = await breathe(line)
    net.link.answers_pings, net.hangs = False, True
    await clock.advance(5)
    assert len(net.dials) == 2
    net.link.bytes_received = 7
    net.link.traffic = (7, 0)
    net.link.pong()
    net.link.pong()
    await clock.advance(5)
    assert (connection.generation, connection.status, net.link.aborted) == (1, "connected", False)
    net.hangs = False


async def test_any_byte_before_the_other_link_opens_is_a_sign_of_life(line: Any, clock: Any, net: Any) -> None:
    connection = await breathe(line)
    net.link.answers_pings, net.hangs = False, True
    await clock.advance(5)
    net.link.traffic = (1, 0)
    net.let_through()
    await clock.advance(0)
    assert (len(net.links), net.links[1].aborted, net.links[0].aborted) == (2, True, False)
    assert connection.generation == 1


async def test_a_message_ends_the_question(line: Any, clock: Any, net: Any) -> None:
    connection = await breathe(line)
    net.link.answers_pings, net.hangs = False, True
    await clock.advance(1.4)
    assert len(net.dials) == 2
    net.link.deliver('{"text":"late"}')
    await clock.advance(0)
    assert net.given_up == 1
    assert (connection.generation, len(net.links)) == (1, 1)
    net.hangs = False


async def test_whoever_was_suspected_wrongly_gets_more_patience(line: Any, clock: Any, net: Any) -> None:
    await breathe(line)
    net.link.answers_pings, net.hangs = False, True
    await clock.advance(1.4)
    assert len(net.dials) == 2
    for _ in range(80):
        net.link.deliver('{"text":"tick"}')
        await clock.advance(1)
    net.link.deliver('{"text":"tick"}')
    await clock.advance(0)
    del net.dials[:]
    await clock.advance(1.4)
    assert net.dials == [], "0.4 s for a pong now"
    await clock.advance(0.3)
    assert len(net.dials) == 1
    net.hangs = False


async def test_a_line_without_a_habit_is_asked_nothing(line: Any, clock: Any, net: Any) -> None:
    await breathe(line, count=7)
    net.link.answers_pings = False
    await clock.advance(600)
    assert (net.link.questions, len(net.dials)) == (0, 1)


async def test_silence_proves_nothing_while_we_do_not_read(line: Any, clock: Any, net: Any) -> None:
    connection = await breathe(line)
    net.link.deliver(*['{"text":"many"}'] * 5000)  # more than the inbox takes
    await clock.advance(0)
    net.link.answers_pings = False
    await clock.advance(60)
    assert (connection.generation, net.link.questions, len(net.dials)) == (1, 0, 1)


async def test_the_habit_outlives_the_link(line: Any, clock: Any, net: Any) -> None:
    connection = await breathe(line)
    net.link.lose()
    await clock.advance(1)
    assert connection.generation == 2
    net.link.deliver('{"text":"tick"}')
    net.link.answers_pings = False
    await clock.advance(2)
    assert connection.generation == 3


@pytest.mark.parametrize("options", [{"retry": RetryPolicy(second_opinion=False)}, {"ping_interval": None}])
async def test_where_it_is_not_wanted(options: Any, make_line: Any, clock: Any, net: Any) -> None:
    line = make_line(**options)
    await breathe(line)
    net.link.answers_pings = False
    await clock.advance(60)
    assert (net.link.questions, len(net.dials)) == (0, 1)


async def test_closing_in_the_middle_of_a_question(line: Any, clock: Any, net: Any) -> None:
    before = asyncio.all_tasks()
    await breathe(line)
    net.link.answers_pings, net.hangs = False, True
    await clock.advance(1.4)
    assert len(net.dials) == 2
    await line.manager.close()
    assert clock.pending == 0
    assert asyncio.all_tasks() == before


async def test_a_pause_in_the_moment_of_the_change_leaves_no_link(line: Any, clock: Any, net: Any) -> None:
    await breathe(line)
    net.link.answers_pings = False
    line.manager.subscribe(lambda change: line.manager.pause(line.service) if change.note else None)
    await clock.advance(2)
    assert line.path.endswith("suspended")
    assert [link.aborted or link.closed_with is not None for link in net.links] == [True, True]
