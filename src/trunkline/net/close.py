"""How a connection ends: the record, what the peer is told, and who waits for the end."""

from __future__ import annotations

import asyncio
import functools
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from trunkline.net.faults import Breakable, guarded
from trunkline.protocol.categories import Initiator
from trunkline.protocol.errors import ConnectionClosed, connection_closed

__all__ = ["ABNORMAL", "FIXED_REASONS", "INTERNAL_ERROR", "READS_TOO_SLOWLY", "Close", "Ending", "MakeError", "lost"]

MakeError = Callable[[], ConnectionClosed]  # makes a new error for each caller: a traceback belongs to one raise

# RFC 6455 7.1.7: the peer is told which rule it broke, in words that reveal neither what it sent nor our limits.
FIXED_REASONS: Final = {
    1002: "protocol error",
    1007: "invalid data",
    1008: "too many fragments",
    1009: "message too big",
}
INTERNAL_ERROR: Final = "internal error"  # what a peer is told when the application fails
READS_TOO_SLOWLY: Final = (1013, "reads too slowly")


@dataclass(frozen=True, slots=True)
class Close:
    """How a connection ended.

    Attributes:
        code: the close code (RFC 6455 7.1.5); 1005 if the close frame had none, 1006 if the transport was lost.
        reason: the close reason; "" if there is none.
        clean: whether both sides sent a close frame.
        initiator: which side sent the first one, "local" or "remote"; None if the transport was lost.
    """

    code: int
    reason: str
    clean: bool
    initiator: Initiator | None


ABNORMAL: Final = Close(1006, "", clean=False, initiator=None)


def lost(cause: Exception | None) -> ConnectionClosed:
    """Return the error for a connection whose transport has ended."""
    error = connection_closed(1006, "" if cause is None else str(cause), None)
    error.__cause__ = cause
    return error


class Ending:
    """The end of one connection: how it ended, the timer that makes sure of it, and who waits for it."""

    __slots__ = ("_timer", "_waiter", "close", "due", "make_error", "whose")

    def __init__(self) -> None:
        self.close: Close | None = None  # None while the connection is open
        self.make_error: MakeError | None = None  # for whoever uses the connection from here on
        self.whose: weakref.ref[Any] | None = None  # the connection, once nothing else of ours refers to it
        self.due: float | None = None  # when the timer fires, in the loop's time; None if it is not set
        self._timer: asyncio.TimerHandle | None = None
        self._waiter: asyncio.Future[None] | None = None

    def record(self, close: Close, make_error: MakeError | None) -> bool:
        """Record how the connection ended. Only the first call counts; return whether this was it."""
        if self.close is not None:
            return False
        self.close = close
        self.make_error = make_error or functools.partial(connection_closed, close.code, close.reason, close.initiator)
        return True

    def set_timer(self, owner: Breakable, delay: float, callback: Callable[[], object]) -> None:
        """Call `callback` in `delay` seconds, in place of what the timer was going to call."""
        self.cancel_timer()
        loop = asyncio.get_running_loop()
        self.due = loop.time() + delay
        self._timer = loop.call_later(delay, guarded, owner, "a timer", callback)

    def cancel_timer(self) -> None:
        """Stop the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = self.due = None

    @property
    def is_over(self) -> bool:
        """Whether the transport is gone. The connection may be gone as well, so late callbacks ask this first."""
        return self.whose is not None

    @property
    def is_awaited(self) -> bool:
        """Whether somebody has started to wait for the end."""
        return self._waiter is not None

    async def wait(self) -> None:
        """Wait for `finish`."""
        if self._waiter is None:
            self._waiter = asyncio.get_running_loop().create_future()
        await asyncio.shield(self._waiter)

    def finish(self) -> None:
        """Wake whoever waits: the transport is gone."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
