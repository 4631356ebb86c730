"""Delays of many connections on few timers of the loop.

Theory of operation. What waits equally long comes due in the order in which it began to wait: so each length of a
delay has one queue, and one timer of the loop for the first in it. An item that no longer wants to be told stays in
its queue until its moment. What comes due at once, since connections were opened at once or the loop has stalled, is
spread over turns of the loop, so that other traffic gets through between.
"""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

__all__ = ["A_TURN", "SLACK", "Clock", "Timed", "Timers"]

A_TURN: Final = 64  # items of one queue that come due in one turn of the loop
SLACK: Final = 0.001  # seconds that a loop's timers may be early: uvloop counts in milliseconds


class Handle(Protocol):
    """A timer of a loop."""

    def cancel(self) -> None:
        """Makes it do nothing."""


class Clock(Protocol):
    """What is used of an event loop."""

    def time(self) -> float:
        """Seconds."""

    def call_later(self, delay: float, callback: Callable[[], None], /) -> Handle:
        """Calls back after delay seconds."""


class Timed(Protocol):
    """What may wait."""

    due: float  # set by `after`: the moment, in the loop's time

    def come_due(self) -> None:
        """The moment has come."""


class Timers:
    """The delays of one event loop."""

    __slots__ = ("_loop", "_queues")

    def __init__(self, loop: Clock) -> None:
        self._loop = loop
        self._queues: dict[float, _Queue] = {}

    def time(self) -> float:
        """The loop's time, in seconds."""
        return self._loop.time()

    def after(self, delay: float, item: Timed) -> None:
        """Has `item.come_due()` called after delay seconds. An item may wait once at a time."""
        queue = self._queues.get(delay)
        if queue is None:
            queue = self._queues[delay] = _Queue(self._loop, functools.partial(self._queues.pop, delay))
        item.due = self._loop.time() + delay
        queue.put(item)


class _Queue:
    """Items that wait equally long."""

    __slots__ = ("_forget", "_items", "_loop", "_timer")

    def __init__(self, loop: Clock, forget: Callable[[], object]) -> None:
        self._loop = loop
        self._forget = forget
        self._items: deque[Timed] = deque()
        self._timer: Handle | None = None

    def put(self, item: Timed) -> None:
        self._items.append(item)
        if self._timer is None:
            self._timer = self._loop.call_later(item.due - self._loop.time(), self._fire)

    def _fire(self) -> None:
        items, now = self._items, self._loop.time() + SLACK
        try:
            for _ in range(A_TURN):
                if not items or items[0].due > now:
                    break
                items.popleft().come_due()
        finally:
            self._timer = None
            if items:
                self._timer = self._loop.call_later(max(0.0, items[0].due - self._loop.time()), self._fire)
            else:
                self._forget()
