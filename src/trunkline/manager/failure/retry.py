"""When to try again.

`RetryPolicy` is the plan, a value that many services may share. `Retries` counts one connection's attempts against it.

The backoff is full jitter below a ceiling that grows up to the cap, so that clients which lost a server at the same
moment come back spread out. Exceptions for kinds of failures are in `trunkline.manager.failure.hints`.

The count of failures decays with uptime. A link halves the ceiling each time that it has lived as long as the last
pause, and after `reset_after` seconds everything is forgotten, so a flapping server does not drive the pause to its
cap. A link that has just opened proves nothing, and neither does a server that accepts and drops the transport. As full
jitter may draw almost nothing several times in a row, the pause then gets a floor and grows faster: such a server is
dialled fewer than ten times in the first minute, whatever is drawn.

A connection that has been up is not given up because of what a front end answers during an outage (418, 404, 302, 1008,
...): it is probed slowly. It ends when the server refuses the credentials, closes with 1000, or by the service's rules.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from dataclasses import dataclass
from typing import Final, Literal

from trunkline.manager.failure.hints import Hint, hint_for
from trunkline.manager.failure.issues import ConnectionIssue
from trunkline.protocol.categories import ErrorCategory

__all__ = ["AT_ONCE", "Pause", "Retries", "RetryPolicy"]

JITTERS: Final = ("full", "decorrelated", "added")
YOUNG: Final = 2.0  # seconds: a link that lived for less has proved nothing
LEAST_TO_FORGET: Final = 5.0  # seconds beyond YOUNG that a link must live to halve the ceiling
FLOOR: Final = 2 / 3  # of the ceiling: nine pauses then take a minute, whatever is drawn
STEEP_GROWTH: Final = 2.0  # least growth of the ceiling while one link after another is shorter than both
LEAST_SPREAD: Final = 0.02  # seconds over which the first dial is spread, however short the link's life

# A transport that ends in one of these phases was accepted and dropped.
ACCEPTED: Final = frozenset({"proxy", "tls", "handshake"})


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How a service's connections come back. All times are in seconds.

    Args:
        base: the ceiling of the first pause.
        growth: multiplies the ceiling from one pause to the next; at least 2 while a server accepts and drops
            transports.
        cap: the highest ceiling. A pause exceeds it only if the server asked for it.
        attempts: failed dials in a row before the connection fails; None for no limit while failures are recoverable.
        deadline: time down after which the connection is suspended and only probed; None for never.
        probe: a suspended connection dials again after a random time between these two.
        reset_after: uptime after which the count starts over. A shorter link halves the ceiling each time that it has
            lived as long as the last pause (at least 5 s), not counting its first 2 s.
        longest_retry_after: the longest Retry-After that is respected; a longer one counts as this.
        reopen: dial again after the peer closed with 1000.
        jitter: "full" draws the pause between 0 and the ceiling; "decorrelated" draws it between `base` and three times
            the previous pause; "added" adds up to `base` to the ceiling.
        attempt_timeout: for one whole attempt, including credentials and `open_timeout`; None for no limit.
        first_at_once: make the first dial after a lost link without a pause.
        hints: follow the hints for kinds of failures, and Retry-After.
        never_give_up: probe slowly where the connection would fail or end, even after refused credentials or a close
            with 1000. Only `close` and final rules of the service end it.
        second_opinion: if a link with regular traffic goes silent and does not answer a ping, dial another one, which
            replaces it if it opens while the first is still silent.

    Raises:
        ValueError: for invalid values or combinations, such as `attempts` with `never_give_up`.
    """

    base: float = 0.5
    cap: float = 20.0
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
    never_give_up: bool = False
    growth: float = 1.2
    second_opinion: bool = True

    def __post_init__(self) -> None:
        if not 0 < self.base <= self.cap:
            raise ValueError(f"base is {self.base} s and cap {self.cap} s; wanted 0 < base <= cap")
        if self.attempts is not None and self.attempts < 1:
            raise ValueError(f"attempts is {self.attempts}, wanted 1 or more, or None for no limit")
        if self.attempts is not None and self.never_give_up:
            raise ValueError(f"attempts is {self.attempts} beside never_give_up; wanted one of them")
        if not 1 <= self.growth < 1e6:
            raise ValueError(f"growth is {self.growth}; wanted 1 or more, and below a million")
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
        """Return a policy of five attempts: 1 s doubling to 30 s plus up to 1 s, no hints, no pause after a loss."""
        return cls(
            base=1.0,
            cap=30.0,
            growth=2.0,
            attempts=5,
            reset_after=0.0,
            jitter="added",
            first_at_once=True,
            hints=False,
            second_opinion=False,
        )

    @property
    def halving(self) -> float:
        """Number of failures that double the ceiling."""
        return math.log(2) / math.log(self.growth) if self.growth > 1 else math.inf

    def should_retry(self, issue: ConnectionIssue, *, hint: Hint | None = None, refreshable: bool = False) -> bool:
        """Return whether trying again can help. refreshable: whether the next attempt has new credentials."""
        if issue.category is ErrorCategory.NORMAL_CLOSURE:
            return issue.initiator == "remote" and (self.reopen or self.never_give_up)
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
        """Return the pause in seconds before the given retry (1 is the first). previous: the previous pause, if any.

        With a floor, it is at least two thirds of the ceiling, so that the pauses are sure to add up.
        """
        # Computed with logarithms: 2.0 ** 1024 would overflow.
        log = min(math.log(self.cap), math.log(self.base * slowness) + (retry - 1) * math.log(self.growth))
        ceiling = min(self.cap, math.exp(log))
        floor = ceiling * FLOOR if with_floor else 0.0
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

    retry: int  # its number, counted since the connection was last stable
    delay: float  # seconds
    suspended: bool = False
    not_before: float = 0.0  # seconds that the server asked for, which we never shorten


