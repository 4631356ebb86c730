"""The server: `serve`."""

from __future__ import annotations

import asyncio
import functools
import math
import os
import ssl as ssl_module
from collections.abc import Awaitable, Callable, Generator, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final, Unpack

from trunkline.net.acceptance import Acceptance, Origins, ProcessRequest, make_acceptance
from trunkline.net.accepting import Accepting, Listening, steady
from trunkline.net.checks import check_kinds, check_whole
from trunkline.net.faults import watch
from trunkline.net.handling import Handler, run_handler
from trunkline.net.health import ServerHealth, Tally
from trunkline.net.http import HeadersLike
from trunkline.net.loops import Home
from trunkline.net.opening import ServerOpening
from trunkline.net.places import Places
from trunkline.net.refusal import Refusal
from trunkline.net.register import Connections
from trunkline.net.settings import Limits, Settings, head_limits, make_settings
from trunkline.net.unix import UnixPath, check_unix
from trunkline.net.websocket import WebSocket, life_of, websocket_class
from trunkline.protocol.close import check_close

if TYPE_CHECKING:
    import socket
    from types import TracebackType

    from trunkline.net.listener import Listener

__all__ = ["Server", "Serving", "serve"]

MAX_REFUSED: Final = 64  # connections that may wait for their refusal to be read; past them the oldest is dropped
TLS_TIMEOUT: Final = 60.0  # seconds for TLS's handshake where there is no open_timeout


