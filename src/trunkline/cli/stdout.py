"""Standard output that somebody may have stopped to read."""

from __future__ import annotations

import os
import sys

__all__ = ["silence"]


def silence() -> None:
    """Let whatever is still printed go nowhere; Python would complain once more when it flushes at exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
