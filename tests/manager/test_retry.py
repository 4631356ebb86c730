"""Retry policies: the pauses, how they grow and start over, and the limits."""

import random
from typing import Any

import pytest

from issues import EOF_EARLY, LOST, REFUSED, answered, closed, failed, pauses, retries
from trunkline.manager.failure.issues import ConnectionIssue
from trunkline.manager.failure.retry import Pause, Retries, RetryPolicy


def test_full_jitter_fills_the_range_below_a_ceiling_that_grows_to_the_cap() -> None:
    rng = random.Random(7)
    for retry in (1, 2, 3, 5, 10, 20, 22, 100):
        ceiling = min(20.0, 0.5 * 1.2 ** (retry - 1))
        drawn = [RetryPolicy().delay(retry, rng) for _ in range(2000)]
        assert 0 <= min(drawn) < ceiling * 0.01
        assert ceiling * 0.99 < max(drawn) <= ceiling * (1 + 1e-9)
        assert sum(drawn) / len(drawn) == pytest.approx(ceiling / 2, rel=0.05)


def test_the_growth_is_the_policys() -> None:
    policy, rng = RetryPolicy(base=1, cap=60, growth=2), random.Random(7)
    for retry, ceiling in enumerate([1, 2, 4, 8, 16, 32, 60, 60], start=1):
        assert max(policy.delay(retry, rng) for _ in range(1000)) == pytest.approx(ceiling, rel=0.02)


@pytest.mark.parametrize("growth", [1.0, 1.3, 2.0, 999_999.0])
def test_a_year_of_retries_does_not_overflow(growth: float) -> None:
    assert 0 <= RetryPolicy(growth=growth).delay(1_000_000, random.Random(1)) <= 20


def test_the_same_seed_gives_the_same_pauses() -> None:
    assert pauses(retries(seed=5), REFUSED, 8) == pauses(retries(seed=5), REFUSED, 8)
    assert pauses(retries(seed=5), REFUSED, 8) != pauses(retries(seed=6), REFUSED, 8)


def test_no_limit_while_the_failure_is_recoverable() -> None:
    given = [pause for pause in pauses(retries(), REFUSED, 500) if pause is not None]
    assert [pause.retry for pause in given] == list(range(1, 501))


def test_attempts_are_fruitless_dials() -> None:
    counter = retries(RetryPolicy(attempts=3))
    assert [pause is not None for pause in pauses(counter, REFUSED, 3)] == [True, True, False]


@pytest.mark.parametrize(
    "changes",
    [
        {"base": 0},
        {"base": 2, "cap": 1},
        {"growth": 0.9},
        {"growth": float("nan")},
        {"growth": 1e6},
        {"attempts": 3, "never_give_up": True},
        {"probe": (3, 2)},
        {"probe": (-1, 2)},
        {"attempts": 0},
        {"jitter": "some"},
        {"deadline": -1},
        {"reset_after": -1},
        {"longest_retry_after": -1},
        {"attempt_timeout": 0},
    ],
)
def test_a_policy_that_makes_no_sense(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="wanted"):
        RetryPolicy(**changes)


# The count


def test_the_count_starts_over_after_stable_uptime() -> None:
    counter = retries()
    for now in range(20):
        counter.after(REFUSED, now)
    counter.opened(80)
    assert counter.after(LOST, 110) is not None
    assert counter.count == 1


@pytest.mark.parametrize(
    ("growth", "life", "count"),
    [
        *[(2, 6.9, 21), (2, 7.1, 20), (2, 12.1, 19), (2, 27.1, 16), (2, 29.9, 16), (2, 30, 1)],
        *[(1.2, 6.9, 21), (1.2, 7.1, 17), (1.2, 12.1, 13), (1.2, 27.1, 1), (1, 7.1, 1), (4, 7.1, 20), (4, 12.1, 20)],
    ],
)
def test_the_count_decays_with_uptime(growth: float, life: float, count: int) -> None:
    """By what halves the ceiling, for each 5 s of life after the first 2 s."""
    counter = Retries(RetryPolicy(growth=growth), Stingy())  # no pause is longer than 5 s
    for now in range(20):
        counter.after(REFUSED, now)
    counter.opened(100)
    counter.after(REFUSED, 100 + life)
    assert counter.count == count


def test_a_link_forgets_nothing_that_did_not_live_as_long_as_the_pause_before_it() -> None:
    counter = Retries(RetryPolicy(growth=2, jitter="added"), random.Random(1))
    for now in range(20):
        pause = counter.after(REFUSED, now)
    assert pause is not None
    counter.opened(100)
    counter.after(REFUSED, 100 + pause.delay + 1.9)
    assert counter.count == 21
    counter.opened(200)
    counter.after(REFUSED, 224)
    assert counter.count == 21, "one that it adds, and one that it forgets"


@pytest.mark.parametrize("lifetime", [8.0, 20.0, 29.0])
def test_a_server_that_flaps_does_not_ratchet_the_pause_to_its_cap(lifetime: float) -> None:
    counter, now, longest = retries(), 0.0, 0.0
    for _ in range(500):
        counter.opened(now)
        now += lifetime
        for issue in (LOST, REFUSED):
            pause = counter.after(issue, now)
            assert pause is not None
            now += pause.delay
            longest = max(longest, pause.delay)
    assert longest < 2


