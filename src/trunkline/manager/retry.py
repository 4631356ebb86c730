"""When to try again.

`RetryPolicy` is the plan, a value that many services may share; `Retries` counts one connection's attempts against it.

The backoff is full jitter inside a ceiling that doubles up to the cap, so that clients which lost one server at one
moment come back spread out. What a failure asks for beyond that stands in `trunkline.manager.hints`. A connection that
only just opened has proved nothing: the count starts over after `reset_after` seconds of uptime. And since full jitter
may draw next to nothing time and again, it gets a floor once a link has died young, so that a server which accepts and
then closes is dialled under ten times in the first minute, whatever is drawn.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass
from typing import Final, Literal

from trunkline.manager.hints import Hint, hint_for
from trunkline.manager.taxonomy import ConnectionIssue
from trunkline.protocol.categories import ErrorCategory

__all__ = ["AT_ONCE", "Pause", "Retries", "RetryPolicy"]

JITTERS: Final = ("full", "decorrelated", "added")


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
    jitter: "full" draws the pause between 0 and the ceiling; "decorrelated" between `base` and three times the pause
        before; "added" takes the ceiling and adds up to `base`.
    attempt_timeout: for one whole attempt, credentials and `open_timeout` included; None: no limit.
    first_at_once: the first dial after the loss of a link does not wait.
    hints: follow what the kind of failure asks for, and Retry-After.

    Raises ValueError for what cannot be.
    """

    base: float = 0.5
    cap: float = 60.0
    attempts: int | None = None
    deadline: float | None = None
    probe: tuple[float, float] = (60.0, 300.0)
    reset_after: float = 30.0
    longest_retry_after: float = 300.0
    reopen: bool = False
    jitter: Literal["full", "decorrelated", "added"] = "full"
    attempt_timeout: float | None = 60.0
    first_at_once: bool = False
    hints: bool = True

    def __post_init__(self) -> None:
        if not 0 < self.base <= self.cap:
            raise ValueError(f"base is {self.base} s and cap {self.cap} s; wanted 0 < base <= cap")
        if self.attempts is not None and self.attempts < 1:
            raise ValueError(f"attempts is {self.attempts}, wanted 1 or more, or None for no limit")
        if not 0 <= self.probe[0] <= self.probe[1]:
            raise ValueError(f"probe is {self.probe}; wanted two times, the shorter first")
        if self.jitter not in JITTERS:
            raise ValueError(f"jitter is {self.jitter!r}; wanted {', '.join(JITTERS)}")
        for name in ("deadline", "reset_after", "longest_retry_after"):
            value = getattr(self, name)
            if value is not None and not value >= 0:
                raise ValueError(f"{name} is {value} s, wanted 0 or more")
        if self.attempt_timeout is not None and not self.attempt_timeout > 0:
            raise ValueError(f"attempt_timeout is {self.attempt_timeout} s, wanted more than 0, or None for no limit")

    @classmethod
    def seed(cls) -> RetryPolicy:
        """Five attempts, 1 s doubling to 30 s with up to 1 s added, at once after a loss, whatever the failure was."""
        return cls(base=1.0, cap=30.0, attempts=5, reset_after=0.0, jitter="added", first_at_once=True, hints=False)

    def should_retry(self, issue: ConnectionIssue, *, hint: Hint | None = None, refreshable: bool = False) -> bool:
        """Whether trying again can help. `refreshable`: the next attempt will bring new credentials."""
        if issue.category is ErrorCategory.NORMAL_CLOSURE:
            return self.reopen and issue.initiator == "remote"
        if not self.hints:
            return issue.recoverable and issue.category is not ErrorCategory.AUTHENTICATION_FAILED
        if (hint or hint_for(issue)).refresh:
            return refreshable
        return issue.recoverable

    def delay(
        self,
        retry: int,
        rng: random.Random,
        slowness: float = 1.0,
        *,
        previous: float | None = None,
        with_floor: bool = False,
    ) -> float:
        """The pause before the given retry (1 is the first). previous: the pause before the last one, if any.

        With a floor it is at least half the ceiling, so that the sum of the pauses is sure to grow.
        """
        # The exponent stops where any cap is long reached: 2.0 ** 1024 would overflow.
        ceiling = min(self.base * slowness * 2.0 ** min(retry - 1, 60), self.cap)
        floor = ceiling / 2 if with_floor else 0.0
        if self.jitter == "added":
            return ceiling + rng.uniform(0.0, self.base)
        if self.jitter == "decorrelated":
            lowest = min(self.base * slowness, self.cap)
            highest = min(self.cap, 3 * max(lowest, previous or 0.0))
            return max(floor, rng.uniform(lowest, highest))
        return rng.uniform(floor, ceiling)


