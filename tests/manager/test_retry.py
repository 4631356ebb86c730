"""Retry policies: the pauses, the limits, and what each kind of failure asks for."""

import errno
import random
import socket
import ssl
from typing import Any

import pytest

from trunkline.manager.failure.hints import Hint, hint_for
from trunkline.manager.failure.issues import ConnectionIssue, categorize
from trunkline.manager.failure.retry import Pause, Retries, RetryPolicy
from trunkline.protocol.errors import ConnectError, HandshakeError, connection_closed

REFUSED = categorize(ConnectError.wrap(ConnectionRefusedError(111, "refused"), "tcp", "host:1"))
RESET = categorize(ConnectError.wrap(ConnectionResetError(104, "reset"), "tcp", "host:1"))
RESET_EARLY = categorize(ConnectError.wrap(ConnectionResetError(104, "reset"), "handshake", "host:1"))
EOF_EARLY = categorize(ConnectError.wrap(ConnectionResetError("end of file"), "handshake", "host:1"))
EOF_IN_TLS = categorize(ConnectError.wrap(ConnectionResetError("end of file"), "tls", "host:1"))
LOST = categorize(connection_closed(1006))


def closed(code: int, initiator: Any = "remote") -> ConnectionIssue:
    return categorize(connection_closed(code, "", initiator))


def answered(status: int, retry_after: str | None = None) -> ConnectionIssue:
    return categorize(HandshakeError(status, [("Retry-After", retry_after)] if retry_after else []))


def retries(policy: RetryPolicy | None = None, *, seed: int = 1, refreshable: bool = False) -> Retries:
    return Retries(policy or RetryPolicy(), random.Random(seed), refreshable=refreshable)


def pauses(counter: Retries, issue: ConnectionIssue, count: int) -> list[Pause | None]:
    return [counter.after(issue, now) for now in range(count)]


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


def certificate_error(verify_code: int) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_code, error.verify_message = verify_code, "the words of OpenSSL"
    return error


class Stingy(random.Random):
    """Draws the least that there is, which no seed may be trusted never to do."""

    def uniform(self, a: float, b: float) -> float:
        return min(a, b)