@pytest.mark.parametrize("jitter", ["full", "decorrelated", "added"])
@pytest.mark.parametrize("lifetime", [0.0, 0.001, 1.0, 1.9, 7.0, 14.0, 29.9, 30.0, 45.0])
@pytest.mark.parametrize("code", [1001, 1002, 1005, 1006, 1011, 1012, 1013, 1014, 3008, 4000])
def test_a_server_that_accepts_and_closes_is_dialled_under_ten_times_in_a_minute(
    code: int, lifetime: float, jitter: Any
) -> None:
    worst = max(dials_in_a_minute(code, lifetime, jitter, seed) for seed in range(300))
    assert worst < 10


def dials_in_a_minute(code: int, lifetime: float, jitter: Any, seed: int) -> int:
    """How often a server is dialled in the first minute which accepts, and closes after `lifetime` seconds."""
    counter, now, dials = retries(RetryPolicy(jitter=jitter), seed=seed), 0.0, 0
    while now < 60:
        dials += 1
        counter.opened(now)
        pause = counter.after(closed(code), now + lifetime)
        if pause is None:
            return dials
        now += lifetime + pause.delay
    return dials


class Stingy(random.Random):
    """Draws the least that there is, which no seed may be trusted never to do."""

    def uniform(self, a: float, b: float) -> float:
        return min(a, b)


LEAVING = {
    "reset before the 101": (failed(ConnectionResetError(104, "reset"), "handshake"), False),
    "end of file before the 101": (EOF_EARLY, False),
    "end of file in TLS": (failed(ConnectionResetError("end of file"), "tls"), False),
    "end of file after the 101": (LOST, True),
    "1011": (closed(1011), True),
    "1001": (closed(1001), True),
    "1012": (closed(1012), True),
    "lost while it was greeted": (LOST, False),
    "1011 while it was greeted": (closed(1011), False),
}


@pytest.mark.parametrize("has_worked", [False, True], ids=["new", "up before"])
@pytest.mark.parametrize(("issue", "opens"), LEAVING.values(), ids=LEAVING)
def test_nor_is_it_if_chance_always_gives_the_least(issue: ConnectionIssue, opens: bool, has_worked: bool) -> None:
    counter, now, dials = Retries(RetryPolicy(), Stingy()), 0.0, 0
    if has_worked:
        counter.opened(-1000)
        counter.after(LOST, 0)
    while now < 60:
        dials += 1
        if opens:
            counter.opened(now)
        pause = counter.after(issue, now)
        assert pause is not None
        now += pause.delay
    is_front_end = has_worked and not opens and issue.phase != "open"
    assert 7 <= dials <= (22 if is_front_end else 9)


def test_a_server_that_refuses_meets_full_jitter_without_a_floor() -> None:
    drawn = [pauses(retries(seed=seed), REFUSED, 6)[-1] for seed in range(300)]
    assert min(pause.delay for pause in drawn if pause is not None) < 0.5


def test_decorrelated_jitter_draws_from_three_times_the_pause_before() -> None:
    policy = RetryPolicy(jitter="decorrelated")
    for seed in range(50):
        previous = 0.5
        for pause in pauses(retries(policy, seed=seed), REFUSED, 30):
            assert pause is not None
            assert 0.5 <= pause.delay <= min(60, 3 * previous)
            previous = pause.delay


def test_past_the_deadline_it_is_suspended_and_probed_slowly() -> None:
    counter = retries(RetryPolicy(deadline=100))
    first, late, later = (counter.after(REFUSED, now) for now in (0, 99.9, 100))
    assert first is not None
    assert late is not None
    assert later is not None
    assert (first.suspended, late.suspended, later.suspended) == (False, False, True)
    assert 60 <= later.delay <= 300


def test_the_deadline_counts_from_the_last_stable_time() -> None:
    counter = retries(RetryPolicy(deadline=100))
    counter.after(REFUSED, 0)
    counter.opened(50)
    pause = counter.after(REFUSED, 200)
    assert pause is not None
    assert not pause.suspended


# The seed's policy


def test_the_seeds_policy_after_a_loss() -> None:
    counter = retries(RetryPolicy.seed())
    counter.opened(0)
    loss = counter.after(LOST, 10)
    assert loss == Pause(1, 0.0)
    assert_seed_delays([counter.after(REFUSED, 20 + count) for count in range(5)])


def test_the_seeds_policy_when_the_first_dial_fails() -> None:
    assert_seed_delays(pauses(retries(RetryPolicy.seed()), REFUSED, 5))


def assert_seed_delays(outcome: list[Pause | None]) -> None:
    """min(1 s * 2 ** attempt, 30 s) + random() s, and no fifth pause."""
    *given, end = outcome
    assert end is None
    for pause, bound in zip(given, [1, 2, 4, 8], strict=True):
        assert pause is not None
        assert bound <= pause.delay <= bound + 1


def test_the_seeds_policy_adds_jitter_past_its_cap() -> None:
    drawn = [RetryPolicy.seed().delay(10, random.Random(seed)) for seed in range(200)]
    assert min(drawn) >= 30
    assert 30.9 < max(drawn) <= 31


def test_the_seeds_policy_on_what_to_retry() -> None:
    policy = RetryPolicy.seed()
    assert policy.should_retry(closed(1006))
    assert not policy.should_retry(closed(1000))
    assert not policy.should_retry(answered(401))
