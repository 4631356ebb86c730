"""What differs from one event loop to another."""

from __future__ import annotations

import asyncio
import threading
from typing import Final

from trunkline._outlet import Flusher

__all__ = ["adapts", "flusher_of", "wants_buffers"]

_flushers: Final[dict[asyncio.AbstractEventLoop, Flusher]] = {}
_lock: Final = threading.Lock()


def flusher_of(loop: asyncio.AbstractEventLoop) -> Flusher:
    """The one Flusher of a loop; those of closed loops are dropped when the next loop asks."""
    flusher = _flushers.get(loop)
    if flusher is None:
        with _lock:
            for closed in [other for other in _flushers if other.is_closed()]:
                del _flushers[closed]
            flusher = _flushers.setdefault(loop, Flusher(loop))
    return flusher


def wants_buffers(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether the loop reads faster into a buffer of ours than into `bytes` of its own.

    asyncio's selector loops do: they would allocate 256 KiB for every read. uvloop does not, and a proactor loop reads
    while the buffer that all links share is in use by another.
    """
    return isinstance(loop, asyncio.SelectorEventLoop)


def adapts(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether the loop is at its best with `bytes` for small reads and with a buffer of ours for large ones.

    uvloop is, and takes another protocol in the middle of a connection; a buffer would cost its small reads a quarter.
    """
    return type(loop).__module__.partition(".")[0] == "uvloop"
