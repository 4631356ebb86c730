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

MAX_REFUSED: Final = 64  # refused connections whose peer has yet to read why; past this the oldest is dropped
TLS_TIMEOUT: Final = 60.0  # seconds for the TLS handshake if there is no open_timeout


class Server:
    """A listening server, made by `trunkline.serve`.

    Attributes:
        connections: the open ones. You may await while you iterate over them: you get those open when you began.
        turned_away: how many connections there was no room for.
        settings: the settings of its connections.
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
        self.turned_away = 0  # because max_connections or max_pending_handshakes was reached

    @property
    def sockets(self) -> Sequence[Any]:
        """The listening sockets; none once it is closed."""
        return self._listening.sockets if self._listening is not None else ()

    @property
    def port(self) -> int:
        """The port of the first listening socket; RuntimeError if the server is closed or has a unix socket."""
        for sock in self.sockets:
            name = sock.getsockname()
            if isinstance(name, tuple):
                return int(name[1])
        raise RuntimeError("this server has no port: it is closed, or listens on a unix socket")

    def health(self) -> ServerHealth:
        """Return a snapshot of all connections together, including those that are gone."""
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
        """Where it listens, or listened: host and port of the first socket, or the path of a unix socket."""
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
        """Wait until the server is closed. If this is cancelled, it closes the server first."""
        self._home.check(self)
        if self._serving is None:
            self._serving = self._loop.create_future()
        try:
            await asyncio.shield(self._serving)
        finally:
            await self.close()

    def close(self, code: int = 1001, reason: str = "") -> Awaitable[None]:
        """Stop listening and close every connection with `code` and `reason`. This starts at once, awaited or not.

        Await the result to wait until all connections and handlers have ended. Handlers that still run `close_timeout`
        seconds after the last connection are cancelled. Handshakes under way are dropped. A second call waits for the
        first. Outside the event loop's thread, raise WrongThread and do nothing.
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
        """Wait until `close` has been called and is done."""
        self._home.check(self)
        if self._serving is None:
            self._serving = self._loop.create_future()
        await asyncio.shield(self._serving)

    async def _close(self, code: int, reason: str) -> None:
        try:
            await self._end_all(code, reason)
        finally:  # nobody may wait for ever
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
        """Return the protocol for a connection that was just accepted."""
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
        """Drop a connection whose handshake took longer than open_timeout."""
        self._tally.expired += 1
        self._drop(ws)

    def _drop(self, ws: WebSocket) -> None:
        """End a connection that is not open, whatever stage it is in."""
        self._pending.remove(ws)
        self._leaving.remove(ws)
        ws.abort()
        if isinstance(self._listening, Listening):
            self._listening.give_up(ws)

    def _see_off(self, ws: WebSocket) -> None:
        """Keep track of a connection that is on its way out. If there are too many, drop the oldest."""
        if len(self._leaving) >= MAX_REFUSED:
            self._drop(self._leaving.oldest())
        self._leaving.add(ws)
        life_of(ws).on_gone = self._gone

    def _gone(self, ws: WebSocket) -> None:
        if ws.transport is None:
            self._leaving.remove(ws)
        else:  # closed, but its peer has yet to notice
            life_of(ws).on_gone = self._gone

    def _fail_tls(self, ws: WebSocket, late: bool) -> None:
        """Count a connection that ended within TLS, of which its protocol is not told. `late`: it ran out of time."""
        if not self._pending.remove(ws):
            self._leaving.remove(ws)
        elif late:
            self._tally.expired += 1
        else:
            self._tally.tls_failed += 1
        ws.abort()

    def _opened(self, ws: WebSocket, is_open: bool) -> None:
        """Note the end of a handshake: the connection is open, refused, or gone."""
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
        """Take a connection that has ended from the open ones. Its transport may be there still."""
        self._tally.move(ws, self.connections)
        if ws.transport is not None:
            self._see_off(ws)


async def _start(
    make: Callable[[], Server], ssl: ssl_module.SSLContext | None, backlog: int, where: dict[str, Any]
) -> Server:
    """Start a server. Raise OSError if it cannot listen there."""
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
    except BaseException:  # cancelled, a create_server that starts serving by itself would go on listening
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
    """Serve WebSocket connections: `async with serve(handler, host, port) as server:` or `server = await serve(...)`.

    Args:
        handler: a coroutine function, called with each connection. The connection is closed with 1000 when it returns
            or raises this connection's ConnectionClosed. Any other exception is logged, and closes it with 1011.
        listener: in place of a handler, a Listener class or a callable that returns a Listener for each connection.
        host, port: where to listen; port 0 takes a free port.
        unix: in place of host and port, a path where no other server listens; it is removed when the server closes.
        sock: in place of host and port, a bound socket.
        ssl: a context for TLS.
        backlog: connections that the kernel holds until we accept them.
        reuse_port: whether other processes may listen on the port, too.
        process_request: called with the WebSocket and its Request before a handshake is accepted, and for any other
            request but CONNECT (a health check, for example: GET or HEAD, HTTP/1.0 or 1.1). If it, or its coroutine,
            returns a Response, that is sent in place of the 101. If it returns None, a plain GET or HEAD gets 426 and
            any other method 405. If it raises, or returns what cannot be sent, `request.failed` is logged and the
            client gets 500. What it learns it can keep in `ws.data`.
        origins: None to allow pages of this host and programs that send no Origin; "*" to allow any; or a list of those
            to allow, compared as browsers write them: case and the scheme's default port do not matter.
        subprotocols: the ones you support, best first.
        additional_headers: fields to add to every 101, a mapping or pairs; None for none.
        max_connections, max_pending_handshakes: past these, a connection gets 503; None for no limit.
        limits: limits and timeouts, as described in `trunkline.Settings`.

    Raises:
        OSError: when awaited. The server cannot listen there.
        TypeError, ValueError, LocalProtocolError: at the call; the text names the parameter. It could never work, or
            there is not exactly one of handler and listener.
    """
    if (handler is None) == (listener is None):
        raise TypeError("serve() needs exactly one of handler and listener")
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
    """Return the limit, infinity for None. Raise ValueError if it is below 1."""
    if most is None:
        return math.inf
    check_whole(name, most, 1, "1 or more, or None for no limit")
    return most


def _check_where(where: dict[str, Any], ssl: object, backlog: int) -> None:
    """Raise ValueError or TypeError if a server cannot listen there."""
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
    """The result of `serve`: await it, or use it in `async with`, which closes the server with 1001 at its end."""

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
