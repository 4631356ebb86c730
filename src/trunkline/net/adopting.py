"""Give a connected socket of ours to the event loop, and be sure who closes its descriptor.

asyncio closes the socket object that it was given. uvloop closes the descriptor itself, and detaches the object from it
only if it has taken note of the object: a connection that ends while `create_connection` still waits is closed without.
The object then holds a number that may be anybody's, and closes it when it is closed or collected.
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
    """Start a protocol from `make` on a connected socket, which is the loop's from now on, whatever comes of it.

    options: those of `create_connection`. Raises what that raises; the socket is closed then.
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
            # Cancelled when TLS is just done, the loop says goodbye first: its transport would stay on the number.
            abort(one)
        _detach_if_closed(sock, file)
        sock.close()
        raise
    if transport.is_closing():
        _detach_if_closed(sock, file)
    return protocol


def abort(protocol: object) -> None:
    """Drop the transport that the protocol was told of, if it was told of one."""
    transport: asyncio.Transport | None = getattr(protocol, "transport", None)
    if transport is not None:
        transport.abort()


def _detach_if_closed(sock: socket.socket, file: tuple[int, int] | None) -> None:
    """Let go of the descriptor if the loop has closed it: somebody else may have the number by now."""
    if file is not None and _open_file(sock) != file:
        sock.detach()


def _open_file(sock: socket.socket) -> tuple[int, int] | None:
    """What the descriptor stands for, however often its number is used; None if it stands for nothing."""
    try:
        status = os.fstat(sock.fileno())
    except OSError:
        return None
    return status.st_dev, status.st_ino
