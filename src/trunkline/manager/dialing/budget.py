"""The retry budget: how many failed dials a process may make, whatever fails.

It is a token bucket. A retry takes one token, or two if the server said that there are too many of us. A dial that
succeeds returns one, and time adds more slowly. A recovery that works is therefore free, and one that does not is soon
limited to `per_second`. When the bucket is empty, dials wait in order; none fails because of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from trunkline.manager.clock import Clock
from trunkline.manager.dialing.fair_queue import ROUNDING, FairQueue

__all__ = ["RetryBudget", "shared_budget"]


class RetryBudget:
    """A token bucket for retries. Managers in different threads may share it.

    Args:
        capacity: tokens at the start, and the most there can be; 1 or more.
        per_second: tokens that time adds; above 0.
        per_success: tokens that a successful dial returns; 0 or more.
        clock: returns monotonic seconds.
    """

    def __init__(
        self,
        capacity: float = 100.0,
        *,
        per_second: float = 10.0,
        per_success: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if capacity < 1 or per_second <= 0 or per_success < 0:
            raise ValueError(
                f"capacity is {capacity}, per_second {per_second} and per_success {per_success}; "
                "wanted 1 or more, above 0, and 0 or more"
            )
        self.capacity = capacity
        self.per_second = per_second
        self.per_success = per_success
        self.delayed = 0  # dials that had to wait for a token
        self._clock = clock
        self._tokens = capacity
        self._filled_at = clock()
        self._queue = FairQueue()

    def __repr__(self) -> str:
        return f"<RetryBudget {self.tokens:.1f} of {self.capacity:g}, {self.waiting} waiting>"

    @property
    def tokens(self) -> float:
        """Tokens in the bucket now."""
        with self._queue.lock:
            self._fill(0.0)
            return self._tokens

    @property
    def waiting(self) -> int:
        """Dials that wait for a token."""
        return len(self._queue)

    async def pay(self, clock: Clock, cost: float = 1.0) -> None:
        """Take `cost` tokens, in order of arrival. Wait by `clock` while there are too few.

        If it is cancelled, it takes nothing.
        """
        cost, has_waited = min(cost, self.capacity), False

        def take() -> float:
            nonlocal has_waited
            self._fill(0.0)
            lacking = cost - self._tokens
            if lacking <= ROUNDING:
                self._tokens -= cost
                return 0.0
            self.delayed += not has_waited
            has_waited = True
            return lacking / self.per_second

        await self._queue.enter(clock, take)

    def succeed(self) -> None:
        """Return the tokens of a dial that succeeded."""
        with self._queue.lock:
            self._fill(self.per_success)
        self._queue.nudge()

    def _fill(self, more: float) -> None:
        now = self._clock()
        grown = max(0.0, now - self._filled_at) * self.per_second
        self._filled_at = now
        self._tokens = min(self.capacity, self._tokens + grown + more)


_shared = RetryBudget()


def shared_budget() -> RetryBudget:
    """Return the budget of this process, which managers share unless they are given another."""
    return _shared
