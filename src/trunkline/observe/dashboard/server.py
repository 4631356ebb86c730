"""Serves the page and its feed, and lets nobody in who does not know the token."""

from __future__ import annotations

import hmac
import re
import secrets
import sys
import urllib.parse
from collections.abc import Callable, Collection, Sequence
from types import TracebackType
from typing import Any, Final, Protocol

import trunkline
from trunkline.manager import ConnectionManager
from trunkline.observe.dashboard.feed import Feed
from trunkline.observe.dashboard.pages import SECURITY, Pages
from trunkline.observe.dashboard.protocol import OFFERED, PROTOCOL
from trunkline.observe.dashboard.relay import Relay

__all__ = ["PROTOCOL", "Dashboard", "relay", "serve"]

LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")


class Show(Protocol):
    """What is shown to viewers."""

    viewers: set[trunkline.WebSocket]
    max_viewers: int

    @property
    def is_full(self) -> bool:
        """Whether there are as many viewers as there may be."""

    async def show(self, viewer: trunkline.WebSocket) -> None:
        """Feed a viewer until it goes."""

    def close(self) -> None:
        """The end of it."""


class Dashboard:
    """A page that is served: `url` opens it. Made by `serve`."""

    def __init__(self, server: trunkline.Server, feed: Show, host: str, token: str) -> None:
        self._server = server
        self._feed = feed
        self._host = f"[{host}]" if ":" in host else host
        self.token = token

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._server.port

    @property
    def url(self) -> str:
        """The address to open. The token stands in its fragment, which a browser sends to nobody."""
        return f"http://{self._host}:{self.port}/#{self.token}"

    @property
    def viewers(self) -> int:
        """How many look at it now."""
        return len(self._feed.viewers)

    async def close(self) -> None:
        """Send everybody away and stop listening."""
        self._feed.close()
        await self._server.close()


class Serving:
    """What `serve` gives: awaitable, and an asynchronous context manager that closes the dashboard at its end."""

    def __init__(self, start: Any) -> None:
        self._start = start
        self._dashboard: Dashboard | None = None

    def __await__(self) -> Any:
        return self._start().__await__()

    async def __aenter__(self) -> Dashboard:
        self._dashboard = await self._start()
        return self._dashboard

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._dashboard is not None
        await self._dashboard.close()


def serve(
    manager: ConnectionManager,
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    servers: Sequence[trunkline.Server] = (),
    token: str | None = None,
    name: str | None = None,
    actions: bool = False,
    names: Collection[str] = (),
    max_viewers: int = 8,
) -> Serving:
    """Serves the page for the connections of `manager`: `async with serve(manager) as page: print(page.url)`.

    host, port: where to listen; port 0 takes a free one. On another address than loopback everybody who reaches it and
    learns the token sees your connections, over plain HTTP: put a proxy with TLS before it.
    servers: of this program, whose clients are shown as well.
    token: at least 16 letters, digits and any of -._~, to have the same address after a restart; random by default.
    name: of the program, as the page shows it. actions: let viewers reconnect and close connections,
    pause and resume services; each time is logged.
    names: host names other than loopback's that the page is reached by, as behind a proxy; requests for any other name
    get 421. max_viewers: past them a viewer gets 503.

    Raises OSError if it cannot listen there, ValueError for a token that is none.
    """
    shown = name or sys.argv[0].rpartition("/")[2] or "python"

    def make() -> Feed:
        return Feed(manager, servers, name=shown, actions=actions, max_viewers=max_viewers)

    return _serve(make, host, port, names, _check(token, max_viewers))


def relay(
    url: str,
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    token: str | None = None,
    names: Collection[str] = (),
    max_viewers: int = 8,
) -> Serving:
    """Serves the page beside the program whose dashboard is at `url`, the address that it printed; else as `serve`.

    Each viewer has a line of its own to the program, which counts it as one of its viewers.
    Raises ValueError for an address without a token, too.
    """
    shown = Relay(url, max_viewers)
    return _serve(lambda: shown, host, port, names, _check(token, max_viewers))


def _check(token: str | None, max_viewers: int) -> str:
    """The token, or a new one."""
    if token is not None and not re.fullmatch(r"[-._~0-9A-Za-z]{16,}", token):
        raise ValueError("token must be 16 or more letters, digits and any of -._~ (token)")
    if max_viewers < 1:
        raise ValueError(f"max_viewers is {max_viewers}, must be 1 or more")
    return token if token is not None else secrets.token_urlsafe(24)


def _serve(make: Callable[[], Show], host: str, port: int, names: Collection[str], token: str) -> Serving:
    async def start() -> Dashboard:
        show = make()
        door = Door(show, token, frozenset({*LOOPBACK, host, *names}))
        try:
            server = await trunkline.serve(
                door.show,
                host,
                port,
                process_request=door.judge,
                subprotocols=[PROTOCOL],
                max_size=4096,
                max_pending_handshakes=64,
                max_connections=show.max_viewers + 64,
            )
        except BaseException:
            show.close()
            raise
        return Dashboard(server, show, host, token)

    return Serving(start)


class Door:
    """Who may come in, and what they may ask."""

    def __init__(self, show: Show, token: str, names: frozenset[str]) -> None:
        self._show = show
        self._token = token.encode()
        self._names = names
        self._pages = Pages()

    def judge(self, ws: trunkline.WebSocket, request: trunkline.Request) -> trunkline.Response | None:
        """The answer to a request; None lets a viewer in."""
        # A page of another site can point a name of its own at loopback (DNS rebinding): the name gives it away.
        if not self._is_ours(request.headers.get("host", "")):
            return self._refuse(421, "not a name of this server")
        if request.headers.get("upgrade") is None:
            return self._pages.answer(request.path) if request.method in ("GET", "HEAD") else None
        if request.path != "/feed":
            return self._refuse(404, "not found")
        if not self._knows_token(request.headers.get("sec-websocket-protocol", "")):
            return self._refuse(403, "wrong token")
        if self._show.is_full:
            return self._refuse(503, "too many viewers")
        return None

    async def show(self, ws: trunkline.WebSocket) -> None:
        """Feed a viewer until it goes."""
        if self._show.is_full:  # others came in while this one shook hands
            ws.fail(1013, "too many viewers")
        else:
            await self._show.show(ws)

    def _is_ours(self, host: str | None) -> bool:
        try:
            return urllib.parse.urlsplit(f"//{host}").hostname in self._names
        except ValueError:
            return False

    def _knows_token(self, offered: str | None) -> bool:
        given = [one.strip().removeprefix(OFFERED) for one in (offered or "").split(",") if OFFERED in one]
        return any(hmac.compare_digest(one.encode(), self._token) for one in given)

    def _refuse(self, status: int, text: str) -> trunkline.Response:
        fields = [("Content-Type", "text/plain; charset=utf-8"), *SECURITY]
        return trunkline.Response(status, fields, f"{text}\n".encode())
