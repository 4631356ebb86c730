"""Running a program's handler: what its end does to the connection.

A handler need not catch the end of its own connection, which comes to every connection: that closes it with 1000, as a
return does, and is not logged. Whatever else ends a handler is a failure, the end of another connection among it: the
peer is told 1011, the log why.
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
    """What is asked of the server."""

    @property
    def is_closing(self) -> bool:
        """Whether it is being closed, and cancels handlers."""


async def run_handler(handler: Handler, ws: WebSocket, server: Closable) -> None:
    """Run the handler; its end closes the connection: 1000 if it returned, 1011 if it failed.

    Args:
        handler: the program's.
        ws: its connection.
        server: whose handler it is.
    Raises:
        CancelledError, KeyboardInterrupt, SystemExit: as the handler did, after the connection was failed.
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
    """Whether the error is the end of this connection, or a group (of a TaskGroup) of nothing else."""
    errors = [error]
    while errors:
        one = errors.pop()
        if isinstance(one, BaseExceptionGroup):
            errors += one.exceptions
        elif not isinstance(one, ConnectionClosed) or not one.is_end_of(ws):
            return False
    return True
