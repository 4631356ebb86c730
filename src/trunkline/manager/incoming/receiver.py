"""Decodes and counts what comes in over a connection's links, and keeps it until it is taken."""

from __future__ import annotations

from collections import deque
from typing import Any, Generic, TypeVar

from trunkline.manager.codecs import Payload, memory_of
from trunkline.manager.context import Context
from trunkline.manager.guard import FATAL
from trunkline.manager.health import Meter
from trunkline.manager.incoming.inbox import Inbox, Quarantine
from trunkline.manager.incoming.requests import Requests
from trunkline.manager.logs import redact
from trunkline.manager.service import Service
from trunkline.net.logs import log_fields
from trunkline.protocol.errors import DecodeError

__all__ = ["Receiver"]

Receives = TypeVar("Receives")


class Receiver(Generic[Receives]):
    """The receiving half of one connection.

    position: the position of the last message that had one, by the service's `position`.
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
        self._last_misfit = ""  # the reason, for the log
        self._is_greeted = False
        self._generation = 0  # of the link
        self._discarded = 0  # messages of this link
        self._payloads: deque[Payload] = deque()  # that have no room yet
        self._parts: deque[Payload] = deque()  # of the envelope that is being unpacked
        self._expects_envelopes = service.batch is not None and service.batch.envelope

    def prepare(self, *, is_greeted: bool) -> None:
        """Begin with a new link. During its greeting the inbox may exceed its limit, as the hook waits for replies."""
        self._is_last_call, self._is_greeted, self._discarded = False, is_greeted, 0
        self._generation = self._meter.links + 1

    def begin(self) -> None:
        """End the greeting."""
        self._is_greeted = False

    def receive(self, batch: list[Payload]) -> None:
        """Decode a batch as far as there is room; the rest waits.

        What does not decode as the service's type goes to the quarantine.
        """
        self._payloads.extend(batch)
        self._take_in()

    @property
    def has_room(self) -> bool:
        """Whether nothing waits and the inbox has room."""
        return not (self._payloads or self._parts or self._is_shut)

    async def wait_room(self) -> None:
        """Take in what waits as room appears, until nothing waits, or until `call_last`."""
        while not self.has_room and not self._is_last_call:
            await self.inbox.changed.wait()
            self._take_in()

    def call_last(self) -> None:
        """Take in what the closed link still holds, beyond the limit if necessary."""
        self._is_last_call = True
        self._take_in()
        self.inbox.changed.notify()

    @property
    def _is_shut(self) -> bool:
        return self.inbox.is_full and (self.inbox.is_overflowing or not (self._is_greeted or self._is_last_call))

    def _take_in(self) -> None:
        before = self.quarantine.count
        while (self._parts or self._payloads) and not self._is_shut:
            if self._parts:
                self._open(self._parts.popleft())
            elif self._expects_envelopes:
                self._unpack(self._payloads.popleft())
            else:
                self._open(self._payloads.popleft())
        if (count := self.quarantine.count - before) > 0:
            # Once a batch: a peer must not decide how fast our log grows.
            text = "%s: %d undecodable messages, the last: %s"
            self._log("message.undecodable", count, text, self._last_misfit)
        if self._is_last_call and (self._parts or self._payloads):
            self._discard()
        self.inbox.changed.notify()

    def _unpack(self, payload: Payload) -> None:
        try:
            self._parts.extend(self._service.unpack(payload))
        except DecodeError as error:
            misfit = error
        else:
            return
        self._put_aside(misfit)

    def _open(self, payload: Payload) -> None:
        self._meter.count_received(1)
        try:
            self._take(payload)
        except DecodeError as error:
            misfit = error
        else:
            return
        # Outside the handler: an exception raised in it would keep this error and its traceback.
        self._put_aside(misfit)

    def _put_aside(self, misfit: DecodeError) -> None:
        self._last_misfit = str(self.quarantine.put(misfit))
        self._meter.count_undecodable()

    def _discard(self) -> None:
        count = len(self._parts) + len(self._payloads)
        self._parts.clear()
        self._payloads.clear()
        if not self._discarded:  # once a link
            text = "%s: discarded %d messages of a closed link, and any that follow: the inbox is full%s"
            self._log("message.discarded", count, text, "")
        self._discarded += count
        self._meter.undelivered.discarded += count

    def _log(self, event: str, count: int, text: str, last: object) -> None:
        known = redact(self._id)
        extra = log_fields(event, connection=known, service=self._service.name, count=count)
        self._logger.warning(text, known, count, last, extra=extra)

    def _take(self, payload: Payload) -> None:
        size = memory_of(payload)  # before decoding, which caches a copy in UTF-8 in the str
        message = self._service.decode(payload)
        try:
            if self._service.position is not None and (position := self._service.position(message)) is not None:
                self.position = position
            is_reply = self._requests.match(message)
        except FATAL:
            raise
        except BaseException as error:  # an unhashable id, or a callable that did not expect this message
            raise DecodeError(f"{self._service.name}: cannot find its position or id: {error!r}", payload) from error
        if not is_reply:
            self.inbox.put(message, size, self._generation)
