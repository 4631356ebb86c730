"""Checks of parameters when a call is made: the error names the parameter, what it is and what it may be.

Otherwise a value of the wrong type would fail far from the call, with an error that does not name it, or pass for
another value. A wrong number raises ValueError, whatever its type. Anything else of the wrong type raises TypeError,
which names only the type, since the value may be a secret.
"""

from __future__ import annotations

import numbers
import os
import socket
import ssl
from collections.abc import Mapping
from typing import Any, Final

__all__ = ["check_kinds", "check_listener", "check_seconds", "check_whole", "is_whole"]

# The types that `check_kinds` allows, and their names in errors. None is always allowed.
KINDS: Final[dict[str, tuple[tuple[type, ...], str]]] = {
    "host": ((str,), "a str"),
    "origin": ((str,), "a str"),
    "proxy": ((str, bool), "a URL, True (for the environment's)"),
    "proxy_ssl": ((ssl.SSLContext,), "an ssl.SSLContext"),
    "server_hostname": ((str,), "a str"),
    "sock": ((socket.socket,), "a socket.socket"),
    "ssl": ((ssl.SSLContext, bool), "an ssl.SSLContext, a bool"),
    "unix": ((str, bytes, os.PathLike), "a path"),
    "user_agent_header": ((str,), "a str"),
}


def check_kinds(options: Mapping[str, Any]) -> None:
    """Raise TypeError if an option has the wrong type. Options that are not in the table pass."""
    for name, value in options.items():
        kinds, words = KINDS.get(name, ((), ""))
        if kinds and value is not None and not isinstance(value, kinds):
            raise TypeError(f"{name} is {type(value).__name__}, must be {words} or None ({name})")


def is_whole(value: object) -> bool:
    """Return whether it is a whole number; a bool is not."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def check_whole(name: str, value: Any, least: int, wanted: str, most: int | None = None) -> None:
    """Raise ValueError unless it is a whole number in bounds.

    Args:
        name: the parameter.
        value: its value.
        least, most: the bounds, inclusive; `most` may be None for no upper bound.
        wanted: what is allowed, in words for the error.
    """
    if not is_whole(value):
        raise ValueError(f"{name} is {value!r}, must be a whole number, {wanted}")
    if value < least or (most is not None and value > most):
        raise ValueError(f"{name} is {value!r}, must be {wanted}")


def check_seconds(name: str, value: Any) -> None:
    """Raise ValueError unless it is a number of seconds above 0."""
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not is_number or not value > 0:  # NaN is not
        raise ValueError(f"{name} is {value!r}, must be more than 0 seconds")


def check_listener(listener: object) -> None:
    """Raise TypeError unless it can take a connection's messages; None is allowed, for no listener."""
    if isinstance(listener, type):
        raise TypeError(f"listener is the class {listener.__name__}, must be an instance of one or None (listener)")
    if listener is not None and not hasattr(listener, "on_message") and not hasattr(listener, "on_batch"):
        seen = type(listener).__name__
        raise TypeError(f"listener is {seen}, must be an object with on_message or on_batch, or None (listener)")
