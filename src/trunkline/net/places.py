"""Connections that hold a place for a while: during the opening handshake, or while they are being turned away.

Theory of operation. All get the same time, so they expire in the order in which they came. One timer of the loop, for
the first of them, is enough.
"""

from __future__ import annotations

import asyncio
import itertools
import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from trunkline.net.faults import guarded
from trunkline.net.timers import SLACK

if TYPE_CHECKING:
    from trunkline.net.websocket import WebSocket

__all__ = ["Places"]


class Places:
    """Connections, the oldest first, each with a deadline."""

    def __init__(self, seconds: float | None, expire: Callable[[WebSocket], None]) -> None:
        """Start without connections.

        Args:
            seconds: how long each may stay; None for no limit.
            expire: called with a connection that has stayed longer, and has lost its place.
        """
        self._loop = asyncio.get_running_loop()
        self._seconds = math.inf if seconds is None else seconds
        self._expire = expire
        self._held: dict[WebSocket, float] = {}  # until when, in the loop's time
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._held)

    def __iter__(self) -> Iterator[WebSocket]:
        """Iterate over a copy, the oldest first."""
        return iter([*self._held])

    def add(self, ws: WebSocket) -> None:
        """Give a connection a place."""
        self._held[ws] = self._loop.time() + self._seconds
        if self._timer is None and self._seconds < math.inf:
            self._timer = self._loop.call_later(self._seconds, self._look)

    def remove(self, ws: WebSocket) -> bool:
        """Take a connection's place away. Return False if it had none."""
        return self._held.pop(ws, None) is not None

    def oldest(self) -> WebSocket:
        """Return the connection that came first. Raise KeyError if there is none."""
        for ws in self._held:
            return ws
        raise KeyError("nobody holds a place")

    def close(self) -> None:
        """Stop expiring connections."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        now = self._loop.time() + SLACK
        for ws in list(itertools.takewhile(lambda ws: self._held[ws] <= now, self._held)):
            del self._held[ws]
            guarded(ws, "a deadline", self._expire, ws)
        if self._held and self._timer is None:
            due = next(iter(self._held.values()))
            self._timer = self._loop.call_later(max(0.0, due - self._loop.time()), self._look)