LEAVING = {
    "reset before the 101": (RESET_EARLY, False),
    "end of file before the 101": (EOF_EARLY, False),
    "end of file in TLS": (EOF_IN_TLS, False),
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


# What a failure asks for


@pytest.mark.parametrize(
    ("issue", "low", "high"),
    [
        (closed(1001), 0, 1),
        (LOST, 0, 1),
        (closed(1012), 0, 5),
        (EOF_EARLY, 0, 0.05),
        (RESET, 0, 0.05),
        (closed(1011, "local"), 0, 0.05),
        (answered(408), 0, 0.05),
        (closed(1013), 0, 2),
        (answered(429), 0, 1),
        (closed(1005), 0, 0.5),
        (closed(1014), 0, 0.5),
        (answered(400, "120"), 120, 120.5),
        (answered(401, "120"), 120, 120.5),
        (answered(404, "120"), 120, 120.5),
        (answered(302, "120"), 120, 120.5),
        (REFUSED, 0, 0.5),
        (answered(500), 0, 0.5),
        (answered(503, "4"), 4, 4.5),
        (answered(429, "4"), 4, 5),
        (answered(503, "86400"), 300, 300.5),
    ],
)
def test_the_first_pause(issue: ConnectionIssue, low: float, high: float) -> None:
    drawn = []
    for seed in range(400):
        counter = retries(seed=seed)
        if issue.phase == "open":
            counter.opened(-86_400)
        pause = counter.after(issue, 0)
        assert pause is not None
        drawn.append(pause.delay)
    assert low <= min(drawn) < low + (high - low) * 0.05
    assert high - (high - low) * 0.05 < max(drawn) <= high


@pytest.mark.parametrize("issue", [closed(1001), closed(1012), LOST])
def test_a_pause_of_ours_stays_under_the_cap(issue: ConnectionIssue) -> None:
    drawn = []
    for seed in range(400):
        counter = retries(RetryPolicy(base=0.1, cap=0.8), seed=seed)
        counter.opened(-86_400)
        pause = counter.after(issue, 0)
        assert pause is not None
        drawn.append(pause.delay)
    assert 0.75 < max(drawn) <= 0.8
    assert min(drawn) < 0.2


@pytest.mark.parametrize(
    ("issue", "life", "high"),
    [
        (LOST, 8000, 1),
        (LOST, 3600, 0.5),
        (LOST, 720, 0.1),
        (LOST, 30, 0.02),
        (closed(1012), 3600, 5),
        (closed(1012), 360, 1),
        (closed(1001), 30, 1),
    ],
)
def test_what_a_loss_costs_is_a_small_share_of_the_links_life(issue: ConnectionIssue, life: float, high: float) -> None:
    drawn = []
    for seed in range(400):
        counter = retries(seed=seed)
        counter.opened(0)
        pause = counter.after(issue, life)
        assert pause is not None
        drawn.append(pause.delay)
    assert 0.95 * high < max(drawn) <= high
    assert min(drawn) < 0.05 * high


def test_a_first_pause_of_its_own_raises_no_ceiling() -> None:
    for seed in range(200):
        counter = retries(seed=seed)
        counter.opened(0)
        counter.after(LOST, 1000)
        pause = counter.after(REFUSED, 1001)
        assert pause is not None
        assert (pause.retry, pause.delay <= 0.5) == (2, True)


def test_only_the_first_retry_is_special() -> None:
    counter = retries()
    counter.after(RESET, 0)
    drawn = [pause.delay for pause in pauses(counter, RESET, 20) if pause is not None]
    assert max(drawn) > 3


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


@pytest.mark.parametrize("code", [socket.EAI_AGAIN, socket.EAI_MEMORY])
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


def test_where_the_server_says_when_there_is_no_probe() -> None:
    pause = retries(RetryPolicy(probe=(1, 2))).after(answered(404, "120"), 0)
    assert pause is not None
    assert (pause.suspended, pause.not_before) == (False, 120)


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


# A line that has been up


NOWHERE = categorize(ConnectError.wrap(socket.gaierror(socket.EAI_NONAME, "unknown"), "dns", "host"))
WRONG_NAME = categorize(ConnectError.wrap(certificate_error(62), "tls", "host"))
FRONT_END = [
    *[answered(status) for status in (200, 204, 301, 302, 303, 307, 308, 400, 403, 404, 405, 410, 418, 426, 451, 501)],
    *[answered(status) for status in (505, 799)],
    categorize(HandshakeError(None)),
    *[closed(code) for code in (1002, 1003, 1004, 1007, 1008, 1009, 1010, 2999, 3001, 4001)],
    closed(1002, "local"),
    closed(1015, None),
    NOWHERE,
    WRONG_NAME,
    categorize(ConnectError.wrap(PermissionError(errno.EACCES, "not yours"), "tcp", "host")),
    categorize(ConnectError.wrap(ssl.SSLError(1, "wrong version number"), "tls", "host")),
]


@pytest.mark.parametrize("refreshable", [False, True])
@pytest.mark.parametrize("issue", FRONT_END, ids=lambda issue: f"{issue.category}-{issue.code}")
def test_is_not_given_up_for_what_a_front_end_says(issue: ConnectionIssue, refreshable: bool) -> None:
    counter = retries(refreshable=refreshable)
    counter.opened(0)
    counter.after(LOST, 10)
    outcome = pauses(counter, issue, 30)
    assert None not in outcome
    tail = [pause for pause in outcome[5:] if pause is not None]
    assert all(pause.suspended and 60 <= pause.delay <= 300 for pause in tail), "slowly"


@pytest.mark.parametrize("issue", FRONT_END, ids=lambda issue: f"{issue.category}-{issue.code}")
def test_is_given_up_if_it_never_was(issue: ConnectionIssue) -> None:
    assert pauses(retries(), issue, 10)[-1] is None


def test_a_server_that_lets_us_in_to_say_no_has_let_no_line_work() -> None:
    counter = retries()
    for now in (0, 10):
        counter.opened(now)
        pause = counter.after(closed(1002), now + 0.1)
    assert pause is None
    assert not counter.has_been_up


def test_one_that_the_program_left_has_been_up() -> None:
    counter = retries()
    counter.opened(0)
    counter.left(1000)
    assert counter.has_been_up
    pause = counter.after(answered(400), 1001)
    assert pause is not None
    assert pause.suspended


def test_one_that_was_lost_at_once_has_been_up() -> None:
    counter = retries()
    counter.opened(0)
    counter.after(LOST, 0.1)
    pause = counter.after(answered(400), 1)
    assert pause is not None
    assert pause.suspended


@pytest.mark.parametrize("issue", [answered(401), closed(3000), closed(3003), answered(407)])
def test_refused_credentials_end_it_all_the_same(issue: ConnectionIssue) -> None:
    counter = retries()
    counter.opened(0)
    counter.after(LOST, 1000)
    assert counter.after(issue, 1001) is None


def test_what_the_services_rules_call_final_ends_it_all_the_same() -> None:
    counter = retries(RetryPolicy(never_give_up=True))
    counter.opened(0)
    counter.after(LOST, 1000)
    assert counter.after(answered(404, "120"), 1001, Hint.STOP) is None


@pytest.mark.parametrize("status", [200, 302, 400, 401, 403, 404, 405, 407, 418, 426, 503])
def test_a_retry_after_is_honoured_whatever_the_status_and_as_often_as_it_comes(status: int) -> None:
    for counter in (retries(), retries(refreshable=True)):
        for pause in pauses(counter, answered(status, "120"), 20):
            assert pause is not None
            assert (pause.not_before, pause.suspended) == (120, False)
            assert 120 <= pause.delay <= 140


@pytest.mark.parametrize("issue", [*FRONT_END, answered(401), answered(407), closed(3000), closed(3003), closed(1000)])
@pytest.mark.parametrize("hints", [True, False])
def test_never_give_up(issue: ConnectionIssue, hints: bool) -> None:
    counter = retries(RetryPolicy(never_give_up=True, hints=hints))
    assert None not in pauses(counter, issue, 30)


def test_never_give_up_does_not_undo_what_we_ended() -> None:
    assert retries(RetryPolicy(never_give_up=True)).after(closed(1000, "local"), 0) is None


# Credentials


def test_a_token_that_worked_may_be_refused_again() -> None:
    counter = retries(refreshable=True)
    for now in range(0, 100, 10):
        assert counter.after(answered(401), now) is not None
        counter.opened(now + 1)
        assert counter.after(LOST, now + 2) is not None
    counter.after(answered(401), 200)
    assert counter.after(answered(401), 201) is None, "the new one did not work either"


def test_a_link_is_no_proof_of_a_token_that_is_refused_on_it() -> None:
    counter = retries(refreshable=True)
    counter.opened(0)
    assert counter.after(closed(3000), 0.1) is not None
    counter.opened(10)
    assert counter.after(closed(3000), 10.1) is None


def test_but_one_that_worked_for_a_while_is() -> None:
    counter = retries(refreshable=True)
    for now in range(0, 100, 10):
        counter.opened(now)
        assert counter.after(closed(3000), now + 8) is not None


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
