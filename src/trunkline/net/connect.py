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

    If the server's name, or the proxy's, has several addresses, they are tried in a race (RFC 8305): the next one
    starts 0.25 s after the last, or as soon as that fails, and the first to connect wins.

    Args:
        uri: a ws:// or wss:// URL; a user and password in it are sent as Basic authorization.
        listener: gets the messages, in place of `ws.recv()` and iteration.
        additional_headers: fields to add to the request, a mapping or pairs; None for none. A `Host` field replaces
            the URI's.
        subprotocols: the ones to offer, best first; `ws.subprotocol` is the one the server chose.
        origin: the value of the Origin field; None to leave it out.
        user_agent_header: the value of the User-Agent field, also for an HTTP proxy; None to leave it out.
        ssl: a context for wss://, in place of the default one.
        server_hostname: the name that the certificate must have, in place of the URI's host.
        proxy: a proxy's URL; True to use the one in the environment; None to connect directly.
        proxy_ssl: a context for TLS with an https:// proxy, in place of the default one.
        proxy_headers: fields to add to the CONNECT request to an HTTP proxy, a mapping or pairs; None for none.
        host, port: where to connect, in place of the URI's host and port. The request and the certificate check still
            use the URI's.
        family: `socket.AF_INET` or `socket.AF_INET6` to use only addresses of that family.
        local_addr: host and port to connect from; port 0 for any.
        unix: the path of a unix socket to connect to. Cannot be combined with host, port or local_addr.
        sock: a socket that is already connected. Cannot be combined with host, port or local_addr.
        max_redirects: how many redirects to follow, at most 5. A redirect from wss:// to ws:// is never followed. One
            to another origin drops the URL's user and password, `additional_headers` and `subprotocols`, since any of
            them may be a credential; one from ws:// to wss:// on the same host keeps them.
        limits: limits and timeouts, as described in `trunkline.Settings`.

    Raises:
        InvalidURI, LocalProtocolError, ValueError, TypeError: at the call; the text names the parameter. The URI or a
            proxy's URL is malformed, a field is not valid in HTTP, a limit is out of range, parameters contradict each
            other, or one has the wrong type.
        ConnectError: when awaited. Could not connect; `phase` says how far the attempt got. ProxyError and OpenTimeout
            are subclasses.
        HandshakeError: when awaited. The server's answer was not a valid 101.

    If it is cancelled, it leaves nothing open.
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


# No eq, so that it stays hashable for `asyncio.gather` and `as_completed`; no repr, which could show credentials.
@dataclass(slots=True, repr=False, eq=False)
class Connecting:
    """The result of `connect`: await it, or use it in `async with`, which closes with 1000 at its end."""

    _plan: Plan
    _route: Route
    _event: RequestEvent
    _listener: Listener | None
    _settings: Settings
    _redirects: int  # how many may be followed
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
        """Connect, and follow redirects as far as they are allowed."""
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
                opening.opened.exception()  # retrieved: it is `error`, or too late for a caller that is gone
            for ws in made:
                ws.abort()
            if isinstance(error, OSError) and not isinstance(error, ConnectError):
                raise ConnectError.wrap(error, "handshake", route.where) from error
            raise
        return ws


@dataclass(slots=True)
class _Attempt:
    """One attempt to connect.

    Attributes:
        where: the address, for messages.
        refusal: the server's refusal, if part of it was received.
    """

    where: str = ""
    refusal: HandshakeError | None = None


def time_out(opening: object, where: str, timeout: float | None, parameter: str) -> OpenTimeout:
    """Return the error for an attempt that was not done in time.

    Args:
        opening: what was awaited; a Connecting says how far it got, anything else has not begun to dial.
        where: the address, for the text.
        timeout: the limit, in seconds.
        parameter: the parameter that sets the limit.
    """
    progress = opening._progress if isinstance(opening, Connecting) else Progress()
    how_far = f", in phase {progress.phase}: {progress.doing}" if progress.doing else ""
    text = f"{where} was not open after {timeout} s{how_far} ({parameter})"
    return OpenTimeout(text, phase=progress.phase if progress.doing else "tcp")
