"""The rows of the page, one for each connection. Figures are rounded as shown, so that rows seldom change."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Any, Final, Protocol

from trunkline._metrics import Histogram
from trunkline.manager import Connection, ConnectionManager, StateChange
from trunkline.manager.logs import is_secret, redact

__all__ = ["COLUMNS", "Event", "Labels", "Managed", "Row", "Source", "short"]


@dataclass(slots=True)
class Row:
    """A connection as the page shows it. Points in time are seconds since 1970; durations are seconds."""

    id: str
    service: str
    status: str
    since: float | None  # None: unknown, it is older than the dashboard
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
    phi: float | None = None
    queue: int = 0  # messages that wait to be sent
    queue_bytes: int = 0
    fill: float = 0.0  # how full the outbox is, from 0 to 1
    dropped: int = 0
    availability: float | None = None
    last_seen: float | None = None
    error_rate: float = 0.0
    paused: bool = False
    kind: str = "managed"  # or "served": a client of one of the program's servers, which never retries

    def values(self) -> tuple[Any, ...]:
        """Return the values in the order of COLUMNS."""
        return _values(self)

    def changed_from(self, other: Row) -> dict[str, Any]:
        """Return the fields whose values differ from the other's."""
        pairs = zip(COLUMNS, _values(self), _values(other), strict=True)
        return {name: value for name, value, before in pairs if value != before}


COLUMNS: Final = tuple(field.name for field in fields(Row))
_values: Final[Callable[[Row], tuple[Any, ...]]] = attrgetter(*COLUMNS)


@dataclass(frozen=True, slots=True)
class Event:
    """A change of state as the page shows it."""

    number: int  # counts the events
    at: float  # seconds since 1970
    id: str
    service: str
    status: str
    text: str
    category: str | None
    code: int | None


class Source(Protocol):
    """Where rows come from: a manager or a server."""

    def connections(self) -> dict[str, Any]:
        """Return all connections by their labels."""

    def get(self, label: str) -> Any:
        """Return the connection with this label; None if there is none."""

    def moved(self) -> Iterable[str]:
        """Return the labels of connections that came or went since the last call and were not otherwise reported."""

    def row(self, connection: Any) -> Row:
        """Return the current row of a connection."""

    def facts(self, connection: Any) -> list[tuple[str, str]]:
        """Return what the details pane shows of a connection besides its row."""

    def merge_latencies(self, into: Histogram, connection: Any = None) -> None:
        """Add the round trips of one connection, or of all, to `into`."""

    def forget(self, label: str) -> None:
        """Forget the connection with this label, which is gone."""


class Labels:
    """The labels under which connections are shown: without secrets, and no two alike."""

    def __init__(self) -> None:
        self._labels: dict[Any, str] = {}
        self._things: dict[str, Any] = {}

    def get(self, thing: Any, name: str) -> str:
        """Return the label of a thing; the first call makes it from `name`."""
        label = self._labels.get(thing)
        if label is None:
            label = next(one for one in _names(redact(name)) if one not in self._things)
            self._labels[thing], self._things[label] = label, thing
        return label

    def thing(self, label: str) -> Any:
        """Return the thing with this label; None if there is none."""
        return self._things.get(label)

    def forget(self, label: str) -> None:
        """Forget the thing with this label, which is gone."""
        if label in self._things:
            del self._labels[self._things.pop(label)]


