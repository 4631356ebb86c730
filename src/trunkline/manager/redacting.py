"""Hides secrets in ids and URLs: passwords, and values of parameters whose names sound secret.

Ids and URLs may contain anything that a stranger sent, so every step takes linear time and looks at no more than
`MAX_SHOWN` characters.
"""

from __future__ import annotations

import dataclasses
import re
from typing import Any, Final

__all__ = ["MAX_SHOWN", "is_secret", "redact", "redacted_repr"]

MAX_SHOWN: Final = 4096  # characters; a request line has up to 8 KiB

_NAME: Final = re.compile(r"token|secret|passw|key|auth|credential|session|signature", re.IGNORECASE)
_USER: Final = re.compile(r"://[^/\s@]*@")  # user and password of a URL
_ENDS: Final = re.compile(r"([&\s])")  # the end of a parameter


def is_secret(name: str) -> bool:
    """Return whether the name of a parameter sounds as if its value is secret."""
    return _NAME.search(name) is not None


def redact(text: str) -> str:
    """Return an id, or a text with URLs, without users, passwords and the values of secret parameters.

    A text longer than `MAX_SHOWN` characters is cut, with a note of how much is missing.
    """
    # Cut first: a name that is cut off has no value left to hide.
    hidden = _hide(text[:MAX_SHOWN])
    return hidden if len(text) <= MAX_SHOWN else f"{hidden}… ({len(text) - MAX_SHOWN} more characters)"


def _hide(text: str) -> str:
    # `_ENDS` has a group, so the list alternates: part, separator, part, ...
    pieces = _ENDS.split(_USER.sub("://...@", text))
    for index in range(0, len(pieces), 2):
        if "=" in pieces[index]:
            pieces[index] = _hide_values(pieces[index], is_name=index > 0 and pieces[index - 1] == "&")
    return "".join(pieces)


def _hide_values(part: str, *, is_name: bool) -> str:
    """Hide what follows the first secret name. is_name: the part begins with a name; otherwise one follows a "?"."""
    name, *values = part.split("=")
    kept = [name]
    for value in values:
        if not is_name:
            _, mark, name = name.partition("?")
            is_name = mark == "?"
        if is_name and is_secret(name):
            return f"{'='.join(kept)}=..."
        kept.append(value)
        name, is_name = value, False
    return "=".join(kept)


def redacted_repr(report: Any) -> str:
    """Return the repr of a dataclass with a `connection_id`, without secrets."""
    values = {field.name: getattr(report, field.name) for field in dataclasses.fields(report)}
    values["connection_id"] = redact(report.connection_id)
    return f"{type(report).__name__}({', '.join(f'{name}={value!r}' for name, value in values.items())})"
