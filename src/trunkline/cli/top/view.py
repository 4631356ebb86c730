"""The rows of the feed, and which of them to show in which order."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

__all__ = ["ORDERS", "NotTheFeed", "View"]

WORST_FIRST: Final = ("failed", "suspended", "waiting", "connecting", "closing", "idle", "connected", "closed")
ORDERS: Final = ("state", "id", "in", "out", "latency", "queue")
LARGEST: Final = 1e18  # of a figure: it is converted to a float before it is shown
SUMS: Final = ("up", "connections", "queue")  # of the totals: never null
ROW_FIGURES: Final = ("in_rate", "out_rate", "latency", "p99", "queue", "since", "next_at")  # may be null
TOTAL_FIGURES: Final = ("in_rate", "out_rate", "p50", "p99")
FIGURES: Final = {"in": "in_rate", "out": "out_rate", "latency": "latency", "queue": "queue"}


class NotTheFeed(Exception):
    """A message that is not from a dashboard's feed."""


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
    """What the feed has sent, and how to show it.

    order: one of ORDERS. search: hides the rows without it in id, state or failure. first: index of the first row on
    the screen. fault: why the feed is down; "" while it is up.
    """

    order: str = "state"
    search: str = ""
    first: int = 0
    fault: str = ""
    typing: bool = False  # the user is typing the search
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    totals: dict[str, Any] = field(default_factory=dict)
    program: dict[str, Any] = field(default_factory=dict)
    at: float = 0.0  # the program's clock at the last message, seconds since 1970

    def take(self, message: str | bytes) -> None:
        """Take a snapshot or a delta. Raise NotTheFeed for anything else."""
        try:
            told = _decode(message)
            _check(told)
        # RecursionError: a message nested too deeply.
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError) as error:
            raise NotTheFeed(f"received a message that is not a dashboard's: {error}") from None
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
        """Return the rows that match the search, in order."""
        wanted = self.search.lower()
        found = [row for row in self.rows.values() if not wanted or wanted in _words(row)]
        if self.order == "id":
            return sorted(found, key=_id)
        if self.order == "state":
            return sorted(found, key=lambda row: (_badness(row), _id(row)))
        figure = FIGURES[self.order]
        return sorted(found, key=lambda row: (-(row.get(figure) or 0), _id(row)))

    def next_order(self) -> None:
        """Switch to the next of ORDERS."""
        self.order = ORDERS[(ORDERS.index(self.order) + 1) % len(ORDERS)]

    def as_dict(self) -> dict[str, Any]:
        """Return the program, the totals and the matching rows for JSON."""
        return {"at": self.at, "program": self.program, "totals": self.totals, "connections": self.ordered()}


def _check(told: _Snapshot | _Delta) -> None:
    """Raise ValueError for values that could not be shown or sorted."""
    _check_figures(told.totals, TOTAL_FIGURES)
    for name in SUMS:
        if not _is_figure(told.totals.get(name, 0)):
            raise ValueError(f"{name} of the totals is {type(told.totals[name]).__name__}, must be a number")
    if isinstance(told, _Snapshot):
        if "id" not in told.columns:
            raise ValueError("the snapshot has no column id")
        place = told.columns.index("id")
        for values in told.rows:
            if len(values) <= place or not isinstance(values[place], str):
                raise ValueError("a row's id is missing or not a string")
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
