"""Faults in our own tasks and timers: each is logged once, and whatever depended on the task ends or goes on.

A task that nobody awaits and a timer's callback have no caller to raise to. asyncio would call its exception handler,
late or never, and whoever relied on them would wait for ever. KeyboardInterrupt and SystemExit pass, as they do in the
event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Any, Final, ParamSpec, Protocol

from trunkline.net.logs import log_fields

__all__ = ["FATAL", "Breakable", "break_down", "guarded", "note", "watch"]

P = ParamSpec("P")

FATAL: Final = (KeyboardInterrupt, SystemExit, GeneratorExit)  # meant to end more than a connection


class Breakable(Protocol):
    """A connection that a fault can end."""

    @property
    def logger(self) -> Any:
        """Where it logs."""

    @property
    def remote_address(self) -> Any:
        """Its peer's address."""

    def fail(self, code: int, reason: str, /) -> None:
        """Fail the connection, if it is open (RFC 6455 7.1.7)."""

    def abort(self) -> None:
        """Drop its transport."""


def note(logger: Any, error: BaseException, what: str, remote: object = None) -> None:
    """Log a fault of our own as `internal.fault`. This never raises.

    Args:
        logger: where to log.
        error: the fault.
        what: what of ours failed, for the text.
        remote: the peer's address, if the fault hits a connection.
    """
    try:
        logger.error("%s failed: %r", what, error, exc_info=error, extra=log_fields("internal.fault", remote=remote))
    except Exception as worse:  # from a logging filter of the program, for example
        context = {"message": f"trunkline could not log that {what} failed: {error!r}", "exception": worse}
        asyncio.get_running_loop().call_exception_handler(context)


def break_down(ws: Breakable, error: BaseException, what: str, *, drops: bool = False) -> None:
    """Log a fault, and fail the connection that it hits with 1011. This never raises.

    Args:
        ws: the connection.
        error: the fault.
        what: what of ours failed, for the text.
        drops: whether to drop the transport, too: the failed callback should have, or the connection is not open yet.
    """
    remote = None
    with contextlib.suppress(Exception):
        remote = ws.remote_address
    note(ws.logger, error, what, remote)
    try:
        ws.fail(1011, "internal error")
        if drops:
            ws.abort()
    except Exception as worse:
        note(ws.logger, worse, f"ending a connection after {what}", remote)


def guarded(ws: Breakable, what: str, callback: Callable[P, object], *args: P.args, **more: P.kwargs) -> None:
    """Call `callback`. If it raises, log that and drop the connection: for callbacks during its opening or its end."""
    try:
        callback(*args, **more)
    except FATAL:
        raise
    except BaseException as error:
        break_down(ws, error, what, drops=True)


def watch(
    task: asyncio.Task[Any],
    logger: logging.Logger,
    what: str,
    then: Callable[[], object] | None = None,
    *,
    quiet: tuple[type[BaseException], ...] = (),
) -> None:
    """Log what a task raises, and then call `then`.

    Args:
        task: the task. A cancellation is not a fault.
        logger: where to log.
        what: what of ours the task does, for the text.
        then: called after a fault.
        quiet: exceptions that are not faults.
    """

    def look(task: asyncio.Task[Any]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is None or isinstance(error, (*FATAL, *quiet)):
            return
        note(logger, error, what)
        try:
            if then is not None:
                then()
        except Exception as worse:
            note(logger, worse, f"cleaning up after {what}")

    task.add_done_callback(look)
