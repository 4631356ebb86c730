"""Log handlers and formatters for programs that have none: `trunkline.observe.logs.configure(json=True)`.

trunkline logs with the standard library; each record carries flat fields (`trunkline.net.logs.FIELDS`) as attributes.
A program that sets up logging itself needs nothing from here: a JSON formatter that writes extra attributes writes
these fields too, as does structlog (`structlog.stdlib.ExtraAdder`).
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

_MARK: Final = "_trunkline_handler"  # marks our handler, so that a second call of configure finds it


def configure(
    *, json: bool = False, level: int | str = logging.INFO, stream: TextIO | None = None, **only: Collection[str] | str
) -> logging.Handler:
    """Write trunkline's log records to a stream, one a line, and return the handler that does so.

    A second call replaces the handler of the first. Records no longer reach the root logger's handlers, so that each
    is written once.

    Args:
        json: Write a JSON object for each record instead of text.
        level: The lowest level to write.
        stream: Where to write; standard error if None.
        only: Fields to filter by, as for `FieldFilter`: configure(service="chat", category={"timeout"}).

    Raises:
        TypeError: `only` names a field that log records do not have.
        ValueError: `level` is unknown.
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
    """A filter that passes records in which each named field has the given value, or one of the given values.

    A record without the field does not pass. Raise TypeError if log records have no such field.
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
        """Return whether the record passes."""
        return all(str(getattr(record, name, None)) in values for name, values in self._wanted.items())


class LineFormatter(logging.Formatter):
    """A formatter for people: time (UTC), level, event, text, category and code."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line, followed by the lines of its traceback."""
        event = getattr(record, "event", record.name)
        shown = [f"{name}={getattr(record, name)}" for name in ("category", "code") if hasattr(record, name)]
        text = f"{_time(record)} {record.levelname:<8}{event:<22} {printable(record.getMessage())}"
        line = " ".join([text, *shown])
        return line if not record.exc_info else f"{line}\n{self.formatException(record.exc_info)}"


class JsonFormatter(logging.Formatter):
    """A formatter for machines: a JSON object with time (RFC 3339, UTC), level, logger, message and the fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line."""
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
