"""Accepting connections ourselves, for the cases when file descriptors run out and when a connection ends within TLS.

When the system has no descriptor left, asyncio's own accept loop calls the loop's exception handler up to `backlog`
times in a row, and again every second: a stranger could fill our log. Here accepting pauses, which is logged once, and
is tried again later. Meanwhile new connections wait in the kernel's queue and open ones go on. uvloop drops what it
cannot accept, which is fine, too.

Neither loop tells a protocol that its connection ended before TLS was done, so a server that counts connections would
count it until a deadline. Here the TLS handshake is awaited, and its failure is reported.

Without TLS the connections are accepted in C and start on streams of our own, if the loop has them.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import socket
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from wsproto.connection import ConnectionState

from trunkline._stream import Stream, accept_some
from trunkline.net.faults import note
from trunkline.net.logs import log_fields
from trunkline.net.loops import send_at_once, state_of
from trunkline.protocol.oserrors import errno_of

if TYPE_CHECKING:
    from trunkline.net.websocket import WebSocket

__all__ = ["Listening", "steady"]

A_TURN: Final = 64  # connections accepted before the loop runs again
PAUSE: Final = (0.1, 1.0)  # seconds: the first pause, and the longest; it doubles in between
SHORT_OF: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepting:
    """What to do with the connections that are accepted.

    Attributes:
        make: makes the protocol of a connection.
        fail: called with a connection that ended within TLS, and whether it ran out of time.
        drop: called with a connection that could not be started, to end it.
        tls: the context; None for no TLS.
        seconds: the limit for the TLS handshake.
        backlog: connections that the kernel holds until we accept them.
        logger: where failures are logged.
    """

    make: Callable[[], WebSocket]
    fail: Callable[[WebSocket, bool], None]
    drop: Callable[[WebSocket], None]
    tls: ssl.SSLContext | None
    seconds: float
    backlog: int
    logger: logging.Logger

    @property
    def options(self) -> dict[str, Any]:
        """The TLS arguments of the loop's own `create_server`."""
        return {} if self.tls is None else {"ssl": self.tls, "ssl_handshake_timeout": self.seconds}


