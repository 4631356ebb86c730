"""When to try again.

`RetryPolicy` is the plan, a value that many services may share; `Retries` counts one connection's attempts against it.

The backoff is full jitter inside a ceiling that doubles up to the cap, so that clients which lost one server at one
moment come back spread out. What a failure asks for beyond that (a pause of its own, a limited number of tries, a slow
probe) stands in `HINTS`. A connection that only just opened has proved nothing: the count starts over after
`reset_after` seconds of uptime, so that a server which accepts and then closes does not make us dial in a hot loop.
"""

from __future__ import annotations

import random
import socket
from collections import Counter
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from trunkline.manager.taxonomy import ConnectionIssue
from trunkline.protocol.categories import ErrorCategory

__all__ = ["HINTS", "Hint", "Pause", "Retries", "RetryPolicy", "hint_for"]


class Hint(NamedTuple):
    """How to come back from a kind of failure, where it is not plain jittered backoff."""

    tries: int | None = None  # retries before we stop; None: no limit
    first: tuple[float, float] | None = None  # seconds: the first pause is drawn from here
    slowness: float = 1.0  # multiplies the ceiling of the backoff
    probe: bool = False  # suspended, with a slow probe
    refresh: bool = False  # only if the credentials are asked for anew


PLAIN: Final = Hint()
FAST: Final = Hint(first=(0.0, 0.05))  # a broken line, not a busy server: one quick try
SPREAD: Final = Hint(first=(0.0, 5.0))  # everybody lost the same server: come back spread out
ONCE: Final = Hint(tries=1)
THREE_STRIKES: Final = Hint(tries=3)
REFRESH: Final = Hint(tries=1, refresh=True)
PROBE: Final = Hint(tries=5, probe=True)

_C = ErrorCategory

HINTS: Final[dict[ErrorCategory, Hint]] = {
    _C.GOING_AWAY: SPREAD,
    _C.PROTOCOL_ERROR: ONCE,
    _C.UNSUPPORTED_DATA: ONCE,
    _C.INVALID_DATA: ONCE,
    _C.MESSAGE_TOO_BIG: ONCE,
    _C.EXTENSION_REQUIRED: ONCE,
    _C.RESERVED: ONCE,
    _C.INVALID_UPGRADE: ONCE,
    _C.APPLICATION: THREE_STRIKES,
    _C.TLS_FAILED: THREE_STRIKES,
    _C.TLS_CERTIFICATE: PROBE,
    _C.NOT_FOUND: PROBE,
    _C.DNS_FAILED: PROBE,
    _C.NETWORK_ERROR: FAST,
    _C.SERVICE_RESTART: Hint(first=(5.0, 30.0)),
    _C.OVERLOADED: Hint(slowness=4.0),
    _C.THROTTLED: Hint(slowness=2.0),
    _C.POLICY_VIOLATION: REFRESH,
}

# Where one category has two causes that ask for different things.
HINTS_BY_CODE: Final[dict[tuple[ErrorCategory, int], Hint]] = {
    (_C.NETWORK_ERROR, 1006): SPREAD,
    (_C.TIMEOUT, 1011): FAST,
    (_C.TIMEOUT, 408): FAST,
    (_C.AUTHENTICATION_FAILED, 401): REFRESH,
    (_C.AUTHENTICATION_FAILED, 3000): REFRESH,
    (_C.FORBIDDEN, 403): REFRESH,
    (_C.DNS_FAILED, socket.EAI_AGAIN): PLAIN,
}


