"""A network that changed, a machine that slept: links prove themselves, lines that wait dial."""

import asyncio
from typing import Any

import pytest

from trunkline.manager.failure.retry import RetryPolicy
from trunkline.manager.policies import BreakerPolicy
from trunkline.manager.sleep import SleepWatch, time_asleep
from trunkline.protocol.errors import HandshakeError

pytestmark = pytest.mark.anyio


class Sleeper:
    """A machine that can be put to sleep: the reading that the manager looks at."""

    def __init__(self) -> None:
        self.seconds = 123.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def sleeper() -> Sleeper:
    return Sleeper()


# The network


async def test_a_line_that_waits_dials_now(make_line: Any, clock: Any, net: Any) -> None:
    line = make_line(retry=RetryPolicy(base=50, cap=60))
    net.script = [HandshakeError(500)]
    connection = await line.start()
    await clock.advance(0.1)
    assert connection.status == "waiting"
    line.manager.network_changed()
    await clock.advance(0)
    assert connection.status == "connected"


async def test_so_does_one_that_is_suspended(line: Any, clock: Any, net: Any) -> None:
    net.script = [HandshakeError(404)]
    connection = await line.start()
    line.manager.network_changed()
    await clock.advance(0)
    assert connection.status == "connected"


async def test_but_not_before_the_server_wants_it(line: Any, clock: Any, net: Any) -> None:
    net.script = [HandshakeError(503, [("Retry-After", "20")])]
    connection = await line.start()
    line.manager.network_changed()
    await clock.advance(19.9)
    assert connection.status == "waiting"
    await clock.advance(0.1)
    assert connection.status == "connected"


async def test_an_open_breaker_lets_one_try(make_line: Any, clock: Any, net: Any) -> None:
    line = make_line(retry=RetryPolicy(base=50, cap=60), manager={"breaker": BreakerPolicy(1, 1000)})
    net.down = {"host.example"}
    connection = await line.start()
    net.down = set()
    line.manager.network_changed()
    await clock.advance(0)
    assert connection.status == "connected"


async def test_a_link_that_answers_is_kept(line: Any, clock: Any, net: Any) -> None:
    connection = await line.start()
    line.manager.network_changed()
    line.manager.network_changed()
    await clock.advance(60)
    assert (connection.generation, net.link.pinged, net.link.aborted) == (1, 1, False)


async def test_one_that_is_dead_is_replaced(line: Any, clock: Any, net: Any) -> None:
    connection = await line.start()
    net.link.answers_pings = False
    line.manager.network_changed()
    await clock.advance(4.9)
    assert (connection.status, net.link.aborted) == ("connected", False)
    await clock.advance(5.2)
    assert (connection.status, connection.generation, net.links[0].aborted) == ("connected", 2, True)


async def test_any_byte_is_a_sign_of_life(line: Any, clock: Any, net: Any) -> None:
    connection = await line.start()
    net.link.answers_pings = False
    line.manager.network_changed()
    await clock.advance(1)
    net.link.bytes_received = 4096
    await clock.advance(60)
    assert (connection.generation, net.link.aborted) == (1, False)


async def test_closing_does_not_wait_for_a_sign(line: Any, clock: Any, net: Any) -> None:
    before = asyncio.all_tasks()
    await line.start()
    net.link.answers_pings = False
    line.manager.network_changed()
    await clock.advance(0)
    await line.manager.close()
    assert clock.pending == 0
    assert asyncio.all_tasks() == before


async def test_a_manager_without_connections_has_nothing_to_do(line: Any) -> None:
    line.manager.network_changed()


# Sleep


async def test_after_a_sleep_lines_are_looked_after(make_line: Any, clock: Any, net: Any, sleeper: Sleeper) -> None:
    line = make_line(manager={"asleep": sleeper})
    connection = await line.start()
    net.link.answers_pings = False
    await clock.advance(60)
    assert net.link.pinged == 0
    sleeper.seconds += 3600
    await clock.advance(5)
    assert net.link.pinged == 1
    await clock.advance(10)
    assert (connection.status, connection.generation) == ("connected", 2)


async def test_a_watch_tells_each_sleep_once(clock: Any, sleeper: Sleeper) -> None:
    slept: list[float] = []
    watch = SleepWatch(clock, slept.append, sleeper)
    watch.start()
    watch.start()
    sleeper.seconds += 0.5  # clocks are read one after the other: not a sleep
    await clock.advance(20)
    sleeper.seconds += 90
    await clock.advance(20)
    sleeper.seconds += 7
    await clock.advance(20)
    assert (slept, clock.pending) == ([90, 7], 1)
    watch.stop()
    assert clock.pending == 0


async def test_a_sleep_before_it_began_is_nobody_s_concern(clock: Any, sleeper: Sleeper) -> None:
    slept: list[float] = []
    watch = SleepWatch(clock, slept.append, sleeper)
    watch.start()
    watch.stop()
    sleeper.seconds += 90
    watch.start()
    await clock.advance(20)
    assert slept == []
    watch.stop()


def test_this_machine_has_not_slept_meanwhile() -> None:
    before = time_asleep()
    assert abs(time_asleep() - before) < 1


async def test_a_jump_of_the_wall_clock_is_no_sleep(line: Any, clock: Any, net: Any, monkeypatch: Any) -> None:
    await line.start()
    monkeypatch.setattr("time.time", lambda: 86_400.0)
    await clock.advance(60)
    assert (net.link.pinged, net.link.aborted) == (0, False)
