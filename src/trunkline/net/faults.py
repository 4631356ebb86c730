"""No fault of our own tasks and timers ends in silence: it is logged once, and what depended on it ends or goes on.

A task that nobody awaits and a timer's callback have no caller to raise to; asyncio would tell its exception handler,
late or never, and whoever relied on them would wait for ever. KeyboardInterrupt and SystemExit pass, as they do through
the event loop.
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

FATAL: Final = (KeyboardInterrupt, SystemExit, GeneratorExit)  # whoever raises these wants more than us to end


class Breakable(Protocol):
    """What a fault ends: a connection."""

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
    """Log a fault of our own as `internal.fault`. Never raises.

    Args:
        logger: where to.
        error: the fault.
        what: what of ours raised it.
        remote: the address of the peer that it hits, if it hits one.
    """
    try:
        logger.error("%s failed: %r", what, error, exc_info=error, extra=log_fields("internal.fault", remote=remote))
    except Exception as worse:  # a filter of the program's, say
        context = {"message": f"trunkline could not log that {what} failed: {error!r}", "exception": worse}
        asyncio.get_running_loop().call_exception_handler(context)


def break_down(ws: Breakable, error: BaseException, what: str, *, drops: bool = False) -> None:
    """Log the fault and fail the connection that it hits with 1011. Never raises.

    drops: the transport is dropped as well, since what failed was to end it, or what could not be failed stays open.
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
    """Call it, for a timer of a connection's opening or end; what it raises is logged, and drops the connection."""
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
    """Log what the task raises when it ends, and call `then`. A cancellation is no fault, nor is what is `quiet`."""

    def look(task: asyncio.Task[Any]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is None or isinstance(error, (*FATAL, *quiet)):
            return
        note(logger, error, what)
        try:
            if then is not None:
                then()
        except Exception as worse:
            note(logger, worse, f"what follows when {what} fails")

    task.add_done_callback(look)