def hint_for(issue: ConnectionIssue) -> Hint:
    """The hint for an issue; PLAIN where nothing special is known."""
    if issue.code is not None:
        by_code = HINTS_BY_CODE.get((issue.category, issue.code))
        if by_code is not None:
            return by_code
    return HINTS.get(issue.category, PLAIN)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How a service's connections come back. All times in seconds.

    base, cap: the ceiling of the first pause, and the most that the backoff grows to; it doubles in between. A pause of
        ours never exceeds the cap; one that the server asked for may.
    attempts: fruitless dials in a row before the connection fails; None: no limit while the failure is recoverable.
    deadline: time down after which the connection is suspended and only probed; None: never.
    probe: a suspended connection dials again after a random time between these two.
    reset_after: uptime after which the count starts over.
    longest_retry_after: a Retry-After beyond this is taken for this.
    reopen: dial again after the peer closed with 1000.
    jitter: "full" draws the pause between 0 and the ceiling; "added" takes the ceiling and adds up to `base`.
    first_at_once: the first dial after the loss of a link does not wait.
    hints: follow `HINTS` and Retry-After.
    """

    base: float = 0.5
    cap: float = 60.0
    attempts: int | None = None
    deadline: float | None = None
    probe: tuple[float, float] = (60.0, 300.0)
    reset_after: float = 30.0
    longest_retry_after: float = 300.0
    reopen: bool = False
    jitter: Literal["full", "added"] = "full"
    first_at_once: bool = False
    hints: bool = True

    def __post_init__(self) -> None:
        if not 0 < self.base <= self.cap:
            raise ValueError(f"base is {self.base} s and cap {self.cap} s; wanted 0 < base <= cap")
        if self.attempts is not None and self.attempts < 1:
            raise ValueError(f"attempts is {self.attempts}, wanted 1 or more, or None for no limit")
        if not 0 <= self.probe[0] <= self.probe[1]:
            raise ValueError(f"probe is {self.probe}; wanted two times, the shorter first")

    @classmethod
    def seed(cls) -> RetryPolicy:
        """Five attempts, 1 s doubling to 30 s with up to 1 s added, at once after a loss, whatever the failure was."""
        return cls(base=1.0, cap=30.0, attempts=5, reset_after=0.0, jitter="added", first_at_once=True, hints=False)

    def should_retry(self, issue: ConnectionIssue, *, refreshable: bool = False) -> bool:
        """Whether trying again can help. `refreshable`: the next attempt will bring new credentials."""
        if issue.category is ErrorCategory.NORMAL_CLOSURE:
            return self.reopen and issue.initiator == "remote"
        if not self.hints:
            return issue.recoverable and issue.category is not ErrorCategory.AUTHENTICATION_FAILED
        if hint_for(issue).refresh:
            return refreshable
        return issue.recoverable

    def delay(self, retry: int, rng: random.Random, slowness: float = 1.0) -> float:
        """The pause before the given retry (1 is the first)."""
        # The exponent stops where any cap is long reached: 2.0 ** 1024 would overflow.
        ceiling = min(self.base * slowness * 2.0 ** min(retry - 1, 60), self.cap)
        if self.jitter == "added":
            return ceiling + rng.uniform(0.0, self.base)
        return rng.uniform(0.0, ceiling)


@dataclass(frozen=True, slots=True)
class Pause:
    """The time until the next attempt."""

    retry: int  # its number, counted since the line was last stable
    delay: float  # seconds
    suspended: bool = False


class Retries:
    """One connection's count against its policy."""

    def __init__(self, policy: RetryPolicy, rng: random.Random, *, refreshable: bool = False) -> None:
        self.policy = policy
        self.count = 0  # failures and losses since the line was last stable
        self._rng = rng
        self._refreshable = refreshable
        self._dials = 0  # fruitless ones since then
        self._tries: Counter[ErrorCategory] = Counter()
        self._up_since: float | None = None
        self._down_since: float | None = None

    def opened(self, now: float) -> None:
        """A link came up at `now`."""
        self._up_since = now

    def after(self, issue: ConnectionIssue, now: float) -> Pause | None:
        """Count a failed attempt or a lost link; the pause before the next attempt, None if there should be none."""
        if self._up_since is not None and now - self._up_since >= self.policy.reset_after:
            self._start_over()
        else:
            self._dials += 1
        lost, self._up_since = self._up_since is not None, None
        if self._down_since is None:
            self._down_since = now
        self.count += 1
        if not self.policy.should_retry(issue, refreshable=self._refreshable):
            return None
        if self.policy.attempts is not None and self._dials >= self.policy.attempts:
            return None
        if not self.policy.hints:
            return Pause(self.count, self._plain_delay(lost))
        return self._follow(hint_for(issue), issue, now)

    def _start_over(self) -> None:
        self.count = self._dials = 0
        self._tries.clear()
        self._down_since = None

    def _plain_delay(self, lost: bool) -> float:
        if self.policy.first_at_once and lost:
            return 0.0
        return self.policy.delay(max(1, self._dials), self._rng)

    def _follow(self, hint: Hint, issue: ConnectionIssue, now: float) -> Pause | None:
        self._tries[issue.category] += 1
        if hint.tries is not None and self._tries[issue.category] > hint.tries:
            return None
        if hint.probe or self._is_past_deadline(now):
            return Pause(self.count, self._rng.uniform(*self.policy.probe), suspended=True)
        delay = self._draw(hint)
        if issue.retry_after is not None:
            # Upward only: before that time the server has told us not to come.
            delay += min(issue.retry_after, self.policy.longest_retry_after)
        return Pause(self.count, delay)

    def _draw(self, hint: Hint) -> float:
        if hint.first is None or self.count > 1:
            return self.policy.delay(self.count, self._rng, hint.slowness)
        low, high = hint.first
        shrink = min(1.0, self.policy.cap / high)
        return self._rng.uniform(low * shrink, high * shrink)

    def _is_past_deadline(self, now: float) -> bool:
        deadline, down_since = self.policy.deadline, self._down_since
        return deadline is not None and down_since is not None and now - down_since >= deadline
