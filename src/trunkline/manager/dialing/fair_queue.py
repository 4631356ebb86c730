"""A first-come, first-served queue of tasks that wait for a budget or a gate.

The tasks may run in different event loops in different threads, as a whole process can share one budget.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import threading
from collections import deque
from collections.abc import Callable
from typing import Final

from trunkline.manager.clock import Clock

__all__ = ["ROUNDING", "FairQueue"]

# Seconds and tokens: a smaller difference is rounding, and waiting for it would spin.
ROUNDING: Final = 1e-9


class FairQueue:
    """Admits tasks in the order in which they came."""

    def __init__(self) -> None:
        self.lock = threading.Lock()  # held whenever `take` is called
        self._queue: deque[_Waiter] = deque()

    def __len__(self) -> int:
        return len(self._queue)

    async def enter(self, clock: Clock, take: Callable[[], float]) -> None:
        """Wait in the queue until `take` returns 0, which means that it took what the task needs.

        Otherwise `take` returns the seconds after which to call it again, or infinity to wait for `nudge`. Only the
        head of the queue calls it. A task that is cancelled leaves the queue and takes nothing.
        """
        waiter = _Waiter(asyncio.get_running_loop())
        with self.lock:
            self._queue.append(waiter)
        try:
            while (delay := self._ask(waiter, take)) > 0:
                await waiter.wait(clock, delay)
        finally:
            waiter.has_left = True  # even if `_leave` is interrupted, nobody waits behind this one
            self._leave(waiter)

    def nudge(self) -> None:
        """Let the head of the queue try again, as there may be something to take."""
        with self.lock:
            self._drop_lost()
            head = self._queue[0] if self._queue else None
        if head is not None:
            head.wake()

    def _ask(self, waiter: _Waiter, take: Callable[[], float]) -> float:
        with self.lock:
            self._drop_lost()
            return take() if self._queue[0] is waiter else math.inf

    def _drop_lost(self) -> None:
        """Remove waiters at the head that have left or whose loop was closed with tasks in it."""
        while self._queue and (self._queue[0].has_left or self._queue[0].loop.is_closed()):
            self._queue.popleft()

    def _leave(self, waiter: _Waiter) -> None:
        with self.lock, contextlib.suppress(ValueError):
            self._queue.remove(waiter)
        self.nudge()


class _Waiter:
    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.has_left = False
        self._woken: asyncio.Future[None] | None = None

    async def wait(self, clock: Clock, delay: float) -> None:
        self._woken = self.loop.create_future()
        timer = None if delay == math.inf else clock.call_later(delay, self._settle)
        try:
            await self._woken
        finally:
            self._woken = None
            if timer is not None:
                timer.cancel()

    def wake(self) -> None:
        with contextlib.suppress(RuntimeError):  # no loop runs here, or the waiter's is closed
            if asyncio.get_running_loop() is self.loop:
                self._settle()
                return
        with contextlib.suppress(RuntimeError):
            self.loop.call_soon_threadsafe(self._settle)

    def _settle(self) -> None:
        if self._woken is not None and not self._woken.done():
            self._woken.set_result(None)