class Server:
    """A listening server, made by `trunkline.serve`.

    connections: the open ones, a set that changes as they come and go; an iteration goes over those that were open when
    it began, and may await. turned_away: how many there was no room for.
    settings: what its connections have.
    """

    def __init__(
        self, handler: Handler | None, acceptance: Acceptance, settings: Settings, bounds: tuple[float, float]
    ) -> None:
        self._handler = handler
        self._acceptance = acceptance
        self.settings = settings
        self._max_connections, self._max_pending = bounds
        self._home = Home()
        self._loop = self._home.bind()
        self._class = websocket_class(self._loop)
        timeout = settings.open_timeout
        self._pending = Places(timeout, self._expire)  # handshakes under way
        self._tls_timeout = TLS_TIMEOUT if timeout is None else timeout
        self._leaving = Places(self._tls_timeout + settings.close_timeout, self._drop)  # refused, not yet gone
        self._handlers: set[asyncio.Task[None]] = set()
        self._listening: asyncio.Server | Listening | None = None
        self._unix: UnixPath | None = None
        self._closing: asyncio.Task[None] | None = None
        self._serving: asyncio.Future[None] | None = None
        self.connections: set[WebSocket] = Connections()  # the open ones
        self._tally = Tally()
        self._name = "closed"
        self.turned_away = 0  # connections refused since max_connections or max_pending_handshakes was reached

    @property
    def sockets(self) -> Sequence[Any]:
        """The listening sockets; none once it is closed."""
        return self._listening.sockets if self._listening is not None else ()

    @property
    def port(self) -> int:
        """The port of the first listening socket; RuntimeError for a unix socket or a closed server."""
        for sock in self.sockets:
            name = sock.getsockname()
            if isinstance(name, tuple):
                return int(name[1])
        raise RuntimeError("this server listens on no port: it is closed, or has a unix socket")

    def health(self) -> ServerHealth:
        """A snapshot of all connections together, those that are gone included."""
        latencies = self._tally.latencies.copy()
        return ServerHealth(
            connections=len(self.connections),
            pending_handshakes=len(self._pending),
            opened=self._tally.opened,
            turned_away=self.turned_away,
            refused=self._tally.refused,
            expired=self._tally.expired,
            tls_failed=self._tally.tls_failed,
            stats=self._tally.total(self.connections),
            latency_p50=latencies.quantile(0.5),
            latency_p90=latencies.quantile(0.9),
            latency_p99=latencies.quantile(0.99),
            latencies=latencies,
        )

    @property
    def name(self) -> str:
        """Where it listens, or listened: host and port of the first socket, or a unix socket's path."""
        for sock in self.sockets:
            address = sock.getsockname()
            if not isinstance(address, tuple):
                self._name = str(address)
            else:
                self._name = f"[{address[0]}]:{address[1]}" if ":" in address[0] else f"{address[0]}:{address[1]}"
            break
        return self._name

    @property
    def is_closing(self) -> bool:
        """Whether `close` has been called."""
        return self._closing is not None

    async def serve_forever(self) -> None:
        """Waits until the server is closed. If it is cancelled, the server is closed first."""
        self._home.check(self)
        if self._serving is None:
            self._serving = self._loop.create_future()
        try:
            await asyncio.shield(self._serving)
        finally:
            await self.close()

    def close(self, code: int = 1001, reason: str = "") -> Awaitable[None]:
        """Stops listening and closes every connection with `code` and `reason`; starts at once, whether it is awaited
        or not.

        Done when all connections and handlers have ended: handlers that have not, a close_timeout after the last
        connection, are cancelled. A second call waits for the first. Handshakes under way are dropped.
        Raises WrongThread, and does nothing, outside of the event loop's thread.
        """
        self._home.check(self)
        check_close(code, reason)
        if self._closing is None:
            self._stop_listening()
            self._closing = self._loop.create_task(self._close(code, reason))
            watch(self._closing, self.settings.logger, "closing a server")
        return asyncio.shield(self._closing)

    def _stop_listening(self) -> None:
        if self._unix is not None:
            self._unix.remove()
        if self._listening is not None:
            self._listening.close()
        elif self._unix is not None:
            self._unix.sock.close()

    async def wait_closed(self) -> None:
        """Waits until `close` is called and done."""
        self._home.check(self)
        if self._serving is None:
            self._serving = self._loop.create_future()
        await asyncio.shield(self._serving)

    async def _close(self, code: int, reason: str) -> None:
        try:
            await self._end_all(code, reason)
        finally:  # whoever waits for the end need not wait for ever
            if self._serving is None:
                self._serving = self._loop.create_future()
            if not self._serving.done():
                self._serving.set_result(None)

    async def _end_all(self, code: int, reason: str) -> None:
        for places in (self._pending, self._leaving):
            places.close()
            for ws in places:
                self._drop(ws)
        closing = [ws.close(code, reason) for ws in self.connections]
        await asyncio.gather(*closing, return_exceptions=True)
        if self._handlers:
            _, late = await asyncio.wait(self._handlers, timeout=self.settings.close_timeout)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def accept(self, plain: bool) -> WebSocket:
        """The protocol for a connection that was just accepted."""
        if (
            len(self._pending) >= self._max_pending
            or len(self.connections) + len(self._pending) >= self._max_connections
        ):
            self.turned_away += 1
            ws = self._class(self.settings, Refusal(), plain=plain)
            self._see_off(ws)
            return ws
        ws = self._class(self.settings, ServerOpening(self._acceptance, self._opened, self._tally), plain=plain)
        self._pending.add(ws)
        return ws

    def _expire(self, ws: WebSocket) -> None:
        """The open_timeout of a handshake has passed."""
        self._tally.expired += 1
        self._drop(ws)

    def _drop(self, ws: WebSocket) -> None:
        """End a connection that is not open, at whatever point it stands."""
        self._pending.remove(ws)
        self._leaving.remove(ws)
        ws.abort()
        if isinstance(self._listening, Listening):
            self._listening.give_up(ws)

    def _see_off(self, ws: WebSocket) -> None:
        """Keep track of a connection that is on its way out. Of too many the oldest is dropped."""
        if len(self._leaving) >= MAX_REFUSED:
            self._drop(self._leaving.oldest())
        self._leaving.add(ws)
        life_of(ws).on_gone = self._gone

    def _gone(self, ws: WebSocket) -> None:
        if ws.transport is None:
            self._leaving.remove(ws)
        else:  # closed, and its peer has yet to notice
            life_of(ws).on_gone = self._gone

    def _fail_tls(self, ws: WebSocket, late: bool) -> None:
        """A connection ended within TLS, where its protocol is told nothing. late: for want of time."""
        if not self._pending.remove(ws):
            self._leaving.remove(ws)
        elif late:
            self._tally.expired += 1
        else:
            self._tally.tls_failed += 1
        ws.abort()

    def _opened(self, ws: WebSocket, is_open: bool) -> None:
        """A handshake is done: the connection is open, refused, or gone."""
        self._pending.remove(ws)
        if not is_open:
            if ws.transport is not None:
                self._see_off(ws)
            return
        self.connections.add(ws)
        life_of(ws).on_gone = self._forget
        ws.watch_latency(self._tally.latencies.record)
        self._tally.opened += 1
        if self._closing is not None:
            ws.start_closing(1001)
        elif self._handler is not None:
            task = self._loop.create_task(run_handler(self._handler, ws, self))
            self._handlers.add(task)
            task.add_done_callback(self._handlers.discard)
            watch(task, ws.logger, "ending a connection after its handler", ws.abort)

    def _forget(self, ws: WebSocket) -> None:
        """A connection has ended; its transport may have yet to."""
        self._tally.move(ws, self.connections)
        if ws.transport is not None:
            self._see_off(ws)


async def _start(
    make: Callable[[], Server], ssl: ssl_module.SSLContext | None, backlog: int, where: dict[str, Any]
) -> Server:
    """Listens. Raises OSError if it cannot there."""
    server, loop = make(), asyncio.get_running_loop()
    create = loop.create_unix_server if "path" in where else loop.create_server
    how = Accepting(
        make=functools.partial(server.accept, plain=ssl is None),
        fail=server._fail_tls,
        drop=server._drop,
        tls=ssl,
        seconds=server._tls_timeout,
        backlog=backlog,
        logger=server.settings.logger,
    )
    try:
        if "path" in where:
            server._unix = UnixPath(os.fspath(where["path"]), backlog)
            where = {"sock": server._unix.sock}
        bound = await create(how.make, backlog=backlog, start_serving=False, **how.options, **where)
        listening = server._listening = steady(bound, how)
        await listening.start_serving()
    except BaseException:  # a create_server that starts by itself would go on listening if it is cancelled
        server._stop_listening()
        raise
    return server


