"""The fate of one message that was sent.

    queued ─ written ─ confirmed
       │        └───── unknown        the link was lost before a confirmation
       └─ dropped · conflated · expired · cancelled · refused · stale · unsent

A pong proves that the peer's WebSocket has read what was written before the ping (RFC 6455 5.5.2 and 5.5.3, and TCP
keeps the order): the message is confirmed. It does not prove that the peer's program has processed it.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final, Generic, TypeVar

from trunkline.manager.codecs import Payload, memory_of
from trunkline.manager.errors import MessageDropped, NotConnected, SendInterrupted
from trunkline.manager.failure.issues import ConnectionIssue
from trunkline.manager.redacting import redact
from trunkline.manager.states import ConnectionStatus, DeliveryOutcome

__all__ = ["FINAL", "UNDELIVERED", "Delivery"]

Sends = TypeVar("Sends")


_O = DeliveryOutcome

FINAL: Final = frozenset(DeliveryOutcome) - {_O.QUEUED, _O.WRITTEN}
UNDELIVERED: Final = FINAL - {_O.CONFIRMED}


class Delivery(Generic[Sends]):
    """One message on its way.

    Attributes:
        message: the message as you sent it.
        outcome: its present `DeliveryOutcome`.
        issue: what was wrong with the connection when the outcome was settled, None if nothing was.
    """

    __slots__ = (
        "_connection_id",
        "_status",
        "_waiters",
        "born",
        "generation",
        "issue",
        "key",
        "message",
        "outcome",
        "payload",
        "size",
    )

    def __init__(self, connection_id: str, message: Sends, payload: Payload, born: float) -> None:
        self.message = message
        self.outcome = _O.QUEUED
        self.issue: ConnectionIssue | None = None
        self.payload = payload  # empty once the outcome is final and it will not be written again
        self.size = memory_of(payload)  # bytes
        self.born = born  # when it was sent, by the clock
        self.generation: int | None = None  # the link that it is for; None: any
        self.key: Any = None  # for conflation
        self._connection_id = connection_id
        self._status: ConnectionStatus | None = None
        self._waiters: list[asyncio.Future[None]] | None = None

    def __repr__(self) -> str:
        # Without the message, which may hold secrets.
        return f"<Delivery {self.outcome} of {self.size} bytes on {redact(self._connection_id)}>"

    @property
    def connection_id(self) -> str:
        """The id of the connection that it was sent on."""
        return self._connection_id

    @property
    def is_final(self) -> bool:
        """Whether the outcome is final."""
        return self.outcome in FINAL

    async def wait_written(self) -> None:
        """Wait until it is written to a link. Cancelling the wait does not affect the message.

        Raises MessageDropped, NotConnected or SendInterrupted if it was not written or the link was lost since.
        """
        while self.outcome is _O.QUEUED:
            await self._wait_change()
        self._raise()

    async def wait_confirmed(self) -> None:
        """Wait until the peer's WebSocket has read it.

        With `OutboxPolicy(confirm=None)`, this does not return while the link is up. Raise what `wait_written`
        raises; SendInterrupted means that nobody knows whether the message arrived.
        """
        while self.outcome not in FINAL:
            await self._wait_change()
        self._raise()

    def settle(
        self, outcome: DeliveryOutcome, status: ConnectionStatus | None = None, issue: ConnectionIssue | None = None
    ) -> None:
        """Set the outcome, and wake the tasks that wait for it. Called by the connection."""
        self.outcome, self._status, self.issue = outcome, status, issue
        if outcome is not _O.QUEUED and outcome is not _O.WRITTEN:
            self.payload = b""
        waiters, self._waiters = self._waiters, None
        for waiter in waiters or ():
            if not waiter.done():
                waiter.set_result(None)

    async def _wait_change(self) -> None:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._waiters is None:
            self._waiters = []
        self._waiters.append(waiter)
        try:
            await waiter
        finally:
            if self._waiters is not None and waiter in self._waiters:
                self._waiters.remove(waiter)

    def _raise(self) -> None:
        if self.outcome not in UNDELIVERED:
            return
        if self._status is not None and self.outcome is _O.UNKNOWN:
            raise SendInterrupted(self._connection_id, self._status, self.issue)
        if self._status is not None and self.outcome is _O.UNSENT:
            raise NotConnected(self._connection_id, self._status, self.issue)
        raise MessageDropped(self._connection_id, self.outcome)
