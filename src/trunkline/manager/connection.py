"""One managed connection, across reconnects: what the program sends, receives and requests.

Its links come and go in `trunkline.manager.lifecycle`. The connection encodes messages for the present link, and keeps
what came over any link until the program takes it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Generic, TypeVar

from trunkline._metrics import Histogram
from trunkline.manager.context import Context
from trunkline.manager.control import Control
from trunkline.manager.delivery import Delivery
from trunkline.manager.events import StateChange
from trunkline.manager.exchange import Exchange
from trunkline.manager.failure.issues import ConnectionIssue
from trunkline.manager.guard import Guard
from trunkline.manager.health import ConnectionHealth, Meter, Queue
from trunkline.manager.incoming.inbox import Inbox, Received
from trunkline.manager.lifecycle import Lifecycle
from trunkline.manager.outgoing.peer_limit import PeerLimit
from trunkline.manager.outgoing.sender import Condition
from trunkline.manager.redacting import redact
from trunkline.manager.service import Service
from trunkline.manager.states import ConnectionStatus
from trunkline.net.websocket import WebSocket
from trunkline.protocol.errors import DecodeError

__all__ = ["Connection", "control_of"]

Sends = TypeVar("Sends")
Receives = TypeVar("Receives")


class Connection(Generic[Sends, Receives]):
    """A typed connection to a service that reconnects by itself. Made by `ConnectionManager.connect`.

    It belongs to its manager's event loop: methods that act raise WrongThread in any other thread.

    Attributes:
        id: the service's name and the parameters.
        service: the service that it connects to.
        parameters: as given to `connect`.
        metadata: your own notes; it starts as a copy of the parameters.
    """

    def __init__(
        self,
        service: Service[Sends, Receives],
        parameters: Mapping[str, str | int],
        context: Context,
        *,
        forget: Callable[[Connection[Any, Any]], None],
        inbox: Inbox[Receives] | None = None,
        limit: PeerLimit | None = None,
        member: int | None = None,
    ) -> None:
        """member: its number in a pool, whose members share an `inbox` and a peer `limit`."""
        self.id = service.identify(parameters) if member is None else f"{service.identify(parameters)}#{member}"
        self.service = service
        self.parameters = dict(parameters)
        self.metadata: dict[str, Any] = dict(parameters)
        self._meter = Meter(context.clock)
        guard = Guard(self.id, context.clock, context.logger, self._meter)
        context = dataclasses.replace(context, clock=guard)
        self._clock = context.clock
        self._home = context.home
        self._exchange: Exchange[Sends, Receives] = Exchange(
            self.id,
            service,
            context,
            self._meter,
            guard=guard,
            parameters=self.parameters,
            metadata=self.metadata,
            condition=self._condition,
            inbox=inbox,
            limit=limit,
            member=member or 0,
        )
        self._life = Lifecycle(
            self.id,
            service,
            service.locate_all(parameters),
            context,
            exchange=self._exchange,
            meter=self._meter,
            guard=guard,
            forget=lambda: forget(self),
        )
        self._control = Control(self.id, service, context, self._life, self._exchange, guard)

    def __repr__(self) -> str:
        return f"<Connection {redact(self.id)} {self.status}>"

    # What it is

    @property
    def status(self) -> ConnectionStatus:
        """The present status. `state` is another name for it."""
        return self._life.status

    @property
    def state(self) -> ConnectionStatus:
        """The same as `status`, by the name that WebSocket has for it."""
        return self._life.status

    @property
    def peer_limit(self) -> int | None:
        """Size in bytes that the peer has rejected as too big (1009): larger messages are not sent.

        None if it has rejected none. Kept across links; `forget_peer_limit` resets it.
        """
        return self._exchange.limit.size

    @property
    def last_error(self) -> ConnectionIssue | None:
        """The latest issue, None if there was none. It is kept when the connection is up again."""
        return self._life.last_error

    @property
    def last_change(self) -> StateChange | None:
        """The latest change of status: when, why, and when the next attempt follows."""
        return self._life.last_change

    @property
    def websocket(self) -> WebSocket | None:
        """The present link, None while there is none. Do not keep it: the next reconnect replaces it."""
        return self._life.link

    @property
    def attempts(self) -> int:
        """Failed attempts and lost links since the connection was last stable (`RetryPolicy.reset_after`)."""
        return self._life.attempts

    @property
    def generation(self) -> int:
        """Number of links so far, the present one included."""
        return self._meter.links

    @property
    def quarantine(self) -> tuple[DecodeError, ...]:
        """The latest payloads that did not decode as the service's type, oldest first: up to 16, and 1 MiB.

        Each says why; the exception that was raised is not kept.
        """
        return self._exchange.receiver.quarantine.contents()

    @property
    def position(self) -> Any:
        """The position of the last message that had one, by the service's `position`; None if none had."""
        return self._exchange.receiver.position

    @property
    def leases(self) -> int:
        """Number of users: calls of `connect` and `lease` minus calls of `release`."""
        return self._control.leases.count

    @property
    def pending(self) -> int:
        """Number of messages that wait to be written, plus requests that wait for their reply."""
        return self._exchange.pending

    def health(self) -> ConnectionHealth:
        """Return a snapshot of its health."""
        outbox = self._exchange.sender.outbox
        queue = Queue(len(outbox), outbox.size, self._exchange.sender.unconfirmed)
        generation, link = self.generation, self.websocket  # in this order: another thread may be calling
        if link is not None:
            self._meter.count_bytes(*link.moved(), generation)
        return self._meter.report(self.id, self.service.name, self.status, self.attempts, queue)

    def latencies(self, into: Histogram | None = None) -> Histogram:
        """Return the round trips of all links, in seconds: a copy, or `into`, which they have been added to."""
        if into is None:
            return self._meter.latencies.copy()
        into.merge(self._meter.latencies)
        return into

    # What the program does with it

    async def send(
        self,
        message: Sends,
        *,
        timeout: float | None = 30.0,
        confirm: bool = False,
        generation: int | None = None,
    ) -> Delivery[Sends]:
        """Send a message, and wait until it is written to the link or has joined a batch.

        The peer may not have it yet: the returned delivery tells what becomes of it. If the send is cancelled while the
        message waits in the outbox, the message is not sent.

        Args:
            message: encoded once, whatever happens to links.
            timeout: seconds to wait while the connection is down or greets a new link; None for no limit.
            confirm: return only when the peer's WebSocket has read the message.
            generation: send on that link only (`Connection.generation`, `Session.generation`). If it is not the present
                one, the message is dropped with the outcome `stale`.

        Raises:
            TypeError: the service does not send this type, or the codec cannot encode it.
            PeerLimitExceeded, WaitTimeout, OutboxFull, MessageDropped, NotConnected: the message was not sent.
            SendInterrupted: the link was lost, and nobody knows whether the message arrived.
            ValueError: `confirm` with an outbox policy that never confirms.
        """
        self._home.check(self)
        sender = self._exchange.sender
        if confirm and sender.outbox.policy.confirm is None:
            raise ValueError(f"service {self.service.name} has OutboxPolicy(confirm=None), so nothing is confirmed")
        delivery = sender.make(message, generation)
        await sender.deliver(delivery, timeout)
        if confirm:
            sender.ask_confirmation()
            await delivery.wait_confirmed()
        return delivery

    def send_nowait(self, message: Sends, *, generation: int | None = None) -> Delivery[Sends]:
        """Write a message or put it in the outbox, without waiting. The delivery tells what becomes of it.

        generation: as in `send`. Raise OutboxFull if it cannot wait in the outbox, NotConnected if the connection has
        ended, and what the codec raises.
        """
        self._home.check(self)
        delivery = self._exchange.sender.make(message, generation)
        self._exchange.sender.submit(delivery)
        return delivery

    async def request(self, message: Sends, *, timeout: float = 30.0, idempotent: bool = False) -> Receives:
        """Send a message and return its reply, matched by the service's `correlate`. Many tasks may call it.

        A request whose id is None gets a number. The reply does not appear in the iteration.

        Args:
            message: the request.
            timeout: seconds to wait for the reply.
            idempotent: send the request again, once, if the link is lost before the reply.

        Raises:
            ReplyTimeout: there was no reply in time.
            SendInterrupted: the link was lost before the reply.
            ValueError: a request with this id is already waiting.
            TypeError: the service has no `correlate`.
            and what `send` raises.
        """
        self._home.check(self)
        return await self._exchange.request(message, timeout, is_idempotent=idempotent)

    def __aiter__(self) -> AsyncIterator[Receives]:
        return self

    async def __anext__(self) -> Receives:
        """Return the next message, whichever link it came over. Cancellation loses nothing.

        You get all messages that have arrived before the iteration ends, which it does when the connection is closed.
        Raises NotConnected if the connection failed.
        """
        self._home.check(self)
        inbox = self._exchange.receiver.inbox
        if not inbox and not await self._wait_message():
            raise StopAsyncIteration
        return inbox.take()

    async def received(self) -> AsyncIterator[Received[Receives]]:
        """Iterate over the messages as `async for` does, each with the generation of the link that it came over."""
        self._home.check(self)
        inbox = self._exchange.receiver.inbox
        while inbox or await self._wait_message():
            yield inbox.take_received()

    async def _wait_message(self) -> bool:
        """Wait for a message. Return False if the connection is closed and there will be none."""
        inbox = self._exchange.receiver.inbox
        while not inbox:
            if self.status is ConnectionStatus.CLOSED:
                return False
            if self.status is ConnectionStatus.FAILED:
                raise self._control.refusal()
            await inbox.changed.wait()
        return True

    async def wait_connected(self, *, timeout: float | None = None) -> None:
        """Wait until a link is up. One that came up meanwhile and was lost again counts.

        Raises NotConnected if there will be none, WaitTimeout after `timeout` seconds.
        """
        self._home.check(self)
        await self._life.wait_link(timeout)

    def release(self) -> None:
        """Release one lease. When none is left, the connection closes after the service's `idle_timeout`.

        Raises RuntimeError if there is none.
        """
        self._home.check(self)
        self._control.leases.release()

    async def drain(self, timeout: float | None = None) -> bool:
        """Accept no more messages, and wait until all are written and confirmed. Call `close` afterwards.

        From now on `send` raises NotConnected. Return False if `timeout` seconds passed first.
        """
        self._home.check(self)
        return await self._exchange.sender.drain(None if timeout is None else self._clock.time() + timeout)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the connection with the closing handshake, and do not reconnect. Return when nothing is left.

        Messages that the link takes at once are written first; the others are reported as undelivered. You can still
        take what was received. If `close` is cancelled, it drops the link without waiting for the peer.
        """
        self._home.check(self)
        await self._control.close(code, reason)

    def reconnect(self) -> None:
        """Close the link and dial again now. Without a link, do not wait for the next attempt.

        A failed connection starts over. A wait that the server asked for (Retry-After) stays, and a paused service is
        not dialled. Raise NotConnected if the connection is closing or closed.
        """
        self._home.check(self)
        self._control.reconnect()

    def forget_peer_limit(self) -> None:
        """Send messages of any size again, as the peer may accept more by now."""
        self._home.check(self)
        self._exchange.limit.forget()

    def _condition(self) -> Condition:
        return Condition(self._life.status, self._life.last_error, self._life.cause)


def control_of(connection: Connection[Any, Any]) -> Control:
    """Return what starts and ends a connection: for the manager and its pools."""
    return connection._control
