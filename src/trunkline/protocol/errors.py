"""The exceptions of trunkline.

The type says whose doing it was; the text says what was seen, the limit, the parameter that sets it and the section;
data is on attributes.

    TrunklineError                the root: .category .recoverable
     ├ ConnectionClosed           an open connection ended: .code .reason .initiator
     │  ├ ConnectionClosedOK      1000 or 1001
     │  └ ConnectionClosedError   anything else
     │     ├ RemoteProtocolError  the peer broke RFC 6455, we failed the connection: wsproto's error too
     │     └ MessageTooBig        the peer's message is over max_size, we failed the connection: 1009
     ├ ConnectError               no link came up: an OSError too, .errno .phase
     │  ├ OpenTimeout             open_timeout passed: a TimeoutError too
     │  └ ProxyError              the proxy would not: .status .reason .headers .body
     ├ HandshakeError             another answer than a valid 101: .status .headers .body .retry_after
     ├ InvalidURI                 no WebSocket URL: a ValueError too
     ├ LocalProtocolError         we were asked to break RFC 6455: wsproto's error too
     ├ SlowConsumer               more waits to be sent than may: .pending .limit
     ├ SendTimeout                too little was taken in send_timeout: a TimeoutError too, .pending .timeout
     ├ WrongThread                used outside of its event loop: a RuntimeError too
     └ DecodeError                a payload does not fit its type: a ValueError too, .payload
"""

from __future__ import annotations

import http
import socket
import ssl
import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final, Self

import wsproto.utilities

from trunkline.protocol.categories import (
    ErrorCategory,
    Initiator,
    Phase,
    Verdict,
    judge_close,
    judge_os_error,
    judge_status,
)
from trunkline.protocol.oserrors import errno_of, words_for
from trunkline.protocol.waits import read_retry_after

if TYPE_CHECKING:
    from wsproto.events import Event

__all__ = [
    "ConnectError",
    "ConnectionClosed",
    "ConnectionClosedError",
    "ConnectionClosedOK",
    "DecodeError",
    "HandshakeError",
    "InvalidURI",
    "LocalProtocolError",
    "MessageTooBig",
    "OpenTimeout",
    "ProxyError",
    "RemoteProtocolError",
    "SendTimeout",
    "SlowConsumer",
    "TrunklineError",
    "WrongThread",
    "connection_closed",
    "describe_os_error",
    "printable",
]

# RFC 6455 7.4.1 and the IANA registry; the words of the registry, in lower case.
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


