"""The exceptions of a managed connection that cannot carry a message.

`connection_id` is the full id, for looking up the connection. The text shows it without secret parameters.
"""

from __future__ import annotations

from typing import Final

from trunkline.manager.failure.issues import ConnectionIssue
from trunkline.manager.redacting import redact
from trunkline.manager.states import ConnectionStatus, DeliveryOutcome
from trunkline.protocol.categories import ErrorCategory, Verdict
from trunkline.protocol.errors import TrunklineError

__all__ = [
    "MessageDropped",
    "NotConnected",
    "OutboxFull",
    "PeerLimitExceeded",
    "ReplyTimeout",
    "SendInterrupted",
    "WaitTimeout",
]

_WHY: Final = {
    "dropped": "a newer message needed its place in the outbox (max_messages, max_bytes)",
    "conflated": "a newer message with the same key replaced it",
    "expired": "it waited in the outbox for longer than max_age",
    "cancelled": "its sender stopped waiting",
    "refused": "the link refused it",
    "stale": "it was for one link only, and that link is gone (generation)",
    "unsent": "the connection ended",
    "unknown": "the link was lost, so nobody knows",
}


class NotConnected(TrunklineError):
    """The connection has ended, so nothing more can be sent or received.

    status: `failed`, `closing` or `closed`. issue: what ended it, None if the program did; the exception that it
    describes is the `__cause__`.
    """

    def __init__(self, connection_id: str, status: ConnectionStatus, issue: ConnectionIssue | None) -> None:
        super().__init__(connection_id, status, issue)
        self.connection_id = connection_id
        self.status = status
        self.issue = issue
        if issue is not None:
            self._verdict = Verdict(issue.category, False)

    def __str__(self) -> str:
        why = f": {self.issue.message}" if self.issue is not None else ""
        return f"connection {redact(self.connection_id)} is {self.status}{why}"


class WaitTimeout(NotConnected, TimeoutError):
    """The connection did not come up in time. Nothing was sent. It keeps trying if others use it."""

    def __init__(
        self, connection_id: str, status: ConnectionStatus, issue: ConnectionIssue | None, timeout: float
    ) -> None:
        super().__init__(connection_id, status, issue)
        self.args = (connection_id, status, issue, timeout)
        self.timeout = timeout
        if issue is not None:
            self._verdict = Verdict(issue.category, True)

    def __str__(self) -> str:
        return f"{super().__str__()}, still after {self.timeout:g} s (timeout)"


class SendInterrupted(NotConnected):
    """The link was lost after the message was written. The peer may have it or not; it is not sent again."""

    def __str__(self) -> str:
        why = f": {self.issue.message}" if self.issue is not None else ""
        return f"connection {redact(self.connection_id)} was lost during a send, so the outcome is unknown{why}"


class OutboxFull(TrunklineError):
    """The outbox has no room for the message, and its policy neither lets it wait nor drops others."""

    _verdict = Verdict(ErrorCategory.OVERLOADED, True)

    def __init__(self, connection_id: str, messages: int, size: int, limits: tuple[int, int]) -> None:
        super().__init__(connection_id, messages, size, limits)
        self.connection_id = connection_id
        self.messages = messages
        self.size = size
        self.limits = limits

    def __str__(self) -> str:
        return (
            f"the outbox of connection {redact(self.connection_id)} holds {self.messages} messages, {self.size} bytes; "
            f"limits {self.limits[0]} (max_messages) and {self.limits[1]} (max_bytes)"
        )


class PeerLimitExceeded(TrunklineError):
    """The message is at least as large as one for which the peer closed the connection with 1009. It was not sent.

    size: bytes of the message. limit: bytes of the largest message on its way when the peer closed; the peer's limit is
    below that. ago: seconds since then. `Connection.forget_peer_limit` allows another try.
    """

    _verdict = Verdict(ErrorCategory.MESSAGE_TOO_BIG, False)

    def __init__(self, connection_id: str, size: int, limit: int, ago: float) -> None:
        super().__init__(connection_id, size, limit, ago)
        self.connection_id = connection_id
        self.size = size
        self.limit = limit
        self.ago = ago

    def __str__(self) -> str:
        known = redact(self.connection_id)
        return (
            f"a message of {self.size} bytes is too big for the peer of connection {known}: it closed "
            f"with 1009 for one of {self.limit} bytes or less {self.ago:.0f} s ago (RFC 6455 7.4.1; forget_peer_limit)"
        )


class MessageDropped(TrunklineError):
    """The message was never written. `outcome` says why."""

    _verdict = Verdict(ErrorCategory.OVERLOADED, True)

    def __init__(self, connection_id: str, outcome: DeliveryOutcome) -> None:
        super().__init__(connection_id, outcome)
        self.connection_id = connection_id
        self.outcome = outcome

    def __str__(self) -> str:
        return f"a message on connection {redact(self.connection_id)} was not sent: {_WHY[self.outcome]}"


class ReplyTimeout(TrunklineError, TimeoutError):
    """The request was written, and no reply came in the time given. A reply that comes later is dropped and counted."""

    _verdict = Verdict(ErrorCategory.TIMEOUT, True)

    def __init__(self, connection_id: str, timeout: float) -> None:
        super().__init__(connection_id, timeout)
        self.connection_id = connection_id
        self.timeout = timeout

    def __str__(self) -> str:
        return f"no reply on connection {redact(self.connection_id)} within {self.timeout:g} s (timeout)"
