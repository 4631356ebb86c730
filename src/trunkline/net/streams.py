"""Which connections are on streams of our own, and which on the event loop's transports.

A `Stream` (`trunkline._stream`) needs a system that tells which of many sockets are ready (epoll or kqueue) and a loop
that watches descriptors: asyncio's selector loops and uvloop. Everything else is on the loop's own transports: TLS,
proactor loops, simulated networks, and whatever another program hands over. TRUNKLINE_TRANSPORT=asyncio in the
environment puts every connection there.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from typing import Any, Final

from trunkline._link import Link
from trunkline._poller import WATCHES
from trunkline._stream import Stream
from trunkline._writer import LoopState

__all__ = ["VARIABLE", "attach", "has_streams", "name_of", "start_stream"]

VARIABLE: Final = "TRUNKLINE_TRANSPORT"
CHOICES: Final = ("stream", "asyncio")


def has_streams(loop: asyncio.AbstractEventLoop) -> bool:
    """Return whether connections of this loop can be on streams. Raise ValueError if the variable is wrong."""
    choice = os.environ.get(VARIABLE, "stream")
    if choice not in CHOICES:
        raise ValueError(f"{VARIABLE} is {choice!r}, must be {' or '.join(CHOICES)}")
    is_known = isinstance(loop, asyncio.SelectorEventLoop) or type(loop).__module__.partition(".")[0] == "uvloop"
    return WATCHES and choice == "stream" and is_known and not getattr(loop, "is_virtual", False)


def name_of(transport: object) -> str:
    """Return "stream" for a transport of our own, "asyncio" for the event loop's."""
    return "stream" if isinstance(transport, Stream) else "asyncio"


def start_stream(state: LoopState, sock: socket.socket, link: Link) -> None:
    """Start a link on a connected socket, which the stream owns from now on.

    If this raises, the socket is closed: TypeError for an SSLSocket, ValueError unless it is SOCK_STREAM.
    """
    try:
        if isinstance(sock, ssl.SSLSocket):
            raise TypeError("sock is an SSLSocket, must be a plain socket: give its context as ssl (sock)")
        if sock.type != socket.SOCK_STREAM:
            raise ValueError(f"sock is {sock.type!r}, must be SOCK_STREAM (sock)")
        stream = Stream(state, sock)
    except BaseException:
        sock.close()
        raise
    stream.start(link)


def attach(link: Link, transport: Any, marks: tuple[int, int], *, plain: bool) -> None:
    """Have a link use a transport, and write to its socket directly if that may be done.

    Args:
        link: the link.
        transport: a Stream, or the event loop's.
        marks: the high-water and the low-water mark, in bytes.
        plain: whether there is no TLS between the link and the transport.
    """
    fd = -1
    if isinstance(transport, Stream):
        link._adapt(None)
        fd = transport.fileno()
    elif plain and transport.get_extra_info("sslcontext") is None:
        sock = transport.get_extra_info("socket")
        fd = -1 if sock is None else sock.fileno()
    link._attach(transport, fd, marks)
