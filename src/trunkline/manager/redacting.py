"""What of ids and URLs may be shown: not the values of parameters whose names say that they are secret."""

from __future__ import annotations

import dataclasses
import re
from typing import Any, Final

__all__ = ["is_secret", "redact", "show"]

_NAMES: Final = r"(?:token|secret|passw|key|auth|credential|session|signature)"
_NAME: Final = re.compile(_NAMES, re.IGNORECASE)
_SECRET: Final = re.compile(rf"([?&][^=&\s]*{_NAMES}[^=&\s]*=)[^&\s]*", re.IGNORECASE)


def is_secret(name: str) -> bool:
    """Whether the name of a parameter says that its value is secret."""
    return _NAME.search(name) is not None


def redact(text: str) -> str:
    """An id, or a text with URLs in it, without the values of parameters whose names say that they are secret."""
    return _SECRET.sub(r"\1...", text)


def show(report: Any) -> str:
    """The repr of a dataclass that has a `connection_id`."""
    values = {field.name: getattr(report, field.name) for field in dataclasses.fields(report)}
    values["connection_id"] = redact(report.connection_id)
    return f"{type(report).__name__}({', '.join(f'{name}={value!r}' for name, value in values.items())})"
