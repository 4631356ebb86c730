"""How commands end: exit statuses, and the words on standard error that go with them."""

from __future__ import annotations

import enum
import sys

import trunkline
from trunkline.protocol.wording import printable

__all__ = ["CONNECTING", "Exit", "explain", "give_up"]


class Exit(enum.IntEnum):
    """Exit statuses; `doctor` has more of its own."""

    CLOSED = 0
    BROKEN = 1
    USAGE = 2  # argparse's own
    UNREACHABLE = 3
    REFUSED = 4
    MISSING = 5
    INTERRUPTED = 130  # 128 and SIGINT, as shells have it


# What `connect` raises when no connection comes up.
CONNECTING = (trunkline.ConnectError, trunkline.HandshakeError, trunkline.InvalidURI, trunkline.LocalProtocolError)


def explain(error: Exception) -> int:
    """Say why no connection came up, one of CONNECTING; gives the exit status."""
    if isinstance(error, trunkline.ConnectError):
        return give_up(str(error), Exit.UNREACHABLE)
    if isinstance(error, trunkline.HandshakeError):
        return give_up(str(error), Exit.REFUSED)
    return give_up(str(error), Exit.USAGE)


def give_up(text: str, status: Exit) -> int:
    """Say why the command ends; gives the exit status."""
    print(f"trunkline: {printable(text)}", file=sys.stderr, flush=True)
    return status
