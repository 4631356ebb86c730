"""What of ids and URLs may be shown: no password, and no value of a parameter whose name says that it is secret.

Ids and URLs may hold whatever a stranger sent, so every step here takes time in proportion to the text, and looks at no
more than `MAX_SHOWN` characters of it.
"""

from __future__ import annotations

import dataclasses
import re
from typing import Any, Final

__all__ = ["MAX_SHOWN", "is_secret", "redact", "redacted_repr"]

MAX_SHOWN: Final = 4096  # characters of a text that are shown; a request line has up to 8 KiB

_NAME: Final = re.compile(r"token|secret|passw|key|auth|credential|session|signature", re.IGNORECASE)
_USER: Final = re.compile(r"://[^/\s@]*@")  # the user and the password of a URL
_ENDS: Final = re.compile(r"([&\s])")  # what a parameter ends at


def is_secret(name: str) -> bool:
    """Whether the name of a parameter says that its value is secret."""
    return _NAME.search(name) is not None


def redact(text: str) -> str:
    """Return an id, or a text with URLs in it, without users and passwords, and without the values of parameters whose
    names say that they are secret.

    Of a text longer than `MAX_SHOWN` characters the rest is left out, and its length given.
    """
    # Cut first: what is cut off takes its values along, and a name that is cut has none.
    hidden = _hide(text[:MAX_SHOWN])
    return hidden if len(text) <= MAX_SHOWN else f"{hidden}… ({len(text) - MAX_SHOWN} more characters)"


def _hide(text: str) -> str:
    # `_ENDS` has a group, so the separators stand between the parts: part, separator, part, ...
    pieces = _ENDS.split(_USER.sub("://...@", text))
    for index in range(0, len(pieces), 2):
        if "=" in pieces[index]:
            pieces[index] = _hide_values(pieces[index], is_name=index > 0 and pieces[index - 1] == "&")
    return "".join(pieces)


def _hide_values(part: str, *, is_name: bool) -> str:
    """Hide what follows the first secret name. `is_name`: a name begins with the part; else behind a question mark."""
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
    """The repr of a dataclass that has a `connection_id`."""
    values = {field.name: getattr(report, field.name) for field in dataclasses.fields(report)}
    values["connection_id"] = redact(report.connection_id)
    return f"{type(report).__name__}({', '.join(f'{name}={value!r}' for name, value in values.items())})"
