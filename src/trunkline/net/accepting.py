"""Accept connections ourselves: when no file descriptor is left, and when a connection ends within TLS.

asyncio's own accept loop tells the loop's exception handler when the system has no descriptor to give, up to `backlog`
times in a row and again every second: whoever opens connections would write our log. Here accepting pauses, is logged
once, and is tried again, while connections wait in the kernel's queue and open ones go on. uvloop drops what it cannot
accept, which is a way as well.

Neither loop tells a protocol that its connection ended before TLS was done, so whoever counts connections would count
it until a deadline. Here the TLS handshake is awaited, and its end is told. On uvloop this is what we accept for: plain
TCP is left to it.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from wsproto.connection import ConnectionState

from trunkline.net.faults import note
from trunkline.net.logs import log_fields
from trunkline.net.loops import send_at_once, state_of
from trunkline.protocol.oserrors import errno_of

if TYPE_CHECKING:
    from trunkline.net.websocket import WebSocket

__all__ = ["Listening", "steady"]

A_TURN: Final = 64  # connections accepted before the loop has its turn
PAUSE: Final = (0.1, 1.0)  # seconds: the first pause, and the longest; it doubles in between
SHORT_OF: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepting:
    """What becomes of the connections that are accepted.

    make: makes the protocol of one. fail: told of one that ended within TLS, and whether that was for want of time.
    drop: takes the place of one that cannot begin.
    tls: None for none. seconds: for the TLS handshake.
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
        """What the loop's own accepting is told of TLS."""
        return {} if self.tls is None else {"ssl": self.tls, "ssl_handshake_timeout": self.seconds}


class Listening:
    """A listening server, in place of the server of the loop's own that has bound its sockets. pauses: times that
    accepting had to pause.
    """

    def __init__(self, bound: asyncio.Server, how: Accepting) -> None:
        self.pauses = 0
        self._bound, self._how = bound, how
        self._loop = asyncio.get_running_loop()
        self._accepting: list[socket.socket] = []
        self._timer: asyncio.TimerHandle | None = None
        self._pause = 0.0  # seconds: the latest one; 0 while there is no want
        self._has_failed = False  # going on after a pause, since it last could
        self._tasks: set[asyncio.Task[None]] = set()
        self._beginning: dict[WebSocket, asyncio.Task[None]] = {}  # those that shake hands in TLS

    @property
    def sockets(self) -> Sequence[Any]:
        """The listening sockets; none once it is closed."""
        return self._bound.sockets

    async def start_serving(self) -> None:
        """Listen. Raises OSError if it cannot."""
        for bound in self._bound.sockets:
            sock = bound.dup()
            self._accepting.append(sock)
            sock.setblocking(False)
            sock.listen(self._how.backlog)
        self._resume()

    def close(self) -> None:
        """Accept nothing more, and drop what is still within TLS."""
        self._stop_reading()
        for ws in [*self._beginning]:
            self.give_up(ws)
        if self._timer is not None:
            self._timer.cancel()
        for sock in self._accepting:
            sock.close()
        self._accepting.clear()
        self._bound.close()

    def _resume(self) -> None:
        self._timer = None
        for sock in self._accepting:
            self._loop.add_reader(sock.fileno(), self._accept, sock)
        self._has_failed = False

    def _resume_later(self) -> None:
        """Go on accepting when the pause has passed, whatever comes between."""
        self._timer = self._loop.call_later(self._pause, self._try_to_resume)

    def _try_to_resume(self) -> None:
        try:
            self._resume()
        except Exception as error:  # epoll_ctl(2) wants memory, too
            if not self._has_failed:
                note(self._how.logger, error, "going on to accept connections")
            self._has_failed = True
            self._pause = min(max(PAUSE[0], self._pause * 2), PAUSE[1])
            self._resume_later()

    def _stop_reading(self) -> None:
        for sock in self._accepting:
            self._loop.remove_reader(sock.fileno())

    def _accept(self, sock: socket.socket) -> None:
        try:
            self._accept_some(sock)
        except Exception as error:
            note(self._how.logger, error, "accepting a connection")

    def _accept_some(self, sock: socket.socket) -> None:
        for _ in range(A_TURN):
            try:
                connection, address = sock.accept()
            except OSError as error:
                # All others: nobody is there any more, or that one connection is broken already (accept(2)).
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
            text = "cannot accept connections: %s; they wait until it is mended"
            self._how.logger.warning(text, error.strerror, extra=extra)

    def give_up(self, ws: WebSocket) -> None:
        """Drop a connection if it is within TLS."""
        if ws.transport is None and ws in self._beginning:
            self._beginning[ws].cancel()

    async def _admit(self, connection: socket.socket, address: Any) -> None:
        """Begin with a connection; one that cannot begin is dropped, and the others go on."""
        if not self._accepting:
            connection.close()  # the server was closed meanwhile
            return
        made: list[WebSocket] = []
        try:
            made.append(self._how.make())
            await self._begin(made[0], connection, address)
        except Exception as error:
            note(self._how.logger, error, "beginning with a connection", address or None)
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
        if ws.transport is None and ws.state is ConnectionState.CONNECTING:  # it was never told of a transport
            self._how.fail(ws, late)

    async def _shake_hands(self, ws: WebSocket, connection: socket.socket, address: Any) -> bool:
        """TLS on a connection, whatever comes of it; gives whether it took too long."""
        try:
            async with asyncio.timeout(self._how.seconds) as limit:
                await self._loop.connect_accepted_socket(
                    lambda: ws,
                    connection,
                    ssl=self._how.tls,
                    ssl_handshake_timeout=2 * self._how.seconds,  # ours comes first, and says what it was
                )
        except OSError as error:  # what there is of a connection is closed
            extra = log_fields("accept.failed", code=error.errno, remote=address or None)
            self._how.logger.debug("a connection ended before it began: %s", error, extra=extra)
            if ws.transport is not None:
                ws.abort()  # TLS was done as time ran out: the loop says goodbye first, on a number that is closed here
            connection.close()
        return limit.expired()


def steady(bound: asyncio.Server, how: Accepting) -> asyncio.Server | Listening:
    """What to listen with on a server that is bound and does not serve yet: itself, or a Listening in its place."""
    loop = asyncio.get_running_loop()
    is_asyncio = isinstance(bound, asyncio.Server) and isinstance(loop, asyncio.SelectorEventLoop)
    if is_asyncio or (how.tls is not None and state_of(loop).adapts):
        return Listening(bound, how)
    for sock in bound.sockets:  # others accept by themselves, and what they accept has what the listening socket had
        if hasattr(sock, "setsockopt"):  # a simulated network's has not
            send_at_once(sock)
    return bound
