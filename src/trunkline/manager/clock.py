"""Time for the manager: a clock, timers, and tasks that wait.

The running event loop is the default `Clock`. A test passes its own and moves it by hand.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from types import TracebackType
from typing import Any, Protocol, Self

__all__ = ["Clock", "Deadline", "Signal", "Timer", "sleep", "wait_all", "wait_future"]


class Timer(Protocol):
    """A call that is due later."""

    def cancel(self) -> None:
        """Cancel the call. Does nothing if it was made already."""


class Clock(Protocol):
    """The part of `asyncio.AbstractEventLoop` that tells time. Monotonic, in seconds."""

    def time(self) -> float:
        """Return the time in seconds."""

    def call_later(self, delay: float, callback: Callable[..., object], *args: object) -> Timer:
        """Call `callback(*args)` in `delay` seconds, unless the timer is cancelled."""


class Signal:
    """Wakes all tasks that wait for it, in the order in which they came."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._waiters: dict[asyncio.Future[bool], None] = {}

    def notify(self) -> None:
        """Wake all tasks that wait."""
        waiters, self._waiters = self._waiters, {}
        for waiter in waiters:
            _settle(waiter, True)

    async def wait(self, until: float | None = None) -> bool:
        """Wait for the next `notify`. Return False if the clock reached `until` first. Safe to cancel."""
        waiter: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiters[waiter] = None
        try:
            return await wait_future(self._clock, waiter, until)
        finally:
            self._waiters.pop(waiter, None)


async def wait_future(clock: Clock, waiter: asyncio.Future[bool], until: float | None) -> bool:
    """Return the result of the future, which is set to False if the clock reaches `until` first."""
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


class Deadline:
    """A time limit on a `Clock`, as `asyncio.timeout` is one on the loop's clock.

    `async with Deadline(clock, seconds):` cancels the block when the time is up, and raises TimeoutError. None means no
    limit. A cancellation from outside stays a cancellation.
    """

    def __init__(self, clock: Clock, seconds: float | None) -> None:
        self._clock = clock
        self._seconds = seconds
        self._timer: Timer | None = None
        self._is_past = False
        self._cancelling = 0
        self._task: asyncio.Task[object] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.current_task()
        assert self._task is not None
        self._cancelling = self._task.cancelling()
        if self._seconds is not None:
            self._timer = self._clock.call_later(self._seconds, self._expire)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        assert self._task is not None
        was_ours = self._is_past and self._task.uncancel() <= self._cancelling
        if was_ours and isinstance(error, asyncio.CancelledError):
            raise TimeoutError(f"not done after {self._seconds:g} s") from error

    def _expire(self) -> None:
        assert self._task is not None
        self._is_past = True
        self._task.cancel()


async def wait_all(calls: Iterable[Coroutine[Any, Any, object]]) -> None:
    """Await all of them, even if some raise; then raise the first exception."""
    for result in await asyncio.gather(*calls, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result
