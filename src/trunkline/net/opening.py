"""The server's side of the opening handshake, between a transport and `trunkline.protocol.Handshake`."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import inspect
import re
import urllib.parse
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from wsproto.connection import ConnectionState, ConnectionType
from wsproto.events import AcceptConnection, RejectConnection, RejectData
from wsproto.events import Request as RequestEvent
from wsproto.extensions import Extension
from wsproto.utilities import RemoteProtocolError

from trunkline.net.http import Headers, HeadersLike, Request, Response, as_fields, from_fields, header_pairs
from trunkline.net.logs import log_fields
from trunkline.protocol.deflate import PerMessageDeflate, agreement_of
from trunkline.protocol.errors import LocalProtocolError, printable
from trunkline.protocol.handshake import MAX_HEAD, Handshake

if TYPE_CHECKING:
    from trunkline.net.health import Tally
    from trunkline.net.listener import Listener
    from trunkline.net.websocket import WebSocket

__all__ = ["Acceptance", "ServerOpening"]

# What a refused client is told (with 400 for any other status): fixed texts, that hold nothing of what it sent.
FIXED_TEXTS: Final = {
    400: "this is no WebSocket handshake (RFC 6455 4.2.1)",
    403: "this origin is not allowed",
    414: "the request target is too long",
    426: "the WebSocket version spoken here is 13",
    431: "the header fields are too many or too long",
    500: "internal error",
    505: "the HTTP version spoken here is 1.1",
}
# RFC 6454 7: no user, no path. And no backslash: to a browser it ends the host, to urllib what is before it is a user.
_ORIGIN: Final = re.compile(r"[a-z][a-z0-9+.-]*://[^\s@/\\?#]+", re.IGNORECASE)
ProcessRequest = Callable[["WebSocket", Request], Response | Awaitable[Response | None] | None]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)  # its fields may be cookies
class Acceptance:
    """How a server answers opening handshakes.

    origins: None for the same origin or none, "*" for any, or those allowed (None among them: no Origin field).
    subprotocols: in order of preference. headers: added to the answer; LocalProtocolError if they cannot stand in HTTP.
    """

    process_request: ProcessRequest | None = None
    origins: Sequence[str | None] | str | None = None
    subprotocols: Sequence[str] = ()
    headers: HeadersLike = ()
    make_listener: Callable[[], Listener] | None = None
    fields: list[tuple[bytes, bytes]] = field(init=False)
    response: Response = field(init=False)  # what each WebSocket has as its response

    def __post_init__(self) -> None:
        object.__setattr__(self, "fields", as_fields(self.headers))
        object.__setattr__(self, "response", Response(101, Headers(self.headers)))


class ServerOpening:
    """Reads a request and answers it; `done` is told once, with True if the connection is open."""

    def __init__(self, acceptance: Acceptance, done: Callable[[WebSocket, bool], None], tally: Tally) -> None:
        self._acceptance = acceptance
        self._tally = tally
        self._done: Callable[[WebSocket, bool], None] | None = done
        self._handshake = Handshake(ConnectionType.SERVER)
        self._deciding: asyncio.Task[None] | None = None
        self._received = 0

    def begin(self, ws: WebSocket) -> None:
        """A server waits for the request."""

    def receive(self, ws: WebSocket, data: bytes) -> None:
        """Takes a piece of the request, or, while `process_request` decides, of what follows it."""
        if self._handshake.is_refused:
            return  # read and thrown away, so that the answer is not lost to a reset
        self._received += len(data)
        try:
            self._handshake.receive_data(data)
            for event in self._handshake.events():
                if isinstance(event, RequestEvent):
                    self._consider(ws, event)
        except RemoteProtocolError as error:
            hint = error.event_hint if isinstance(error.event_hint, RejectConnection) else RejectConnection()
            refuse = functools.partial(self._refuse, ws, hint.status_code, str(error), hint.headers)
            if self._handshake.plain_request is None or self._acceptance.process_request is None:
                refuse()
            elif self._deciding is None:
                target, fields = self._handshake.plain_request
                self._ask(ws, Request(target, from_fields(fields)), refuse)
        if self._deciding is not None and self._received > MAX_HEAD and ws.transport is not None:
            ws.transport.pause_reading()

    def lose(self, ws: WebSocket, error: Exception | None) -> None:
        """The client went away."""
        if self._deciding is not None:
            self._deciding.cancel()
        self._finish(ws, False)

    def _consider(self, ws: WebSocket, event: RequestEvent) -> None:
        fields = self._handshake.fields
        ws.request = Request(event.target, from_fields(fields))
        origin = _value(fields, b"origin")
        if self._is_welcome(origin, fields):
            self._ask(ws, ws.request, functools.partial(self._accept, ws, event))
        else:
            self._refuse(ws, 403, f"origin {origin} is not allowed (origins)")

    def _refuse(self, ws: WebSocket, status: int, why: str, fields: Iterable[tuple[bytes, bytes]] = ()) -> None:
        """Answers in fixed words: what was wrong is for our log and not for a stranger."""
        self._tally.refused += 1
        extra = log_fields("handshake.refused", code=status, remote=ws.remote_address)
        ws.logger.info("a handshake was refused with %d: %s", status, printable(why), extra=extra)
        refusal = ws.respond(status, FIXED_TEXTS.get(status, FIXED_TEXTS[400]) + "\n")
        self._reject(ws, dataclasses.replace(refusal, headers=[*header_pairs(refusal.headers), *from_fields(fields)]))

    def _ask(self, ws: WebSocket, request: Request, go_on: Callable[[], None]) -> None:
        """Lets process_request answer; if it has no answer, or is not there, `go_on`."""
        if self._acceptance.process_request is None:
            go_on()
            return
        try:
            answer = self._acceptance.process_request(ws, request)
        except Exception as error:
            self._break(ws, error)
            return
        if inspect.isawaitable(answer):
            self._deciding = asyncio.ensure_future(self._decide(ws, go_on, answer))
        else:
            self._answer(ws, go_on, answer)

    async def _decide(self, ws: WebSocket, go_on: Callable[[], None], answer: Awaitable[Response | None]) -> None:
        response: Response | None = None
        fault: Exception | None = None
        try:
            response = await answer
        except Exception as error:
            fault = error
        self._deciding = None
        if ws.transport is not None:
            ws.transport.resume_reading()
        if fault is not None:
            self._break(ws, fault)
        elif ws.transport is not None:
            self._answer(ws, go_on, response)

    def _answer(self, ws: WebSocket, go_on: Callable[[], None], response: Response | None) -> None:
        if ws.state is not ConnectionState.CONNECTING:
            return  # process_request has aborted it
        if response is None:
            go_on()
        elif isinstance(response, Response):
            self._reject(ws, response)
        else:
            self._break(ws, TypeError(f"process_request gave {type(response).__name__}, must give None or a Response"))

    def _break(self, ws: WebSocket, error: Exception) -> None:
        ws.logger.error(
            "process_request failed", exc_info=error, extra=log_fields("request.failed", remote=ws.remote_address)
        )
        self._reject(ws, ws.respond(500, FIXED_TEXTS[500] + "\n"))

    def _is_welcome(self, origin: str | None, fields: Iterable[tuple[bytes, bytes]]) -> bool:
        allowed = self._acceptance.origins
        if allowed is None:
            return origin is None or _same_origin(origin, _value(fields, b"host") or "")
        return allowed == "*" or origin in allowed

    def _accept(self, ws: WebSocket, event: RequestEvent) -> None:
        chosen = None
        if event.subprotocols:
            chosen = next((name for name in self._acceptance.subprotocols if name in event.subprotocols), None)
        assert ws.transport is not None
        assert ws.request is not None
        extensions: list[Extension] = [] if ws.deflate is None else [PerMessageDeflate(ws.deflate)]
        answer = AcceptConnection(chosen, extensions, self._acceptance.fields)
        try:
            ws.transport.write(self._handshake.send(answer))
        except LocalProtocolError as error:
            self._break(ws, error)
            return
        make = self._acceptance.make_listener
        trailing = self._handshake.trailing_data
        try:
            listener = make() if make is not None else None
        except Exception as error:
            extra = log_fields("listener.failed", remote=ws.remote_address)
            ws.logger.error("the listener could not be made", exc_info=error, extra=extra)
            ws.abort()
            return
        response = self._acceptance.response
        ws.open(
            client=False,
            request=ws.request,
            response=response,
            subprotocol=chosen,
            agreement=agreement_of(extensions),
            listener=listener,
        )
        self._finish(ws, True)
        if trailing:
            ws._feed(trailing)

    def _reject(self, ws: WebSocket, response: Response) -> None:
        if ws.transport is None or self._handshake.state is not ConnectionState.CONNECTING:
            return
        try:
            fields = as_fields(response.headers)
            names = {name.lower() for name, _ in fields}
            for name, value in ((b"Connection", b"close"), (b"Content-Length", b"%d" % len(response.body))):
                if name.lower() not in names:
                    fields.append((name, value))
            data = self._handshake.send(RejectConnection(response.status, fields, has_body=True))
            data += self._handshake.send(RejectData(response.body))
        except (LocalProtocolError, UnicodeError) as error:
            extra = log_fields("request.failed", code=response.status, remote=ws.remote_address)
            ws.logger.error("the answer %r cannot be sent", response.status, exc_info=error, extra=extra)
            ws.abort()
            return
        ws.transport.write(data)
        ws.linger()

    def _finish(self, ws: WebSocket, opened: bool) -> None:
        done, self._done = self._done, None
        if done is not None:
            done(ws, opened)


def _value(fields: Iterable[tuple[bytes, bytes]], wanted: bytes) -> str | None:
    return next((value.decode("latin-1") for name, value in fields if name == wanted), None)


def _same_origin(origin: str, host: str) -> bool:
    """Whether a page of `origin` (RFC 6454 7) came from the host that it connects to, the scheme aside."""
    if _ORIGIN.fullmatch(origin) is None:
        return False
    try:
        parts = urllib.parse.urlsplit(origin)
        target = urllib.parse.urlsplit(f"//{host}")
        default = {"http": 80, "https": 443}.get(parts.scheme)
        return (
            parts.hostname is not None
            and parts.hostname == target.hostname
            and (parts.port or default) == (target.port or default)
        )
    except ValueError:
        return False


def wrap_listener(listener: object) -> Callable[[], Listener]:
    """A Listener class, or whatever makes one, as a callable that makes one."""
    if not callable(listener):
        raise TypeError(
            f"listener is {type(listener).__name__}, must be a Listener class or a callable that makes one a connection"
        )
    return functools.partial(_make, listener)


def _make(factory: Callable[[], Listener]) -> Listener:
    made = factory()
    if not hasattr(made, "on_message") and not hasattr(made, "on_batch"):
        raise TypeError(f"listener gave {type(made).__name__}, must give an object with on_message or on_batch")
    return made
