"""Delays of many connections on few timers of the loop.

Theory of operation. Items with the same delay come due in the order in which they began to wait. So each delay has one
queue, with one timer of the loop for the first item. The queue is a doubly linked ring, so that an item can leave from
any place at once. Items that come due together, because connections were opened together or the loop has stalled, are
spread over turns of the loop, so that other traffic gets through in between.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Final, Protocol, cast

__all__ = ["A_TURN", "SLACK", "Clock", "Timed", "Timers"]

A_TURN: Final = 64  # items of one queue that come due in one turn of the loop
SLACK: Final = 0.001  # seconds that a loop's timers may be early: uvloop counts in milliseconds


class Handle(Protocol):
    """A timer of a loop."""

    def cancel(self) -> None:
        """Stop the timer."""


class Clock(Protocol):
    """The part of an event loop that is used here."""

    def time(self) -> float:
        """Return the time, in seconds."""

    def call_later(self, delay: float, callback: Callable[[], None], /) -> Handle:
        """Call `callback` after `delay` seconds."""


class Timed(Protocol):
    """An item that can wait. `after` and `forget` set its fields."""

    due: float  # when it comes due, in the loop's time
    before: Timed | None  # its neighbours in the queue; None while it does not wait
    behind: Timed | None

    def come_due(self) -> None:
        """Do what is due."""


class Timers:
    """The delays of one event loop."""

    __slots__ = ("_loop", "_queues")

    def __init__(self, loop: Clock) -> None:
        self._loop = loop
        self._queues: dict[float, _Queue] = {}

    def time(self) -> float:
        """Return the loop's time, in seconds."""
        return self._loop.time()

    def after(self, delay: float, item: Timed) -> None:
        """Call `item.come_due()` after `delay` seconds. An item can wait only once at a time."""
        queue = self._queues.get(delay)
        if queue is None:
            queue = self._queues[delay] = _Queue(self._loop, functools.partial(self._queues.pop, delay))
        item.due = self._loop.time() + delay
        queue.put(item)

    def forget(self, item: Timed) -> None:
        """Do not call the item any more. Do nothing if it is not waiting."""
        _unlink(item)


def _unlink(item: Timed) -> None:
    before, behind = item.before, item.behind
    if before is not None and behind is not None:
        before.behind, behind.before = behind, before
        item.before = item.behind = None


class _Queue:
    """Items with the same delay: a ring in which the queue itself is between the last and the first."""

    __slots__ = ("_forget", "_loop", "_timer", "before", "behind", "due")

    before: Timed
    behind: Timed

    def __init__(self, loop: Clock, forget: Callable[[], object]) -> None:
        self._loop = loop
        self._forget = forget
        self._timer: Handle | None = None
        self.due = 0.0
        self.before = self.behind = cast("Timed", self)

    def come_due(self) -> None:
        """Do nothing: the queue is not an item."""

    def put(self, item: Timed) -> None:
        last = self.before
        item.before, item.behind = last, cast("Timed", self)
        last.behind = self.before = item
        if self._timer is None:
            self._timer = self._loop.call_later(item.due - self._loop.time(), self._fire)

    def _fire(self) -> None:
        now, here = self._loop.time() + SLACK, cast("Timed", self)
        try:
            for _ in range(A_TURN):
                item = self.behind
                if item is here or item.due > now:
                    break
                _unlink(item)
                item.come_due()
        finally:
            self._timer = None
            if self.behind is not here:
                self._timer = self._loop.call_later(max(0.0, self.behind.due - self._loop.time()), self._fire)
            else:
                self._forget()