class Listening:
    """A listening server, in place of the loop's own server, which has bound the sockets. `pauses` counts how often
    accepting had to pause.
    """

    def __init__(self, bound: asyncio.Server, how: Accepting) -> None:
        self.pauses = 0
        self._bound, self._how = bound, how
        self._loop = asyncio.get_running_loop()
        self._accepting: list[socket.socket] = []
        self._timer: asyncio.TimerHandle | None = None
        self._pause = 0.0  # seconds: the latest pause; 0 while accepting works
        self._has_failed = False  # to resume after a pause, since that last worked
        self._tasks: set[asyncio.Task[None]] = set()
        self._beginning: dict[WebSocket, asyncio.Task[None]] = {}  # those in their TLS handshake
        self._state = state_of(self._loop)
        self._holds = False  # the set of sockets of the loop

    @property
    def sockets(self) -> Sequence[Any]:
        """The listening sockets; none once it is closed."""
        return self._bound.sockets

    async def start_serving(self) -> None:
        """Listen. Raise OSError if that fails."""
        if self._state.poller is not None and not self._holds:
            self._state.poller.hold()
            self._holds = True
        for bound in self._bound.sockets:
            sock = bound.dup()
            self._accepting.append(sock)
            sock.setblocking(False)
            sock.listen(self._how.backlog)
        self._resume()

    def close(self) -> None:
        """Stop accepting, and drop connections that are still in their TLS handshake."""
        self._stop_reading()
        for ws in [*self._beginning]:
            self.give_up(ws)
        if self._timer is not None:
            self._timer.cancel()
        for sock in self._accepting:
            sock.close()
        self._accepting.clear()
        if self._state.poller is not None and self._holds:
            self._state.poller.let_go()
            self._holds = False
        self._bound.close()

    def _resume(self) -> None:
        self._timer = None
        for sock in self._accepting:
            self._loop.add_reader(sock.fileno(), self._accept, sock)
        self._has_failed = False

    def _resume_later(self) -> None:
        """Resume accepting after the pause; if that fails, try again later."""
        self._timer = self._loop.call_later(self._pause, self._try_to_resume)

    def _try_to_resume(self) -> None:
        try:
            self._resume()
        except Exception as error:  # epoll_ctl(2) needs memory, too
            if not self._has_failed:
                note(self._how.logger, error, "resuming to accept connections")
            self._has_failed = True
            self._pause = min(max(PAUSE[0], self._pause * 2), PAUSE[1])
            self._resume_later()

    def _stop_reading(self) -> None:
        for sock in self._accepting:
            self._loop.remove_reader(sock.fileno())

    def _accept(self, sock: socket.socket) -> None:
        try:
            if self._how.tls is None and self._state.poller is not None:
                self._accept_streams(sock)
            else:
                self._accept_some(sock)
        except Exception as error:
            note(self._how.logger, error, "accepting a connection")

    def _accept_streams(self, sock: socket.socket) -> None:
        streams, shortage = accept_some(self._state, sock.fileno(), A_TURN)
        if streams:
            self._pause = 0.0
        for stream in streams:
            if not self._accepting:
                return  # the server was closed meanwhile; a stream that is dropped closes its socket
            self._start(stream)
        if shortage:
            self._wait(OSError(shortage, os.strerror(shortage)))

    def _start(self, stream: Stream) -> None:
        """Start a connection. If that fails, drop it; the others go on."""
        made: list[WebSocket] = []
        try:
            made.append(self._how.make())
            stream.start(made[0])
        except Exception as error:
            note(self._how.logger, error, "starting a connection", stream.get_extra_info("peername"))
            stream.abort()  # the traceback may keep it alive
            for ws in made:
                self._how.drop(ws)

    def _accept_some(self, sock: socket.socket) -> None:
        for _ in range(A_TURN):
            try:
                connection, address = sock.accept()
            except OSError as error:
                # Any other error: nobody is there any more, or this connection is broken already (accept(2)).
                if errno_of(error) in SHORT_OF:
                    self._wait(error)
                return
            self._pause = 0.0
            with contextlib.suppress(OSError):  # macOS: it has been reset already
                send_at_once(connection)
            task = self._loop.create_task(self._admit(connection, address))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _wait(self, error: OSError) -> None:
        is_first = not self._pause
        self.pauses += 1
        self._pause = min(max(PAUSE[0], self._pause * 2), PAUSE[1])
        self._stop_reading()
        self._resume_later()
        if is_first:
            extra = log_fields("accept.paused", code=error.errno)
            text = "cannot accept connections: %s; new ones wait until this is over"
            self._how.logger.warning(text, error.strerror, extra=extra)

    def give_up(self, ws: WebSocket) -> None:
        """Drop a connection if it is in its TLS handshake."""
        if ws.transport is None and ws in self._beginning:
            self._beginning[ws].cancel()

    async def _admit(self, connection: socket.socket, address: Any) -> None:
        """Start a connection. If that fails, drop it; the others go on."""
        if not self._accepting:
            connection.close()  # the server was closed meanwhile
            return
        made: list[WebSocket] = []
        try:
            made.append(self._how.make())
            await self._begin(made[0], connection, address)
        except Exception as error:
            note(self._how.logger, error, "starting a connection", address or None)
            for ws in made:
                self._how.drop(ws)
            connection.close()

    async def _begin(self, ws: WebSocket, connection: socket.socket, address: Any) -> None:
        if self._how.tls is None:
            await self._loop.connect_accepted_socket(lambda: ws, connection)
            return
        task = self._beginning[ws] = asyncio.current_task()  # type: ignore[assignment]  # this is one
        assert task is not None
        try:
            late = await self._shake_hands(ws, connection, address)
        finally:
            del self._beginning[ws]
        if ws.transport is None and ws.state is ConnectionState.CONNECTING:  # connection_made was never called
            self._how.fail(ws, late)

    async def _shake_hands(self, ws: WebSocket, connection: socket.socket, address: Any) -> bool:
        """Do the TLS handshake, and return whether it ran out of time. If it fails, close the connection."""
        try:
            async with asyncio.timeout(self._how.seconds) as limit:
                await self._loop.connect_accepted_socket(
                    lambda: ws,
                    connection,
                    ssl=self._how.tls,
                    ssl_handshake_timeout=2 * self._how.seconds,  # ours comes first, and tells a timeout from a failure
                )
        except OSError as error:  # what is left of the connection is closed
            extra = log_fields("accept.failed", code=error.errno, remote=address or None)
            self._how.logger.debug("a connection ended before its TLS handshake was done: %s", error, extra=extra)
            if ws.transport is not None:
                ws.abort()  # TLS was done as time ran out: the loop shuts TLS down first, on a descriptor closed here
            connection.close()
        return limit.expired()


def steady(bound: asyncio.Server, how: Accepting) -> asyncio.Server | Listening:
    """Return what to listen with on a server that is bound but not serving: itself, or a Listening in its place."""
    loop = asyncio.get_running_loop()
    state = state_of(loop)
    is_asyncio = isinstance(bound, asyncio.Server) and isinstance(loop, asyncio.SelectorEventLoop)
    if is_asyncio or state.poller is not None or (how.tls is not None and state.adapts):
        return Listening(bound, how)
    for sock in bound.sockets:  # others accept by themselves; an accepted socket inherits the option
        if hasattr(sock, "setsockopt"):  # a simulated network's has none
            send_at_once(sock)
    return bound
