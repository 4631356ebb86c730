"""What each kind of failure asks of the retries: a first pause of its own, a probe, an end; and what uptime changes."""

import errno
import socket
import ssl
from typing import Any

import pytest

from issues import EOF_EARLY, LOST, REFUSED, answered, certificate_error, closed, failed, pauses, retries
from trunkline.manager.failure.hints import Hint, hint_for
from trunkline.manager.failure.issues import ConnectionIssue, categorize
from trunkline.manager.failure.retry import RetryPolicy
from trunkline.protocol.errors import HandshakeError

RESET = failed(ConnectionResetError(104, "reset"), "tcp")
NOWHERE = failed(socket.gaierror(socket.EAI_NONAME, "unknown"), "dns")


def drawn(issue: ConnectionIssue, *, life: float = 86_400, **options: Any) -> tuple[float, float]:
    """The least and the most of many first pauses, after a connection that was open for so many seconds if it was."""
    delays = []
    for seed in range(400):
        counter = retries(RetryPolicy(**options), seed=seed)
        if issue.phase == "open":
            counter.opened(-life)
        pause = counter.after(issue, 0)
        assert pause is not None
        delays.append(pause.delay)
    return min(delays), max(delays)


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
    least, most = drawn(issue)
    assert low <= least < low + (high - low) * 0.05
    assert high - (high - low) * 0.05 < most <= high


@pytest.mark.parametrize("issue", [closed(1001), closed(1012), LOST])
def test_a_pause_of_ours_stays_under_the_cap(issue: ConnectionIssue) -> None:
    least, most = drawn(issue, base=0.1, cap=0.8)
    assert 0.75 < most <= 0.8
    assert least < 0.2


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
    least, most = drawn(issue, life=life)
    assert 0.95 * high < most <= high
    assert least < 0.05 * high


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
    for issue in (answered(404), NOWHERE):
        *probes, end = pauses(retries(), issue, 6)
        assert end is None
        assert all(pause is not None and pause.suspended and 60 <= pause.delay <= 300 for pause in probes)


SHORT = [
    *[failed(socket.gaierror(code, "busy"), "dns") for code in (socket.EAI_AGAIN, socket.EAI_MEMORY)],
    *[
        failed(OSError(code, "out of them"), "tcp")
        for code in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
    ],
]


@pytest.mark.parametrize("issue", SHORT, ids=lambda issue: f"{issue.phase}-{issue.code}")
def test_what_is_short_of_something_is_neither_probed_nor_hurried(issue: ConnectionIssue) -> None:
    """A resolver that is busy has not said that there is no such name."""
    assert hint_for(issue) is Hint.JITTER


def test_an_expired_certificate_is_probed_until_it_is_renewed() -> None:
    outcome = pauses(retries(), failed(certificate_error(10), "tls"), 50)
    assert all(pause is not None and pause.suspended for pause in outcome)


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


FRONT_END = [
    *[answered(status) for status in (200, 204, 301, 302, 303, 307, 308, 400, 403, 404, 405, 410, 418, 426, 451, 501)],
    *[answered(status) for status in (505, 799)],
    categorize(HandshakeError(None)),
    *[closed(code) for code in (1002, 1003, 1004, 1007, 1008, 1009, 1010, 2999, 3001, 4001)],
    closed(1002, "local"),
    closed(1015, None),
    NOWHERE,
    failed(certificate_error(62), "tls"),
    failed(PermissionError(errno.EACCES, "not yours"), "tcp"),
    failed(ssl.SSLError(1, "wrong version number"), "tls"),
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
    for counter in (retries(), retries(refreshable=True), retries(RetryPolicy(probe=(1, 2)))):
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