AT_ONCE: Final = Pause(0, 0.0)


class Retries:
    """One connection's count against its policy."""

    def __init__(
        self, policy: RetryPolicy, rng: random.Random, *, refreshable: bool = False, has_been_up: bool = False
    ) -> None:
        self.policy = policy
        self.count = 0  # failures and losses that are not forgotten yet
        self.has_been_up = has_been_up  # there was a link that worked
        self._rng = rng
        self._refreshable = refreshable
        self._dials = 0  # failed ones in a row
        self._tries: Counter[tuple[ErrorCategory, bool]] = Counter()  # by category, and whether there was a link
        self._is_young = False  # the last link or transport was dropped almost at once
        self._short = 0  # links in a row that were too short to forget a failure
        self._left = 0  # transports accepted and dropped since the last link
        self._steepness = 1.0  # extra growth of the ceiling because of such links and transports
        self._free = 0  # losses that do not raise the ceiling, as a hint's first pause followed
        self._previous = 0.0  # the previous pause
        self._up_since: float | None = None
        self._down_since: float | None = None

    def opened(self, now: float) -> None:
        """Note that a link came up, and forget what had prevented one, such as refused credentials."""
        self._up_since = now
        for key in [key for key in self._tries if not key[1]]:
            del self._tries[key]

    def left(self, now: float) -> None:
        """Note that the program ended the link, if there was one: nothing failed."""
        since, self._up_since = self._up_since, None
        if since is not None:
            self.has_been_up |= now - since >= YOUNG
            self._forget(now - since)

    def after(
        self, issue: ConnectionIssue, now: float, hint: Hint | None = None, *, elsewhere: bool = False
    ) -> Pause | None:
        """Count a failed attempt or a lost link. Return the pause before the next attempt, None if there is none.

        hint: used in place of the table's. elsewhere: whether the next attempt goes to another server, to which a
        Retry-After of this one does not apply.
        """
        hint = hint or hint_for(issue)
        life = self._count_life(issue, hint, now)
        if self._down_since is None:
            self._down_since = now
        self.count += 1
        if self.policy.attempts is not None and self._dials >= self.policy.attempts:
            return None
        if not self.policy.hints:
            if not (self.policy.should_retry(issue) or self.policy.never_give_up):
                return None
            return Pause(self.count, self._plain_delay(life is not None))
        return self._follow(hint, issue, now, life=life, elsewhere=elsewhere)

    # The life of the link, if there was one

    def _count_life(self, issue: ConnectionIssue, hint: Hint, now: float) -> float | None:
        """Forget the failures that a link has outlived. Return its lifetime in seconds, None if there was no link."""
        since, self._up_since = self._up_since, None
        if since is None:
            self._dials += 1
            self._note_leaving(issue)
            return None
        life = now - since
        self._is_young = life < YOUNG
        self._left = 0
        if life >= YOUNG + LEAST_TO_FORGET:
            self._short, self._steepness = 0, 1.0
        else:
            self._note_short()
        # A link that the server accepts only to close it with a refusal does not count as up.
        self.has_been_up |= life >= YOUNG or (issue.recoverable and hint.tries is None and not hint.refresh)
        self._forget(life)
        return life

    def _note_leaving(self, issue: ConnectionIssue) -> None:
        """Note whether the server accepted a transport and dropped it before there was a link."""
        if issue.phase == "open":  # during the greeting
            self._is_young = True
            self._note_short()
        elif issue.category is ErrorCategory.NETWORK_ERROR and issue.phase in ACCEPTED:
            self._is_young = True
            self._left += 1
            # If the connection has been up, this is usually a front end in an outage that is over soon.
            if self._short or (self._left > 1 and not self.has_been_up):
                self._steepen()

    def _note_short(self) -> None:
        self._short += 1
        if self._short > 1:  # the first may be bad luck, soon after an outage
            self._steepen()

    def _steepen(self) -> None:
        self._steepness *= max(1.0, STEEP_GROWTH / self.policy.growth)

    def _forget(self, life: float) -> None:
        times = max(0.0, life - YOUNG) // max(LEAST_TO_FORGET, self._previous)
        is_stable = life >= self.policy.reset_after
        if times or is_stable:
            self.count = 0 if is_stable else int(max(0.0, self.count - times * self.policy.halving))
            self._dials = 0
            self._tries.clear()
            self._down_since = None
        else:
            self._dials += 1
        if not self.count:
            self._free, self._previous = 0, 0.0

    # The next pause

    def _plain_delay(self, lost: bool) -> float:
        if self.policy.first_at_once and lost:
            return 0.0
        return self.policy.delay(max(1, self._dials), self._rng)

    def _follow(
        self, hint: Hint, issue: ConnectionIssue, now: float, *, life: float | None, elsewhere: bool
    ) -> Pause | None:
        may_try = self._may_try(hint, issue)
        is_asked = issue.retry_after is not None and issue.category is not ErrorCategory.NORMAL_CLOSURE
        if not may_try and not (is_asked and not hint.is_final) and not self._keeps(hint, issue):
            return None
        # Jitter comes on top: the server told us not to come earlier.
        asked = 0.0 if elsewhere else issue.retry_after or 0.0
        not_before = min(asked, self.policy.longest_retry_after)
        if (not is_asked and (hint.probe or not may_try)) or self._is_past_deadline(now):
            delay = max(not_before, self._rng.uniform(*self.policy.probe))
            return Pause(self.count, delay, suspended=True, not_before=not_before)
        return Pause(self.count, self._draw(hint, life) + not_before, not_before=not_before)

    def _may_try(self, hint: Hint, issue: ConnectionIssue) -> bool:
        """Count an attempt. Return whether the table and the policy allow it."""
        if not self.policy.should_retry(issue, hint=hint, refreshable=self._refreshable):
            return False
        key = issue.category, issue.phase == "open"
        self._tries[key] += 1
        return hint.tries is None or self._tries[key] <= hint.tries

    def _keeps(self, hint: Hint, issue: ConnectionIssue) -> bool:
        """Return whether to keep probing where the table would stop."""
        if hint.is_final or issue.category is ErrorCategory.NORMAL_CLOSURE:
            return False
        return self.policy.never_give_up or (hint.keeps and self.has_been_up)

    def _draw(self, hint: Hint, life: float | None) -> float:
        if hint.first is None or self.count > 1:
            self._previous = self.policy.delay(
                self.count - self._free,
                self._rng,
                hint.slowness * self._steepness,
                previous=self._previous,
                with_floor=self._is_young,
            )
            return self._previous
        low, high = hint.first
        if hint.of_life is not None and life is not None and not self._is_young:
            high = min(high, max(LEAST_SPREAD, life * hint.of_life))
        shrink = min(1.0, self.policy.cap / high)
        self._free = 0 if life is None or self._is_young else 1
        self._previous = self._rng.uniform(low * shrink, high * shrink)
        return self._previous

    def _is_past_deadline(self, now: float) -> bool:
        deadline, down_since = self.policy.deadline, self._down_since
        return deadline is not None and down_since is not None and now - down_since >= deadline
