"""How failures are put into words, for the text of an error or a line of a log."""

from __future__ import annotations

import socket
import ssl
from typing import Final

from trunkline.protocol.categories import CLOSE_NAMES, Phase
from trunkline.protocol.oserrors import words_for

__all__ = ["describe_close_code", "describe_os_error", "describe_phase", "printable"]

_PHASES: Final[dict[Phase, str]] = {
    "dns": "cannot resolve",
    "tls": "cannot set up TLS with",
    "proxy": "cannot connect through proxy",
}


def printable(text: str) -> str:
    """Return `text` with each character that a terminal or a log could act on replaced by its escape."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text)


def describe_close_code(code: int) -> str:
    """Return a close code with its name, or with the range it is in: "1001 (going away)"."""
    name = CLOSE_NAMES.get(code)
    if name is None:
        name = "private use" if 4000 <= code <= 4999 else "registered" if 3000 <= code <= 3999 else "reserved"
    return f"{code} ({name})"


def describe_phase(phase: Phase) -> str:
    """Return what could not be done in this phase; an address follows it."""
    return _PHASES.get(phase, "cannot connect to")


def describe_os_error(error: OSError) -> str:
    """Return the system's words for an error, without addresses."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    if isinstance(error, (ssl.SSLError, socket.gaierror)) or error.errno is None:
        return str(error.strerror or error) or type(error).__name__
    return words_for(error)
