"""Accepting connections on asyncio's selector loops, also when no file descriptor is left.

asyncio's own accept loop tells the loop's exception handler when the system has none to give, up to `backlog` times in
a row and again every second: whoever opens connections would write our log. Here accepting pauses, is logged once, and
is tried again, while connections wait in the kernel's queue and open ones go on. uvloop drops what it cannot accept,
which is a way as well, so it is left alone.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Callable, Sequence
from typing import Any, Final

from trunkline.net.logs import log_fields
from trunkline.net.loops import send_at_once

__all__ = ["Listening", "steady"]

A_TURN: Final = 64  # connections accepted before the loop has its turn
PAUSE: Final = (0.1, 1.0)  # seconds: the first pause, and the longest; it doubles in between
SHORT_OF: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

Make = Callable[[], asyncio.BaseProtocol]


class Listening:
    """A listening server, in place of the `asyncio.Server` that has bound its sockets. pauses: times that accepting had
    to pause.
    """

    def __init__(
        self, bound: asyncio.Server, make: Make, backlog: int, tls: dict[str, Any], logger: logging.Logger
    ) -> None:
        self.pauses = 0
        self._bound, self._make, self._backlog, self._tls, self._logger = bound, make, backlog, tls, logger
        self._loop = asyncio.get_running_loop()
        self._accepting: list[socket.socket] = []
        self._timer: asyncio.TimerHandle | None = None
        self._pause = 0.0  # seconds: the latest one; 0 while there is no want
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def sockets(self) -> Sequence[Any]:
        """The listening sockets; none once it is closed."""
        return self._bound.sockets

    async def start_serving(self) -> None:
        """Listens. Raises OSError if it cannot."""
        for bound in self._bound.sockets:
            sock = bound.dup()
            self._accepting.append(sock)
            sock.setblocking(False)
            sock.listen(self._backlog)
        self._resume()

    def close(self) -> None:
        """Accepts nothing more."""
        self._stop_reading()
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

    def _stop_reading(self) -> None:
        for sock in self._accepting:
            self._loop.remove_reader(sock.fileno())

    def _accept(self, sock: socket.socket) -> None:
        for _ in range(A_TURN):
            try:
                connection, address = sock.accept()
            except OSError as error:
                # All others: nobody is there any more, or that one connection is broken already (accept(2)).
                if error.errno in SHORT_OF:
                    self._wait(error)
                return
            self._pause = 0.0
            send_at_once(connection)
            task = self._loop.create_task(self._begin(connection, address))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _wait(self, error: OSError) -> None:
        if not self._pause:
            extra = log_fields("accept.paused", code=error.errno)
            text = "cannot accept connections: %s; they wait until it is mended"
            self._logger.warning(text, error.strerror, extra=extra)
        self.pauses += 1
        self._pause = min(max(PAUSE[0], self._pause * 2), PAUSE[1])
        self._stop_reading()
        self._timer = self._loop.call_later(self._pause, self._resume)

    async def _begin(self, connection: socket.socket, address: Any) -> None:
        if not self._accepting:
            connection.close()  # the server was closed meanwhile
            return
        try:
            await self._loop.connect_accepted_socket(self._make, connection, **self._tls)
        except OSError as error:  # of the TLS handshake; what there is of a connection is closed
            extra = log_fields("accept.failed", code=error.errno, remote=address or None)
            self._logger.debug("a connection ended before it began: %s", error, extra=extra)
            connection.close()


def steady(
    bound: asyncio.Server, make: Make, backlog: int, tls: dict[str, Any], logger: logging.Logger
) -> asyncio.Server | Listening:
    """What to listen with on a server that is bound and does not serve yet: itself, or a Listening in its place."""
    if isinstance(bound, asyncio.Server) and isinstance(asyncio.get_running_loop(), asyncio.SelectorEventLoop):
        return Listening(bound, make, backlog, tls, logger)
    return bound
