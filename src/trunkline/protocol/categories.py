"""What can go wrong with a connection, as data.

An `ErrorCategory` groups failures by what a client can do about them. The tables give, for each close code, HTTP status
and error number, the category and whether trying again can help. How to try again is up to the retry policy.

    close code   -> CLOSE_CODES, then ranges  (RFC 6455 7.4, IANA "WebSocket Close Code Number Registry")
    HTTP status  -> HTTP_STATUSES, then class (RFC 9110 15)
    OSError      -> class, then POSIX error number, then the phase

`recoverable` means that at least one more attempt makes sense. If only one or three do, it is still recoverable: the
policy counts them.

A close frame may carry a code only if `tl_is_close_code` in `native/c/header.h` accepts it as well.
"""

from __future__ import annotations

import enum
import errno
import socket
import ssl
from typing import Final, Literal, NamedTuple

from trunkline.protocol.oserrors import errno_of

__all__ = [
    "CLOSE_CODES",
    "CLOSE_NAMES",
    "ERRNOS",
    "HTTP_STATUSES",
    "ErrorCategory",
    "Initiator",
    "Phase",
    "Verdict",
    "judge_close",
    "judge_os_error",
    "judge_status",
]

Initiator = Literal["local", "remote"]
Phase = Literal["dns", "tcp", "proxy", "tls", "handshake", "open"]

_CERTIFICATE_EXPIRED: Final = 10  # X509_V_ERR_CERT_HAS_EXPIRED of OpenSSL's x509_vfy.h


class ErrorCategory(enum.StrEnum):
    """The kinds of failure. Each value is the name in lower case, for logs and metric labels."""

    # How an open connection ended
    NORMAL_CLOSURE = "normal_closure"
    GOING_AWAY = "going_away"
    PROTOCOL_ERROR = "protocol_error"
    UNSUPPORTED_DATA = "unsupported_data"
    NO_STATUS = "no_status"
    INVALID_DATA = "invalid_data"
    POLICY_VIOLATION = "policy_violation"
    MESSAGE_TOO_BIG = "message_too_big"
    EXTENSION_REQUIRED = "extension_required"
    SERVICE_RESTART = "service_restart"
    OVERLOADED = "overloaded"
    BAD_GATEWAY = "bad_gateway"
    RESERVED = "reserved"
    APPLICATION = "application"

    # What the server answered, or failed to
    SERVICE_UNAVAILABLE = "service_unavailable"
    TIMEOUT = "timeout"
    THROTTLED = "throttled"
    AUTHENTICATION_FAILED = "authentication_failed"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    REDIRECT = "redirect"
    MISDIRECTED = "misdirected"
    TOO_EARLY = "too_early"
    INVALID_UPGRADE = "invalid_upgrade"
    CONNECTION_FAILED = "connection_failed"

    # What the network did
    NETWORK_ERROR = "network_error"
    DNS_FAILED = "dns_failed"
    CONNECTION_REFUSED = "connection_refused"
    UNREACHABLE = "unreachable"
    TLS_CERTIFICATE = "tls_certificate"
    TLS_FAILED = "tls_failed"
    PROXY_FAILED = "proxy_failed"
    PROXY_AUTHENTICATION = "proxy_authentication"


class Verdict(NamedTuple):
    """A category, and whether trying again can help."""

    category: ErrorCategory
    recoverable: bool


_C = ErrorCategory

CLOSE_CODES: Final[dict[int, Verdict]] = {
    1000: Verdict(_C.NORMAL_CLOSURE, False),
    1001: Verdict(_C.GOING_AWAY, True),
    1002: Verdict(_C.PROTOCOL_ERROR, True),
    1003: Verdict(_C.UNSUPPORTED_DATA, True),
    1004: Verdict(_C.RESERVED, True),
    1005: Verdict(_C.NO_STATUS, True),
    1006: Verdict(_C.NETWORK_ERROR, True),
    1007: Verdict(_C.INVALID_DATA, True),
    1008: Verdict(_C.POLICY_VIOLATION, False),
    1009: Verdict(_C.MESSAGE_TOO_BIG, True),
    1010: Verdict(_C.EXTENSION_REQUIRED, True),
    1011: Verdict(_C.SERVICE_UNAVAILABLE, True),
    1012: Verdict(_C.SERVICE_RESTART, True),
    1013: Verdict(_C.OVERLOADED, True),
    1014: Verdict(_C.BAD_GATEWAY, True),
    1015: Verdict(_C.TLS_FAILED, True),
    3000: Verdict(_C.AUTHENTICATION_FAILED, True),
    3003: Verdict(_C.FORBIDDEN, False),
    3008: Verdict(_C.TIMEOUT, True),
}

# The names of close codes in the IANA registry (RFC 6455 7.4.1), in lower case.
CLOSE_NAMES: Final[dict[int, str]] = {
    1000: "normal closure",
    1001: "going away",
    1002: "protocol error",
    1003: "unsupported data",
    1005: "no status received",
    1006: "abnormal closure",
    1007: "invalid frame payload data",
    1008: "policy violation",
    1009: "message too big",
    1010: "mandatory extension",
    1011: "internal error",
    1012: "service restart",
    1013: "try again later",
    1014: "bad gateway",
    1015: "TLS handshake",
    3000: "unauthorized",
    3003: "forbidden",
    3008: "timeout",
}

