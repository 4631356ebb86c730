"""The rows as the viewers know them, and when each is updated.

A tick updates the connections whose state has changed and, in turn, a share of the others, so that its cost does not
grow with the number of connections. To find connections that came or went it does not go through all of them: a
manager reports changes, and a server's connections are compared as sets.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from itertools import islice
from typing import Any, Final

from trunkline._metrics import Histogram
from trunkline.observe.dashboard.rows import Row, Source

__all__ = ["Board"]

SHARE: Final = 100  # connections that a tick updates in turn
MOST: Final = 500  # changed connections that a tick updates; the others wait for the next tick
FEW: Final = 200  # up to so many rows are added up in each tick, more in every fourth
SUMS: Final = ("in_rate", "out_rate", "in_bytes", "out_bytes", "queue", "queue_bytes", "dropped")


class Board:
    """The rows of all sources. Empty until `begin`, and after `clear`."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self.rows: dict[str, Row] = {}
        self.fullest: Row | None = None  # the row whose outbox has the least room
        self._sources = sources
        self._changed: dict[str, None] = {}  # labels to update, oldest first
        self._turn: deque[str] = deque()  # labels in the order of their turns
        self._sums = dict.fromkeys(SUMS, 0.0)
        self._ticks = 0

    def begin(self) -> None:
        """Make a row for each connection."""
        self.rows = {label: source.row(one) for source in self._sources for label, one in source.connections().items()}
        self._turn = deque(self.rows)
        self._changed.clear()
        self._add_up()

    def clear(self) -> None:
        """Drop all rows, after the last viewer has gone."""
        for label in self.rows:
            self.forget(label)
        self.rows = {}
        self.fullest = None

    def find(self, label: str) -> tuple[Source, Any] | tuple[None, None]:
        """Return the source and the connection with this label, or (None, None)."""
        for source in self._sources:
            connection = source.get(label)
            if connection is not None:
                return source, connection
        return None, None

    def mark(self, labels: Iterable[str]) -> None:
        """Update these connections in the next tick."""
        self._changed.update(dict.fromkeys(labels))

    def forget(self, label: str) -> None:
        """Forget the connection with this label, which is gone."""
        for source in self._sources:
            source.forget(label)

    def look(self) -> tuple[list[tuple[str, dict[str, Any]]], list[str]]:
        """Update the rows whose turn it is. Return what has changed in each, and the labels of those that are gone."""
        for origin in self._sources:
            self.mark(origin.moved())
        wanted = dict.fromkeys(islice(self._changed, MOST))
        for label in wanted:
            del self._changed[label]
        wanted.update(dict.fromkeys(islice(self._turn, SHARE)))
        self._turn.rotate(-min(SHARE, len(self._turn)))
        changed: list[tuple[str, dict[str, Any]]] = []
        gone: list[str] = []
        for label in wanted:
            source, connection = self.find(label)
            if source is None:
                gone += self._drop(label)
                continue
            difference = self._replace(label, source.row(connection))
            if difference:
                changed.append((label, difference))
        self._ticks += 1
        if len(self.rows) <= FEW or self._ticks % 4 == 0:
            self._add_up()
        return changed, gone

    def totals(self) -> dict[str, Any]:
        """Return the totals of all rows. With more than FEW rows, they may be up to two seconds old."""
        up = sum(row.status == "connected" for row in self.rows.values())
        return {"connections": len(self.rows), "up": up, **self._sums}

    def merge_latencies(self) -> dict[str, Any]:
        """Return quantiles and histogram of the round trips of all connections."""
        merged = Histogram()
        for source in self._sources:
            source.merge_latencies(merged)
        return {"p50": merged.quantile(0.5), "p99": merged.quantile(0.99), "buckets": merged.buckets()}

    def _replace(self, label: str, row: Row) -> dict[str, Any]:
        before = self.rows.get(label)
        self.rows[label] = row
        if before is None:
            self._turn.append(label)
            return asdict(row)
        return row.changed_from(before)

    def _drop(self, label: str) -> list[str]:
        self.forget(label)
        if self.rows.pop(label, None) is None:
            return []  # it came and went between two ticks
        self._turn.remove(label)
        return [label]

    def _add_up(self) -> None:
        in_rate = out_rate = in_bytes = out_bytes = 0.0
        queue = queue_bytes = dropped = 0
        fullest: Row | None = None
        for row in self.rows.values():
            in_rate += row.in_rate
            out_rate += row.out_rate
            in_bytes += row.in_bytes
            out_bytes += row.out_bytes
            queue += row.queue
            queue_bytes += row.queue_bytes
            dropped += row.dropped
            if row.fill and (fullest is None or row.fill > fullest.fill):
                fullest = row
        sums = (in_rate, out_rate, in_bytes, out_bytes, queue, queue_bytes, dropped)
        self._sums = dict(zip(SUMS, sums, strict=True))
        self.fullest = fullest
