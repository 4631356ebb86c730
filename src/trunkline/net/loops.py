"""What the connections of one event loop share, and what differs from one loop to another."""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import Final

from trunkline._writer import LoopState
from trunkline.net.timers import Timers
from trunkline.protocol.errors import WrongThread

__all__ = ["Home", "send_at_once", "state_of"]


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


_states: Final[dict[asyncio.AbstractEventLoop, LoopState]] = {}
_lock: Final = threading.Lock()


def state_of(loop: asyncio.AbstractEventLoop) -> LoopState:
    """Return what the connections of this loop share. What closed loops had is dropped when the next loop asks."""
    found = _states.get(loop)
    if found is None:
        with _lock:
            for closed in [other for other in _states if other.is_closed()]:
                del _states[closed]
            made = LoopState(loop, Timers(loop), wants_buffers=_wants_buffers(loop), adapts=_adapts(loop))
            found = _states.setdefault(loop, made)
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
