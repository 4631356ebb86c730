"""Standard output that nobody reads any more."""

from __future__ import annotations

import os
import sys

__all__ = ["silence"]


def silence() -> None:
    """Discard further output. Without this, Python reports another BrokenPipeError when it flushes at exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