class Managed:
    """The connections of a manager."""

    def __init__(self, manager: ConnectionManager, labels: Labels) -> None:
        self.manager = manager
        self._labels = labels
        self._day: float | None = None  # wall-clock time at zero of the manager's clock

    def connections(self) -> dict[str, Connection[Any, Any]]:
        """Return all connections by their labels."""
        get = self._labels.get
        return {get(connection.id, connection.id): connection for connection in self.manager.connections()}

    def get(self, label: str) -> Connection[Any, Any] | None:
        """Return the connection with this label; None if there is none."""
        connection_id = self._labels.thing(label)
        return self.manager.get(connection_id) if isinstance(connection_id, str) else None

    def moved(self) -> Iterable[str]:
        """Return nothing: a change of state reports every connection that comes or goes."""
        return ()

    def label(self, connection_id: str) -> str:
        """Return the label of the connection with this id."""
        return self._labels.get(connection_id, connection_id)

    def forget(self, label: str) -> None:
        """Forget the connection with this label, which is gone."""
        self._labels.forget(label)

    def day_time(self, at: float) -> float:
        """Convert a time of the manager's clock to seconds since 1970, in tenths; always with the same result."""
        if self._day is None:
            self._day = time.time() - self.manager.time()
        return round(self._day + at, 1)

    def row(self, connection: Connection[Any, Any]) -> Row:
        """Return the current row of a connection."""
        health, issue, change = connection.health(), connection.last_error, connection.last_change
        now, outbox = self.manager.time(), connection.service.outbox
        return Row(
            id=self.label(connection.id),
            service=health.service,
            status=str(health.status),
            since=self.day_time(now if change is None else change.at),
            why=None if issue is None else clean(issue.message, connection),
            category=None if issue is None else str(issue.category),
            code=None if issue is None else issue.code,
            next_at=None if change is None or change.delay is None else self.day_time(change.at + change.delay),
            attempts=health.attempts,
            reconnects=health.reconnects,
            in_rate=round(health.received_per_second.over_10, 1),
            out_rate=round(health.sent_per_second.over_10, 1),
            in_bytes=round(health.bytes_received_per_second.over_10),
            out_bytes=round(health.bytes_sent_per_second.over_10),
            latency=short(health.latency),
            p50=short(health.latency_p50),
            p99=short(health.latency_p99),
            jitter=short(health.jitter),
            phi=round(health.phi, 1),
            queue=health.queue_depth,
            queue_bytes=health.queue_bytes,
            fill=round(max(health.queue_depth / outbox.max_messages, health.queue_bytes / outbox.max_bytes), 3),
            dropped=health.dropped,
            availability=round(health.availability, 4),
            last_seen=None if health.last_seen is None else round(self.day_time(now - health.last_seen)),
            error_rate=round(health.error_rate, 3),
            paused=self.manager.is_paused(connection.service),
        )

    def event(self, number: int, change: StateChange) -> Event:
        """Return a change of state as the page shows it."""
        issue, connection = change.issue, self.manager.get(change.connection_id)
        text = change.explain()
        return Event(
            number=number,
            at=self.day_time(change.at),
            id=self.label(change.connection_id),
            service=change.service,
            status=str(change.after),
            text=redact(text) if connection is None else clean(text, connection),
            category=None if issue is None else str(issue.category),
            code=None if issue is None else issue.code,
        )

    def facts(self, connection: Connection[Any, Any]) -> list[tuple[str, str]]:
        """Return what the details pane shows of a connection besides its row."""
        health, held = connection.health(), connection.quarantine
        notes = (f"{name}={'...' if is_secret(str(name)) else value}" for name, value in connection.metadata.items())
        facts = [
            ("address", redact(connection.service.url)),
            ("uptime", f"{health.uptime:.0f} s"),
            ("links so far", str(connection.generation)),
            ("messages", f"{health.messages_received} in, {health.messages_sent} out"),
            ("unconfirmed", str(health.unconfirmed)),
            ("outcome unknown", str(health.unknown)),
            ("late replies", str(health.late_replies)),
            ("in use by", str(connection.leases)),
            ("quarantine", f"{len(held)} kept of {health.undecodable} undecodable"),
            ("metadata", clean(_cut(", ".join(notes)), connection) or "none"),
        ]
        if held:
            # Only the length: the decoder's error may quote the payload.
            facts.append(("last undecodable", f"{len(held[-1].payload)} bytes"))
        return facts

    def merge_latencies(self, into: Histogram, connection: Connection[Any, Any] | None = None) -> None:
        """Add the round trips of one connection, or of all, to `into`."""
        for one in self.manager.connections() if connection is None else (connection,):
            one.latencies(into)


def clean(text: str, connection: Connection[Any, Any]) -> str:
    """Return a text about a connection without the values of its secret parameters, wherever they occur."""
    for name, value in connection.parameters.items():
        if is_secret(name):
            text = text.replace(str(value), "...")
    return redact(text)


def short(seconds: float | None) -> float | None:
    """Round to three significant digits, as shown."""
    return None if seconds is None else float(f"{seconds:.3g}")


def _cut(text: str, longest: int = 200) -> str:
    return text if len(text) <= longest else f"{text[:longest]}…"


def _names(name: str) -> Iterator[str]:
    """Yield the name, then the name with #2, #3 and so on."""
    yield name
    number = 2
    while True:
        yield f"{name} #{number}"
        number += 1
