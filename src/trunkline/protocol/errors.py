"""The exceptions of trunkline.

The type says whose fault it is. The text says what was seen, the limit, the parameter that sets it and the section of
the RFC. The data is on attributes.

    TrunklineError                the root: .category .recoverable
     ├ ConnectionClosed           an open connection ended: .code .reason .initiator
     │  ├ ConnectionClosedOK      1000 or 1001
     │  └ ConnectionClosedError   anything else
     │     ├ RemoteProtocolError  the peer broke RFC 6455, so we failed the connection: wsproto's error too
     │     └ MessageTooBig        a message was over max_size, so we failed the connection: 1009
     ├ ConnectError               could not connect: an OSError too, .errno .phase
     │  ├ OpenTimeout             not open within open_timeout: a TimeoutError too
     │  └ ProxyError              the proxy refused: .status .reason .headers .body
     ├ HandshakeError             the answer was not a valid 101: .status .headers .body .retry_after
     ├ InvalidURI                 not a WebSocket URL: a ValueError too
     ├ LocalProtocolError         your program asked to break RFC 6455: wsproto's error too
     ├ SlowConsumer               too many bytes are waiting to be sent: .pending .limit
     ├ SendTimeout                no room within send_timeout: a TimeoutError too, .pending .timeout
     ├ WrongThread                used outside its event loop: a RuntimeError too
     └ DecodeError                a payload does not match its type: a ValueError too, .payload
"""

from __future__ import annotations

import http
import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Self

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
from trunkline.protocol.oserrors import errno_of
from trunkline.protocol.waits import read_retry_after
from trunkline.protocol.wording import describe_close_code, describe_os_error, describe_phase, printable

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
]


class TrunklineError(Exception):
    """The base class of trunkline's exceptions."""

    _verdict: Verdict = Verdict(ErrorCategory.CONNECTION_FAILED, False)

    @property
    def category(self) -> ErrorCategory:
        """The kind of failure."""
        return self._verdict.category

    @property
    def recoverable(self) -> bool:
        """Whether trying again can help."""
        return self._verdict.recoverable

    def __repr__(self) -> str:
        # Exception.__repr__ would show every argument, including headers, bodies and payloads.
        return f"{type(self).__name__}({str(self)!r})"


class ConnectionClosed(TrunklineError):
    """The connection is closed. Raised by every call that waits on the connection or uses it.

    Args:
        code: the close code (RFC 6455 7.1.5); 1005 if the close frame had none, 1006 if the transport was lost.
        reason: the close reason; "" if there is none.
        initiator: which side sent the first close frame, "local" or "remote"; None if neither did.
    """

    __slots__ = ("_ended",)  # weak reference to the connection; a copy, or one from another process, has none

    def __init__(self, code: int, reason: str = "", initiator: Initiator | None = None) -> None:
        # Not super(): in some subclasses wsproto's RemoteProtocolError comes next, and takes other arguments.
        Exception.__init__(self, code, reason, initiator)
        self.code = code
        self.reason = reason
        self.initiator = initiator
        self._verdict = judge_close(code, initiator)

    def of(self, connection: object) -> Self:
        """Record which connection ended, without keeping it alive. It may be given as a weak reference."""
        self._ended = connection if isinstance(connection, weakref.ref) else weakref.ref(connection)
        return self

    def is_end_of(self, connection: object) -> bool:
        """Return whether this connection is the one that ended."""
        ended: Callable[[], object] | None = getattr(self, "_ended", None)
        return ended is not None and ended() is connection

    def __str__(self) -> str:
        verb = {"local": "sent ", "remote": "received "}.get(self.initiator or "", "")
        reason = f" {printable(self.reason)}" if self.reason else ""
        return f"{verb}{describe_close_code(self.code)}{reason}"


class ConnectionClosedOK(ConnectionClosed):
    """The connection closed normally: 1000 (normal closure) or 1001 (going away)."""


class ConnectionClosedError(ConnectionClosed):
    """The connection closed with any other code, or was lost."""


class RemoteProtocolError(ConnectionClosedError, wsproto.utilities.RemoteProtocolError):
    """The peer broke RFC 6455, so we failed the connection (7.1.7).

    Args:
        message: the text of the error.
        event_hint: the event to send to the peer, as in wsproto; None if there is none.
        code: the close code we failed it with: 1002, 1007 or 1008.
        detail: what was seen and which rule it breaks, for a log, when `message` is wsproto's and says less; or "".
    """

    def __init__(self, message: str, event_hint: Event | None = None, *, code: int = 1002, detail: str = "") -> None:
        super().__init__(code, message, "local")
        self.args = (message,)
        self.event_hint = event_hint
        self.detail = detail

    def __str__(self) -> str:
        return self.reason


class MessageTooBig(ConnectionClosedError):
    """The peer sent a message larger than `max_size`, so we failed the connection with 1009 (RFC 6455 7.4.1)."""

    def __init__(self, message: str) -> None:
        super().__init__(1009, message, "local")
        self.args = (message,)

    def __str__(self) -> str:
        return self.reason


def connection_closed(code: int, reason: str = "", initiator: Initiator | None = None) -> ConnectionClosed:
    """Return the exception for a close: ConnectionClosedOK for 1000 and 1001, ConnectionClosedError otherwise."""
    kind = ConnectionClosedOK if code in (1000, 1001) else ConnectionClosedError
    return kind(code, reason, initiator)


