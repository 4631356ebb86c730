"""A task that survives faults: it goes on after an exception, and its end is always reported."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable

from trunkline.manager.failure.issues import ConnectionIssue, categorize
from trunkline.manager.failure.retry import Pause
from trunkline.manager.guard import FATAL

__all__ = ["Supervisor", "describe_fault"]


class Supervisor:
    """Runs `live(None)` in a task, and `live(pause)` after each fault.

    Args:
        live: the coroutine function to run.
        survive: called with each fault; returns the pause before going on, None to end.
        ended: called when the task is over, with the exception that ended it: None if there was none, CancelledError
            if it was cancelled.
    """

    def __init__(
        self,
        live: Callable[[Pause | None], Awaitable[None]],
        survive: Callable[[BaseException], Pause | None],
        ended: Callable[[BaseException | None], object],
    ) -> None:
        self.task: asyncio.Task[None] | None = None
        self._live = live
        self._survive = survive
        self._ended = ended
        self._is_interrupted = False

    def start(self, name: str) -> None:
        """Begin in a new task. The end of an earlier one is not reported any more."""
        self.task = asyncio.get_running_loop().create_task(self._run(), name=name)
        self.task.add_done_callback(self._look)

    def interrupt(self) -> None:
        """Cancel what the task waits for, but not the task, which calls `take_interruption` afterwards."""
        if self.task is not None:
            self._is_interrupted = self.task.cancel()

    def take_interruption(self) -> bool:
        """Return whether there was an interruption since the last call, even if something swallowed it."""
        was_interrupted, self._is_interrupted = self._is_interrupted, False
        if was_interrupted and self.task is not None:
            self.task.uncancel()
        return was_interrupted

    async def _run(self) -> None:
        pause: Pause | None = None
        while True:
            try:
                return await self._live(pause)
            except FATAL:
                raise
            except BaseException as error:
                # A CancelledError may also come from something it waits for that somebody else has cancelled.
                if isinstance(error, asyncio.CancelledError) and self.task is not None and self.task.cancelling():
                    raise
                pause = self._survive(error)
            if pause is None:
                return None

    def _look(self, task: asyncio.Task[None]) -> None:
        error = asyncio.CancelledError("its task was cancelled") if task.cancelled() else task.exception()
        if task is self.task:
            self._ended(error)


def describe_fault(error: BaseException, *, recoverable: bool) -> ConnectionIssue:
    """Return the issue for an exception that is not a connection error."""
    seen = categorize(error)
    return dataclasses.replace(seen, message=f"a fault, see the log: {seen.message}", recoverable=recoverable)
