"""The client: `connect`."""

from __future__ import annotations

import asyncio
import dataclasses
import socket
import ssl as ssl_module
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Unpack

from wsproto.events import Request as RequestEvent

from trunkline.net.checks import check_kinds, check_listener
from trunkline.net.client_opening import ClientOpening
from trunkline.net.dial import dial
from trunkline.net.http import HeadersLike, header_pairs
from trunkline.net.plan import REDIRECTS, Plan, check_redirects
from trunkline.net.route import Progress, Route
from trunkline.net.settings import Limits, Settings, head_limits, make_settings
from trunkline.net.uri import parse_uri
from trunkline.net.websocket import WebSocket, websocket_class
from trunkline.protocol.deflate import PerMessageDeflate
from trunkline.protocol.errors import ConnectError, HandshakeError, OpenTimeout

if TYPE_CHECKING:
    import os
    from types import TracebackType

    from trunkline.net.listener import Listener

__all__ = ["Connecting", "connect", "time_out"]


def connect(
    uri: str,
    *,
    listener: Listener | None = None,
    additional_headers: HeadersLike | None = (),
    subprotocols: Sequence[str] | None = None,
    origin: str | None = None,
    user_agent_header: str | None = "trunkline",
    ssl: ssl_module.SSLContext | bool | None = None,
    server_hostname: str | None = None,
    proxy: str | bool | None = True,
    proxy_ssl: ssl_module.SSLContext | None = None,
    proxy_headers: HeadersLike | None = (),
    host: str | None = None,
    port: int | None = None,
    family: int = socket.AF_UNSPEC,
    local_addr: tuple[str, int] | None = None,
    unix: str | os.PathLike[str] | None = None,
    sock: socket.socket | None = None,
    max_redirects: int = 0,
    **limits: Unpack[Limits],
) -> Connecting:
    """Connect to a WebSocket server: `async with connect(uri) as ws:` or `ws = await connect(uri)`.

    All addresses of the server's name, or of the proxy's, take part in a race (RFC 8305): the next one is tried 0.25 s
    after the last, or as soon as that has failed, and the first to connect is taken.

    Args:
        uri: ws:// or wss://; a user and password in it go as Basic authorization.
        listener: takes the messages, in place of `ws.recv()` and iteration.
        additional_headers: fields of the request, a mapping or pairs; None for none. A `Host` among them takes the
            place of the URI's.
        subprotocols: those to offer, best first; `ws.subprotocol` is the chosen one.
        origin: what Origin says, None for no such field.
        user_agent_header: what User-Agent says, also to an HTTP proxy; None for no such field.
        ssl: a context, for wss:// in place of the default one.
        server_hostname: the name that the certificate must have, in place of the URI's.
        proxy: a URL, True for the environment's, None for none.
        proxy_ssl: a context for TLS with an https:// proxy, in place of the default one.
        proxy_headers: fields of the request to an HTTP proxy (CONNECT), a mapping or pairs; None for none.
        host, port: where to dial in place of the URI's host and port, which the request and the certificate keep.
        family: `socket.AF_INET` or `socket.AF_INET6` for addresses of that family alone.
        local_addr: host and port to connect from, port 0 for any.
        unix: path of a unix socket. sock: one that is connected. Neither goes with host, port or local_addr.
        max_redirects: how many redirects to follow, 5 at most and none by default. None leads from wss:// to ws://.
            Another origin gets neither the URL's user and password nor `additional_headers` and `subprotocols`, any of
            which may be a credential; the same host gets them also where it leads from ws:// to wss://.
        limits: limits and timeouts, as `trunkline.Settings` describes them.

    Raises:
        InvalidURI, LocalProtocolError, ValueError, TypeError: when called, naming the parameter. The URI or a proxy's
            URL is none; a field cannot stand in HTTP; a limit cannot be, or parameters do not fit each other; a
            parameter has the wrong type.
        ConnectError: when awaited, with ProxyError and OpenTimeout under it. No link came up; `phase` says how far the
            attempt got.
        HandshakeError: when awaited. The server answered anything but a valid 101.

    Cancelled, it leaves nothing open.
    """
    settings = make_settings("connect", limits)
    check_redirects(max_redirects, is_fixed=unix is not None or sock is not None)
    check_kinds({"user_agent_header": user_agent_header})
    check_listener(listener)
    plan = Plan(
        uri=parse_uri(uri),
        additional_headers=header_pairs(additional_headers, "additional_headers"),  # each redirect reads them again
        subprotocols=() if subprotocols is None else subprotocols,
        origin=origin,
        user_agent=user_agent_header,
        ssl=ssl,
        server_hostname=server_hostname,
        proxy=proxy,
        proxy_ssl=proxy_ssl,
        proxy_headers=header_pairs(proxy_headers, "proxy_headers"),
        host=host,
        port=port,
        family=family,
        local_addr=local_addr,
        unix=unix,
        sock=sock,
    )
    return Connecting(plan, plan.route(), plan.request(), listener, settings, max_redirects)


