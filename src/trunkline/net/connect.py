"""The client: `connect`."""

from __future__ import annotations

import asyncio
import base64
import ssl as ssl_module
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Unpack

from wsproto.events import Request as RequestEvent

from trunkline.net.dial import Route, dial
from trunkline.net.http import Headers, HeadersLike, as_fields, check_subprotocols
from trunkline.net.opening import ClientOpening
from trunkline.net.proxy import find_proxy
from trunkline.net.settings import Limits, Settings, make_settings
from trunkline.net.uri import URI, parse_uri
from trunkline.net.websocket import WebSocket, websocket_class
from trunkline.protocol.errors import ConnectError, HandshakeError, LocalProtocolError, OpenTimeout

if TYPE_CHECKING:
    import os
    import socket
    from types import TracebackType

    from trunkline.net.listener import Listener

__all__ = ["Connecting", "connect"]

# Set by the handshake itself: a second one would be another handshake (RFC 6455 4.1).
OWN_FIELDS: Final = frozenset(
    {
        "connection",
        "host",
        "sec-websocket-extensions",
        "sec-websocket-key",
        "sec-websocket-protocol",
        "sec-websocket-version",
        "upgrade",
    }
)


def connect(
    uri: str,
    *,
    listener: Listener | None = None,
    additional_headers: HeadersLike = (),
    subprotocols: Sequence[str] | None = None,
    origin: str | None = None,
    user_agent_header: str | None = "trunkline",
    ssl: ssl_module.SSLContext | bool | None = None,
    server_hostname: str | None = None,
    proxy: str | bool | None = True,
    unix: str | os.PathLike[str] | None = None,
    sock: socket.socket | None = None,
    **limits: Unpack[Limits],
) -> Connecting:
    """Connects to a WebSocket server: `async with connect(uri) as ws:` or `ws = await connect(uri)`.

    uri: ws:// or wss://; a user and password in it go as Basic authorization.
    listener: takes the messages, in place of `ws.recv()` and iteration.
    ssl: a context, for wss:// in place of the default one. server_hostname: the name that the certificate must have.
    proxy: a URL, True for the environment's, None for none. unix: path of a unix socket. sock: one that is connected.
    limits: limits and timeouts, as `trunkline.Settings` describes them.

    Raises InvalidURI; ConnectError, with ProxyError and OpenTimeout under it, if no link comes up; HandshakeError if
    the server answers anything but a valid 101; LocalProtocolError for fields that cannot stand in HTTP. If it is
    cancelled, nothing is left open.
    """
    settings = make_settings("connect", limits)
    parts = parse_uri(uri)
    through = None if unix is not None or sock is not None else find_proxy(parts, proxy)
    route = Route(
        uri=parts,
        tls=_tls_context(parts, ssl),
        server_hostname=server_hostname,
        proxy=through,
        unix=unix,
        sock=sock,
    )
    offered = check_subprotocols(subprotocols or ())
    headers = _extra_fields(parts, additional_headers, origin, user_agent_header)
    event = RequestEvent(parts.authority, parts.target, extra_headers=headers, subprotocols=offered)
    return Connecting(route, event, listener, settings)


def _tls_context(uri: URI, ssl: ssl_module.SSLContext | bool | None) -> ssl_module.SSLContext | None:
    if not uri.secure:
        if ssl:
            raise ValueError("ssl is set, but the URL is ws://: use wss:// (ssl)")
        return None
    if ssl is False:
        raise ValueError("ssl is False, but the URL is wss:// (ssl)")
    return ssl if isinstance(ssl, ssl_module.SSLContext) else ssl_module.create_default_context()


def _extra_fields(
    uri: URI, headers: HeadersLike, origin: str | None, user_agent: str | None
) -> list[tuple[bytes, bytes]]:
    if origin is not None and not origin.isascii():
        raise LocalProtocolError(f"origin {origin!r} cannot be written in ASCII (origin, RFC 6454 6.2)")
    given = Headers(headers)
    own = {"Origin": origin, "User-Agent": user_agent}
    if uri.user is not None:
        own["Authorization"] = "Basic " + base64.b64encode(f"{uri.user}:{uri.password or ''}".encode()).decode()
    added = [(name, value) for name, value in own.items() if value is not None and given.get(name) is None]
    return as_fields(given, OWN_FIELDS) + as_fields(added)


@dataclass(slots=True, repr=False)  # the request may hold credentials
class Connecting:
    """What `connect` gives: awaitable, and an asynchronous context manager that closes the connection with 1000 at its
    end.
    """

    _route: Route
    _event: RequestEvent
    _listener: Listener | None
    _settings: Settings
    _ws: WebSocket | None = None

    def __await__(self) -> Generator[Any, None, WebSocket]:
        return self._open().__await__()

    async def __aenter__(self) -> WebSocket:
        self._ws = await self._open()
        return self._ws

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._ws is not None
        await self._ws.close()

    async def _open(self) -> WebSocket:
        loop = asyncio.get_running_loop()
        timeout = self._settings.open_timeout
        deadline = None if timeout is None else loop.time() + timeout
        attempt = _Attempt()
        try:
            async with asyncio.timeout_at(deadline):
                return await self._attempt(attempt, deadline)
        except TimeoutError as error:
            if isinstance(error, ConnectError):
                raise
            raise attempt.refusal or OpenTimeout(
                f"{self._route.where} was not open after {timeout} s, in phase {attempt.phase} (open_timeout)"
            ) from error

    async def _attempt(self, attempt: _Attempt, deadline: float | None) -> WebSocket:
        loop = asyncio.get_running_loop()
        opening = ClientOpening(self._event, self._listener, loop)
        made: list[WebSocket] = []

        def make() -> WebSocket:
            made.append(websocket_class(loop)(self._settings, opening, plain=self._route.tls is None))
            return made[-1]

        try:
            ws = await dial(self._route, make, deadline)
            attempt.phase = "handshake"
            await opening.opened
        except BaseException as error:
            attempt.refusal = opening.refusal
            if not opening.opened.cancel() and not opening.opened.cancelled():
                opening.opened.exception()  # seen: it is `error`, or comes too late for a caller that has gone
            for ws in made:
                ws.abort()
            if isinstance(error, OSError) and not isinstance(error, ConnectError):
                raise ConnectError.wrap(error, "handshake", self._route.where) from error
            raise
        return ws


@dataclass(slots=True)
class _Attempt:
    """How far it has come, for the error that says so. refusal: an answer that had begun and did not end."""

    phase: str = "connection"
    refusal: HandshakeError | None = None
