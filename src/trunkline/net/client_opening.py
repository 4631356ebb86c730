"""The client's side of the opening handshake, between a transport and `ClientHandshake`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from wsproto.connection import ConnectionState
from wsproto.events import AcceptConnection, Event, RejectConnection, RejectData
from wsproto.events import Request as RequestEvent

from trunkline.net.http import BODY_WAIT, MAX_BODY, MAX_PARTS, Request, Response, from_fields
from trunkline.protocol.client_handshake import ClientHandshake
from trunkline.protocol.deflate import agreement_of
from trunkline.protocol.errors import HandshakeError, RemoteProtocolError

if TYPE_CHECKING:
    from trunkline.net.lifecycle import Lifecycle
    from trunkline.net.listener import Listener
    from trunkline.protocol.head import HeadLimits

__all__ = ["ClientOpening"]

SLICE: Final = 4096  # bytes of an answer that are parsed at a time
MAX_QUOTED: Final = 64  # bytes that HandshakeError quotes of an answer that is not HTTP


class ClientOpening:
    """The client's opening handshake: sends the request and checks the answer.

    `opened` is done once the answer has been checked. The listener's `on_open` runs before whoever awaits it.
    """

    def __init__(
        self, event: RequestEvent, listener: Listener | None, loop: asyncio.AbstractEventLoop, head: HeadLimits
    ) -> None:
        """Prepare the request. Nothing is dialled yet.

        Args:
            event: the request.
            listener: gets the messages once the connection is open; None if they go to the inbox.
            loop: the event loop.
            head: limits on the head of the answer.

        Raises:
            LocalProtocolError: a field of the request is not valid in HTTP.
        """
        self._event = event
        self._listener = listener
        self._handshake = ClientHandshake(head)
        self._request = self._handshake.send(event)
        self._refusal: RejectConnection | None = None
        self._body = bytearray()
        self._parts = 0  # that the body came in
        self._loop = loop
        self._patience: asyncio.TimerHandle | None = None  # limits the wait for the body of a refusal
        self._beginning = b""  # of the answer
        self.opened: asyncio.Future[None] = loop.create_future()

    def begin(self, life: Lifecycle) -> None:
        """Send the request."""
        assert life.link.transport is not None
        life.link.transport.write(self._request)

    def receive(self, life: Lifecycle, data: bytes) -> None:
        """Process bytes of the response, and of the frames after it."""
        # In slices, so that MAX_PARTS ends a read early: an HTTP chunk of one byte takes as long as a large one, and
        # one read can hold 40,000 of them.
        for start in range(0, len(data), SLICE):
            if life.state is ConnectionState.CONNECTING:
                self._parse(life, data[start : start + SLICE])
            elif life.state is not ConnectionState.CLOSED:
                life.link._feed(data[start:])  # it opened: these are frames
                break

    def _parse(self, life: Lifecycle, data: bytes) -> None:
        fault: HandshakeError | None = None
        if len(self._beginning) < MAX_QUOTED:
            self._beginning += data[: MAX_QUOTED - len(self._beginning)]
        try:
            self._handshake.receive_data(data)
        except RemoteProtocolError as error:
            status = 101 if self._handshake.has_switched else None
            fault = HandshakeError(status, detail=error.detail or str(error))
        for event in self._handshake.events():
            self._handle(life, event)
        if fault is not None:
            # Only the body may be malformed: a refusal is still a refusal.
            self._fail(life, self.refusal or fault)

    def lose(self, life: Lifecycle, error: Exception | None) -> None:
        """Fail with what was received of the answer: the transport has ended."""
        silent = ConnectionResetError("the server ended the connection without an answer")
        self._fail(life, self.refusal or error or silent)

    def is_answering(self) -> bool:
        """Return False: a client owes no answer."""
        return False

    def _handle(self, life: Lifecycle, event: Event) -> None:
        if isinstance(event, AcceptConnection):
            headers = from_fields(event.extra_headers)
            request = Request(self._event.target, from_fields(self._event.extra_headers))
            if self.opened.done():
                return  # the caller was cancelled
            life.open(
                client=True,
                request=request,
                response=Response(101, headers),
                subprotocol=event.subprotocol,
                agreement=agreement_of(event.extensions),
                listener=self._listener,
            )
            self.opened.set_result(None)
            if self._handshake.trailing_data:
                life.link._feed(self._handshake.trailing_data)
        elif isinstance(event, RejectConnection) and event.has_body:  # else 1xx: the answer follows (RFC 9110 15.2)
            self._refusal = event
            self._patience = self._loop.call_later(BODY_WAIT, self._run_out, life)
        elif isinstance(event, RejectData):
            self._body += event.data
            self._parts += 1
            if event.body_finished or len(self._body) > MAX_BODY or self._parts >= MAX_PARTS:
                self._refuse(life)

    def _refuse(self, life: Lifecycle) -> None:
        """Fail with what was received of the refusal."""
        assert self.refusal is not None  # there is no body without a head
        self._fail(life, self.refusal)

    def _run_out(self, life: Lifecycle) -> None:
        """Stop waiting for the body of a refusal. An error of our own goes to whoever waits for the answer."""
        try:
            self._refuse(life)
        except Exception as error:
            self._fail(life, error)

    @property
    def refusal(self) -> HandshakeError | None:
        """The error for an answer that is not a 101, complete or not; None if there is none so far."""
        if self._refusal is None:
            seen = self._beginning
            if seen[:5] == b"HTTP/"[: len(seen)]:
                return None
            return HandshakeError(None, detail=f"it begins with {seen!r}, must be HTTP/1.1")
        headers = list(from_fields(self._refusal.headers))
        return HandshakeError(self._refusal.status_code, headers, bytes(self._body[:MAX_BODY]))

    def _fail(self, life: Lifecycle, error: Exception) -> None:
        if self._patience is not None:
            self._patience.cancel()
        if not self.opened.done():
            self.opened.set_exception(error)
        life.abort()