HTTP_STATUSES: Final[dict[int, Verdict]] = {
    # We do not follow redirects, and the same address would redirect again.
    301: Verdict(_C.REDIRECT, False),
    302: Verdict(_C.REDIRECT, False),
    303: Verdict(_C.REDIRECT, False),
    307: Verdict(_C.REDIRECT, False),
    308: Verdict(_C.REDIRECT, False),
    400: Verdict(_C.CONNECTION_FAILED, False),
    401: Verdict(_C.AUTHENTICATION_FAILED, True),
    403: Verdict(_C.FORBIDDEN, False),
    404: Verdict(_C.NOT_FOUND, True),
    405: Verdict(_C.CONNECTION_FAILED, False),
    407: Verdict(_C.PROXY_AUTHENTICATION, False),
    408: Verdict(_C.TIMEOUT, True),
    410: Verdict(_C.CONNECTION_FAILED, False),
    421: Verdict(_C.MISDIRECTED, True),
    425: Verdict(_C.TOO_EARLY, True),
    426: Verdict(_C.INVALID_UPGRADE, True),
    429: Verdict(_C.THROTTLED, True),
    500: Verdict(_C.SERVICE_UNAVAILABLE, True),
    501: Verdict(_C.CONNECTION_FAILED, False),
    502: Verdict(_C.SERVICE_UNAVAILABLE, True),
    503: Verdict(_C.SERVICE_UNAVAILABLE, True),
    504: Verdict(_C.SERVICE_UNAVAILABLE, True),
    505: Verdict(_C.CONNECTION_FAILED, False),
}

ERRNOS: Final[dict[int, Verdict]] = {
    errno.ECONNREFUSED: Verdict(_C.CONNECTION_REFUSED, True),
    errno.EHOSTUNREACH: Verdict(_C.UNREACHABLE, True),
    errno.ENETUNREACH: Verdict(_C.UNREACHABLE, True),
    errno.EHOSTDOWN: Verdict(_C.UNREACHABLE, True),
    errno.ENETDOWN: Verdict(_C.UNREACHABLE, True),
    errno.EADDRNOTAVAIL: Verdict(_C.UNREACHABLE, True),
    errno.ECONNRESET: Verdict(_C.NETWORK_ERROR, True),
    errno.ECONNABORTED: Verdict(_C.NETWORK_ERROR, True),
    errno.EPIPE: Verdict(_C.NETWORK_ERROR, True),
    errno.ETIMEDOUT: Verdict(_C.TIMEOUT, True),
    # A missing unix socket is a server that has not started yet; one we may not open stays closed to us.
    errno.ENOENT: Verdict(_C.CONNECTION_REFUSED, True),
    errno.EACCES: Verdict(_C.FORBIDDEN, False),
    errno.EPERM: Verdict(_C.FORBIDDEN, False),
}


def judge_close(code: int, initiator: Initiator | None = None) -> Verdict:
    """Judge a closed connection by its close code (RFC 6455 7.4.2 has the ranges) and by who closed it.

    We send 1011 when the peer does not answer a keepalive ping. A peer sends it when the peer itself has failed.
    """
    if code == 1011 and initiator == "local":
        return Verdict(ErrorCategory.TIMEOUT, True)
    known = CLOSE_CODES.get(code)
    if known is not None:
        return known
    if 3000 <= code <= 4999:
        return Verdict(ErrorCategory.APPLICATION, True)
    return Verdict(ErrorCategory.RESERVED, True)


def judge_status(status: int | None) -> Verdict:
    """Judge the answer to an opening handshake (RFC 6455 4.1) by its status; None means that it was not HTTP.

    None, 1xx and 2xx are invalid upgrades; so is a 101 with a wrong key. A status that is not in the table counts as
    the x00 of its class (RFC 9110 15).
    """
    if status is None:
        return Verdict(ErrorCategory.INVALID_UPGRADE, True)
    known = HTTP_STATUSES.get(status)
    if known is not None:
        return known
    if 500 <= status <= 599:
        return HTTP_STATUSES[500]
    if 300 <= status <= 499:
        return HTTP_STATUSES[400]
    return Verdict(ErrorCategory.INVALID_UPGRADE, True)


def judge_os_error(error: OSError, phase: Phase = "tcp") -> Verdict:
    """Judge an error of the operating system, raised while a connection was made or used."""
    if isinstance(error, socket.gaierror):
        return Verdict(ErrorCategory.DNS_FAILED, True)
    if isinstance(error, ssl.SSLCertVerificationError):
        # An expired certificate will be renewed; a wrong name stays wrong.
        return Verdict(ErrorCategory.TLS_CERTIFICATE, error.verify_code == _CERTIFICATE_EXPIRED)
    if isinstance(error, ssl.SSLEOFError):
        return ERRNOS[errno.ECONNRESET]
    if isinstance(error, ssl.SSLError):
        return Verdict(ErrorCategory.TLS_FAILED, True)
    if isinstance(error, TimeoutError):
        return Verdict(ErrorCategory.TIMEOUT, True)
    number = errno_of(error)
    if number in ERRNOS:
        return ERRNOS[number]
    if isinstance(error, ConnectionRefusedError):
        return ERRNOS[errno.ECONNREFUSED]
    if isinstance(error, ConnectionError):
        # At an end of file asyncio raises these without a number.
        return ERRNOS[errno.ECONNRESET]
    return Verdict(_PHASES.get(phase, ErrorCategory.NETWORK_ERROR), True)


_PHASES: Final[dict[Phase, ErrorCategory]] = {
    "dns": ErrorCategory.DNS_FAILED,
    "proxy": ErrorCategory.PROXY_FAILED,
    "tls": ErrorCategory.TLS_FAILED,
}