def printable(text: str) -> str:
    """`text` with everything a terminal or a log line could act upon written as an escape."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text)


def _describe_code(code: int) -> str:
    name = CLOSE_NAMES.get(code)
    if name is None:
        name = "private use" if 4000 <= code <= 4999 else "registered" if 3000 <= code <= 3999 else "reserved"
    return f"{code} ({name})"


class TrunklineError(Exception):
    """The root of the tree. `category` says what kind of failure it is, `recoverable` whether trying again can help."""

    _verdict: Verdict = Verdict(ErrorCategory.CONNECTION_FAILED, False)

    @property
    def category(self) -> ErrorCategory:
        """What kind of failure it is."""
        return self._verdict.category

    @property
    def recoverable(self) -> bool:
        """Whether trying again can help."""
        return self._verdict.recoverable

    def __repr__(self) -> str:
        # Exception.__repr__ would show every argument: headers, bodies and payloads among them.
        return f"{type(self).__name__}({str(self)!r})"


class ConnectionClosed(TrunklineError):
    """The connection is closed. Raised by whatever waits on it or wants to use it.

    code: the close code (RFC 6455 7.1.5), 1005 for a close frame without one, 1006 for a transport that was lost.
    reason: the close reason, "" if there is none.
    initiator: "local" or "remote", whoever sent the first close frame; None when no close frame was seen.
    """

    __slots__ = ("_ended",)  # weak reference to the connection; a copy, or one from another process, has none

    def __init__(self, code: int, reason: str = "", initiator: Initiator | None = None) -> None:
        # By name: wsproto's RemoteProtocolError stands between some of us and Exception, and takes other arguments.
        Exception.__init__(self, code, reason, initiator)
        self.code = code
        self.reason = reason
        self.initiator = initiator
        self._verdict = judge_close(code, initiator)

    def of(self, connection: object) -> Self:
        """Note which connection ended, given itself or as a weak reference. It is not kept alive."""
        self._ended = connection if isinstance(connection, weakref.ref) else weakref.ref(connection)
        return self

    def is_end_of(self, connection: object) -> bool:
        """Whether it was this connection that ended."""
        ended: Callable[[], object] | None = getattr(self, "_ended", None)
        return ended is not None and ended() is connection

    def __str__(self) -> str:
        verb = {"local": "sent ", "remote": "received "}.get(self.initiator or "", "")
        reason = f" {printable(self.reason)}" if self.reason else ""
        return f"{verb}{_describe_code(self.code)}{reason}"


class ConnectionClosedOK(ConnectionClosed):
    """The connection ended as it should: 1000 (normal closure) or 1001 (going away)."""


class ConnectionClosedError(ConnectionClosed):
    """The connection ended in any other way."""


class RemoteProtocolError(ConnectionClosedError, wsproto.utilities.RemoteProtocolError):
    """The peer broke RFC 6455, so we failed the connection (7.1.7) with `code`: 1002, 1007 or 1008.

    `event_hint` is wsproto's: the event that would tell the peer, or None. `detail`: what was seen and which rule it
    breaks, for a log, where the text is wsproto's and says less; "" otherwise.
    """

    def __init__(self, message: str, event_hint: Event | None = None, *, code: int = 1002, detail: str = "") -> None:
        super().__init__(code, message, "local")
        self.args = (message,)
        self.event_hint = event_hint
        self.detail = detail

    def __str__(self) -> str:
        return self.reason


class MessageTooBig(ConnectionClosedError):
    """The peer sent more than `max_size` in one message, so we failed the connection with 1009 (RFC 6455 7.4.1)."""

    def __init__(self, message: str) -> None:
        super().__init__(1009, message, "local")
        self.args = (message,)

    def __str__(self) -> str:
        return self.reason


def connection_closed(code: int, reason: str = "", initiator: Initiator | None = None) -> ConnectionClosed:
    """The exception for a close: ConnectionClosedOK for 1000 and 1001, ConnectionClosedError otherwise."""
    kind = ConnectionClosedOK if code in (1000, 1001) else ConnectionClosedError
    return kind(code, reason, initiator)


class ConnectError(TrunklineError, OSError):
    """No link came up.

    errno: the system's number (an EAI_ number when phase is "dns"), or None.
    phase: how far the attempt got: "dns", "tcp", "proxy", "tls" or "handshake".
    """

    def __init__(
        self, message: str, *, errno: int | None = None, phase: Phase = "tcp", verdict: Verdict | None = None
    ) -> None:
        OSError.__init__(self, errno, message)
        self.args = (message,)
        self.phase: Phase = phase
        self._verdict = verdict or judge_os_error(self, phase)

    @classmethod
    def wrap(cls, cause: OSError, phase: Phase, where: str) -> ConnectError:
        """The error for `cause`, which is its `__cause__` as well; `where` is the address as people read it."""
        error = cls(
            f"{_PHASE_TEXTS.get(phase, 'cannot connect to')} {where}: {describe_os_error(cause)}",
            errno=errno_of(cause),
            phase=phase,
            verdict=judge_os_error(cause, phase),
        )
        error.__cause__ = cause
        return error

    def __str__(self) -> str:
        return str(self.args[0])

    def __reduce__(self) -> tuple[Any, ...]:
        # errno lives in OSError's own slot, which the default leaves behind.
        return type(self), self.args, {**self.__dict__, "errno": self.errno}


_PHASE_TEXTS: Final[dict[Phase, str]] = {
    "dns": "cannot find",
    "tls": "no TLS with",
    "proxy": "no way through proxy",
}


def describe_os_error(error: OSError) -> str:
    """What the system says, without addresses."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    if isinstance(error, (ssl.SSLError, socket.gaierror)) or error.errno is None:
        return str(error.strerror or error) or type(error).__name__
    return words_for(error)


class OpenTimeout(ConnectError, TimeoutError):
    """The connection was not open after `open_timeout` seconds, from the name look-up to the end of the handshake."""

    def __init__(self, message: str, *, errno: int | None = None, phase: Phase = "tcp") -> None:
        super().__init__(message, errno=errno, phase=phase, verdict=Verdict(ErrorCategory.TIMEOUT, True))


