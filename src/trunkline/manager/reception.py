"""What comes in over a connection's links: decoded, counted, and kept until it is taken."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from trunkline.manager.codecs import Payload
from trunkline.manager.context import Context
from trunkline.manager.health import Meter
from trunkline.manager.inbox import Inbox, Quarantine
from trunkline.manager.logs import redact
from trunkline.manager.requests import Requests
from trunkline.manager.service import Service
from trunkline.net.logs import log_fields
from trunkline.protocol.errors import DecodeError

__all__ = ["Reception"]

Receives = TypeVar("Receives")


class Reception(Generic[Receives]):
    """The receiving end of one connection.

    position: the last one that a message told, of services that say where it stands.
    """

    def __init__(
        self,
        connection_id: str,
        service: Service[Any, Receives],
        context: Context,
        meter: Meter,
        *,
        requests: Requests[Receives],
        inbox: Inbox[Receives] | None = None,
    ) -> None:
        self.inbox: Inbox[Receives] = Inbox(context.clock) if inbox is None else inbox
        self.quarantine = Quarantine()
        self.position: Any = None
        self._id = connection_id
        self._service = service
        self._logger = context.logger
        self._meter = meter
        self._requests = requests
        self._is_last_call = False
        self._last_misfit = ""  # what was wrong with it, for the log
        self._expects_envelopes = service.batch is not None and service.batch.envelope

    def receive(self, batch: list[Payload]) -> None:
        """Decode what came together; what does not fit the service's type goes to the quarantine."""
        before = self.quarantine.count
        if self._expects_envelopes:
            batch = [part for payload in batch for part in self._service.unpack(payload)]
        for payload in batch:
            try:
                self._take(payload)
                self._meter.count_received(1)
            except DecodeError as error:
                misfit = error
            else:
                continue
            # Out of the handler: what is raised in it would hold this error, and with it the whole envelope.
            self._open_envelope(payload, misfit)
        if (count := self.quarantine.count - before) > 0:
            # Once for all that came together: a peer must not decide how fast our log grows.
            known = redact(self._id)
            extra = log_fields("message.undecodable", connection=known, service=self._service.name, count=count)
            text = "%s: %d undecodable messages, the last: %s"
            self._logger.warning(text, known, count, self._last_misfit, extra=extra)
        self.inbox.changed.notify()

    async def wait_room(self) -> None:
        """Wait until the inbox is not full, or this is the last call."""
        while self.inbox.is_full and not self._is_last_call:
            await self.inbox.changed.wait()

    def call_last(self) -> None:
        """Let in what the link still holds, over the bound if need be: it is closed, so no more than that comes."""
        self._is_last_call = True
        self.inbox.changed.notify()

    def _open_envelope(self, payload: Payload, error: DecodeError) -> None:
        """What fits no type may still be an envelope around what does."""
        parts = [payload] if self._expects_envelopes else self._service.unpack(payload)
        self._meter.count_received(len(parts))
        if parts == [payload]:
            self._put_aside(error)
            return
        for part in parts:
            try:
                self._take(part)
            except DecodeError as misfit:
                self._put_aside(misfit)

    def _put_aside(self, misfit: DecodeError) -> None:
        self._last_misfit = str(self.quarantine.put(misfit))
        self._meter.count_undecodable()

    def _take(self, payload: Payload) -> None:
        message = self._service.decode(payload)
        try:
            if self._service.position is not None and (position := self._service.position(message)) is not None:
                self.position = position
            is_reply = self._requests.match(message)
        except Exception as error:  # an id that cannot be one, or a callable that did not expect this message
            raise DecodeError(
                f"{self._service.name}: no position or id can be had of it: {error!r}", payload
            ) from error
        if not is_reply:
            self.inbox.put(message, len(payload))
