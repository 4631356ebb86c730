"""Hand a connected socket to the event loop, and make sure that its descriptor is closed only once.

asyncio closes the socket object that it was given. uvloop closes the descriptor itself, and detaches the object from it
only once it has registered the object. A connection that ends while `create_connection` is still waiting is closed
before that. The object then still holds the number, which may be another file's by now, and would close that file when
it is closed or collected.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["adopt"]

P = TypeVar("P", bound=asyncio.BaseProtocol)


async def adopt(sock: socket.socket, make: Callable[[], P], **options: Any) -> P:
    """Start a protocol on a connected socket, which belongs to the loop from now on, and return the protocol.

    Args:
        sock: the socket; if this fails, it is closed.
        make: makes the protocol.
        options: passed on to `create_connection`, whose exceptions are raised.
    """
    file = _open_file(sock)
    made: list[P] = []

    def keep() -> P:
        made.append(make())
        return made[-1]

    try:
        transport, protocol = await asyncio.get_running_loop().create_connection(keep, sock=sock, **options)
    except BaseException:
        for one in made:
            # If cancelled just as TLS is done, the loop begins a TLS shutdown: its transport would keep the number.
            abort(one)
        _detach_if_closed(sock, file)
        sock.close()
        raise
    if transport.is_closing():
        _detach_if_closed(sock, file)
    return protocol


def abort(protocol: object) -> None:
    """Drop the transport of the protocol, if it has one."""
    transport: asyncio.Transport | None = getattr(protocol, "transport", None)
    if transport is not None:
        transport.abort()


def _detach_if_closed(sock: socket.socket, file: tuple[int, int] | None) -> None:
    """Detach the socket from its descriptor if the loop has closed that: the number may be another file's by now."""
    if file is not None and _open_file(sock) != file:
        sock.detach()


def _open_file(sock: socket.socket) -> tuple[int, int] | None:
    """Return the device and inode of the descriptor, which tell reuses of a number apart; None if it is closed."""
    try:
        status = os.fstat(sock.fileno())
    except OSError:
        return None
    return status.st_dev, status.st_ino
