"""Runs the tasks, timers and callbacks of a connection: what they raise is logged, counted, and acted on.

A task that nobody awaits and a timer's callback have no caller to raise to. Both are started here, and the program's
own callbacks are called here. KeyboardInterrupt and SystemExit pass through, as they do in the event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Final, ParamSpec

from trunkline.manager.clock import Clock, Timer
from trunkline.manager.health import Meter
from trunkline.manager.redacting import redact
from trunkline.net.logs import EVENTS, log_fields

__all__ = ["FATAL", "Guard"]

P = ParamSpec("P")

FATAL: Final = (KeyboardInterrupt, SystemExit, GeneratorExit)  # these are meant to end more than a connection


class Guard:
    """The guard of one connection. It is a `Clock` as well, whose timers cannot fail unnoticed.

    tear: called after a failure that leaves the link in an unknown state; the connection's lifecycle sets it.
    """

    def __init__(self, connection_id: str, clock: Clock, logger: logging.Logger, meter: Meter) -> None:
        self.tear: Callable[[BaseException], object] = _nothing
        self.time = clock.time
        self._clock = clock
        self._known = redact(connection_id)
        self._logger = logger
        self._meter = meter

    def call_later(self, delay: float, callback: Callable[..., object], *args: object) -> Timer:
        """Call it later, as `Clock.call_later` does. If it raises, the link is torn."""
        return self._clock.call_later(delay, self.run, callback, *args)

    def start(self, coroutine: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Start a task. If it raises, the link is torn."""
        task = asyncio.get_running_loop().create_task(coroutine, name=name)
        task.add_done_callback(self._look)
        return task

    def run(self, callback: Callable[P, object], *args: P.args, **more: P.kwargs) -> None:
        """Call it. If it raises, the link is torn."""
        try:
            callback(*args, **more)
        except FATAL:
            raise
        except BaseException as error:
            self._fail(error)

    def tell(self, event: str, callback: Callable[P, object], *args: P.args, **more: P.kwargs) -> None:
        """Call one of the program's callbacks. What it raises is logged as `event` and has no other effect."""
        try:
            callback(*args, **more)
        except FATAL:
            raise
        except BaseException as error:
            self.note(error, event)

    def note(self, error: BaseException, event: str = "connection.fault") -> None:
        """Log and count an exception. Never raises."""
        with contextlib.suppress(Exception):
            self._meter.count_fault()
        try:
            extra = log_fields(event, connection=self._known)
            self._logger.error("%s: %s: %r", self._known, EVENTS[event], error, exc_info=error, extra=extra)
        except Exception as worse:  # a filter of the program's, say
            context = {"message": f"trunkline could not log {error!r}", "exception": worse}
            asyncio.get_running_loop().call_exception_handler(context)

    def _fail(self, error: BaseException) -> None:
        self.note(error)
        self.tear(error)

    def _look(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() and task.cancelling():
            return  # on purpose; otherwise, what it waited for was cancelled
        error = asyncio.CancelledError("by what it waited for") if task.cancelled() else task.exception()
        if isinstance(error, FATAL):
            self.tear(RuntimeError(f"a callback of the program's raised {error!r}"))  # the loop raised it, too
        elif error is not None:
            self._fail(error)


def _nothing(error: BaseException) -> None:
    pass
