"""How far the bytes of a connection have come, in the eyes of whoever knows most.

Theory of operation. What a socket takes lies in a buffer of the kernel, and would lie there just the same if the
peer's machine had burnt down. Linux tells more: how many bytes the peer's TCP has acknowledged, and how many have
come, read or not (TCP_INFO, in bytes under TLS as well). Elsewhere, on unix sockets and on simulated networks, "left"
means "taken by the socket".
"""

from __future__ import annotations

import socket
import struct
import sys
from typing import Any, Final, NamedTuple

__all__ = ["Look", "look_at"]

# struct tcp_info of linux/tcp.h, whose fields stay where they are: tcpi_bytes_acked, tcpi_bytes_received, two counts of
# segments, tcpi_notsent_bytes.
FIELDS: Final = struct.Struct("=QQ8xI")
OFFSET: Final = 120
INFO_SIZE: Final = 160
NUMBER: Final = struct.Struct("i")
# What a socket keeps in memory (linux/sock_diag.h): bytes received and not read, with what it takes to keep them, and
# the most that may be.
MEMORY: Final = struct.Struct("=II28x")
SO_MEMINFO: Final = 55


class Look(NamedTuple):
    """Where a connection stood at one moment. Counts are in bytes, and mean something only beside another look's."""

    received: int  # that have come
    left: int  # that the peer's TCP has acknowledged; where nobody knows, that the socket has taken
    queued: int  # that have not left
    is_pressed: bool  # some of those wait since the way out takes no more
    is_choked: bool  # so much lies unread that the peer may have no room to answer, or nobody knows


def look_at(sock: Any, received: int, sent: int, waiting: int) -> Look:
    """Look at a connection.

    Args:
        sock: the transport's socket; None if there is none.
        received: bytes that we have read.
        sent: bytes that we have given to the transport or the socket.
        waiting: how many of those they have not passed on.
    """
    known = None if sock is None else _ask_kernel(sock)
    if known is None:
        return Look(received, sent - waiting, waiting, is_pressed=waiting > 0, is_choked=True)
    came, acknowledged, unsent, outstanding, is_choked = known
    is_pressed = waiting + unsent > 0
    return Look(came, acknowledged, outstanding + waiting, is_pressed=is_pressed, is_choked=is_choked)


if sys.platform == "linux":
    import fcntl
    import termios

    def _ask_kernel(sock: Any) -> tuple[int, int, int, int, bool] | None:
        """Bytes received, acknowledged, not yet sent and not yet acknowledged, and whether much lies unread; None if
        the kernel does not say.
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
        # After an opening handshake neither can be 0: a kernel that has the fields and does not fill them in.
        if not acknowledged or not came:
            return None
        # Linux never closes the window of a connection while half of its room is free; a quarter is well on that side.
        return came, acknowledged, unsent, outstanding, 4 * unread > most

else:

    def _ask_kernel(sock: Any) -> tuple[int, int, int, int, bool] | None:
        """No other kernel says."""
        return None