# Without eq it can be hashed, as `asyncio.gather` and `as_completed` do; the request may hold credentials.
@dataclass(slots=True, repr=False, eq=False)
class Connecting:
    """What `connect` gives: awaitable, and an asynchronous context manager that closes the connection with 1000 at its
    end.
    """

    _plan: Plan
    _route: Route
    _event: RequestEvent
    _listener: Listener | None
    _settings: Settings
    _redirects: int  # that may still be followed
    _ws: WebSocket | None = None
    _progress: Progress = field(default_factory=Progress)

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
                return await self._follow(attempt)
        except TimeoutError as error:
            if isinstance(error, ConnectError):
                raise
            raise attempt.refusal or time_out(self, attempt.where, timeout, "open_timeout") from error

    async def _follow(self, attempt: _Attempt) -> WebSocket:
        """Connects, by way of redirects where they are allowed."""
        plan, route, event, left = self._plan, self._route, self._event, self._redirects
        while True:
            try:
                return await self._attempt(route, event, attempt)
            except HandshakeError as error:
                if error.status not in REDIRECTS:
                    raise
                if left == 0:
                    raise plan.refused(error, self._redirects) from None
                plan = plan.redirected(error)
            left -= 1
            route, event = plan.route(), plan.request()

    async def _attempt(self, route: Route, event: RequestEvent, attempt: _Attempt) -> WebSocket:
        loop = asyncio.get_running_loop()
        attempt.where = route.where
        if self._settings.deflate is not None:
            event = dataclasses.replace(event, extensions=[PerMessageDeflate(self._settings.deflate)])
        opening = ClientOpening(event, self._listener, loop, head_limits(self._settings))
        made: list[WebSocket] = []

        def make() -> WebSocket:
            made.append(websocket_class(loop)(self._settings, opening, plain=route.tls is None))
            return made[-1]

        try:
            ws = await dial(route, make, self._progress)
            self._progress.begin("handshake", "no answer to the request")
            await opening.opened
        except BaseException as error:
            attempt.refusal = opening.refusal
            if not opening.opened.cancel() and not opening.opened.cancelled():
                opening.opened.exception()  # seen: it is `error`, or comes too late for a caller that has gone
            for ws in made:
                ws.abort()
            if isinstance(error, OSError) and not isinstance(error, ConnectError):
                raise ConnectError.wrap(error, "handshake", route.where) from error
            raise
        return ws


@dataclass(slots=True)
class _Attempt:
    """Whom it is made to. refusal: an answer that had begun and did not end."""

    where: str = ""
    refusal: HandshakeError | None = None


def time_out(opening: object, where: str, timeout: float | None, parameter: str) -> OpenTimeout:
    """The error for what took longer than `timeout` seconds, as `parameter` allows.

    opening: the Connecting, which says how far it came; what is none has not dialled.
    """
    progress = opening._progress if isinstance(opening, Connecting) else Progress()
    how_far = f", in phase {progress.phase}: {progress.doing}" if progress.doing else ""
    text = f"{where} was not open after {timeout} s{how_far} ({parameter})"
    return OpenTimeout(text, phase=progress.phase if progress.doing else "tcp")
