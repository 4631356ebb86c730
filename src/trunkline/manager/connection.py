"""One managed connection, across reconnects: what the program sends, receives and asks.

The line under it (`trunkline.manager.line`) comes and goes by itself; a connection encodes for the link of the moment,
keeps what came from any link until it is taken, and counts.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Generic, TypeVar

from trunkline.manager.context import Context
from trunkline.manager.errors import SendInterrupted
from trunkline.manager.health import ConnectionHealth, Meter
from trunkline.manager.line import Line
from trunkline.manager.reception import Reception
from trunkline.manager.service import Service
from trunkline.manager.states import ConnectionStatus
from trunkline.manager.taxonomy import ConnectionIssue, categorize
from trunkline.net.websocket import WebSocket
from trunkline.protocol.errors import ConnectionClosed, DecodeError

__all__ = ["Connection"]

Sends = TypeVar("Sends")
Receives = TypeVar("Receives")


class Connection(Generic[Sends, Receives]):
    """A typed connection to a service, which comes back by itself. Made by `ConnectionManager.connect`.

    id: the service's name and the parameters. parameters: as given to `connect`.
    metadata: the program's own notes; it starts as a copy of the parameters.
    """

    def __init__(
        self,
        service: Service[Sends, Receives],
        parameters: Mapping[str, str | int],
        context: Context,
        *,
        forget: Callable[[Connection[Any, Any]], None],
    ) -> None:
        self.id = service.identify(parameters)
        self.service = service
        self.parameters = dict(parameters)
        self.metadata: dict[str, Any] = dict(parameters)
        self._meter = Meter(context.clock)
        self._reception = Reception(self.id, service, context, self._meter)
        self._line = Line(
            self.id,
            service,
            service.locate_all(parameters),
            context,
            traffic=self._reception,
            meter=self._meter,
            forget=lambda: forget(self),
        )

    def __repr__(self) -> str:
        return f"<Connection {self.id} {self.status}>"

    # What it is

    @property
    def status(self) -> ConnectionStatus:
        return self._line.status

    @property
    def last_error(self) -> ConnectionIssue | None:
        """The latest issue, kept when the line is up again; None if there was none."""
        return self._line.last_error

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
        """The latest payloads that did not fit the service's type, oldest first: 16 at most, and 1 MiB."""
        return self._reception.quarantine.contents()

    def health(self) -> ConnectionHealth:
        """A snapshot."""
        if self.websocket is not None:
            self._meter.count_bytes(*self.websocket.moved())
        return self._meter.report(self.id, self.service.name, self.status, self.attempts)

    # What the program does with it

    async def send(self, message: Sends, *, timeout: float | None = 30.0) -> None:
        """Send a message, encoded once. While the line is down, wait `timeout` seconds at most (None: for ever).

        Returns when the message is written to the link or joined to its output, which is not yet when the peer has it.
        Raises TypeError for a message that JSON cannot carry, WaitTimeout if the line stayed down, NotConnected if it
        has ended, SendInterrupted if the link was lost meanwhile. Cancelled while the line is down, nothing was sent.
        """
        payload = self.service.encode(message)
        link = await self._line.wait_link(timeout)
        try:
            await link.send(payload)
        except ConnectionClosed as closed:
            raise SendInterrupted(self.id, self.status, categorize(closed)) from closed
        self._meter.count_sent()

    def __aiter__(self) -> AsyncIterator[Receives]:
        return self

    async def __anext__(self) -> Receives:
        """The next message, of whichever link. Ends when the connection is closed, raises NotConnected if it failed.

        What was received is given out first, whatever has happened to the line since. Cancellation loses nothing.
        """
        inbox = self._reception.inbox
        while not inbox:
            if self.status is ConnectionStatus.CLOSED:
                raise StopAsyncIteration
            if self.status is ConnectionStatus.FAILED:
                raise self._line.refusal() from self._line.cause
            await inbox.changed.wait()
        return inbox.take()

    async def wait_connected(self, *, timeout: float | None = None) -> None:
        """Wait for a link. Raises NotConnected if there will be none, WaitTimeout after `timeout` seconds."""
        await self._line.wait_link(timeout)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close for good: the link by the closing handshake, and no retry. Returns when nothing is left of it.

        What was received before stays to be taken. Cancelled, it drops the link without waiting for the peer.
        """
        await self._line.close(code, reason)

    # What others of the manager use

    def start(self) -> None:
        """Begin to dial, unless that is done already; a failed connection starts over."""
        self._line.start()
