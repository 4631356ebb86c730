"""The dial gate: how many at once, how fast, in which order."""

import asyncio
from typing import Any

import pytest

from trunkline.manager.dialing.gate import DialGate
from trunkline.manager.policies import GatePolicy

pytestmark = pytest.mark.anyio


async def herd(gate: DialGate, clock: Any, count: int, takes: float) -> list[tuple[float, int]]:
    """So many tasks come at once, and each needs `takes` seconds for its handshake: when each began, and its number."""
    begun: list[tuple[float, int]] = []

    async def dial(number: int) -> None:
        async with gate.slot():
            await gate.wait_moment()
            begun.append((clock.time(), number))
            done = asyncio.get_running_loop().create_future()
            clock.call_later(takes, done.set_result, None)
            await done

    tasks = [asyncio.create_task(dial(number)) for number in range(count)]
    await clock.advance(1000)
    await asyncio.gather(*tasks)
    return begun


def most_in_any_window(times: list[float], seconds: float) -> int:
    """The most that fall into any half-open window."""
    return max(sum(start <= time < start + seconds - 1e-9 for time in times) for start in times)


@pytest.mark.parametrize(("per_second", "limit"), [(200, 20), (100, 10), (25, 3), (15, 2), (10, 1), (4, 1)])
async def test_no_tenth_of_a_second_sees_more_than_its_share(clock: Any, per_second: float, limit: int) -> None:
    begun = await herd(DialGate(GatePolicy(10**6, per_second), clock), clock, 300, takes=0.02)
    times = [time for time, _ in begun]
    assert most_in_any_window(times, 0.1) == limit
    # Nor is time wasted: after the first few the distance is the promised one.
    assert times[-1] - times[0] == pytest.approx(299 / per_second, abs=0.1 + 1 / per_second)


async def test_the_first_few_need_not_wait(clock: Any) -> None:
    begun = await herd(DialGate(GatePolicy(), clock), clock, 6, takes=0.02)
    assert sum(time == begun[0][0] for time, _ in begun) == 5


async def test_no_more_than_so_many_are_under_way(clock: Any) -> None:
    gate = DialGate(GatePolicy(under_way=8, per_second=1e6), clock)
    begun = await herd(gate, clock, 100, takes=1.0)
    assert most_in_any_window([time for time, _ in begun], 1.0) == 8
    assert begun[-1][0] - begun[0][0] == pytest.approx(12)
    assert (gate.under_way, gate.waiting, clock.pending) == (0, 0, 0)


async def test_first_come_first_served(clock: Any) -> None:
    begun = await herd(DialGate(GatePolicy(under_way=3, per_second=50), clock), clock, 100, takes=0.1)
    assert [number for _, number in begun] == list(range(100))


async def test_who_gives_up_leaves_no_hole_and_no_slot_behind(clock: Any) -> None:
    gate = DialGate(GatePolicy(under_way=2, per_second=10), clock)
    begun: list[int] = []

    async def dial(number: int) -> None:
        async with gate.slot():
            await gate.wait_moment()
            begun.append(number)
            await asyncio.get_running_loop().create_future()

    tasks = [asyncio.create_task(dial(number)) for number in range(6)]
    await clock.advance(0)
    assert (begun, gate.under_way, gate.waiting) == ([0], 2, 5)
    tasks[1].cancel()  # has a slot and waits for its moment
    tasks[2].cancel()  # waits for a slot
    await clock.advance(0.1)
    assert begun == [0, 3]
    for task in tasks:
        task.cancel()
    await clock.advance(0)
    assert all(task.cancelled() for task in tasks)
    assert (gate.under_way, gate.waiting, clock.pending) == (0, 0, 0)


@pytest.mark.parametrize("options", [{"under_way": 0}, {"per_second": 0}])
def test_a_gate_that_makes_no_sense(options: Any) -> None:
    with pytest.raises(ValueError, match="wanted"):
        GatePolicy(**options)


# On lines


async def test_a_thousand_lines_come_back_through_the_gate(make_line: Any, clock: Any, net: Any) -> None:
    line = make_line()
    connections = [await line.manager.connect(line.service, wait=False, book=number) for number in range(1000)]
    await clock.advance(10)
    assert {connection.status for connection in connections} == {"connected"}
    del net.times[:]
    net.down = {"host.example"}
    for link in net.links[:]:
        link.lose(1012, "", "remote")
    await clock.advance(20)
    while_down = len(net.times)
    net.down = set()
    await clock.advance(60)
    assert {connection.status for connection in connections} == {"connected"}
    assert most_in_any_window(net.times, 0.1) <= 20
    # The breaker lets few of them find out that it is down, and the budget is there for the rest.
    assert while_down < 50
