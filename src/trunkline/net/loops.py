"""What the connections of one event loop share, and what differs from one loop to another."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from typing import Final

from trunkline._poller import Poller
from trunkline._writer import LoopState
from trunkline.net.streams import has_streams
from trunkline.net.timers import Timers
from trunkline.protocol.errors import WrongThread

__all__ = ["Home", "send_at_once", "state_of"]


class Home:
    """The event loop that an object belongs to, and is bound to in `bind`: no other loop may use the object."""

    __slots__ = ("_loop", "_thread")

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = 0

    def bind(self) -> asyncio.AbstractEventLoop:
        """Bind to the running loop, and return that. Raise RuntimeError if no loop is running."""
        self._loop, self._thread = asyncio.get_running_loop(), threading.get_ident()
        return self._loop

    def check(self, owner: object) -> None:
        """Raise WrongThread for the owner, unless its loop is running here, or ran here last and no loop is running."""
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
    """Return what the connections of this loop share. State of closed loops is dropped when a new loop asks."""
    found = _states.get(loop)
    if found is None:
        with _lock:
            for closed in [other for other in _states if other.is_closed()]:
                del _states[closed]
            poller = Poller(loop) if has_streams(loop) else None
            made = LoopState(
                loop, Timers(loop), wants_buffers=_wants_buffers(loop), adapts=_adapts(loop), poller=poller
            )
            found = _states.setdefault(loop, made)
    return found


def _leave_to_parent() -> None:
    """Leave the parent's sets of sockets alone, in the child of a fork."""
    for state in _states.values():
        if state.poller is not None:
            state.poller.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_parent)


def _wants_buffers(loop: asyncio.AbstractEventLoop) -> bool:
    """Return whether the loop should read into our buffer. asyncio's selector loops should: they would allocate 256 KiB
    for every read. uvloop would not, and a proactor loop reads while another link is using the shared buffer.
    """
    return isinstance(loop, asyncio.SelectorEventLoop)


def _adapts(loop: asyncio.AbstractEventLoop) -> bool:
    """Return whether the loop should read into our buffer only during large payloads. uvloop should: a buffer would
    make small reads a quarter slower, and it accepts another protocol in the middle of a connection.
    """
    return type(loop).__module__.partition(".")[0] == "uvloop"


def send_at_once(sock: socket.socket) -> None:
    """Have the kernel send a small segment without waiting for the last one's acknowledgement (TCP_NODELAY).

    uvloop does so by itself; asyncio only if the socket was made with IPPROTO_TCP, which `socket.socket()` is not.
    """
    if sock.family in (socket.AF_INET, socket.AF_INET6) and sock.proto != socket.IPPROTO_TCP:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
