"""The retry budget: who pays, who waits, and what comes back."""

import asyncio
import threading
from typing import Any

import pytest

from trunkline.manager.clock import Clock
from trunkline.manager.dialing.budget import RetryBudget, shared_budget
from trunkline.manager.failure.retry import RetryPolicy
from trunkline.manager.manager import ConnectionManager
from trunkline.protocol.errors import ConnectError, HandshakeError

pytestmark = pytest.mark.anyio

REFUSED = ConnectError.wrap(ConnectionRefusedError(111, "refused"), "tcp", "host.example:80")


def make(clock: Any, capacity: float = 3, **options: Any) -> RetryBudget:
    return RetryBudget(capacity, clock=clock.time, **options)


def queue(budget: RetryBudget, clock: Any, count: int, through: list[int], cost: float = 1.0) -> list[Any]:
    """So many tasks that want a token, which append their number when they have one."""

    async def pay(number: int) -> None:
        await budget.pay(clock, cost)
        through.append(number)

    return [asyncio.create_task(pay(number)) for number in range(count)]


async def test_a_full_bucket_makes_nobody_wait(clock: Any) -> None:
    budget = make(clock)
    for _ in range(3):
        await budget.pay(clock)
    assert (budget.tokens, budget.delayed, clock.pending) == (0, 0, 0)


async def test_an_empty_one_makes_them_wait_in_order_and_fails_none(clock: Any) -> None:
    through: list[int] = []
    budget = make(clock, per_second=2)
    tasks = queue(budget, clock, 7, through)
    await clock.advance(0)
    assert (through, budget.waiting, budget.delayed) == ([0, 1, 2], 4, 1)
    await clock.advance(0.5)
    assert through == [0, 1, 2, 3]
    await clock.advance(10)
    assert through == list(range(7))
    assert (budget.delayed, budget.waiting, clock.pending) == (4, 0, 0)
    await asyncio.gather(*tasks)


async def test_a_success_lets_the_next_one_through_at_once(clock: Any) -> None:
    through: list[int] = []
    budget = make(clock, capacity=1, per_second=0.001)
    tasks = queue(budget, clock, 3, through)
    await clock.advance(0)
    for count in (2, 3):
        budget.succeed()
        await clock.advance(0)
        assert len(through) == count
    await asyncio.gather(*tasks)


async def test_it_never_holds_more_than_its_capacity(clock: Any) -> None:
    budget = make(clock)
    budget.succeed()
    await clock.advance(1e6)
    assert budget.tokens == 3


async def test_a_dial_that_costs_more_than_there_can_be_takes_all(clock: Any) -> None:
    budget = make(clock, capacity=1)
    await budget.pay(clock, 2)
    assert budget.tokens == 0


async def test_who_is_cancelled_takes_nothing_and_holds_nobody_up(clock: Any) -> None:
    through: list[int] = []
    budget = make(clock, capacity=1, per_second=1)
    tasks = queue(budget, clock, 4, through)
    await clock.advance(0)
    for number in (1, 2):  # the head of the queue, and one behind it
        tasks[number].cancel()
    await clock.advance(1)
    assert through == [0, 3]
    assert (budget.waiting, clock.pending) == (0, 0)
    assert [task.cancelled() for task in tasks] == [False, True, True, False]


@pytest.mark.parametrize("options", [{"capacity": 0}, {"per_second": 0}, {"per_success": -1}])
def test_a_budget_that_makes_no_sense(options: Any) -> None:
    with pytest.raises(ValueError, match="wanted"):
        RetryBudget(**options)


async def test_one_a_process() -> None:
    managers = ConnectionManager([]), ConnectionManager([])
    assert {manager._context().budget for manager in managers} == {shared_budget()}


async def test_it_serves_loops_in_other_threads() -> None:
    """A waiter in another thread's loop is woken by a success in this one."""
    budget = RetryBudget(1, per_second=1e-9)
    await budget.pay(asyncio.get_running_loop())
    waits, done = threading.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    async def pay() -> None:
        clock: Clock = asyncio.get_running_loop()
        waiting = asyncio.ensure_future(budget.pay(clock))
        while not budget.waiting:  # noqa: ASYNC110  # it is a turn of the loop away
            await asyncio.sleep(0)
        waits.set()
        await waiting

    def run() -> None:
        asyncio.run(pay())
        loop.call_soon_threadsafe(done.set)

    thread = threading.Thread(target=run)
    thread.start()
    await asyncio.to_thread(waits.wait, 20)
    budget.succeed()
    async with asyncio.timeout(20):
        await done.wait()
    thread.join()


# On a line


async def test_the_first_dial_is_free_and_a_retry_pays(make_line: Any, clock: Any, net: Any) -> None:
    line = make_line(retry=RetryPolicy(base=0.1, cap=0.1))
    net.script = [REFUSED] * 3
    await line.start()
    budget = line.manager._context().budget
    assert budget.tokens == budget.capacity
    await clock.advance(0.01)
    taken = budget.capacity - budget.tokens
    assert taken <= len(net.dials) - 1


async def test_a_line_waits_for_the_budget_before_it_says_that_it_dials(make_line: Any, clock: Any, net: Any) -> None:
    budget = RetryBudget(1, per_second=0.01, clock=clock.time)
    line = make_line(retry=RetryPolicy(base=0.1, cap=0.1), manager={"budget": budget})
    net.script = [HandshakeError(500)] * 2
    connection = await line.start()
    await clock.advance(1)
    assert (len(net.dials), connection.status) == (2, "waiting")
    await clock.advance(100)
    assert (len(net.dials), connection.status) == (3, "connected")
    assert budget.tokens == 1  # a success puts back what it took


async def test_throttling_costs_double(make_line: Any, clock: Any, net: Any) -> None:
    budget = RetryBudget(10, per_second=1e-6, per_success=0, clock=clock.time)
    line = make_line(retry=RetryPolicy(base=0.1, cap=0.1), manager={"budget": budget})
    net.script = [HandshakeError(429), HandshakeError(500)]
    await line.start()
    await clock.advance(5)
    assert budget.tokens == pytest.approx(7, abs=0.001)
