"""What a managed connection raises when it cannot carry a message."""

from __future__ import annotations

from trunkline.manager.states import ConnectionStatus
from trunkline.manager.taxonomy import ConnectionIssue
from trunkline.protocol.categories import Verdict
from trunkline.protocol.errors import TrunklineError

__all__ = ["NotConnected", "SendInterrupted", "WaitTimeout"]


class NotConnected(TrunklineError):
    """The connection has ended, so that nothing more can be sent or received.

    status: `failed`, `closing` or `closed`. issue: what ended it, None if the program did.
    The exception that the issue was made from is the `__cause__`.
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
        return f"connection {self.connection_id} is {self.status}{why}"


class WaitTimeout(NotConnected, TimeoutError):
    """The connection did not come up in the time given. Nothing was sent; the connection goes on trying."""

    def __init__(
        self, connection_id: str, status: ConnectionStatus, issue: ConnectionIssue | None, timeout: float
    ) -> None:
        super().__init__(connection_id, status, issue)
        self.args = (connection_id, status, issue, timeout)
        self.timeout = timeout
        if issue is not None:
            self._verdict = Verdict(issue.category, True)

    def __str__(self) -> str:
        return f"{super().__str__()}, still so after {self.timeout:g} s (timeout)"


class SendInterrupted(NotConnected):
    """The link was lost while the message was being written: the peer may have it, or not. It is not sent again."""

    def __str__(self) -> str:
        why = f": {self.issue.message}" if self.issue is not None else ""
        return f"connection {self.connection_id} was lost in the middle of a send, its outcome is unknown{why}"
