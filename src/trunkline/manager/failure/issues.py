"""Turns an exception or a close into a `ConnectionIssue`: what happened, who did it, whether to try again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol, runtime_checkable

from trunkline.protocol.categories import ErrorCategory, Initiator, Phase, Verdict, judge_os_error
from trunkline.protocol.errors import (
    ConnectError,
    ConnectionClosed,
    HandshakeError,
    ProxyError,
    TrunklineError,
    connection_closed,
)
from trunkline.protocol.oserrors import errno_of
from trunkline.protocol.waits import read_close_reason

__all__ = ["ConnectionIssue", "CredentialsError", "IssuePhase", "SupportsClose", "categorize"]

MAX_MESSAGE: Final = 1000  # characters: an exception of the program may quote its input

IssuePhase = Phase | Literal["credentials"]


class CredentialsError(TrunklineError):
    """A service's callable for credentials raised. Its exception, the `__cause__`, determines whether to retry."""

    def __init__(self, message: str, *, recoverable: bool = False) -> None:
        super().__init__(message)
        self._verdict = Verdict(ErrorCategory.AUTHENTICATION_FAILED, recoverable)


@runtime_checkable
class SupportsClose(Protocol):
    """A close as a `Listener` receives it."""

    @property
    def code(self) -> int:
        """The close code (RFC 6455 7.1.5)."""

    @property
    def reason(self) -> str:
        """The close reason."""

    @property
    def initiator(self) -> Initiator | None:
        """Who sent the first close frame; None if nobody did."""


@dataclass(frozen=True, slots=True)
class ConnectionIssue:
    """One failure of a connection.

    Attributes:
        category: the kind of failure.
        message: a description for people, up to 1,000 characters.
        recoverable: whether trying again can help.
        phase: how far the attempt had come: "credentials", "dns", "tcp", "proxy", "tls", "handshake" or "open".
        code: a close code, an HTTP status (also a proxy's) or an errno, depending on `phase`; None if there is none.
        details: the close reason, or the headers and body of an answer. They may hold secrets, so the repr omits them.
        retry_after: seconds that the peer asked us to wait, in a header field or in the close reason.
        initiator: who closed the connection; None if nobody did, or if it was never open.
    """

    category: ErrorCategory
    message: str
    code: int | None = None
    details: Mapping[str, Any] = field(default_factory=dict, repr=False)
    recoverable: bool = False
    retry_after: float | None = None
    phase: IssuePhase = "open"
    initiator: Initiator | None = None

    def explain(self, retry: int | None = None, delay: float | None = None) -> str:
        """Return the issue as a sentence, with the number of the next retry and the seconds until then."""
        if delay is None:
            return self.message
        which = "retry" if retry is None else f"retry {retry}"
        return f"{which} in {delay:.1f} s: {self.message}"


def categorize(seen: BaseException | SupportsClose) -> ConnectionIssue:
    """Return the issue for what ended an attempt or a link: any exception, or a close as a `Listener` receives it."""
    if isinstance(seen, HandshakeError):
        return _from_answer(seen)
    if isinstance(seen, ConnectionClosed):
        return _from_close(seen)
    if isinstance(seen, TrunklineError):
        return _from_error(seen)
    if isinstance(seen, OSError):
        verdict = judge_os_error(seen)
        text, code = _text(seen), errno_of(seen)
        return ConnectionIssue(verdict.category, text, code, recoverable=verdict.recoverable, phase="tcp")
    if isinstance(seen, BaseException):
        # Not a connection error but a fault in the program, which a retry would meet again.
        return ConnectionIssue(ErrorCategory.CONNECTION_FAILED, _text(seen), details={"exception": type(seen).__name__})
    return _from_close(connection_closed(seen.code, seen.reason, seen.initiator))


def _from_close(closed: ConnectionClosed) -> ConnectionIssue:
    return ConnectionIssue(
        closed.category,
        str(closed),
        closed.code,
        {"reason": closed.reason},
        recoverable=closed.recoverable,
        retry_after=read_close_reason(closed.reason) if closed.initiator == "remote" else None,
        initiator=closed.initiator,
    )


def _from_answer(error: HandshakeError) -> ConnectionIssue:
    message = str(error)
    if error.retry_after is not None:
        message = f"{error.status} with Retry-After {error.retry_after:g}"
    return ConnectionIssue(
        error.category,
        message,
        error.status,
        {"headers": error.headers, "body": error.body},
        recoverable=error.recoverable,
        retry_after=error.retry_after,
        phase="handshake",
    )


def _from_error(error: TrunklineError) -> ConnectionIssue:
    phase: IssuePhase = "open"
    code = None
    if isinstance(error, ProxyError):
        phase, code = error.phase, error.status
    elif isinstance(error, ConnectError):
        phase, code = error.phase, error.errno
    elif isinstance(error, CredentialsError):
        phase = "credentials"
    return ConnectionIssue(error.category, _cut(str(error)), code, recoverable=error.recoverable, phase=phase)


def _text(error: BaseException) -> str:
    return _cut(f"{type(error).__name__}: {error}") if str(error) else type(error).__name__


def _cut(text: str) -> str:
    return text if len(text) <= MAX_MESSAGE else f"{text[:MAX_MESSAGE]}…"