class ConnectError(TrunklineError, OSError):
    """Could not connect.

    Args:
        message: the text of the error.
        errno: the system's error number (an EAI_ number if phase is "dns"), or None.
        phase: how far the attempt got: "dns", "tcp", "proxy", "tls" or "handshake".
        verdict: its category and whether to try again; by default, what the number and the phase say.
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
        """Return the error for `cause`, and set it as `__cause__`. `where` is the address, as people read it."""
        error = cls(
            f"{describe_phase(phase)} {where}: {describe_os_error(cause)}",
            errno=errno_of(cause),
            phase=phase,
            verdict=judge_os_error(cause, phase),
        )
        error.__cause__ = cause
        return error

    def __str__(self) -> str:
        return str(self.args[0])

    def __reduce__(self) -> tuple[Any, ...]:
        # OSError keeps errno in a slot of its own, which the default does not copy.
        return type(self), self.args, {**self.__dict__, "errno": self.errno}


class OpenTimeout(ConnectError, TimeoutError):
    """The connection was not open within `open_timeout` seconds, from the name look-up to the end of the handshake."""

    def __init__(self, message: str, *, errno: int | None = None, phase: Phase = "tcp") -> None:
        super().__init__(message, errno=errno, phase=phase, verdict=Verdict(ErrorCategory.TIMEOUT, True))


class ProxyError(ConnectError):
    """The proxy did not open the tunnel.

    Args:
        message: the text of the error.
        status: the proxy's answer to CONNECT (RFC 9110 9.3.6) or its SOCKS reply (RFC 1928 6); None if it gave none.
        refuses_us: the proxy rejects our credentials, as 407 always means.
        reason: the reason phrase of the answer to CONNECT.
        headers: the answer's fields as (name, value) pairs, including `Proxy-Authenticate`.
        body: the part of the answer's body that was read, at most 64 KiB.
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
    """The server's answer was not a valid 101 (RFC 6455 4.1).

    Args:
        status: the HTTP status; None if the answer was not HTTP.
        headers: the fields as received, as (name, value) pairs.
        body: the part of the body that was read.
        detail: what was wrong, if the status alone does not say it.
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
        """How many seconds the server asks us to wait (Retry-After, RFC 9110 10.2.3); None if absent or malformed.

        A date is compared with the answer's own Date, so the two clocks need not agree.
        """
        fields = {name.lower(): value.strip() for name, value in self.headers}
        return read_retry_after(fields.get("retry-after", ""), fields.get("date", ""))

    def __str__(self) -> str:
        if self.status is None:
            seen = "the server's answer is not HTTP"
        else:
            phrase = http.HTTPStatus(self.status).phrase if self.status in set(http.HTTPStatus) else ""
            seen = f"the server answered {self.status} {phrase}".rstrip()
        return f"{seen}: {printable(self.detail)}" if self.detail else f"{seen}, expected 101 (RFC 6455 4.1)"


class InvalidURI(TrunklineError, ValueError):
    """The address is not a WebSocket URL (RFC 6455 3)."""


class LocalProtocolError(TrunklineError, wsproto.utilities.LocalProtocolError):
    """Your program asked for something that RFC 6455 or the connection's state forbids. Nothing was sent."""

    _verdict = Verdict(ErrorCategory.PROTOCOL_ERROR, False)


class SlowConsumer(TrunklineError):
    """The peer is reading too slowly: `pending` bytes are waiting to be sent, and `limit` is the maximum."""

    _verdict = Verdict(ErrorCategory.OVERLOADED, True)

    def __init__(self, pending: int, limit: int) -> None:
        super().__init__(pending, limit)
        self.pending = pending
        self.limit = limit

    def __str__(self) -> str:
        return f"{self.pending} bytes are waiting to be sent, limit {self.limit} (write_limit)"


class WrongThread(TrunklineError, RuntimeError):
    """An object was used outside its event loop or its thread. Nothing was done."""

    _verdict = Verdict(ErrorCategory.PROTOCOL_ERROR, False)

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what

    def __str__(self) -> str:
        return (
            f"{self.what} was used outside of its event loop's thread: "
            "use asyncio.run_coroutine_threadsafe or loop.call_soon_threadsafe"
        )


class SendTimeout(TrunklineError, TimeoutError):
    """The peer is reading so slowly that there was no room for a message within `timeout` seconds (`send_timeout`).

    The message was not sent and the connection stays open: send it again, or close. The exception is a fragmented
    message of which a part was sent: that connection is failed with 1011. `pending` bytes are waiting to be sent.
    """

    _verdict = Verdict(ErrorCategory.OVERLOADED, True)

    def __init__(self, pending: int, timeout: float) -> None:
        super().__init__(pending, timeout)
        self.errno = self.strerror = None  # OSError sets them from two arguments
        self.pending = pending
        self.timeout = timeout

    def __str__(self) -> str:
        waited = f"no room in {self.timeout:g} s (send_timeout)"
        return f"the peer is reading too slowly: {self.pending} bytes are waiting, {waited}"


class DecodeError(TrunklineError, ValueError):
    """A message does not match its type; `payload` is what was received. The connection stays open."""

    _verdict = Verdict(ErrorCategory.INVALID_DATA, True)

    def __init__(self, message: str, payload: str | bytes = b"") -> None:
        super().__init__(message, payload)
        self.payload = payload

    def __str__(self) -> str:
        return printable(str(self.args[0]))
