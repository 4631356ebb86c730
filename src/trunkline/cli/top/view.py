"""The rows as the feed tells them, and which of them are looked at."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

__all__ = ["ORDERS", "NotTheFeed", "View"]

WORST_FIRST: Final = ("failed", "suspended", "waiting", "connecting", "closing", "idle", "connected", "closed")
ORDERS: Final = ("state", "id", "in", "out", "latency", "queue")
LARGEST: Final = 1e18  # of a figure, which is made into a float to be shown
SUMS: Final = ("up", "connections", "queue")  # of the totals: there are such figures at any time
ROW_FIGURES: Final = ("in_rate", "out_rate", "latency", "p99", "queue", "since", "next_at")  # null, or a figure
TOTAL_FIGURES: Final = ("in_rate", "out_rate", "p50", "p99")
FIGURES: Final = {"in": "in_rate", "out": "out_rate", "latency": "latency", "queue": "queue"}


class NotTheFeed(Exception):
    """A message came that is not one of a dashboard's feed."""


class _Snapshot(msgspec.Struct, tag_field="kind", tag="snapshot"):
    at: float
    program: dict[str, Any]
    columns: list[str]
    rows: list[list[Any]]
    totals: dict[str, Any]


class _Delta(msgspec.Struct, tag_field="kind", tag="delta"):
    at: float
    rows: list[tuple[str, dict[str, Any]]]
    gone: list[str]
    totals: dict[str, Any]


_decode = msgspec.json.Decoder(_Snapshot | _Delta).decode


@dataclass
class View:
    """What the feed has told, and how it is looked at.

    order: one of ORDERS. search: rows without it in id, state or failure are left out. first: rows that are scrolled
    past. fault: why nothing comes at present; "" while the feed lives.
    """

    order: str = "state"
    search: str = ""
    first: int = 0
    fault: str = ""
    typing: bool = False  # the search is being typed
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    totals: dict[str, Any] = field(default_factory=dict)
    program: dict[str, Any] = field(default_factory=dict)
    at: float = 0.0  # the program's clock at the last message, seconds since 1970

    def take(self, message: str | bytes) -> None:
        """Take a snapshot, or what has changed since. Raises NotTheFeed for anything else."""
        try:
            told = _decode(message)
            _check(told)
        # The text of a RecursionError is Python's own.
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError) as error:
            raise NotTheFeed(f"what answers is no dashboard's feed: {error}") from None
        self.at, self.totals, self.fault = told.at, told.totals, ""
        if isinstance(told, _Snapshot):
            self.program = told.program
            rows = [dict(zip(told.columns, row, strict=False)) for row in told.rows]
            self.rows = {row["id"]: row for row in rows}
            return
        for label, changed in told.rows:
            self.rows.setdefault(label, {"id": label}).update(changed)
        for label in told.gone:
            self.rows.pop(label, None)

    def ordered(self) -> list[dict[str, Any]]:
        """The rows that hold the search, in order."""
        wanted = self.search.lower()
        found = [row for row in self.rows.values() if not wanted or wanted in _words(row)]
        if self.order == "id":
            return sorted(found, key=_id)
        if self.order == "state":
            return sorted(found, key=lambda row: (_badness(row), _id(row)))
        figure = FIGURES[self.order]
        return sorted(found, key=lambda row: (-(row.get(figure) or 0), _id(row)))

    def next_order(self) -> None:
        """Go on to the next of ORDERS."""
        self.order = ORDERS[(ORDERS.index(self.order) + 1) % len(ORDERS)]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"at": self.at, "program": self.program, "totals": self.totals, "connections": self.ordered()}


def _check(told: _Snapshot | _Delta) -> None:
    """Raises ValueError for what the columns and the order could not be made of."""
    _check_figures(told.totals, TOTAL_FIGURES)
    for name in SUMS:
        if not _is_figure(told.totals.get(name, 0)):
            raise ValueError(f"{name} of the totals is {type(told.totals[name]).__name__}, must be a number")
    if isinstance(told, _Snapshot):
        if "id" not in told.columns:
            raise ValueError("its rows have no column id")
        place = told.columns.index("id")
        for values in told.rows:
            if len(values) <= place or not isinstance(values[place], str):
                raise ValueError("a row has no id that is a string")
            _check_figures(dict(zip(told.columns, values, strict=False)), ROW_FIGURES)
        return
    for label, changed in told.rows:
        if changed.get("id", label) != label:
            raise ValueError("a row changes its id")
        _check_figures(changed, ROW_FIGURES)


def _check_figures(values: dict[str, Any], names: Iterable[str]) -> None:
    for name in names:
        value = values.get(name)
        if value is not None and not _is_figure(value):
            raise ValueError(f"{name} is {type(value).__name__}, must be a number up to {LARGEST:g}")


def _is_figure(value: object) -> bool:
    return isinstance(value, (int, float)) and abs(value) <= LARGEST


def _id(row: dict[str, Any]) -> str:
    return str(row["id"])


def _words(row: dict[str, Any]) -> str:
    return f"{row['id']} {row.get('status')} {row.get('why') or ''}".lower()


def _badness(row: dict[str, Any]) -> int:
    status = row.get("status")
    return WORST_FIRST.index(status) if status in WORST_FIRST else 0
