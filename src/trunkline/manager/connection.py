"""One managed connection, across reconnects: what the program sends, receives and asks.

The line under it (`trunkline.manager.line`) comes and goes by itself; a connection encodes for the link of the moment,
keeps what came from any link until it is taken, and counts.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Generic, TypeVar

from trunkline._metrics import Histogram
from trunkline.manager.context import Context
from trunkline.manager.delivery import Delivery
from trunkline.manager.errors import NotConnected
from trunkline.manager.events import StateChange
from trunkline.manager.exchange import Exchange
from trunkline.manager.failure.issues import ConnectionIssue
from trunkline.manager.guard import Guard
from trunkline.manager.health import ConnectionHealth, Meter, Queue
from trunkline.manager.incoming.inbox import Inbox, Received
from trunkline.manager.leases import Leases
from trunkline.manager.line import Line
from trunkline.manager.outgoing.peer_limit import PeerLimit
from trunkline.manager.outgoing.sender import Condition
from trunkline.manager.redacting import redact
from trunkline.manager.service import Service
from trunkline.manager.states import ConnectionStatus
from trunkline.net.websocket import WebSocket
from trunkline.protocol.errors import DecodeError

__all__ = ["Connection"]

Sends = TypeVar("Sends")
Receives = TypeVar("Receives")


class Connection(Generic[Sends, Receives]):
    """A typed connection to a service, which comes back by itself. Made by `ConnectionManager.connect`.

    id: the service's name and the parameters. service: what it is a connection to. parameters: as given to `connect`.
    metadata: the program's own notes; it starts as a copy of the parameters.
    It belongs to its manager's event loop: what acts raises WrongThread anywhere else.
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
        """`member`: its number in a pool, whose members share an `inbox` and what the peer's `limit` is."""
        self.id = service.identify(parameters) if member is None else f"{service.identify(parameters)}#{member}"
        self.service = service
        self.parameters = dict(parameters)
        self.metadata: dict[str, Any] = dict(parameters)
        self._meter = Meter(context.clock)
        guard = Guard(self.id, context.clock, context.logger, self._meter)
        context = dataclasses.replace(context, clock=guard)
        self._clock = context.clock
        self._home = context.home
        self._guard = guard
        self._exchange: Exchange[Sends, Receives] = Exchange(
            self.id,
            service,
            context,
            self._meter,
            guard=guard,
            parameters=self.parameters,
            metadata=self.metadata,
            condition=self._stand,
            inbox=inbox,
            limit=limit,
            member=member or 0,
        )
        pool_timeout = service.pool.idle_timeout if service.pool is not None else None
        idle_timeout = service.idle_timeout if pool_timeout is None else pool_timeout
        self._leases = Leases(context.clock, idle_timeout, self._close_idle)
        self._closing: asyncio.Task[None] | None = None  # by its being idle
        self._line = Line(
            self.id,
            service,
            service.locate_all(parameters),
            context,
            traffic=self._exchange,
            meter=self._meter,
            guard=guard,
            forget=lambda: forget(self),
        )

    def __repr__(self) -> str:
        return f"<Connection {redact(self.id)} {self.status}>"

    # What it is

    @property
    def status(self) -> ConnectionStatus:
        """Where it stands; `state` is another name for it."""
        return self._line.status

    @property
    def state(self) -> ConnectionStatus:
        """Where it stands: `status` by the name that WebSockets have for it."""
        return self._line.status

    @property
    def peer_limit(self) -> int | None:
        """Bytes of a message that the peer has shown to be too big for it (1009), as is every larger one.

        None while nothing is known. Kept across links; `forget_peer_limit` resets it.
        """
        return self._exchange.limit.size

    @property
    def last_error(self) -> ConnectionIssue | None:
        """The latest issue, kept when the line is up again; None if there was none."""
        return self._line.last_error

    @property
    def last_change(self) -> StateChange | None:
        """The latest change of its status: since when it is, why, and when the next attempt comes."""
        return self._line.last_change

    @property
    def websocket(self) -> WebSocket | None:
        """The link of the moment, None while there is none. The next reconnect replaces it: do not keep it."""
        return self._line.link

    @property
    def attempts(self) -> int:
        """Failed attempts and lost links since the line was last stable (`RetryPolicy.reset_after`)."""
        return self._line.attempts

    @property
    def generation(self) -> int:
        """How many links there have been; the present one is the last of them."""
        return self._meter.links

    @property
    def quarantine(self) -> tuple[DecodeError, ...]:
        """The latest payloads that did not fit the service's type, oldest first: 16 at most, and 1 MiB.

        Each says why in words; the exception that was raised is not kept.
        """
        return self._exchange.receiver.quarantine.contents()

    @property
    def position(self) -> Any:
        """How far we have received, as the service's `position` tells of each message; None if none told."""
        return self._exchange.receiver.position

    @property
    def leases(self) -> int:
        """How many use it: the calls of `connect` and `lease`, less the releases."""
        return self._leases.count

    @property
    def pending(self) -> int:
        """How much is under way: messages that wait to be written, and requests that wait for their reply."""
        return len(self._exchange.sender.outbox) + len(self._exchange.requests)

    def health(self) -> ConnectionHealth:
        """A snapshot."""
        outbox = self._exchange.sender.outbox
        queue = Queue(len(outbox), outbox.size, self._exchange.sender.writer.unconfirmed)
        generation, link = self.generation, self.websocket  # in this order: another thread may ask
        if link is not None:
            self._meter.count_bytes(*link.moved(), generation)
        return self._meter.report(self.id, self.service.name, self.status, self.attempts, queue)

    def latencies(self) -> Histogram:
        """The round trips of all links, in seconds: a copy, which may be merged with those of others."""
        return self._meter.latencies.copy()

    def merge_latencies(self, into: Histogram) -> None:
        """Add the round trips of all links to a histogram of several connections."""
        into.merge(self._meter.latencies)

    # What the program does with it

    async def send(
        self,
        message: Sends,
        *,
        timeout: float | None = 30.0,
        confirm: bool = False,
        generation: int | None = None,
    ) -> Delivery[Sends]:
        """Send a message, encoded once. Waits for a line that is down `timeout` seconds at most, None: for ever.

        Returns when the message is written to the link or joined to its output or its batch, which is not yet when the
        peer has it: the delivery tells what becomes of it. With `confirm`, returns when the peer's WebSocket has read
        it. With a `generation`, the message is for that link only (`Connection.generation`, `Session.generation`): if
        there is another one by now, or none, it is dropped with the outcome `stale`. While the link is greeted, it
        waits until that is done.

        Raises TypeError for a message that the service does not send or the codec cannot carry; PeerLimitExceeded,
        WaitTimeout, OutboxFull, MessageDropped or NotConnected if it was not sent; SendInterrupted if nobody knows;
        ValueError for `confirm` if the outbox's policy never confirms. Cancelled while it waits in the outbox, it is
        not sent.
        """
        self._home.check(self)
        sender = self._exchange.sender
        if confirm and sender.outbox.policy.confirm is None:
            raise ValueError(f"service {self.service.name} has OutboxPolicy(confirm=None), so nothing is confirmed")
        delivery = sender.make(message, generation)
        await sender.deliver(delivery, timeout)
        if confirm:
            sender.writer.ask_receipt()
            await delivery.wait_confirmed()
        return delivery

    def send_nowait(self, message: Sends, *, generation: int | None = None) -> Delivery[Sends]:
        """Send a message without waiting: it is written, or waits in the outbox. The delivery tells what becomes of it.

        generation: as for `send`. Raises OutboxFull if it may not wait there, NotConnected if the line has ended, and
        what the codec raises.
        """
        self._home.check(self)
        delivery = self._exchange.sender.make(message, generation)
        self._exchange.sender.submit(delivery)
        return delivery

    async def request(self, message: Sends, *, timeout: float = 30.0, idempotent: bool = False) -> Receives:
        """Send a message and return the one that answers it, as the service's `correlate` tells. Safe in many tasks.

        A request whose id is None is given a number. The reply does not come out of the iteration. If the link is lost
        before the reply, the request fails with SendInterrupted, unless it is `idempotent`: then it is sent once more
        on the next link. Raises ReplyTimeout after `timeout` seconds, and what `send` raises; ValueError if a request
        with this id waits already; TypeError if the service has no `correlate`.
        """
        self._home.check(self)
        return await self._exchange.request(message, timeout, is_idempotent=idempotent)

    def __aiter__(self) -> AsyncIterator[Receives]:
        return self

    async def __anext__(self) -> Receives:
        """The next message, of whichever link. Ends when the connection is closed, raises NotConnected if it failed.

        What was received is given out first, whatever has happened to the line since. Cancellation loses nothing.
        """
        self._home.check(self)
        inbox = self._exchange.receiver.inbox
        if not inbox and not await self._wait_message():
            raise StopAsyncIteration
        return inbox.take()

    async def received(self) -> AsyncIterator[Received[Receives]]:
        """Iterate over the messages, each with the generation of the link that it came over; else as the iteration."""
        self._home.check(self)
        inbox = self._exchange.receiver.inbox
        while inbox or await self._wait_message():
            yield inbox.take_received()

    async def _wait_message(self) -> bool:
        """Wait until there is a message; False if the connection is closed and there will be none."""
        inbox = self._exchange.receiver.inbox
        while not inbox:
            if self.status is ConnectionStatus.CLOSED:
                return False
            if self.status is ConnectionStatus.FAILED:
                raise self.refusal()
            await inbox.changed.wait()
        return True

    async def wait_connected(self, *, timeout: float | None = None) -> None:
        """Wait until a link is up; one that came up meanwhile and is lost again counts, too.

        Raises NotConnected if there will be none, WaitTimeout after `timeout` seconds.
        """
        self._home.check(self)
        await self._line.wait_link(timeout)

    def release(self) -> None:
        """Give back one lease. When none is left, the connection closes after the service's `idle_timeout`.

        Raises RuntimeError if there is none to give back.
        """
        self._home.check(self)
        self._leases.release()

    async def drain(self, timeout: float | None = None) -> bool:
        """Take nothing new to send, and wait until all is written and confirmed; False if `timeout` seconds passed.

        From now on `send` raises NotConnected: the next step is `close`.
        """
        self._home.check(self)
        return await self._exchange.sender.drain(None if timeout is None else self._clock.time() + timeout)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close for good: the link by the closing handshake, and no retry. Returns when nothing is left of it.

        What the link takes at once is written first; what then still waits is not sent, and reported. What was
        received before stays to be taken. Cancelled, it drops the link without waiting for the peer.
        """
        self._home.check(self)
        self._leases.cancel()
        try:
            self._exchange.sender.hurry()
        finally:
            await self._line.close(code, reason)

    def reconnect(self) -> None:
        """Close the link and dial anew, at once; without a link, dial now rather than when it was said.

        A failed connection starts over. What the server has asked for (Retry-After) is waited out, and while the
        service is paused nothing is dialled. Raises NotConnected if the connection is closing or closed.
        """
        self._home.check(self)
        if self.status in (ConnectionStatus.CLOSING, ConnectionStatus.CLOSED):
            raise self.refusal()
        if self.status is ConnectionStatus.FAILED:
            self._exchange.sender.start_over()
        self._line.reconnect("reconnect asked for")

    def forget_peer_limit(self) -> None:
        """Send messages of any size again: the peer may take more by now."""
        self._home.check(self)
        self._exchange.limit.forget()

    # What others of the manager use

    def obey(self) -> None:
        """The service was paused, or resumed."""
        self._line.obey()

    def hurry(self) -> None:
        """Dial now, if it waits to; ask the link for a sign of life, if there is one."""
        self._line.hurry()

    def abort(self) -> None:
        """Close for good now, waiting for nobody."""
        self._leases.cancel()
        self._line.abort()

    def start(self) -> None:
        """Begin to dial, unless that is done already; a failed connection starts over."""
        if self.status is ConnectionStatus.FAILED:
            self._exchange.sender.start_over()
        self._line.start()

    def lease(self) -> None:
        """One more uses it."""
        self._leases.take()

    def touch(self) -> None:
        """It is used now, by somebody who has no lease."""
        self._leases.touch()

    def refusal(self) -> NotConnected:
        """The error for whoever waits for a message that will not come."""
        error = self._line.refusal()
        error.__cause__ = self._line.cause
        return error

    def _stand(self) -> Condition:
        return Condition(self._line.status, self._line.last_error, self._line.cause)

    def _close_idle(self) -> None:
        if self.pending:
            self._leases.watch()
        else:
            self._closing = self._guard.start(self.close(1000, "idle"), f"trunkline {redact(self.id)} closing")
