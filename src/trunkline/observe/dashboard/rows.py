"""What the page shows of a connection: one row, with figures rounded to what is shown, so that little of it changes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any, Final

from trunkline._metrics import Histogram
from trunkline.manager import Connection, ConnectionManager
from trunkline.manager.logs import redact

__all__ = ["COLUMNS", "Event", "Managed", "Row"]


@dataclass(slots=True)
class Row:
    """A connection as it is shown. Times of day are seconds since 1970, everything else is in seconds."""

    id: str
    service: str
    status: str
    since: float
    why: str | None = None  # the last failure
    category: str | None = None
    code: int | None = None
    next_at: float | None = None  # the next attempt
    attempts: int = 0
    reconnects: int = 0
    in_rate: float = 0.0  # messages a second, over 10 s
    out_rate: float = 0.0
    in_bytes: float = 0.0  # bytes a second, over 10 s
    out_bytes: float = 0.0
    latency: float | None = None
    p50: float | None = None
    p99: float | None = None
    jitter: float | None = None
    phi: float = 0.0
    queue: int = 0  # messages that wait to be sent
    queue_bytes: int = 0
    dropped: int = 0
    availability: float = 0.0
    last_seen: float | None = None
    error_rate: float = 0.0
    paused: bool = False

    def values(self) -> list[Any]:
        """In the order of COLUMNS."""
        return [getattr(self, name) for name in COLUMNS]

    def changed_from(self, other: Row) -> dict[str, Any]:
        """The fields that are another than the other's."""
        return {name: value for name in COLUMNS if (value := getattr(self, name)) != getattr(other, name)}


COLUMNS: Final = tuple(field.name for field in fields(Row))


@dataclass(frozen=True, slots=True)
class Event:
    """A change of state as it is shown."""

    number: int  # rises by one an event
    at: float  # seconds since 1970
    id: str
    service: str
    status: str
    text: str
    category: str | None
    code: int | None


class Managed:
    """A manager's connections, under names that hold no secret, as rows."""

    def __init__(self, manager: ConnectionManager) -> None:
        self.manager = manager
        self._labels: dict[str, str] = {}  # what is shown, by connection ids, which may hold a secret
        self._ids: dict[str, str] = {}
        self._day: float | None = None  # the wall clock's time at the manager's zero

    def connections(self) -> dict[str, Connection[Any, Any]]:
        """All connections by what is shown of their ids."""
        return {self.label(connection.id): connection for connection in self.manager.connections()}

    def label(self, connection_id: str) -> str:
        """What is shown of an id: without secrets, and no other connection's."""
        label = self._labels.get(connection_id)
        if label is None:
            label = next(name for name in _names(redact(connection_id)) if name not in self._ids)
            self._labels[connection_id], self._ids[label] = label, connection_id
        return label

    def forget(self, label: str) -> None:
        """The connection is gone."""
        connection_id = self._ids.pop(label, None)
        if connection_id is not None:
            del self._labels[connection_id]

    def day_time(self, at: float) -> float:
        """A time of the manager's clock in seconds since 1970, to a tenth; the same each time it is asked."""
        if self._day is None:
            self._day = time.time() - self.manager.time()
        return round(self._day + at, 1)

    def row(self, connection: Connection[Any, Any]) -> Row:
        """The row of a connection, now."""
        health, issue, change = connection.health(), connection.last_error, connection.last_change
        now = self.manager.time()
        return Row(
            id=self.label(connection.id),
            service=health.service,
            status=str(health.status),
            since=self.day_time(now if change is None else change.at),
            why=None if issue is None else issue.message,
            category=None if issue is None else str(issue.category),
            code=None if issue is None else issue.code,
            next_at=None if change is None or change.delay is None else self.day_time(change.at + change.delay),
            attempts=health.attempts,
            reconnects=health.reconnects,
            in_rate=round(health.received_per_second.over_10, 1),
            out_rate=round(health.sent_per_second.over_10, 1),
            in_bytes=round(health.bytes_received_per_second.over_10),
            out_bytes=round(health.bytes_sent_per_second.over_10),
            latency=_short(health.latency),
            p50=_short(health.latency_p50),
            p99=_short(health.latency_p99),
            jitter=_short(health.jitter),
            phi=round(health.phi, 1),
            queue=health.queue_depth,
            queue_bytes=health.queue_bytes,
            dropped=health.dropped,
            availability=round(health.availability, 4),
            last_seen=None if health.last_seen is None else round(self.day_time(now - health.last_seen)),
            error_rate=round(health.error_rate, 3),
        )

    def merge_latencies(self, into: Histogram) -> None:
        """Adds the round trips of all connections."""
        for connection in self.manager.connections():
            connection.merge_latencies(into)


def _names(name: str) -> Iterator[str]:
    """The name, and then with a number behind it."""
    yield name
    number = 2
    while True:
        yield f"{name} #{number}"
        number += 1


def _short(seconds: float | None) -> float | None:
    """To three digits: what is shown."""
    return None if seconds is None else float(f"{seconds:.3g}")
