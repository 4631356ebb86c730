"""The timers of an event loop, in a time that the test moves."""

import heapq
import itertools
from collections.abc import Callable


class Clock:
    """What timers need of an event loop."""

    def __init__(self) -> None:
        self.now = 0.0
        self._timers: list[tuple[float, int, Timer]] = []
        self._numbers = itertools.count()

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, callback: Callable[[], None]) -> "Timer":
        timer = Timer(callback)
        heapq.heappush(self._timers, (self.now + delay, next(self._numbers), timer))
        return timer

    def advance(self, seconds: float) -> None:
        """Moves the time, and calls what is due on the way, each at its moment."""
        until = self.now + seconds
        while self._timers and self._timers[0][0] <= until + 1e-9:
            due, _, timer = heapq.heappop(self._timers)
            self.now = max(self.now, due)  # which a test may have moved as well: we slept
            timer.fire()
        self.now = until

    def running(self) -> int:
        """How many timers would still fire."""
        return sum(not timer.cancelled for _, _, timer in self._timers)


class Timer:
    """A timer handle."""

    def __init__(self, callback: Callable[[], None]) -> None:
        self._callback = callback
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True

    def fire(self) -> None:
        if not self.cancelled:
            self._callback()
