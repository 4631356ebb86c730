"""Time, as far as the manager needs it: a reading, a timer, and tasks that wait for either.

The running event loop is a `Clock`, and the default one. A test passes its own and moves it by hand.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

__all__ = ["Clock", "Signal", "Timer", "sleep", "wait_future"]


class Timer(Protocol):
    """A call that is to come."""

    def cancel(self) -> None:
        """It shall not come. Nothing if it has come already."""


class Clock(Protocol):
    """The part of `asyncio.AbstractEventLoop` that tells time. Monotonic, in seconds."""

    def time(self) -> float:
        """The reading, in seconds."""

    def call_later(self, delay: float, callback: Callable[..., object], *args: object) -> Timer:
        """Calls `callback(*args)` in `delay` seconds, unless the timer is cancelled."""


class Signal:
    """Wakes every task that waits, in the order in which they came."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._waiters: dict[asyncio.Future[bool], None] = {}

    def notify(self) -> None:
        """Wake all that wait."""
        waiters, self._waiters = self._waiters, {}
        for waiter in waiters:
            _settle(waiter, True)

    async def wait(self, until: float | None = None) -> bool:
        """Wait for the next `notify`; False if the clock reached `until` first. Cancellation leaves nothing behind."""
        waiter: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiters[waiter] = None
        try:
            return await wait_future(self._clock, waiter, until)
        finally:
            self._waiters.pop(waiter, None)


async def wait_future(clock: Clock, waiter: asyncio.Future[bool], until: float | None) -> bool:
    """What the future gives; if the clock reaches `until` first, it is given False."""
    timer = None
    if until is not None:
        timer = clock.call_later(max(0.0, until - clock.time()), _settle, waiter, False)
    try:
        return await waiter
    finally:
        if timer is not None:
            timer.cancel()


def _settle(waiter: asyncio.Future[bool], outcome: bool) -> None:
    if not waiter.done():
        waiter.set_result(outcome)


async def sleep(clock: Clock, delay: float) -> None:
    """Wait for `delay` seconds of `clock`."""
    await Signal(clock).wait(clock.time() + delay)
