"""The messages of one connection, both ways, across its links: sender, receiver and requests in one object."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

from trunkline.manager.clock import wait_future
from trunkline.manager.codecs import Payload
from trunkline.manager.context import Context
from trunkline.manager.delivery import Delivery
from trunkline.manager.errors import MessageDropped, NotConnected, ReplyTimeout, SendInterrupted
from trunkline.manager.failure.issues import ConnectionIssue
from trunkline.manager.guard import Guard
from trunkline.manager.health import Meter
from trunkline.manager.incoming.inbox import Inbox
from trunkline.manager.incoming.receiver import Receiver
from trunkline.manager.incoming.requests import Pending, Requests
from trunkline.manager.outgoing.peer_limit import PeerLimit
from trunkline.manager.outgoing.sender import Condition, Sender
from trunkline.manager.service import Service
from trunkline.manager.session import Session
from trunkline.manager.states import DeliveryOutcome
from trunkline.net.websocket import WebSocket
from trunkline.protocol.categories import ErrorCategory

__all__ = ["Exchange"]

Sends = TypeVar("Sends")
Receives = TypeVar("Receives")


class Exchange(Generic[Sends, Receives]):
    """Tell the sender, the receiver and the requests of one connection about its links.

    The methods from `prepare` to `end` are called by the connection's `Carrier` and `Lifecycle`. Except for `greet` and
    the waits, they neither block nor raise.
    """

    def __init__(
        self,
        connection_id: str,
        service: Service[Sends, Receives],
        context: Context,
        meter: Meter,
        *,
        guard: Guard,
        parameters: Mapping[str, str | int],
        metadata: dict[str, Any],
        condition: Callable[[], Condition],
        inbox: Inbox[Receives] | None = None,
        limit: PeerLimit | None = None,
        member: int = 0,
    ) -> None:
        self.requests: Requests[Receives] = Requests(service.correlation, meter)
        self.receiver = Receiver(connection_id, service, context, meter, requests=self.requests, inbox=inbox)
        self.limit = PeerLimit(context.clock) if limit is None else limit
        self.sender = Sender(
            connection_id,
            service,
            context,
            meter,
            guard=guard,
            condition=condition,
            limit=self.limit,
            report=self._report,
        )
        self._id = connection_id
        self._service = service
        self._clock = context.clock
        self._guard = guard
        self._meter = meter
        self._parameters = parameters
        self._metadata = metadata
        self._condition = condition
        self._member = member
        self._tell = context.undelivered
        self._link: WebSocket | None = None
        self._is_poisoned = False

    # Links that come and go

    @property
    def has_greeting(self) -> bool:
        """Whether the service greets a new link (`on_connected`) before everybody may use it."""
        return self._service.on_connected is not None

    @property
    def greeting_timeout(self) -> float:
        """Seconds that the greeting may take."""
        return self._service.hook_timeout

    async def greet(self) -> None:
        """Run the service's hook on the new link, while the link is read. If it raises, the attempt has failed."""
        if self._service.on_connected is None:
            return
        session = Session(
            self,
            self._id,
            self._parameters,
            self._metadata,
            generation=self._meter.links + 1,
            position=self.receiver.position,
            member=self._member,
        )
        await self._service.on_connected(session)

    def prepare(self, link: WebSocket) -> None:
        """Take a new link, for the greeting only. The status is still connecting and nothing has been read."""
        self._link = link
        self.receiver.prepare(is_greeted=self.has_greeting)
        self.sender.prepare(link, self._meter.links + 1)

    def begin(self, link: WebSocket) -> None:
        """Open the link for everybody: the status is connected."""
        self.receiver.begin()
        self.sender.begin(link)

    def receive(self, batch: list[Payload]) -> None:
        """Take messages of the link. What there is no room for waits."""
        self.receiver.receive(batch)

    @property
    def has_room(self) -> bool:
        """Whether nothing waits for room in the inbox."""
        return self.receiver.has_room

    async def wait_room(self) -> None:
        """Wait for room in the inbox; backpressure reaches the peer meanwhile."""
        await self.receiver.wait_room()

    def set_aside(self, issue: ConnectionIssue) -> None:
        """Send none of the unconfirmed messages again, idempotent or not: the peer choked on one (1003, 1007, 1009)."""
        self._is_poisoned = True
        if issue.category is ErrorCategory.MESSAGE_TOO_BIG:
            self.sender.learn_limit()

    def call_last(self) -> None:
        """Take what the closed link still holds, past the inbox's limit."""
        self.receiver.call_last()

    def stop(self, link: WebSocket) -> None:
        """Let go of a link that is gone. One walk in this order, in which no part calls back:

        receiver   takes what the link still holds, which may include replies
        requests   fails those written to the link, and returns those that may be written again
        sender     puts these back at the front of the outbox, and returns what is lost or was for this link only

        Then each of those is reported to its sender and to the program's hook.
        """
        is_poisoned, self._is_poisoned = self._is_poisoned, False
        self._link = None
        self.receiver.call_last()
        again = self.requests.interrupt(self._interruption, repeat=not is_poisoned)
        for delivery in self.sender.stop(again):
            self._report(delivery)

    async def wait_stopped(self) -> None:
        """Wait until no task of the link is left."""
        await self.sender.wait_stopped()

    def end(self) -> None:
        """Settle everything that waits: no link will come by itself. Called at each move to a status in ENDED."""
        for delivery in self.sender.end():
            self._report(delivery)
        self.requests.end(self._refusal)
        self.receiver.inbox.changed.notify()

    @property
    def pending(self) -> int:
        """Messages that wait to be written, and requests that wait for their reply."""
        return len(self.sender.outbox) + len(self.requests)

    # Requests

    async def request(self, message: Sends, timeout: float, *, is_idempotent: bool) -> Receives:
        """Send a message and return the reply. Raise what `Connection.request` raises."""
        delivery, request_id, pending = self._open_request(message, is_idempotent=is_idempotent)
        until = self._clock.time() + timeout
        try:
            await self.sender.deliver(delivery, timeout)
            return await self._wait_reply(pending, until, timeout)
        finally:
            self.requests.close(request_id, pending)

    async def send_first(self, message: Sends) -> None:
        """Send on the new link, before everybody else."""
        await self._write_first(self.sender.make(message))

    async def request_first(self, message: Sends, timeout: float) -> Receives:
        """Send a request on the new link, before everybody else, and return the reply."""
        delivery, request_id, pending = self._open_request(message, is_idempotent=False)
        until = self._clock.time() + timeout
        try:
            await self._write_first(delivery)
            return await self._wait_reply(pending, until, timeout)
        finally:
            self.requests.close(request_id, pending)

    async def _write_first(self, delivery: Delivery[Sends]) -> None:
        if self._link is None:
            raise self._refusal()
        await self.sender.write_first(self._link, delivery)

    def _open_request(self, message: Sends, *, is_idempotent: bool) -> tuple[Delivery[Sends], Any, Pending[Receives]]:
        correlation = self.requests.correlation
        if correlation is None:
            raise TypeError(f"service {self._service.name} has no `correlate`, so no reply can be matched")
        message, request_id = correlation.identify(message)
        delivery = self.sender.make(message)
        pending = self.requests.open(request_id, is_idempotent=is_idempotent)
        pending.delivery, pending.payload = delivery, delivery.payload
        return delivery, request_id, pending

    async def _wait_reply(self, pending: Pending[Receives], until: float, timeout: float) -> Receives:
        if not await wait_future(self._clock, pending.settled, until):
            if pending.delivery is not None:
                self.sender.withdraw(pending.delivery)  # an idempotent one that waits to be written again
            raise ReplyTimeout(self._id, timeout)
        if pending.error is not None:
            raise pending.error
        assert pending.reply is not None
        return pending.reply

    # Errors

    def _interruption(self) -> Exception:
        status, issue, cause = self._condition()
        error = SendInterrupted(self._id, status, issue)
        error.__cause__ = cause
        return error

    def _refusal(self) -> Exception:
        status, issue, cause = self._condition()
        error = NotConnected(self._id, status, issue)
        error.__cause__ = cause
        return error

    def _report(self, delivery: Delivery[Any]) -> None:
        if delivery.outcome is not DeliveryOutcome.UNKNOWN:
            self.requests.drop(delivery, lambda: MessageDropped(self._id, delivery.outcome))
        self._meter.count_fault(self._tell(delivery))
        if self._service.on_undelivered is not None:
            self._guard.tell("undelivered.failed", self._service.on_undelivered, delivery)