@dataclass(frozen=True, slots=True)
class Pause:
    """The time until the next attempt."""

    retry: int  # its number, counted since the line was last stable
    delay: float  # seconds
    suspended: bool = False
    not_before: float = 0.0  # seconds of it that the server asked for, which no haste of ours may shorten


AT_ONCE: Final = Pause(0, 0.0)


class Retries:
    """One connection's count against its policy."""

    def __init__(self, policy: RetryPolicy, rng: random.Random, *, refreshable: bool = False) -> None:
        self.policy = policy
        self.count = 0  # failures and losses since the line was last stable
        self._rng = rng
        self._refreshable = refreshable
        self._dials = 0  # fruitless ones since then
        self._tries: Counter[ErrorCategory] = Counter()
        self._young = 0  # links that were lost before `reset_after`, since then
        self._previous: float | None = None  # the pause before
        self._up_since: float | None = None
        self._down_since: float | None = None

    def opened(self, now: float) -> None:
        """A link came up at `now`."""
        self._up_since = now

    def after(
        self, issue: ConnectionIssue, now: float, hint: Hint | None = None, *, elsewhere: bool = False
    ) -> Pause | None:
        """Count a failed attempt or a lost link; the pause before the next attempt, None if there should be none.

        hint: how to come back, in place of the table's. elsewhere: the next attempt goes to another server, which has
        asked for nothing.
        """
        lost, stable = self._count_life(now)
        if stable:
            self._start_over()
        else:
            self._dials += 1
            self._young += lost
        if self._down_since is None:
            self._down_since = now
        self.count += 1
        hint = hint or hint_for(issue)
        if not self.policy.should_retry(issue, hint=hint, refreshable=self._refreshable):
            return None
        if self.policy.attempts is not None and self._dials >= self.policy.attempts:
            return None
        if not self.policy.hints:
            return Pause(self.count, self._plain_delay(lost))
        return self._follow(hint, issue, now, elsewhere)

    def _count_life(self, now: float) -> tuple[bool, bool]:
        """Whether there was a link, and whether it was up for long enough to start over."""
        since, self._up_since = self._up_since, None
        return since is not None, since is not None and now - since >= self.policy.reset_after

    def _start_over(self) -> None:
        self.count = self._dials = self._young = 0
        self._tries.clear()
        self._down_since = self._previous = None

    def _plain_delay(self, lost: bool) -> float:
        if self.policy.first_at_once and lost:
            return 0.0
        return self.policy.delay(max(1, self._dials), self._rng)

    def _follow(self, hint: Hint, issue: ConnectionIssue, now: float, elsewhere: bool) -> Pause | None:
        self._tries[issue.category] += 1
        if hint.tries is not None and self._tries[issue.category] > hint.tries:
            return None
        # Jitter goes on top: before its time the server has told us not to come.
        asked = 0.0 if elsewhere else issue.retry_after or 0.0
        not_before = min(asked, self.policy.longest_retry_after)
        if hint.probe or self._is_past_deadline(now):
            delay = max(not_before, self._rng.uniform(*self.policy.probe))
            return Pause(self.count, delay, suspended=True, not_before=not_before)
        return Pause(self.count, self._draw(hint) + not_before, not_before=not_before)

    def _draw(self, hint: Hint) -> float:
        if hint.first is None or self.count > 1:
            self._previous = self.policy.delay(
                self.count, self._rng, hint.slowness, previous=self._previous, with_floor=self._young > 0
            )
            return self._previous
        low, high = hint.first
        shrink = min(1.0, self.policy.cap / high)
        return self._rng.uniform(low * shrink, high * shrink)

    def _is_past_deadline(self, now: float) -> bool:
        deadline, down_since = self.policy.deadline, self._down_since
        return deadline is not None and down_since is not None and now - down_since >= deadline
