"""How far the bytes of a connection have come, as far as anybody can tell.

Theory of operation. What a socket takes goes into a buffer of the kernel, even if the peer is long gone. Linux tells
more: how many bytes the peer's TCP has acknowledged, and how many have come, read or not (TCP_INFO, which works under
TLS, too). Elsewhere, on unix sockets and on simulated networks, "left" means "taken by the socket".
"""

from __future__ import annotations

import socket
import struct
import sys
from typing import Any, Final, NamedTuple

__all__ = ["Look", "look_at"]

# struct tcp_info of linux/tcp.h, whose fields never move: tcpi_bytes_acked, tcpi_bytes_received, two counts of
# segments, tcpi_notsent_bytes.
FIELDS: Final = struct.Struct("=QQ8xI")
OFFSET: Final = 120
INFO_SIZE: Final = 160
NUMBER: Final = struct.Struct("i")
# The memory of a socket (linux/sock_diag.h): of bytes received and not read, overhead included, and the limit for it.
MEMORY: Final = struct.Struct("=II28x")
SO_MEMINFO: Final = 55


class Look(NamedTuple):
    """The state of a connection at one moment. Counts are in bytes, and only the difference of two looks counts."""

    received: int  # bytes that have come
    left: int  # bytes that the peer's TCP has acknowledged or, if the kernel does not tell, the socket has taken
    queued: int  # bytes that have not left
    is_pressed: bool  # some of them wait because the way out is blocked
    is_choked: bool  # so much is unread that the peer may have no room to answer in, or nobody knows


def look_at(sock: Any, received: int, sent: int, waiting: int) -> Look:
    """Return a look at a connection.

    Args:
        sock: the transport's socket; None if there is none.
        received: bytes that we have read.
        sent: bytes that we have given to the transport or the socket.
        waiting: how many of those have not been passed on, as far as the transport tells.
    """
    known = None if sock is None else _ask_kernel(sock)
    if known is None:
        return Look(received, sent - waiting, waiting, is_pressed=waiting > 0, is_choked=True)
    came, acknowledged, unsent, outstanding, is_choked = known
    # asyncio's TLS transports do not count what the transport below them holds: a whole upload, perhaps.
    waiting = max(waiting, sent - acknowledged - outstanding)
    is_pressed = waiting + unsent > 0
    return Look(came, acknowledged, outstanding + waiting, is_pressed=is_pressed, is_choked=is_choked)


if sys.platform == "linux":
    import fcntl
    import termios

    def _ask_kernel(sock: Any) -> tuple[int, int, int, int, bool] | None:
        """Return bytes received, acknowledged, not yet sent and not yet acknowledged, and whether much is unread; None
        if the kernel does not tell.
        """
        if sock.family not in (socket.AF_INET, socket.AF_INET6):
            return None
        try:
            info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, INFO_SIZE)
            memory = sock.getsockopt(socket.SOL_SOCKET, SO_MEMINFO, MEMORY.size)
            (outstanding,) = NUMBER.unpack(fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(NUMBER.size)))  # SIOCOUTQ
            acknowledged, came, unsent = FIELDS.unpack_from(info, OFFSET)
            unread, most = MEMORY.unpack(memory)
        except (OSError, ValueError, struct.error):  # it is closed, or the kernel is older than these fields
            return None
        # After an opening handshake neither can be 0, unless the kernel has the fields but does not fill them in.
        if not acknowledged or not came:
            return None
        # Linux never closes the receive window while half of the room is free. A quarter is on the safe side.
        return came, acknowledged, unsent, outstanding, 4 * unread > most

else:

    def _ask_kernel(sock: Any) -> tuple[int, int, int, int, bool] | None:
        """Return None: no other kernel tells."""
        return None
