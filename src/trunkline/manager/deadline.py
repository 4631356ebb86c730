"""A time limit on a `Clock`, as `asyncio.timeout` is one on the loop's own."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from types import TracebackType
from typing import Any, Self

from trunkline.manager.clock import Clock, Timer

__all__ = ["Deadline", "wait_all"]


class Deadline:
    """`async with Deadline(clock, seconds):` cancels what is in the block when the time is up, and raises TimeoutError.

    None: no limit. A cancellation from outside stays one.
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
    """Await all of them, whatever one raises; then raise the first of that."""
    for result in await asyncio.gather(*calls, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result
