"""What the manager and the pools do with a connection, and its user does not.

A `Connection` is the user's side: messages, requests, figures. Its `Control` starts it, counts its leases and ends it;
`trunkline.manager.connection.control_of` returns it.
"""

from __future__ import annotations

import asyncio
from typing import Any

from trunkline.manager.context import Context
from trunkline.manager.errors import NotConnected
from trunkline.manager.exchange import Exchange
from trunkline.manager.guard import Guard
from trunkline.manager.leases import Leases
from trunkline.manager.lifecycle import Lifecycle
from trunkline.manager.redacting import redact
from trunkline.manager.service import Service
from trunkline.manager.states import ConnectionStatus

__all__ = ["Control"]


class Control:
    """The life, the leases and the end of one connection."""

    def __init__(
        self,
        connection_id: str,
        service: Service[Any, Any],
        context: Context,
        life: Lifecycle,
        exchange: Exchange[Any, Any],
        guard: Guard,
    ) -> None:
        pool_timeout = service.pool.idle_timeout if service.pool is not None else None
        idle_timeout = service.idle_timeout if pool_timeout is None else pool_timeout
        self.leases = Leases(context.clock, idle_timeout, self._close_idle)
        self._id = connection_id
        self._life = life
        self._exchange = exchange
        self._guard = guard
        self._closing: asyncio.Task[None] | None = None  # because it is idle

    def start(self) -> None:
        """Begin to dial, unless that was done already; a failed connection starts over."""
        self._life.start()

    def reconnect(self) -> None:
        """Replace the link, or dial now; a failed connection starts over. Raise NotConnected if it is closed."""
        if self._life.status in (ConnectionStatus.CLOSING, ConnectionStatus.CLOSED):
            raise self.refusal()
        self._life.reconnect("reconnect asked for")

    def apply_pause(self) -> None:
        """Stop or start dialling: the service was paused or resumed."""
        self._life.apply_pause()

    def hurry(self) -> None:
        """End a wait for the next attempt; ask an open link for a sign of life."""
        self._life.hurry()

    async def close(self, code: int, reason: str) -> None:
        """Close for good, as `Connection.close` promises."""
        self.leases.cancel()
        try:
            self._exchange.sender.hurry()
        finally:
            await self._life.close(code, reason)

    def abort(self) -> None:
        """Close for good now, without the closing handshake."""
        self.leases.cancel()
        self._life.abort()

    def refusal(self) -> NotConnected:
        """Return the error for a caller that waits for a message that will not come."""
        error = self._life.refusal()
        error.__cause__ = self._life.cause
        return error

    def _close_idle(self) -> None:
        if self._exchange.pending:
            self.leases.watch()
        else:
            self._closing = self._guard.start(self.close(1000, "idle"), f"trunkline {redact(self._id)} closing")
