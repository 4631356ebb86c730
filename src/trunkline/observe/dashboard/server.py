"""The server of the page and its feed. It admits only viewers that know the token."""

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
    """What feeds the viewers: a Feed or a Relay."""

    viewers: set[trunkline.WebSocket]
    max_viewers: int

    @property
    def is_full(self) -> bool:
        """Whether the number of viewers has reached its limit."""

    async def show(self, viewer: trunkline.WebSocket) -> None:
        """Feed a viewer until it goes."""

    def close(self) -> None:
        """Stop feeding."""


class Dashboard:
    """A dashboard that is being served: open `url` in a browser. Made by `serve`."""

    def __init__(self, server: trunkline.Server, feed: Show, host: str, token: str) -> None:
        self._server = server
        self._feed = feed
        self._host = f"[{host}]" if ":" in host else host
        self.token = token

    @property
    def port(self) -> int:
        """TCP port on which it listens."""
        return self._server.port

    @property
    def url(self) -> str:
        """URL to open. The token is in its fragment, which a browser does not send."""
        return f"http://{self._host}:{self.port}/#{self.token}"

    @property
    def viewers(self) -> int:
        """Number of current viewers."""
        return len(self._feed.viewers)

    async def close(self) -> None:
        """Disconnect the viewers and stop listening."""
        self._feed.close()
        await self._server.close()


class Serving:
    """What `serve` returns: an awaitable, and an asynchronous context manager that closes the dashboard on exit."""

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
    """Serve a dashboard of the manager's connections: `async with serve(manager) as page: print(page.url)`.

    Args:
        manager: Whose connections to show.
        host: Address to listen on. If it is not loopback, everybody who can reach it and learns the token sees your
            connections, over plain HTTP: put a proxy with TLS in front of it.
        port: Port to listen on; 0 for a free one.
        servers: Servers of this program whose clients to show, too.
        token: 16 or more of A-Z, a-z, 0-9 and -._~, for the same URL after a restart; random by default.
        name: Name of the program on the page; by default from `sys.argv`.
        actions: Let viewers reconnect and close connections, and pause and resume services. Each action is logged.
        names: Host names under which the page is reached besides loopback's, as behind a proxy. Requests for any other
            name get 421.
        max_viewers: Limit of viewers; more get 503.

    Raises:
        OSError: It cannot listen on this address.
        ValueError: `token` or `max_viewers` is not allowed.
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
    """Serve the dashboard of a program in another process. url: the URL that its own dashboard printed.

    Each viewer has its own connection to the program, which counts it as one of its viewers. The other parameters and
    the exceptions are those of `serve`. Raise ValueError also if `url` has no token.
    """
    shown = Relay(url, max_viewers)
    return _serve(lambda: shown, host, port, names, _check(token, max_viewers))


def _check(token: str | None, max_viewers: int) -> str:
    """Return the token, or a new one if it is None. Raise ValueError if a parameter is not allowed."""
    if token is not None and not re.fullmatch(r"[-._~0-9A-Za-z]{16,}", token):
        raise ValueError(f"token has {len(token)} characters, must be 16 or more of A-Z, a-z, 0-9 and -._~")
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
    """Checks requests: admits viewers with the token, and serves the page's files."""

    def __init__(self, show: Show, token: str, names: frozenset[str]) -> None:
        self._show = show
        self._token = token.encode()
        self._names = names
        self._pages = Pages()

    def judge(self, ws: trunkline.WebSocket, request: trunkline.Request) -> trunkline.Response | None:
        """Return the response to a request; None admits a viewer."""
        # A page of another site can point its own host name at loopback (DNS rebinding): the Host field reveals that.
        if not self._is_ours(request.headers.get("host", "")):
            return self._refuse(421, "unknown host name")
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
        if self._show.is_full:  # others were admitted during this one's handshake
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