def serve(
    handler: Handler | None = None,
    host: str | Sequence[str] | None = None,
    port: int | None = None,
    *,
    listener: Callable[[], Listener] | None = None,
    process_request: ProcessRequest | None = None,
    origins: Origins = None,
    subprotocols: Sequence[str] | None = None,
    additional_headers: HeadersLike | None = (),
    ssl: ssl_module.SSLContext | None = None,
    unix: str | os.PathLike[str] | None = None,
    sock: socket.socket | None = None,
    reuse_port: bool | None = None,
    backlog: int = 1024,
    max_connections: int | None = 100_000,
    max_pending_handshakes: int | None = 10_000,
    **limits: Unpack[Limits],
) -> Serving:
    """Serves WebSocket connections: `async with serve(handler, host, port) as server:` or `server = await serve(...)`.

    handler: a coroutine function, called with each connection. Its end closes the connection: with 1000 if it returned,
    or raised the ConnectionClosed of this connection; with 1011, and a line in the log, if it raised anything else.
    listener: in its place a Listener class, or a callable that makes one a connection.
    host, port: where to listen (0 takes a free port); or unix, a path where no other server listens, which is removed
    when the server closes; or sock, one that is bound. ssl: a context, for TLS. backlog: connections that the kernel
    holds for us. reuse_port: other processes may listen there, too.
    process_request: called with the WebSocket and its Request before it is accepted, and for every other request but
    CONNECT (a health check, say: GET or HEAD, HTTP/1.0 or 1.1). A Response that it, or its coroutine, gives is sent in
    place of the 101. If it gives none, a plain GET or HEAD gets 426 and any other method 405. One that raises, or gives
    what cannot be sent, is logged as `request.failed`, and the client gets 500. What it learns may stay in `ws.data`.
    origins: None for pages of this host and programs without an Origin, "*" for any, or a list, compared as browsers
    write them: case and the scheme's own port do not matter.
    subprotocols: those that are spoken, best first. additional_headers: fields of every 101; None for none.
    max_connections, max_pending_handshakes: past them a connection gets 503; None for no limit.
    limits: limits and timeouts, as `trunkline.Settings` describes them.

    Raises OSError if it cannot listen there; when called, TypeError unless exactly one of handler and listener is
    given, and TypeError, ValueError or LocalProtocolError, naming the parameter, for one that can never do what it
    should.
    """
    if (handler is None) == (listener is None):
        raise TypeError("serve takes a handler or a listener, exactly one")
    if handler is not None and not callable(handler):
        raise TypeError(f"handler is {type(handler).__name__}, must be a coroutine function")
    settings = make_settings("serve", limits)
    acceptance = make_acceptance(
        process_request=process_request,
        origins=origins,
        subprotocols=subprotocols,
        headers=additional_headers,
        listener=listener,
        head=head_limits(settings),
    )
    bounds = _bound("max_connections", max_connections), _bound("max_pending_handshakes", max_pending_handshakes)
    where: dict[str, Any] = {"host": host, "port": 0 if port is None else port, "reuse_port": reuse_port}
    if unix is not None or sock is not None:
        where = {"sock": sock} if unix is None else {"path": unix}
    _check_where(where, ssl, backlog)
    make = functools.partial(Server, handler, acceptance, settings, bounds)
    return Serving(functools.partial(_start, make, ssl, backlog, where))


def _bound(name: str, most: int | None) -> float:
    """How many there may be; ValueError for less than one."""
    if most is None:
        return math.inf
    check_whole(name, most, 1, "1 or more, or None for no limit")
    return most


def _check_where(where: dict[str, Any], ssl: object, backlog: int) -> None:
    """Raises ValueError or TypeError for what cannot be listened on."""
    check_kinds({"unix": where.get("path"), "sock": where.get("sock")})
    check_unix(where.get("path"))
    check_whole("port", where.get("port", 0), 0, "0 to 65535, 0 for any (port)", most=65535)
    check_whole("backlog", backlog, 0, "0 or more")
    host = where.get("host")
    hosts = [host] if host is None or isinstance(host, str) else host
    if not isinstance(hosts, Iterable) or not all(one is None or isinstance(one, str) for one in hosts):
        raise TypeError(f"host is {host!r}, must be a str, a sequence of str, or None (host)")
    if ssl is not None and not isinstance(ssl, ssl_module.SSLContext):
        raise TypeError(f"ssl is {type(ssl).__name__}, must be an ssl.SSLContext or None (ssl)")


class Serving:
    """What `serve` gives: awaitable, and an asynchronous context manager that closes the server with 1001 at its
    end.
    """

    def __init__(self, start: Callable[[], Awaitable[Server]]) -> None:
        self._start = start
        self._server: Server | None = None

    def __await__(self) -> Generator[Any, None, Server]:
        return self._start().__await__()

    async def __aenter__(self) -> Server:
        self._server = await self._start()
        return self._server

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        await self._server.close()
