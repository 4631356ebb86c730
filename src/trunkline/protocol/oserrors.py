"""Map an operating system's error to its POSIX number, on any system.

Windows has two sets of numbers of its own. Winsock's have POSIX's names and start at 10,000; Python's errno has most of
them. Overlapped operations, which a proactor loop uses for everything, end with a number of the system itself ("System
Error Codes" in Microsoft's documentation). Python maps few of those: a refused connection raises ConnectionRefusedError
with the errno of an invalid argument.
"""

from __future__ import annotations

import errno
import os
from typing import Final

__all__ = ["WINDOWS", "errno_of", "words_for"]

WINDOWS: Final[dict[int, int]] = {
    # Winsock
    10013: errno.EACCES,
    10024: errno.EMFILE,
    10048: errno.EADDRINUSE,
    10049: errno.EADDRNOTAVAIL,
    10050: errno.ENETDOWN,
    10051: errno.ENETUNREACH,
    10052: errno.ECONNRESET,  # WSAENETRESET: a TCP keepalive failed
    10053: errno.ECONNABORTED,
    10054: errno.ECONNRESET,
    10055: errno.ENOBUFS,
    10060: errno.ETIMEDOUT,
    10061: errno.ECONNREFUSED,
    10064: errno.EHOSTDOWN,
    10065: errno.EHOSTUNREACH,
    # the system
    64: errno.ECONNRESET,  # ERROR_NETNAME_DELETED
    121: errno.ETIMEDOUT,  # ERROR_SEM_TIMEOUT
    995: errno.ECONNABORTED,  # ERROR_OPERATION_ABORTED
    1222: errno.ENETDOWN,  # ERROR_NO_NETWORK
    1225: errno.ECONNREFUSED,  # ERROR_CONNECTION_REFUSED
    1228: errno.EADDRNOTAVAIL,  # ERROR_ADDRESS_NOT_ASSOCIATED
    1229: errno.ECONNRESET,  # ERROR_CONNECTION_INVALID
    1231: errno.ENETUNREACH,  # ERROR_NETWORK_UNREACHABLE
    1232: errno.EHOSTUNREACH,  # ERROR_HOST_UNREACHABLE
    1234: errno.ECONNREFUSED,  # ERROR_PORT_UNREACHABLE
    1236: errno.ECONNABORTED,  # ERROR_CONNECTION_ABORTED
}

# For C libraries without a text for these numbers, such as that of Windows.
WORDS: Final[dict[int, str]] = {
    errno.EADDRINUSE: "Address already in use",
    errno.EADDRNOTAVAIL: "Cannot assign requested address",
    errno.ECONNABORTED: "Software caused connection abort",
    errno.ECONNREFUSED: "Connection refused",
    errno.ECONNRESET: "Connection reset by peer",
    errno.EHOSTDOWN: "Host is down",
    errno.EHOSTUNREACH: "No route to host",
    errno.ENETDOWN: "Network is down",
    errno.ENETUNREACH: "Network is unreachable",
    errno.ENOBUFS: "No buffer space available",
    errno.ETIMEDOUT: "Connection timed out",
}


def errno_of(error: OSError) -> int | None:
    """Return the POSIX number of an error; its `errno` if there is no better one; None if it has no number."""
    number = getattr(error, "winerror", None) or error.errno
    return error.errno if number is None else WINDOWS.get(number, error.errno)


def words_for(error: OSError) -> str:
    """Return the system's text for an error that has a number. asyncio's `strerror` would repeat the address."""
    number = errno_of(error)
    assert number is not None
    words = os.strerror(number)
    if words.startswith("Unknown error"):
        return WORDS.get(number) or error.strerror or words
    return words