class ProxyError(ConnectError):
    """The proxy would not make the tunnel.

    Args:
        message: what the error says.
        status: the proxy's answer to CONNECT (RFC 9110 9.3.6) or its SOCKS reply (RFC 1928 6); None if it gave none.
        refuses_us: it wants other credentials, as 407 always means.
        reason: the reason phrase of the answer to CONNECT.
        headers: name and value pairs of that answer, `Proxy-Authenticate` among them.
        body: as much of its body as was read, 64 KiB at most.
    """

    def __init__(
        self,
        message: str,
        status: int | None = None,
        *,
        refuses_us: bool = False,
        reason: str = "",
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
    ) -> None:
        refused = refuses_us or status == 407
        category = ErrorCategory.PROXY_AUTHENTICATION if refused else ErrorCategory.PROXY_FAILED
        super().__init__(message, phase="proxy", verdict=Verdict(category, not refused))
        self.status = status
        self.reason = reason
        self.headers: Sequence[tuple[str, str]] = headers if isinstance(headers, Sequence) else list(headers)
        self.body = body


class HandshakeError(TrunklineError):
    """The server gave another answer than a valid 101 (RFC 6455 4.1).

    status: the HTTP status, None if the answer was no HTTP at all.
    headers: name and value pairs as received. body: as much of it as was read.
    detail: what was wrong, when the status alone does not say it.
    """

    def __init__(
        self,
        status: int | None,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
        detail: str = "",
    ) -> None:
        super().__init__(status, headers, body, detail)
        self.status = status
        self.headers: Sequence[tuple[str, str]] = headers if isinstance(headers, Sequence) else list(headers)
        self.body = body
        self.detail = detail
        self.args = (status, self.headers, body, detail)
        self._verdict = judge_status(status)

    @property
    def retry_after(self) -> float | None:
        """Seconds that the server asks us to wait (Retry-After, RFC 9110 10.2.3); None if it does not, or not legibly.

        A date is read against the answer's own Date, so that no clock of ours has to agree with the server's.
        """
        fields = {name.lower(): value.strip() for name, value in self.headers}
        return read_retry_after(fields.get("retry-after", ""), fields.get("date", ""))

    def __str__(self) -> str:
        if self.status is None:
            seen = "the server's answer is not HTTP"
        else:
            phrase = http.HTTPStatus(self.status).phrase if self.status in set(http.HTTPStatus) else ""
            seen = f"the server answered {self.status} {phrase}".rstrip()
        return f"{seen}: {printable(self.detail)}" if self.detail else f"{seen}, wanted 101 (RFC 6455 4.1)"


class InvalidURI(TrunklineError, ValueError):
    """The address is no WebSocket URL (RFC 6455 3)."""


class LocalProtocolError(TrunklineError, wsproto.utilities.LocalProtocolError):
    """The program asked for something that RFC 6455 or the state of the connection forbids; nothing was sent."""

    _verdict = Verdict(ErrorCategory.PROTOCOL_ERROR, False)


class SlowConsumer(TrunklineError):
    """The peer reads too slowly: `pending` bytes wait to be sent, `limit` is the most that may."""

    _verdict = Verdict(ErrorCategory.OVERLOADED, True)

    def __init__(self, pending: int, limit: int) -> None:
        super().__init__(pending, limit)
        self.pending = pending
        self.limit = limit

    def __str__(self) -> str:
        return f"{self.pending} bytes wait to be sent, limit {self.limit} (write_limit)"


class WrongThread(TrunklineError, RuntimeError):
    """Something that belongs to an event loop was used in another thread, or in another loop; nothing was done."""

    _verdict = Verdict(ErrorCategory.PROTOCOL_ERROR, False)

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what

    def __str__(self) -> str:
        return (
            f"{self.what} was used outside of its event loop's thread: "
            "use asyncio.run_coroutine_threadsafe or loop.call_soon_threadsafe there"
        )


class SendTimeout(TrunklineError, TimeoutError):
    """The peer took so little that a message could not be sent for `timeout` seconds (`send_timeout`).

    Nothing of the message was sent and the connection goes on: send it again, or close. Only of a message in fragments
    some may have been; such a connection is failed with 1011. `pending` bytes wait to be sent.
    """

    _verdict = Verdict(ErrorCategory.OVERLOADED, True)

    def __init__(self, pending: int, timeout: float) -> None:
        super().__init__(pending, timeout)
        self.errno = self.strerror = None  # what an OSError makes of two arguments
        self.pending = pending
        self.timeout = timeout

    def __str__(self) -> str:
        return f"the peer reads too slowly: {self.pending} bytes wait, no room after {self.timeout:g} s (send_timeout)"


class DecodeError(TrunklineError, ValueError):
    """A payload does not fit the type it should have; `payload` is what was received. The connection goes on."""

    _verdict = Verdict(ErrorCategory.INVALID_DATA, True)

    def __init__(self, message: str, payload: str | bytes = b"") -> None:
        super().__init__(message, payload)
        self.payload = payload

    def __str__(self) -> str:
        return printable(str(self.args[0]))
