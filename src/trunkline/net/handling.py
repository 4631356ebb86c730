"""Running a program's handler, and what its end does to the connection.

A handler need not catch the ConnectionClosed of its own connection: it counts as a return, so the connection is closed
with 1000 and nothing is logged. Any other exception is a failure, including the ConnectionClosed of another connection:
the peer is told 1011, and the log says why.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Protocol

from trunkline.net.close import INTERNAL_ERROR
from trunkline.net.logs import log_fields
from trunkline.protocol.errors import ConnectionClosed

if TYPE_CHECKING:
    from trunkline.net.websocket import WebSocket

__all__ = ["Handler", "run_handler"]

Handler = Callable[["WebSocket"], Awaitable[object]]


class Closable(Protocol):
    """What a handler's end asks of the server."""

    @property
    def is_closing(self) -> bool:
        """Whether it is being closed, which cancels handlers."""


async def run_handler(handler: Handler, ws: WebSocket, server: Closable) -> None:
    """Run the handler, then close the connection: with 1000 if it returned, with 1011 if it failed.

    Args:
        handler: the program's handler.
        ws: its connection.
        server: the server that it belongs to.

    Raises:
        CancelledError, KeyboardInterrupt, SystemExit: the handler raised it. The connection has been failed.
    """
    try:
        await handler(ws)
    except GeneratorExit:
        raise  # the loop is gone, and this may be the garbage collector's thread
    except (asyncio.CancelledError, KeyboardInterrupt, SystemExit) as error:
        _fail(ws, error, is_quiet=server.is_closing)
        raise
    except BaseException as error:  # also a group of cancellations, and what test tools raise
        if not _is_own_end(ws, error):
            _fail(ws, error)
    ws.start_closing()


def _fail(ws: WebSocket, error: BaseException, *, is_quiet: bool = False) -> None:
    if not is_quiet:
        extra = log_fields("handler.failed", remote=ws.remote_address)
        ws.logger.error("the handler of %r failed", ws, exc_info=error, extra=extra)
    ws.fail(1011, f"the handler raised {type(error).__name__}", told=INTERNAL_ERROR)


def _is_own_end(ws: WebSocket, error: BaseException) -> bool:
    """Return whether the error is the end of this connection, or a group (of a TaskGroup) of nothing else."""
    errors = [error]
    while errors:
        one = errors.pop()
        if isinstance(one, BaseExceptionGroup):
            errors += one.exceptions
        elif not isinstance(one, ConnectionClosed) or not one.is_end_of(ws):
            return False
    return True
