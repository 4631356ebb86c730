"""Retry policies: the pauses, the limits, and what each kind of failure asks for."""

import errno
import random
import socket
import ssl
from typing import Any

import pytest

from trunkline.manager.hints import Hint, hint_for
from trunkline.manager.retry import Pause, Retries, RetryPolicy
from trunkline.manager.taxonomy import ConnectionIssue, categorize
from trunkline.protocol.errors import ConnectError, HandshakeError, connection_closed

REFUSED = categorize(ConnectError.wrap(ConnectionRefusedError(111, "refused"), "tcp", "host:1"))
RESET = categorize(ConnectError.wrap(ConnectionResetError(104, "reset"), "tcp", "host:1"))
LOST = categorize(connection_closed(1006))


def closed(code: int, initiator: Any = "remote") -> ConnectionIssue:
    return categorize(connection_closed(code, "", initiator))


def answered(status: int, retry_after: str | None = None) -> ConnectionIssue:
    return categorize(HandshakeError(status, [("Retry-After", retry_after)] if retry_after else []))


def retries(policy: RetryPolicy | None = None, *, seed: int = 1, refreshable: bool = False) -> Retries:
    return Retries(policy or RetryPolicy(), random.Random(seed), refreshable=refreshable)


def pauses(counter: Retries, issue: ConnectionIssue, count: int) -> list[Pause | None]:
    return [counter.after(issue, now) for now in range(count)]


def test_full_jitter_fills_the_range_below_a_ceiling_that_doubles_to_the_cap() -> None:
    rng = random.Random(7)
    for retry, ceiling in enumerate([0.5, 1, 2, 4, 8, 16, 32, 60, 60, 60], start=1):
        drawn = [RetryPolicy().delay(retry, rng) for _ in range(2000)]
        assert 0 <= min(drawn) < ceiling * 0.01
        assert ceiling * 0.99 < max(drawn) <= ceiling
        assert sum(drawn) / len(drawn) == pytest.approx(ceiling / 2, rel=0.05)


def test_a_year_of_retries_does_not_overflow() -> None:
    assert 0 <= RetryPolicy().delay(1_000_000, random.Random(1)) <= 60


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


def test_the_count_starts_over_after_stable_uptime_only() -> None:
    counter = retries()
    counter.opened(0)
    assert counter.after(REFUSED, 29.9) is not None
    counter.opened(40)
    assert counter.after(REFUSED, 69.9) is not None
    assert counter.count == 2
    counter.opened(80)
    assert counter.after(REFUSED, 110) is not None
    assert counter.count == 1


@pytest.mark.parametrize("jitter", ["full", "decorrelated", "added"])
@pytest.mark.parametrize("lifetime", [0.0, 0.001, 1.0, 5.0, 14.0, 29.9, 30.0, 45.0])
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


def test_nor_is_it_if_chance_always_gives_the_least() -> None:
    counter, now, dials = Retries(RetryPolicy(), Stingy()), 0.0, 0
    while now < 60:
        dials += 1
        counter.opened(now)
        pause = counter.after(closed(1001), now)
        assert pause is not None
        now += pause.delay
    assert dials == 8


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


# What a failure asks for


@pytest.mark.parametrize(
    ("issue", "low", "high"),
    [
        (closed(1001), 0, 5),
        (LOST, 0, 5),
        (closed(1012), 5, 30),
        (RESET, 0, 0.05),
        (closed(1011, "local"), 0, 0.05),
        (answered(408), 0, 0.05),
        (closed(1013), 0, 2),
        (answered(429), 0, 1),
        (closed(1005), 0, 0.5),
        (closed(1014), 0, 0.5),
        (REFUSED, 0, 0.5),
        (answered(500), 0, 0.5),
        (answered(503, "4"), 4, 4.5),
        (answered(429, "4"), 4, 5),
        (answered(503, "86400"), 300, 300.5),
    ],
)
def test_the_first_pause(issue: ConnectionIssue, low: float, high: float) -> None:
    drawn = [pause.delay for seed in range(400) if (pause := retries(seed=seed).after(issue, 0)) is not None]
    assert len(drawn) == 400
    assert low <= min(drawn) < low + (high - low) * 0.05
    assert high - (high - low) * 0.05 < max(drawn) <= high


