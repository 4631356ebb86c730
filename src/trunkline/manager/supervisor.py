"""A task that no exception ends in silence: after a fault it goes on, and its end is always told."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable

from trunkline.manager.failure.issues import ConnectionIssue, categorize
from trunkline.manager.failure.retry import Pause
from trunkline.manager.guard import FATAL

__all__ = ["Supervisor", "describe_fault"]


class Supervisor:
    """Runs `live(None)` in a task, and after each fault `live(pause)`.

    survive: told of each fault; gives the pause to go on after, None to end. ended: called when the task is over, with
    what it ended by: None if nothing was wrong, CancelledError if somebody cancelled it.
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
        """Begin in a new task. One that has not quite ended is not heard of any more."""
        self.task = asyncio.get_running_loop().create_task(self._run(), name=name)
        self.task.add_done_callback(self._look)

    def interrupt(self) -> None:
        """Cancel the wait of the moment, and not the task. Whoever waits calls `take_interruption` afterwards."""
        if self.task is not None:
            self._is_interrupted = self.task.cancel()

    def take_interruption(self) -> bool:
        """Whether there was an interruption since the last call, whether it was heard or swallowed."""
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
                # A CancelledError may also come from what it waits for, which somebody else has cancelled.
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
    """The issue for what is no error of a line."""
    seen = categorize(error)
    return dataclasses.replace(seen, message=f"a fault, see the log: {seen.message}", recoverable=recoverable)
