"""The sending half of a connection: takes messages and settles what becomes of them, across links.

What cannot be written at once waits in the outbox, by its policy. Each message has a `Delivery` that ends in exactly
one outcome, and undelivered messages are reported.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

from trunkline.manager.clock import Signal, Timer
from trunkline.manager.context import Context
from trunkline.manager.delivery import Delivery
from trunkline.manager.errors import MessageDropped, NotConnected, OutboxFull, WaitTimeout
from trunkline.manager.failure.issues import ConnectionIssue
from trunkline.manager.guard import Guard
from trunkline.manager.health import Meter
from trunkline.manager.logs import redact
from trunkline.manager.outgoing.link_writer import LinkWriter
from trunkline.manager.outgoing.outbox import Outbox
from trunkline.manager.outgoing.peer_limit import PeerLimit
from trunkline.manager.service import Service
from trunkline.manager.states import ENDED, ConnectionStatus, DeliveryOutcome
from trunkline.net.logs import log_fields
from trunkline.net.websocket import WebSocket

__all__ = ["Condition", "Sender"]

Sends = TypeVar("Sends")
_O = DeliveryOutcome


class Condition(NamedTuple):
    """The status of a connection and why."""

    status: ConnectionStatus
    issue: ConnectionIssue | None
    cause: BaseException | None  # the exception that the issue describes


class Sender(Generic[Sends]):
    """Sends the messages of one connection, across its links.

    `condition` returns the connection's status and why. `report` is called with each undelivered message, except those
    whose sender gave up.
    """

    def __init__(
        self,
        connection_id: str,
        service: Service[Sends, Any],
        context: Context,
        meter: Meter,
        *,
        guard: Guard,
        condition: Callable[[], Condition],
        limit: PeerLimit,
        report: Callable[[Delivery[Any]], None],
    ) -> None:
        self.outbox: Outbox[Sends] = Outbox(service.outbox, context.clock)
        self._writer = LinkWriter(
            self.outbox,
            service,
            guard,
            meter,
            limit=limit,
            progress=self._note_progress,
            refused=self._note_refused,
        )
        self._id = connection_id
        self._clock = context.clock
        self._logger = context.logger
        self._meter = meter
        self._condition = condition
        self._limit = limit
        self._report = report
        self._age_timer: Timer | None = None
        self._encode = service.codec.encode
        self._kinds, self._refusal = service.kinds, service.refusal
        self._generation = 0  # of the present link, also during its greeting; 0 without one
        self._find_key = service.outbox.key
        self._is_draining = False
        self._is_shut = False  # draining or ended: accepts nothing new
        self._moved = Signal(context.clock)  # wakes `drain`

    def make(self, message: Sends, generation: int | None = None) -> Delivery[Sends]:
        """Encode a message and return its delivery. generation: the only link for it, None for any.

        Raises TypeError if the service does not send this type, PeerLimitExceeded, and what the codec raises.
        """
        if self._kinds is not None and not isinstance(message, self._kinds):
            raise self._refusal(message)
        delivery = Delivery(self._id, message, self._encode(message), self._clock.time())
        if self._limit.size is not None:
            self._limit.check(self._id, delivery.payload)
        if self._find_key is not None:
            delivery.key = self._find_key(message)
        if generation is not None:
            delivery.generation = generation
        return delivery

    def submit(self, delivery: Delivery[Sends]) -> None:
        """Write a message or put it in the outbox. Raise OutboxFull or NotConnected if it was not accepted."""
        if self._is_shut:
            self._check_open()
        if delivery.generation is not None and delivery.generation != self._generation:
            self._give_back(delivery, _O.STALE)
            return
        if not self._writer.write_directly(delivery):
            self._make_room(delivery)
            self._enqueue(delivery)

    async def deliver(self, delivery: Delivery[Sends], timeout: float | None) -> None:
        """Wait until a message is written, or has joined a batch of a link that is up.

        Raises WaitTimeout, OutboxFull, MessageDropped or NotConnected if it was not sent; SendInterrupted.
        """
        if self._is_shut:
            self._check_open()
        if delivery.generation is not None:
            self._check_link(delivery)
        if self._writer.write_directly(delivery):
            return
        until = None if timeout is None else self._clock.time() + timeout
        if self.outbox.policy.when_full == "block":
            await self._wait_room(delivery, until, timeout)
        else:
            self._make_room(delivery)
        self._enqueue(delivery)
        if delivery.outcome is not _O.QUEUED or not self._writer.is_gathering:
            await self._wait_written(delivery, until, timeout)

    async def drain(self, until: float | None) -> bool:
        """Accept nothing new, and wait until all is confirmed. Return False if the clock reached `until`."""
        self.hurry()
        while self._is_busy:
            if not await self._moved.wait(until):
                return False
        return True

    def hurry(self) -> None:
        """Accept nothing new. Write what waits as fast as the link takes it, and have it confirmed."""
        self._is_shut = self._is_draining = self._writer.is_hurried = True
        self._writer.flush()
        self._writer.ask_confirmation()

    @property
    def unconfirmed(self) -> int:
        """Messages written to the present link whose arrival is not confirmed yet."""
        return self._writer.unconfirmed

    def ask_confirmation(self) -> None:
        """Have what was written confirmed now."""
        self._writer.ask_confirmation()

    # Links that come and go

    def prepare(self, link: WebSocket, generation: int) -> None:
        """Take a new link, which is written to after its greeting."""
        self._generation = generation
        self._writer.prepare(link)

    async def write_first(self, link: WebSocket, delivery: Delivery[Sends]) -> None:
        """Write to a link in front of everything that waits. Raise ConnectionClosed."""
        await self._writer.write_first(link, delivery)

    def begin(self, link: WebSocket) -> None:
        """Write to the link whatever waits and what comes from now on."""
        self.weed()  # another member of the pool may have learned meanwhile
        self._writer.begin(link)

    def stop(self, again: Sequence[Delivery[Sends]] = ()) -> list[Delivery[Sends]]:
        """Let go of a link that is gone.

        Args:
            again: what is to be written once more, on the next link.

        Returns:
            What is settled now, for the caller to report: what was for this link only, and what was written and never
            confirmed.
        """
        status, issue, _ = self._condition()
        spared = set(again)
        lost = [delivery for delivery in self._writer.stop() if delivery not in spared]
        for delivery in again:
            delivery.settle(_O.QUEUED)
        self.outbox.put_back(again)
        self._moved.notify()
        self._generation = 0
        stale = [one for one in self.outbox if one.generation is not None and self.outbox.remove(one)]
        for delivery in stale:
            self._settle(delivery, _O.STALE)
        for delivery in lost:
            self._settle(delivery, _O.UNKNOWN, status, issue)
        self.outbox.release()  # for those among the senders that wait
        return stale + lost

    def end(self) -> list[Delivery[Sends]]:
        """Send nothing more, since no link will come by itself. Return what waited, which is settled: report it."""
        self._is_shut = True
        status, issue, _ = self._condition()
        unsent = list(self.outbox)
        for delivery in unsent:
            self.outbox.remove(delivery)
            self._settle(delivery, _O.UNSENT, status, issue)
        self.outbox.release()
        if self._age_timer is not None:
            self._age_timer.cancel()
            self._age_timer = None
        self._moved.notify()
        return unsent

    async def wait_stopped(self) -> None:
        """Wait until no task is left of a link that is gone."""
        await self._writer.wait_stopped()

    def start_over(self) -> None:
        """Accept messages again: a failed connection starts over."""
        self._is_shut = self._is_draining = self._writer.is_hurried = False

    def learn_limit(self) -> None:
        """Lower the peer's limit after a close with 1009: an unconfirmed message was too big."""
        self._limit.learn(self._writer.suspects())
        self.weed()

    def weed(self) -> None:
        """Report messages in the outbox that are too big for the peer as refused."""
        if self._limit.size is None:
            return
        for delivery in self.outbox:
            if self._limit.refuses(delivery.payload) and self.outbox.remove(delivery):
                self._give_back(delivery, _O.REFUSED)

    # Into the outbox

    def _check_open(self) -> None:
        status, issue, cause = self._condition()
        if status in ENDED:
            raise NotConnected(self._id, status, issue) from cause
        if self._is_draining:
            raise NotConnected(self._id, ConnectionStatus.CLOSING, None)

    def _make_room(self, delivery: Delivery[Sends]) -> None:
        outbox = self.outbox
        if (older := outbox.find(delivery.key)) is not None:
            outbox.remove(older)
            self._give_back(older, _O.CONFLATED)
        if outbox.has_room(delivery.size) and not outbox.senders:
            return
        if outbox.policy.when_full in ("block", "reject"):
            limits = outbox.policy.max_messages, outbox.policy.max_bytes
            raise OutboxFull(self._id, len(outbox), outbox.size, limits)
        while not outbox.has_room(delivery.size):
            for oldest in outbox.take(1, 1):
                self._give_back(oldest, _O.DROPPED)

    async def _wait_room(self, delivery: Delivery[Sends], until: float | None, timeout: float | None) -> None:
        outbox = self.outbox
        if outbox.has_room(delivery.size) and not outbox.senders:
            return
        if not await outbox.wait_turn(delivery.size, until, functools.partial(self._check_sendable, delivery)):
            delivery.settle(_O.CANCELLED)
            raise self._timed_out(timeout) from self._condition().cause

    def _check_sendable(self, delivery: Delivery[Sends]) -> None:
        """Raise if it makes no sense any more to wait for room."""
        status, issue, cause = self._condition()
        if status in ENDED:
            raise NotConnected(self._id, status, issue) from cause
        self._limit.check(self._id, delivery.payload)  # the limit may be newer than the message
        if delivery.generation is not None:
            self._check_link(delivery)

    def _check_link(self, delivery: Delivery[Sends]) -> None:
        if delivery.generation != self._generation:
            self._give_back(delivery, _O.STALE)
            raise MessageDropped(self._id, _O.STALE)

    def _enqueue(self, delivery: Delivery[Sends]) -> None:
        self.outbox.put(delivery)
        self.outbox.admit()
        self._writer.flush()
        if self.outbox and self._age_timer is None:
            self._watch_age()

    async def _wait_written(self, delivery: Delivery[Sends], until: float | None, timeout: float | None) -> None:
        timer = None
        if until is not None:
            timer = self._clock.call_later(max(0.0, until - self._clock.time()), self.withdraw, delivery)
        try:
            await delivery.wait_written()
        except NotConnected as error:
            raise error from self._condition().cause
        except MessageDropped:
            if delivery.outcome is _O.CANCELLED:
                raise self._timed_out(timeout) from self._condition().cause
            raise
        finally:
            self.withdraw(delivery)  # does nothing unless the wait was cancelled
            if timer is not None:
                timer.cancel()

    def _timed_out(self, timeout: float | None) -> WaitTimeout:
        status, issue, _ = self._condition()
        return WaitTimeout(self._id, status, issue, timeout or 0.0)

    def withdraw(self, delivery: Delivery[Sends]) -> None:
        """Take a message back, if it waits in the outbox."""
        if self.outbox.remove(delivery):
            delivery.settle(_O.CANCELLED)

    def _watch_age(self) -> None:
        self._age_timer = None
        max_age = self.outbox.policy.max_age
        if max_age is None:
            return
        expired = []
        while (oldest := self.outbox.oldest) is not None:
            left = oldest.born + max_age - self._clock.time()
            if left > 0:
                self._age_timer = self._clock.call_later(left, self._watch_age)
                break
            self.outbox.remove(oldest)
            expired.append(oldest)
        for delivery in expired:
            self._give_back(delivery, _O.EXPIRED)

    # Outcomes

    @property
    def _is_busy(self) -> bool:
        if self._condition().status in ENDED:
            return False
        return bool(self.outbox) or bool(self.outbox.senders) or self._writer.unconfirmed > 0

    def _note_progress(self) -> None:
        if self._is_draining:
            self._writer.ask_confirmation()
            self._moved.notify()

    def _note_refused(self, delivery: Delivery[Sends], error: Exception) -> None:
        known = redact(self._id)
        extra = log_fields("message.refused", connection=known)
        self._logger.warning("%s: a message was refused: %r", known, error, extra=extra)
        self._give_back(delivery, _O.REFUSED)

    def _settle(
        self,
        delivery: Delivery[Sends],
        outcome: DeliveryOutcome,
        status: ConnectionStatus | None = None,
        issue: ConnectionIssue | None = None,
    ) -> None:
        delivery.settle(outcome, status, issue)
        self._meter.count_undelivered(is_unknown=outcome is _O.UNKNOWN)

    def _give_back(self, delivery: Delivery[Sends], outcome: DeliveryOutcome) -> None:
        self._settle(delivery, outcome)
        self._report(delivery)