@pytest.mark.parametrize("issue", [closed(1001), closed(1012), LOST])
def test_a_pause_of_ours_stays_under_the_cap(issue: ConnectionIssue) -> None:
    policy = RetryPolicy(base=0.1, cap=1)
    drawn = [pause.delay for seed in range(400) if (pause := retries(policy, seed=seed).after(issue, 0)) is not None]
    assert 0.95 < max(drawn) <= 1
    assert min(drawn) < 0.2


def test_only_the_first_retry_is_special() -> None:
    counter = retries()
    counter.after(RESET, 0)
    drawn = [pause.delay for pause in pauses(counter, RESET, 6) if pause is not None]
    assert max(drawn) > 5


@pytest.mark.parametrize(
    ("issue", "tries"),
    [
        *[(closed(code), 1) for code in (1002, 1003, 1004, 1007, 1009, 1010, 2999)],
        (answered(426), 1),
        (answered(200), 1),
        (closed(4001), 3),
        (closed(1015, None), 3),
        *[(closed(code), 0) for code in (1000, 1008, 3000, 3003)],
        *[(answered(status), 0) for status in (301, 400, 401, 403, 405, 407, 410, 501)],
    ],
)
def test_how_often_it_is_worth_trying(issue: ConnectionIssue, tries: int) -> None:
    outcome = pauses(retries(), issue, tries + 1)
    assert [pause is not None for pause in outcome] == [True] * tries + [False]


@pytest.mark.parametrize("issue", [closed(1008), closed(3000), answered(401), answered(403)])
def test_credentials_that_can_be_refreshed_are_worth_one_more_try(issue: ConnectionIssue) -> None:
    outcome = pauses(retries(refreshable=True), issue, 2)
    assert [pause is not None for pause in outcome] == [True, False]


def test_what_may_be_a_deploy_is_probed_slowly_and_not_for_ever() -> None:
    nowhere = categorize(ConnectError.wrap(socket.gaierror(socket.EAI_NONAME, "unknown"), "dns", "host"))
    for issue in (answered(404), nowhere):
        *probes, end = pauses(retries(), issue, 6)
        assert end is None
        assert all(pause is not None and pause.suspended and 60 <= pause.delay <= 300 for pause in probes)


def test_a_name_server_that_is_down_is_no_missing_name() -> None:
    busy = categorize(ConnectError.wrap(socket.gaierror(socket.EAI_AGAIN, "busy"), "dns", "host"))
    assert not hint_for(busy).probe


@pytest.mark.parametrize("code", [socket.EAI_MEMORY, socket.EAI_SYSTEM])
def test_nor_is_a_resolver_that_is_out_of_breath(code: int) -> None:
    assert hint_for(categorize(ConnectError.wrap(socket.gaierror(code, "busy"), "dns", "host"))) is Hint.JITTER


@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM])
def test_without_descriptors_it_does_not_hurry(code: int) -> None:
    assert hint_for(categorize(ConnectError.wrap(OSError(code, "out of them"), "tcp", "host"))) is Hint.JITTER


def test_an_expired_certificate_is_probed_until_it_is_renewed() -> None:
    expired = ssl.SSLCertVerificationError(1, "certificate verify failed")
    expired.verify_code, expired.verify_message = 10, "certificate has expired"
    issue = categorize(ConnectError.wrap(expired, "tls", "host"))
    outcome = pauses(retries(), issue, 50)
    assert all(pause is not None and pause.suspended for pause in outcome)


def test_a_probe_keeps_to_retry_after_as_well() -> None:
    pause = retries(RetryPolicy(probe=(1, 2))).after(answered(404, "120"), 0)
    assert pause == Pause(1, 120, suspended=True, not_before=120)


def test_what_the_server_asked_for_is_told_apart() -> None:
    pause = retries().after(answered(503, "4"), 0)
    assert pause is not None
    assert pause.not_before == 4


def test_strikes_are_counted_by_category() -> None:
    counter = retries()
    assert counter.after(closed(1002), 0) is not None
    assert counter.after(closed(1007), 1) is not None
    assert counter.after(closed(1002), 2) is None


def test_a_normal_closure_is_reopened_only_by_policy_and_only_the_peers() -> None:
    assert not RetryPolicy().should_retry(closed(1000))
    assert RetryPolicy(reopen=True).should_retry(closed(1000))
    assert not RetryPolicy(reopen=True).should_retry(closed(1000, "local"))


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
