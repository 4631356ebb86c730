"""The circuit breaker: when it opens, who probes, what closes it."""

import math
from typing import Any

import pytest

from trunkline.manager.dialing.breaker import Breaker
from trunkline.manager.failure.retry import RetryPolicy
from trunkline.manager.policies import BreakerPolicy
from trunkline.protocol.errors import HandshakeError

pytestmark = pytest.mark.anyio


def make(failures: int | None = 3) -> tuple[Breaker, list[str]]:
    changes: list[str] = []
    return Breaker(BreakerPolicy(failures), lambda: changes.append("changed")), changes


def fail(breaker: Breaker, times: int = 1, now: float = 0.0) -> None:
    for _ in range(times):
        breaker.fail(now, 80.0, is_probe=breaker.enter())


def test_it_opens_after_so_many_failures_in_a_row() -> None:
    breaker, _ = make()
    fail(breaker, 2)
    breaker.succeed()
    fail(breaker, 2)
    assert (breaker.state, breaker.wait_time(0)) == ("closed", 0)
    fail(breaker)
    assert (breaker.state, breaker.wait_time(0), breaker.wait_time(4), breaker.wait_time(10)) == ("open", 10, 6, 0)


def test_after_the_cooldown_one_may_probe() -> None:
    breaker, _ = make()
    fail(breaker, 3)
    assert breaker.enter()
    assert (breaker.state, breaker.wait_time(10)) == ("half-open", math.inf)


def test_a_probe_that_fails_opens_it_again() -> None:
    breaker, changes = make()
    fail(breaker, 3)
    fail(breaker, now=10)
    assert (breaker.state, breaker.wait_time(10)) == ("open", 20)
    assert changes == ["changed"]


def test_the_cooldown_doubles_up_to_the_most_and_starts_over_after_a_success() -> None:
    breaker, _ = make()
    fail(breaker, 2)
    waits = []
    for _ in range(6):
        fail(breaker)
        waits.append(breaker.wait_time(0))
    assert waits == [10, 20, 40, 80, 80, 80]
    breaker.succeed()
    fail(breaker, 3)
    assert breaker.wait_time(0) == 10


def test_a_probe_that_succeeds_closes_it() -> None:
    breaker, changes = make()
    fail(breaker, 3)
    breaker.enter()
    breaker.succeed()
    assert (breaker.state, breaker.failures, breaker.wait_time(10)) == ("closed", 0, 0)
    assert changes == ["changed"]


def test_a_probe_that_goes_away_makes_room_for_another() -> None:
    breaker, changes = make()
    fail(breaker, 3)
    breaker.enter()
    breaker.leave()
    assert (breaker.state, breaker.wait_time(10)) == ("open", 0)
    assert changes == ["changed"]


def test_late_failures_of_earlier_dials_prolong_nothing() -> None:
    breaker, _ = make()
    fail(breaker, 3)
    breaker.fail(9.0, 10.0, is_probe=False)
    assert breaker.wait_time(10) == 0
    breaker.enter()
    breaker.fail(10.0, 10.0, is_probe=False)
    assert breaker.state == "half-open"


def test_haste_ends_the_cooldown() -> None:
    breaker, changes = make()
    breaker.hurry(1)
    assert changes == []
    fail(breaker, 3)
    breaker.hurry(1)
    assert (breaker.wait_time(1), changes) == (0, ["changed"])


def test_it_need_not_open() -> None:
    breaker, _ = make(None)
    fail(breaker, 1000)
    assert breaker.state == "closed"


@pytest.mark.parametrize("options", [{"failures": 0}, {"cooldown": 0}])
def test_a_policy_that_makes_no_sense(options: Any) -> None:
    with pytest.raises(ValueError, match="wanted"):
        BreakerPolicy(**options)


# On lines


@pytest.fixture
def quick() -> dict[str, Any]:
    return {
        "retry": RetryPolicy(base=0.1, cap=1000),
        "manager": {"breaker": BreakerPolicy(failures=3, cooldown=8)},
    }


async def test_all_lines_to_an_endpoint_share_it(make_line: Any, clock: Any, net: Any, quick: Any) -> None:
    line = make_line(**quick)
    net.down = {"host.example"}
    for number in range(50):
        await line.start(str(number))
    await clock.advance(3.9)  # until the cooldown, 4 to 8 s, is over
    dialled = len(net.times)
    assert dialled < 10
    await clock.advance(30)
    assert len(net.times) - dialled <= 8  # a probe each 4 to 8 s, not a dial each line
    net.down = set()
    await clock.advance(200)
    assert {connection.status for connection in line.manager._connections.values()} == {"connected"}


async def test_a_probe_that_is_closed_lets_another_line_probe(make_line: Any, clock: Any, net: Any, quick: Any) -> None:
    line = make_line(**quick)
    net.down = {"host.example"}
    connections = [await line.start(str(number)) for number in range(5)]
    await clock.advance(1)
    net.down, net.hangs, before = set(), True, len(net.times)
    await clock.advance(30)
    assert len(net.times) == before + 1
    net.hangs = False
    probe = next(connection for connection in connections if connection.status == "connecting")
    await probe.close()
    await clock.advance(100)
    assert [connection.status for connection in connections if connection is not probe] == ["connected"] * 4


@pytest.mark.parametrize("status", [404, 429])
async def test_an_answer_that_is_about_the_line_does_not_open_it(
    make_line: Any, clock: Any, net: Any, quick: Any, status: int
) -> None:
    line = make_line(**quick)
    net.script = [HandshakeError(status)] * 20
    for number in range(20):
        await line.start(str(number))
    await clock.advance(1)
    assert len(net.times) >= 20
    assert line.manager._context().endpoints.get("host.example:80").breaker.state == "closed"
