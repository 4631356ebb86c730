"""What comes in over a connection's links: decoded, counted, and kept until it is taken."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from trunkline.manager.context import Context
from trunkline.manager.health import Meter
from trunkline.manager.inbox import Inbox, Quarantine
from trunkline.manager.logs import redact
from trunkline.manager.service import Service
from trunkline.manager.taxonomy import ConnectionIssue
from trunkline.net.logs import log_fields
from trunkline.net.websocket import WebSocket
from trunkline.protocol.errors import DecodeError

__all__ = ["Reception"]

Receives = TypeVar("Receives")


class Reception(Generic[Receives]):
    """The receiving end of one connection: the `Traffic` of its line."""

    def __init__(self, connection_id: str, service: Service[Any, Receives], context: Context, meter: Meter) -> None:
        self.inbox: Inbox[Receives] = Inbox(context.clock)
        self.quarantine = Quarantine()
        self._id = connection_id
        self._service = service
        self._logger = context.logger
        self._meter = meter

    def begin(self, link: WebSocket) -> None:
        """Nothing is kept of a link."""

    def receive(self, batch: list[str | bytes]) -> None:
        """Decode what came together; what does not fit the service's type goes to the quarantine."""
        self._meter.count_received(len(batch))
        misfits = []
        for payload in batch:
            try:
                self.inbox.put(self._service.decode(payload), len(payload))
            except DecodeError as error:
                misfits.append(error)
                self.quarantine.put(error)
                self._meter.count_undecodable()
        if misfits:
            # Once for all that came together: a peer must not decide how fast our log grows.
            known = redact(self._id)
            extra = log_fields("message.undecodable", connection=known, service=self._service.name, count=len(misfits))
            text = "%s: %d undecodable messages, the last: %s"
            self._logger.warning(text, known, len(misfits), misfits[-1], extra=extra)
        self.inbox.changed.notify()

    async def wait_room(self) -> None:
        """Wait until the inbox is not full."""
        await self.inbox.wait_room()

    def set_aside(self, issue: ConnectionIssue) -> None:
        """Nothing: what we sent is not ours to keep, and is never sent twice."""

    def call_last(self) -> None:
        """Let in what the link still holds."""
        self.inbox.call_last()

    def stop(self, link: WebSocket) -> None:
        """What was received stays to be taken."""

    def end(self) -> None:
        """Wake whoever waits for a message that will not come."""
        self.inbox.changed.notify()
