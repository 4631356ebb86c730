"""The rows as the feed tells them, and which of them are looked at."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

__all__ = ["ORDERS", "NotTheFeed", "View"]

WORST_FIRST: Final = ("failed", "suspended", "waiting", "connecting", "closing", "idle", "connected", "closed")
ORDERS: Final = ("state", "id", "in", "out", "latency", "queue")
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
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
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


def _id(row: dict[str, Any]) -> str:
    return str(row["id"])


def _words(row: dict[str, Any]) -> str:
    return f"{row['id']} {row.get('status')} {row.get('why') or ''}".lower()


def _badness(row: dict[str, Any]) -> int:
    status = row.get("status")
    return WORST_FIRST.index(status) if status in WORST_FIRST else 0
