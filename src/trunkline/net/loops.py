"""What the connections of one event loop share, and what differs from one loop to another."""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import Final, NamedTuple

from trunkline._writer import Flusher
from trunkline.net.timers import Timers
from trunkline.protocol.errors import WrongThread

__all__ = ["Home", "Shared", "send_at_once", "shared_by"]


class Home:
    """The event loop that something belongs to, which no other may use. None until it is bound to one."""

    __slots__ = ("_loop", "_thread")

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = 0

    def bind(self) -> asyncio.AbstractEventLoop:
        """Bind it to the loop that runs now, and return that; RuntimeError if none does."""
        self._loop, self._thread = asyncio.get_running_loop(), threading.get_ident()
        return self._loop

    def check(self, owner: object) -> None:
        """Raise WrongThread for the owner unless the loop runs here; or no loop does, and it ran here last."""
        running = asyncio._get_running_loop()
        if self._loop is None:
            return
        if running is self._loop:
            self._thread = threading.get_ident()
        elif running is not None or self._thread != threading.get_ident() or self._loop.is_running():
            raise WrongThread(repr(owner))


class Shared(NamedTuple):
    """What the connections of one event loop share.

    wants_buffers: the loop reads faster into a buffer of ours than into `bytes` of its own. adapts: it is at its best
    with `bytes` for small reads and with a buffer of ours for large ones.
    """

    flusher: Flusher
    timers: Timers
    wants_buffers: bool
    adapts: bool


_shared: Final[dict[asyncio.AbstractEventLoop, Shared]] = {}
_lock: Final = threading.Lock()


def shared_by(loop: asyncio.AbstractEventLoop) -> Shared:
    """What is shared on this loop; what closed loops had is dropped when the next loop asks."""
    found = _shared.get(loop)
    if found is None:
        with _lock:
            for closed in [other for other in _shared if other.is_closed()]:
                del _shared[closed]
            made = Shared(Flusher(loop), Timers(loop), _wants_buffers(loop), _adapts(loop))
            found = _shared.setdefault(loop, made)
    return found


def _wants_buffers(loop: asyncio.AbstractEventLoop) -> bool:
    """asyncio's selector loops do: they would allocate 256 KiB for every read. uvloop does not, and a proactor loop
    reads while the buffer that all links share is in use by another.
    """
    return isinstance(loop, asyncio.SelectorEventLoop)


def _adapts(loop: asyncio.AbstractEventLoop) -> bool:
    """uvloop does, and takes another protocol in the middle of a connection; a buffer would cost its small reads a
    quarter.
    """
    return type(loop).__module__.partition(".")[0] == "uvloop"


def send_at_once(sock: socket.socket) -> None:
    """Have the kernel send a small segment without waiting for the last one's acknowledgement (TCP_NODELAY).

    uvloop does so by itself; asyncio only where the socket was made with IPPROTO_TCP, and `socket.socket()` is not.
    """
    if sock.family in (socket.AF_INET, socket.AF_INET6) and sock.proto != socket.IPPROTO_TCP:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
