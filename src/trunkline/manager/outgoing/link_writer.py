"""Writes messages from the outbox to the present link.

If a link is up and no message waits, a message goes to the link at once; the link joins what one turn of the loop sends
into one write. `flush` moves what is due from the outbox to the link. It is called whenever that may have become
possible: a message came, a link came up, a batch is due, a pong made room. Only waiting for a link to take more needs a
task, which exists for just that time.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, Generic, TypeVar

from trunkline.manager.clock import Timer
from trunkline.manager.codecs import EnvelopeCodec, Payload
from trunkline.manager.delivery import Delivery
from trunkline.manager.guard import Guard
from trunkline.manager.health import Meter
from trunkline.manager.outgoing.outbox import Outbox
from trunkline.manager.outgoing.peer_limit import PeerLimit
from trunkline.manager.outgoing.unconfirmed import Unconfirmed
from trunkline.manager.policies import BatchPolicy
from trunkline.manager.service import Service
from trunkline.manager.states import DeliveryOutcome
from trunkline.net.close import READS_TOO_SLOWLY
from trunkline.net.websocket import WebSocket
from trunkline.protocol.errors import ConnectionClosed, SendTimeout

__all__ = ["LinkWriter"]

Sends = TypeVar("Sends")

PLAIN: Final = BatchPolicy()
WRITTEN: Final = DeliveryOutcome.WRITTEN
CONFIRMED: Final = DeliveryOutcome.CONFIRMED


class LinkWriter(Generic[Sends]):
    """Writes what waits in an outbox.

    `progress` is called when something was written or confirmed, `refused` with each message that the link rejected.
    """

    def __init__(
        self,
        outbox: Outbox[Sends],
        service: Service[Sends, Any],
        guard: Guard,
        meter: Meter,
        *,
        limit: PeerLimit,
        progress: Callable[[], None],
        refused: Callable[[Delivery[Sends], Exception], None],
    ) -> None:
        self.is_hurried = False  # gather no more batches
        self._outbox = outbox
        self._waiting, self._senders = outbox.waiting, outbox.senders
        self._codec = service.codec
        self._batch = service.batch if service.batch is not None else PLAIN
        self._holds = self._batch.holds
        self._clock = self._guard = guard
        self._meter = meter
        self._limit = limit
        self._progress = progress
        self._refused = refused
        self._link: WebSocket | None = None
        self._unconfirmed: Unconfirmed[Sends] | None = None
        self._pump: asyncio.Task[None] | None = None
        self._timer: Timer | None = None  # of the batch being gathered
        self._is_ripe = False  # that batch has waited long enough
        self._envelopes: deque[tuple[Delivery[Sends], Payload]] = (
            deque()
        )  # unconfirmed ones, each with its last message

    @property
    def unconfirmed(self) -> int:
        """Messages written to the present link and not confirmed yet."""
        return 0 if self._unconfirmed is None else len(self._unconfirmed)

    @property
    def is_gathering(self) -> bool:
        """Whether messages wait only for their batch, and the link would take them."""
        return self._batch.holds and (link := self._link) is not None and link.is_writable and self._has_window

    # Links that come and go

    def prepare(self, link: WebSocket) -> None:
        """Take a new link, which only `write_first` may use yet."""
        self._unconfirmed = Unconfirmed(link, self._outbox.policy, self._guard, self._on_confirmed)

    async def write_first(self, link: WebSocket, delivery: Delivery[Sends]) -> None:
        """Write a message before all that wait. Raise ConnectionClosed."""
        await link.wait_writable()
        link.send_nowait(delivery.payload)
        self._note_written((delivery,))

    def begin(self, link: WebSocket) -> None:
        """Let all messages use the link. Those that wait do not wait for a batch any longer."""
        self._link = link
        self._is_ripe = bool(self._outbox)
        self.flush()

    def stop(self) -> list[Delivery[Sends]]:
        """Let go of a link that is gone. Return the messages that stay unconfirmed."""
        self._link = None
        self._cancel_timer()
        self._envelopes.clear()
        unconfirmed, self._unconfirmed = self._unconfirmed, None
        return [] if unconfirmed is None else unconfirmed.take_rest()

    def suspects(self) -> list[Payload]:
        """Return the unconfirmed messages as the peer saw them."""
        if self._batch.envelope:
            return [envelope for last, envelope in self._envelopes if last.outcome is not CONFIRMED]
        return [] if self._unconfirmed is None else self._unconfirmed.payloads()

    async def wait_stopped(self) -> None:
        """Wait until no task is left of a link that is gone."""
        if self._pump is not None:
            await asyncio.wait([self._pump])

    # What the sender asks

    def write_directly(self, delivery: Delivery[Sends]) -> bool:
        """Write a message now, if none waits before it and the link takes it. Return whether it was written."""
        link, unconfirmed = self._link, self._unconfirmed
        if link is None or unconfirmed is None or unconfirmed.is_full or self._waiting or self._senders or self._holds:
            return False
        if not link.is_writable:
            return False
        try:
            link.send_nowait(delivery.payload)
        except ConnectionClosed:
            return False  # nothing was written: it waits for the next link
        delivery.outcome = WRITTEN  # nobody waits for this yet
        self._meter.count_sent()
        unconfirmed.add(delivery)
        return True

    def flush(self) -> None:
        """Write what is due, as far as the link takes it."""
        while (link := self._link) is not None and self._outbox and self._has_window:
            if not self._is_due():
                return
            if not link.is_writable:
                if self._pump is None:
                    self._pump = self._guard.start(self._wait_writable(link), "trunkline writing")
                return
            if not self._write_batch(link):
                return

    def ask_confirmation(self) -> None:
        """Have what was written confirmed now."""
        if self._unconfirmed is not None:
            self._unconfirmed.ask()

    # How

    @property
    def _has_window(self) -> bool:
        return self._unconfirmed is not None and not self._unconfirmed.is_full

    def _is_due(self) -> bool:
        """Return whether to write the waiting batch now. If not, set a timer."""
        batch, outbox = self._batch, self._outbox
        if not batch.holds or self.is_hurried or self._is_ripe:
            return True
        if len(outbox) >= batch.max_messages or outbox.size >= batch.max_bytes:
            return True
        if self._timer is None:
            self._timer = self._clock.call_later(batch.max_delay, self._ripen)
        return False

    def _ripen(self) -> None:
        self._timer = None
        self._is_ripe = True
        self.flush()

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def _wait_writable(self, link: WebSocket) -> None:
        try:
            await link.wait_writable()
        except ConnectionClosed:
            return
        except SendTimeout:
            link.fail(*READS_TOO_SLOWLY)  # what waits goes to the next link, whose peer may read
            return
        finally:
            self._pump = None
        self.flush()

    def _write_batch(self, link: WebSocket) -> bool:
        """Write one batch. Return False if the link is closed; the batch then waits for the next one."""
        self._cancel_timer()
        room = self._batch.max_messages if self._unconfirmed is None else self._unconfirmed.room
        taken = self._outbox.take(min(self._batch.max_messages, room), self._max_bytes)
        self._is_ripe = self._is_ripe and bool(self._outbox)
        try:
            self._write(link, taken)
        except ConnectionClosed:
            self._outbox.put_back(taken)
            return False
        except Exception as error:
            return self._write_one_by_one(link, taken, error)
        self._note_written(taken)
        return True

    @property
    def _max_bytes(self) -> int:
        """The most bytes in a batch; if it becomes one message, no more than the peer accepts, envelope included."""
        if self._limit.size is None or not self._batch.envelope:
            return self._batch.max_bytes
        return min(self._batch.max_bytes, self._limit.size // 2)

    def _write(self, link: WebSocket, deliveries: list[Delivery[Sends]]) -> None:
        payloads = [delivery.payload for delivery in deliveries]
        if self._batch.envelope:
            self._write_envelope(link, deliveries, payloads)
        elif len(payloads) == 1:
            link.send_nowait(payloads[0])
        else:
            link.send_many(payloads)

    def _write_envelope(self, link: WebSocket, deliveries: list[Delivery[Sends]], payloads: list[Payload]) -> None:
        envelope = payloads[0]
        if len(payloads) > 1 or self._batch.wrap_single:
            assert isinstance(self._codec, EnvelopeCodec)  # the service has checked it
            envelope = self._codec.join(payloads, int(time.time() * 1000))
        link.send_nowait(envelope)
        while self._envelopes and self._envelopes[0][0].outcome is CONFIRMED:
            self._envelopes.popleft()
        if self._unconfirmed is not None and self._unconfirmed.is_kept:
            self._envelopes.append((deliveries[-1], envelope))

    def _write_one_by_one(self, link: WebSocket, deliveries: list[Delivery[Sends]], seen: Exception) -> bool:
        # One of them is at fault; the others must not suffer for it.
        has_refused = False
        for number, delivery in enumerate(deliveries):
            try:
                self._write(link, [delivery])
            except ConnectionClosed:
                self._outbox.put_back(deliveries[number:])
                return False
            except Exception as error:
                has_refused = True
                self._refused(delivery, error)
            else:
                self._note_written((delivery,))
        if not has_refused:
            self._guard.note(seen)
        return True

    def _note_written(self, deliveries: Sequence[Delivery[Sends]]) -> None:
        for delivery in deliveries:
            delivery.settle(WRITTEN)
            if self._unconfirmed is not None:
                self._unconfirmed.add(delivery)
        self._meter.count_sent(len(deliveries))
        self._progress()

    def _on_confirmed(self) -> None:
        self.flush()
        self._progress()
