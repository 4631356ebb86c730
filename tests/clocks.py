"""The clock of every test that decides itself when time passes: a loop's `time` and `call_later`, without a loop."""

import heapq
import itertools
from collections.abc import Callable, Iterator

from turns import settle

ROUNDING = 1e-9  # seconds by which a sum of delays may miss the moment that it stands for
TURNS = 20  # of the event loop, in which every task goes on until it waits for something


class Timer:
    """A timer handle."""

    def __init__(self, callback: Callable[..., object], args: tuple[object, ...]) -> None:
        self._callback = callback
        self._args = args
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True

    def fire(self) -> None:
        self._callback(*self._args)


class Clock:
    """Monotonic seconds that pass when the test says so. A test may also set `now`: the machine slept."""

    def __init__(self, now: float = 0.0) -> None:
        self.now = now
        self._timers: list[tuple[float, int, Timer]] = []
        self._order = itertools.count()

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, callback: Callable[..., object], *args: object) -> Timer:
        timer = Timer(callback, args)
        heapq.heappush(self._timers, (self.now + delay, next(self._order), timer))
        return timer

    @property
    def pending(self) -> int:
        """The number of timers that have neither fired nor been cancelled."""
        return sum(not timer.cancelled for _, _, timer in self._timers)

    def advance_nowait(self, seconds: float) -> None:
        """Let time pass and fire each timer that falls due, at its moment."""
        for timer in self._due(seconds):
            timer.fire()

    async def advance(self, seconds: float) -> None:
        """Do the same, and let every task go on before the first timer, after each and at the end."""
        await settle(TURNS)
        for timer in self._due(seconds):
            timer.fire()
            await settle(TURNS)
        await settle(TURNS)

    def _due(self, seconds: float) -> Iterator[Timer]:
        end = self.now + seconds
        while self._timers and self._timers[0][0] <= end + ROUNDING:
            due, _, timer = heapq.heappop(self._timers)
            if not timer.cancelled:
                self.now = max(self.now, due)
                yield timer
        self.now = end
