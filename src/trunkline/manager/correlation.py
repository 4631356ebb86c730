"""Correlation ids: how a request is told from another, and its reply from other messages."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable
from typing import Any

import msgspec

__all__ = ["Correlate", "Correlation", "field_getter"]

# How to find the id of a request, and that of its reply: a field's name, or a callable that takes the message and
# returns its id, None if it has none.
Correlate = tuple[str | Callable[[Any], Hashable | None], str | Callable[[Any], Hashable | None]]


def field_getter(field: str | Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return a function that reads the field of a message, an object or a dict; None if it is missing."""
    if callable(field):
        return field

    def get(message: Any) -> Any:
        return message.get(field) if isinstance(message, dict) else getattr(message, field, None)

    return get


class Correlation:
    """Finds the ids of a service's requests and replies."""

    def __init__(self, correlate: Correlate) -> None:
        sent, received = correlate
        self.sent_id = field_getter(sent)
        self.received_id = field_getter(received)
        self._field = sent if isinstance(sent, str) else None
        self._numbers = itertools.count(1)

    def identify(self, message: Any) -> tuple[Any, Hashable]:
        """Return the request with its id, and the id: its own, or a new number if the field is None."""
        found = self.sent_id(message)
        if found is None and self._field is not None:
            found = next(self._numbers)
            if isinstance(message, dict):
                message = {**message, self._field: found}
            else:
                message = msgspec.structs.replace(message, **{self._field: found})
        if found is None:
            raise ValueError("the request has no correlation id")
        return message, found
