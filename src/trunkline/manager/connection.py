"""One managed line, across reconnects.

A connection has a task that dials, reads until the link is lost, waits as its policy says, and dials again. Everything
else (senders, readers, whoever waits for it to come up) looks at what that task keeps: the status, the link of the
moment, the inbox. No caller ever holds on to a link.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from wsproto.connection import ConnectionState

from trunkline.manager.clock import Clock, Signal, sleep
from trunkline.manager.errors import NotConnected, SendInterrupted, WaitTimeout
from trunkline.manager.events import StateChange
from trunkline.manager.health import ConnectionHealth, Meter
from trunkline.manager.inbox import Inbox, Quarantine
from trunkline.manager.retry import Pause, Retries
from trunkline.manager.service import Service
from trunkline.manager.states import ENDED, ConnectionStatus, Event, move
from trunkline.manager.taxonomy import ConnectionIssue, CredentialsError, categorize
from trunkline.net.websocket import WebSocket
from trunkline.protocol.categories import ErrorCategory
from trunkline.protocol.errors import ConnectionClosed, DecodeError, TrunklineError

__all__ = ["Connection", "Context", "Dial"]

Sends = TypeVar("Sends")
Receives = TypeVar("Receives")


class Dial(Protocol):
    """`trunkline.connect`, or whatever a test puts in its place."""

    def __call__(
        self, uri: str, /, *, additional_headers: Mapping[str, str], **options: Any
    ) -> Awaitable[WebSocket]: ...


@dataclass(frozen=True, slots=True)
class Context:
    """What a connection is lent by its manager."""

    dial: Dial
    clock: Clock
    rng: random.Random
    publish: Callable[[StateChange], None]
    forget: Callable[[Connection[Any, Any]], None]  # the connection has ended for good
    logger: logging.Logger


class Connection(Generic[Sends, Receives]):
    """A typed connection to a service, which comes back by itself. Made by `ConnectionManager.connect`.

    id: the service's name and the parameters. parameters: as given to `connect`.
    metadata: the program's own notes; it starts as a copy of the parameters.
    last_error: the latest issue, kept when the line is up again; None if there was none.
    """

    def __init__(
        self, service: Service[Sends, Receives], parameters: Mapping[str, str | int], context: Context
    ) -> None:
        self.id = service.identify(parameters)
        self.service = service
        self.parameters = dict(parameters)
        self.metadata: dict[str, Any] = dict(parameters)
        self.last_error: ConnectionIssue | None = None
        self._url = service.locate(parameters)
        self._context = context
        self._clock = context.clock
        self._status = ConnectionStatus.IDLE
        self._link: WebSocket | None = None
        self._task: asyncio.Task[None] | None = None
        self._retries = Retries(service.retry, context.rng, refreshable=service.refreshes_headers)
        self._meter = Meter(context.clock)
        self._inbox: Inbox[Receives] = Inbox(context.clock)
        self._quarantine = Quarantine()
        self._moved = Signal(context.clock)
        self._cause: BaseException | None = None  # what last_error was made from

    def __repr__(self) -> str:
        return f"<Connection {self.id} {self._status}>"

    # What it is

    @property
    def status(self) -> ConnectionStatus:
        return self._status

    @property
    def websocket(self) -> WebSocket | None:
        """The link of the moment, None while there is none. The next reconnect replaces it: do not keep it."""
        return self._link

    @property
    def attempts(self) -> int:
        """Failed attempts and lost links since the line was last stable (`RetryPolicy.reset_after`)."""
        return self._retries.count

    @property
    def generation(self) -> int:
        """How many links there have been; the present one is the last of them."""
        return self._meter.links

    @property
    def quarantine(self) -> tuple[DecodeError, ...]:
        """The latest payloads that did not fit the service's type, oldest first: 16 at most, and 1 MiB."""
        return self._quarantine.contents()

    def health(self) -> ConnectionHealth:
        """A snapshot."""
        if self._link is not None:
            self._meter.note_latency(self._link.latency)
        return self._meter.report(self.id, self.service.name, self._status, self.attempts)

    # What the program does with it

    async def send(self, message: Sends, *, timeout: float | None = 30.0) -> None:
        """Send a message, encoded once. While the line is down, wait `timeout` seconds at most (None: for ever).

        Returns when the message is written to the link or joined to its output, which is not yet when the peer has it.
        Raises TypeError for a message that JSON cannot carry, WaitTimeout if the line stayed down, NotConnected if it
        has ended, SendInterrupted if the link was lost meanwhile. Cancelled while the line is down, nothing was sent.
        """
        payload = self.service.encode(message)
        link = await self._wait_link(timeout)
        try:
            await link.send(payload)
        except ConnectionClosed as closed:
            raise SendInterrupted(self.id, self._status, categorize(closed)) from closed
        self._meter.count_sent()

    def __aiter__(self) -> AsyncIterator[Receives]:
        return self

    async def __anext__(self) -> Receives:
        """The next message, of whichever link. Ends when the connection is closed, raises NotConnected if it failed.

        What was received is given out first, whatever has happened to the line since. Cancellation loses nothing.
        """
        while not self._inbox:
            if self._status is ConnectionStatus.CLOSED:
                raise StopAsyncIteration
            if self._status is ConnectionStatus.FAILED:
                raise self._ended() from self._cause
            await self._inbox.changed.wait()
        return self._inbox.take()

    async def wait_connected(self, *, timeout: float | None = None) -> None:
        """Wait for a link. Raises NotConnected if there will be none, WaitTimeout after `timeout` seconds."""
        await self._wait_link(timeout)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close for good: the link by the closing handshake, and no retry. Returns when nothing is left of it.

        What was received before stays to be taken. Cancelled, it drops the link without waiting for the peer.
        """
        if self._status is ConnectionStatus.CLOSING:
            while self._status is ConnectionStatus.CLOSING:
                await self._moved.wait()
            return
        if self._status is ConnectionStatus.CLOSED:
            return
        self._apply(Event.CLOSE)
        try:
            if self._link is not None and self._task is not None:
                await self._link.close(code, reason)
                self._inbox.call_last()
                await asyncio.wait([self._task])
        finally:
            await self._end_task()

    # What others of the manager use

    def start(self) -> None:
        """Begin to dial, unless that is done already; a failed connection starts over."""
        if self._status is ConnectionStatus.IDLE or self._status is ConnectionStatus.FAILED:
            self._retries = Retries(self.service.retry, self._context.rng, refreshable=self.service.refreshes_headers)
            self._apply(Event.DIAL)
            self._task = asyncio.get_running_loop().create_task(self._hold(), name=f"trunkline {self.id}")

    # The task

    async def _hold(self) -> None:
        while True:
            issue = await self._attempt()
            if self._status is ConnectionStatus.CLOSING:
                return
            pause = self._decide(issue)
            if pause is None:
                return
            await sleep(self._clock, pause.delay)
            self._apply(Event.DIAL)

    async def _attempt(self) -> ConnectionIssue:
        """Dial, and read until the link is gone: how it ended."""
        try:
            link = await self._dial()
        except Exception as error:
            return self._note(error)
        try:
            self._open(link)
            async for batch in link.batches():
                self._receive(batch)
                await self._inbox.wait_room()
            await link.recv()  # raises what ended the link, where the iteration only stops
            raise AssertionError("a message came after the last batch")
        except Exception as error:
            return self._note(error)
        finally:
            self._drop(link)

    async def _dial(self) -> WebSocket:
        try:
            headers = await self.service.ask_headers()
        except Exception as error:
            text = f"the headers of service {self.service.name} could not be had: {error!r}"
            raise CredentialsError(text, recoverable=categorize(error).recoverable) from error
        return await self._context.dial(self._url, additional_headers=headers, **self.service.options)

    def _open(self, link: WebSocket) -> None:
        self._link = link
        self._retries.opened(self._clock.time())
        self._apply(Event.OPENED, downtime=self._meter.mark_up())

    def _drop(self, link: WebSocket) -> None:
        self._meter.note_latency(link.latency)
        self._meter.mark_down()
        self._link = None
        link.abort()  # nothing, if the closing handshake is done

    def _receive(self, batch: list[str | bytes]) -> None:
        self._meter.count_received(len(batch))
        misfits = []
        for payload in batch:
            try:
                self._inbox.put(self.service.decode(payload), len(payload))
            except DecodeError as error:
                misfits.append(error)
                self._quarantine.put(error)
                self._meter.count_undecodable()
        if misfits:
            # Once for all that came together: a peer must not decide how fast our log grows.
            self._context.logger.warning(
                "%s: %d undecodable messages, the last: %s", self.id, len(misfits), misfits[-1]
            )
        self._inbox.changed.notify()

    def _note(self, error: BaseException) -> ConnectionIssue:
        if not isinstance(error, (TrunklineError, OSError)):
            self._context.logger.error("%s: unexpected %r", self.id, error, exc_info=error)
        issue = categorize(error)
        if issue.category is not ErrorCategory.NORMAL_CLOSURE:
            self._meter.count_error()
        self.last_error, self._cause = issue, error
        return issue

    def _decide(self, issue: ConnectionIssue) -> Pause | None:
        """Move on from how an attempt ended."""
        pause = self._retries.after(issue, self._clock.time())
        if pause is not None:
            self._apply(Event.SUSPEND if pause.suspended else Event.DEFER, issue, pause)
        elif issue.category is ErrorCategory.NORMAL_CLOSURE:
            self._apply(Event.FINISH, issue)
            self._context.forget(self)
        else:
            self._apply(Event.GIVE_UP, issue)
        return pause

    # Shared

    def _apply(
        self,
        event: Event,
        issue: ConnectionIssue | None = None,
        pause: Pause | None = None,
        *,
        downtime: float | None = None,
    ) -> None:
        before, self._status = self._status, move(self._status, event)
        change = StateChange(
            connection_id=self.id,
            service=self.service.name,
            before=before,
            after=self._status,
            at=self._clock.time(),
            generation=self.generation,
            issue=issue,
            retry=self._retries.count or None,
            delay=None if pause is None else pause.delay,
            downtime=downtime,
        )
        self._moved.notify()
        if self._status in ENDED:
            self._inbox.changed.notify()
        self._context.publish(change)

    async def _wait_link(self, timeout: float | None) -> WebSocket:
        until = None if timeout is None else self._clock.time() + timeout
        while self._link is None or self._link.state is not ConnectionState.OPEN:
            if self._status in ENDED:
                raise self._ended() from self._cause
            if not await self._moved.wait(until) and timeout is not None:
                raise WaitTimeout(self.id, self._status, self.last_error, timeout) from self._cause
        return self._link

    def _ended(self) -> NotConnected:
        return NotConnected(self.id, self._status, self.last_error)

    async def _end_task(self) -> None:
        task = self._task
        try:
            if task is not None and not task.done():
                task.cancel()
                await asyncio.wait([task])
        finally:
            if self._status is ConnectionStatus.CLOSING:
                self._apply(Event.CLOSED)
            self._context.forget(self)
