"""Handlers and formatters for those who have none: `trunkline.observe.logs.configure(json=True)`.

trunkline logs with the standard library; each record carries flat fields (`trunkline.net.logs.FIELDS`) as attributes.
A program with a logging setup of its own needs nothing from here: a JSON formatter that writes extra attributes shows
them as they are, and so does structlog (`structlog.stdlib.ExtraAdder`).
"""

from __future__ import annotations

import datetime
import json as json_module
import logging
import sys
from collections.abc import Collection
from typing import Any, Final, TextIO

from trunkline.net.logs import EVENTS, FIELDS
from trunkline.protocol.wording import printable

__all__ = ["EVENTS", "FIELDS", "FieldFilter", "JsonFormatter", "LineFormatter", "configure"]

_MARK: Final = "_trunkline_handler"  # how a handler of ours is known when configure is called again


def configure(
    *, json: bool = False, level: int | str = logging.INFO, stream: TextIO | None = None, **only: Collection[str] | str
) -> logging.Handler:
    """Writes what trunkline logs to `stream` (standard error if None), a record a line; gives the handler.

    json: an object a line in place of text. level: the least that is written.
    only: fields to filter by, as `FieldFilter` takes them: configure(service="chat", category={"timeout"}).
    Called again it replaces what it did before. Records no longer reach the root logger's handlers: each is written
    once. Raises TypeError for a filter by a field that there is not, ValueError for an unknown level.
    """
    logger = logging.getLogger("trunkline")
    handler = logging.StreamHandler(stream if stream is not None else sys.stderr)
    handler.setFormatter(JsonFormatter() if json else LineFormatter())
    if only:
        handler.addFilter(FieldFilter(**only))
    setattr(handler, _MARK, True)
    logger.setLevel(level)
    for other in [one for one in logger.handlers if hasattr(one, _MARK)]:
        logger.removeHandler(other)
    logger.addHandler(handler)
    logger.propagate = False
    return handler


class FieldFilter(logging.Filter):
    """Lets a record pass if each named field has the value given, or one of the values given.

    A record without the field does not pass. Raises TypeError for a field that there is not.
    """

    def __init__(self, **wanted: Collection[str] | str) -> None:
        super().__init__()
        for name in wanted:
            if name not in FIELDS:
                raise TypeError(f"log records have no field {name!r}, they have {', '.join(sorted(FIELDS))}")
        self._wanted = {
            name: frozenset({value} if isinstance(value, str) else map(str, value)) for name, value in wanted.items()
        }

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record passes."""
        return all(str(getattr(record, name, None)) in values for name, values in self._wanted.items())


class LineFormatter(logging.Formatter):
    """For people: time (UTC), level, event, text, and the fields that the text does not tell."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as a line; a traceback follows on lines of its own."""
        event = getattr(record, "event", record.name)
        shown = [f"{name}={getattr(record, name)}" for name in ("category", "code") if hasattr(record, name)]
        text = f"{_time(record)} {record.levelname:<8}{event:<22} {printable(record.getMessage())}"
        line = " ".join([text, *shown])
        return line if not record.exc_info else f"{line}\n{self.formatException(record.exc_info)}"


class JsonFormatter(logging.Formatter):
    """For machines: one JSON object a record: time (RFC 3339, UTC), level, logger, message, and the fields."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line."""
        entry: dict[str, Any] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        entry.update({name: getattr(record, name) for name in FIELDS if hasattr(record, name)})
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return json_module.dumps(entry, default=str)


def _time(record: logging.LogRecord) -> str:
    at = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
