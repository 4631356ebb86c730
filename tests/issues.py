"""What a manager is told of a failure, without a connection that fails, and what its retries make of it."""

import random
import ssl
from typing import Any

from trunkline.manager.failure.issues import ConnectionIssue, categorize
from trunkline.manager.failure.retry import Pause, Retries, RetryPolicy
from trunkline.protocol.errors import ConnectError, HandshakeError, connection_closed

REFUSED = categorize(ConnectError.wrap(ConnectionRefusedError(111, "refused"), "tcp", "host:1"))
EOF_EARLY = categorize(ConnectError.wrap(ConnectionResetError("end of file"), "handshake", "host:1"))
LOST = categorize(connection_closed(1006))


def failed(error: OSError, phase: Any) -> ConnectionIssue:
    """A dial that failed."""
    return categorize(ConnectError.wrap(error, phase, "host:1"))


def closed(code: int, initiator: Any = "remote") -> ConnectionIssue:
    return categorize(connection_closed(code, "", initiator))


def answered(status: int, retry_after: str | None = None) -> ConnectionIssue:
    return categorize(HandshakeError(status, [("Retry-After", retry_after)] if retry_after else []))


def retries(policy: RetryPolicy | None = None, *, seed: int = 1, refreshable: bool = False) -> Retries:
    return Retries(policy or RetryPolicy(), random.Random(seed), refreshable=refreshable)


def pauses(counter: Retries, issue: ConnectionIssue, count: int) -> list[Pause | None]:
    return [counter.after(issue, now) for now in range(count)]


def certificate_error(verify_code: int) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_code, error.verify_message = verify_code, "the words of OpenSSL"
    return error
