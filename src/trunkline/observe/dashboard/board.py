"""The rows as the viewers know them, and which of them are looked at when.

A connection whose state has changed is looked at in the next tick, and a share of the others in turn, so that the cost
of a tick does not grow with the number of connections. What comes and goes is not looked for among all: a manager's
connections tell it by their changes, a server's are compared as sets.
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

SHARE: Final = 100  # connections that a tick looks at in turn
MOST: Final = 500  # that it looks at since something has happened to them; the others wait for the next tick
FEW: Final = 200  # rows that are added up anew in each tick
SUMS: Final = ("in_rate", "out_rate", "in_bytes", "out_bytes", "queue", "queue_bytes", "dropped")


class Board:
    """The rows of all sources. Empty until `begin`, and after `clear`."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self.rows: dict[str, Row] = {}
        self.fullest: Row | None = None  # whose outbox has least room
        self._sources = sources
        self._changed: dict[str, None] = {}  # labels to look at, the oldest first
        self._turn: deque[str] = deque()  # labels, in the order in which they are looked at
        self._sums = dict.fromkeys(SUMS, 0.0)
        self._ticks = 0

    def begin(self) -> None:
        """Look at everything."""
        self.rows = {label: source.row(one) for source in self._sources for label, one in source.connections().items()}
        self._turn = deque(self.rows)
        self._changed.clear()
        self._add_up()

    def clear(self) -> None:
        """Nobody looks any more: nothing is kept."""
        for label in self.rows:
            self.forget(label)
        self.rows = {}
        self.fullest = None

    def find(self, label: str) -> tuple[Source, Any] | tuple[None, None]:
        """The connection with this label, and where it is from."""
        for source in self._sources:
            connection = source.get(label)
            if connection is not None:
                return source, connection
        return None, None

    def mark(self, labels: Iterable[str]) -> None:
        """Something has happened to these."""
        self._changed.update(dict.fromkeys(labels))

    def forget(self, label: str) -> None:
        """The connection with this label is gone."""
        for source in self._sources:
            source.forget(label)

    def look(self) -> tuple[list[tuple[str, dict[str, Any]]], list[str]]:
        """Look at those whose turn it is: what has changed of each, and those that are gone."""
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
        """All rows together; of very many, as they were two seconds ago at the most."""
        up = sum(row.status == "connected" for row in self.rows.values())
        return {"connections": len(self.rows), "up": up, **self._sums}

    def merge_latencies(self) -> dict[str, Any]:
        """The round trips of all connections."""
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
