"""Exit statuses of the commands, and the messages on standard error that go with them."""

from __future__ import annotations

import enum
import sys

import trunkline
from trunkline.protocol.wording import printable

__all__ = ["CONNECTING", "Exit", "explain", "give_up"]


class Exit(enum.IntEnum):
    """Exit statuses that commands share; `doctor` has more."""

    CLOSED = 0
    BROKEN = 1
    USAGE = 2  # argparse's own
    UNREACHABLE = 3
    REFUSED = 4
    MISSING = 5
    INTERRUPTED = 130  # 128 + SIGINT, as in shells


# What `connect` raises if it cannot connect.
CONNECTING = (trunkline.ConnectError, trunkline.HandshakeError, trunkline.InvalidURI, trunkline.LocalProtocolError)


def explain(error: Exception) -> int:
    """Print why `connect` failed and return the exit status. error: one of CONNECTING."""
    if isinstance(error, trunkline.ConnectError):
        return give_up(str(error), Exit.UNREACHABLE)
    if isinstance(error, trunkline.HandshakeError):
        return give_up(str(error), Exit.REFUSED)
    return give_up(str(error), Exit.USAGE)


def give_up(text: str, status: Exit) -> int:
    """Print why the command ends and return the exit status."""
    print(f"trunkline: {printable(text)}", file=sys.stderr, flush=True)
    return status
