"""Totals of a service's connections, past ones included, for monitoring systems."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any, Final

from trunkline._metrics import Histogram
from trunkline.manager.connection import Connection
from trunkline.manager.events import StateChange
from trunkline.manager.health import ConnectionHealth
from trunkline.manager.states import ConnectionStatus

__all__ = ["COUNTERS", "ServiceHealth", "Totals"]

# The fields of ConnectionHealth that only rise.
COUNTERS: Final = (
    "messages_received",
    "messages_sent",
    "bytes_received",
    "bytes_sent",
    "undecodable",
    "faults",
    "reconnects",
    "dropped",
    "unknown",
    "late_replies",
    "unknown_replies",
    "discarded",
)


@dataclass(frozen=True, slots=True)
class ServiceHealth:
    """A snapshot of all connections of one service.

    Attributes:
        service: name of the service.
        connections: number of connections by status.
        counters: the fields of `ConnectionHealth` named in COUNTERS, summed over all connections, past ones included.
        failures: failed attempts and lost links by category.
        queue_depth, queue_bytes: messages in the outboxes, and their payloads in memory.
        availability: the mean over the connections that have been up, None if there are none.
        latencies: round trips of all links, in seconds.
    """

    service: str
    connections: Mapping[ConnectionStatus, int]
    counters: Mapping[str, int]
    failures: Mapping[str, int]
    queue_depth: int
    queue_bytes: int
    availability: float | None
    latencies: Histogram


@dataclass(slots=True)
class Past:
    """What a service's past connections have counted, and the failures of all."""

    counters: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    latencies: Histogram = field(default_factory=Histogram)

    def add(self, health: ConnectionHealth) -> None:
        """Add what a connection has counted."""
        self.counters.update({name: getattr(health, name) for name in COUNTERS})


class Totals:
    """The totals of a manager's services. Any thread may ask.

    A connection counts either itself or in the past, never in both or neither, so totals never go back.
    """

    def __init__(self, services: Iterable[str]) -> None:
        self._past = {name: Past() for name in services}
        self._moving = threading.RLock()  # held briefly; re-entrant, as a finalizer may ask meanwhile

    def note(self, change: StateChange) -> None:
        """Count failures. Subscribed to the manager's events."""
        if change.issue is not None:
            self._past[change.service].failures[str(change.issue.category)] += 1

    def forget(self, connection: Connection[Any, Any], connections: MutableMapping[str, Connection[Any, Any]]) -> None:
        """Remove a connection from `connections` and keep what it has counted."""
        past = self._past[connection.service.name]
        with self._moving:
            past.add(connection.health())
            connection.latencies(into=past.latencies)
            del connections[connection.id]

    def report(self, service: str, held: Mapping[str, Connection[Any, Any]]) -> ServiceHealth:
        """Return a snapshot of a service that has these connections, by id."""
        past = self._past[service]
        with self._moving:
            together = Past(Counter(past.counters), Counter(past.failures), past.latencies.copy())
            connections = [*held.values()]
        reports = []
        for connection in connections:
            reports.append(connection.health())
            together.add(reports[-1])
            connection.latencies(into=together.latencies)
        shares = [health.availability for health in reports if health.availability > 0]
        states = Counter(health.status for health in reports)
        return ServiceHealth(
            service=service,
            connections={status: states[status] for status in ConnectionStatus},
            counters={name: together.counters[name] for name in COUNTERS},
            failures=dict(together.failures),
            queue_depth=sum(health.queue_depth for health in reports),
            queue_bytes=sum(health.queue_bytes for health in reports),
            availability=sum(shares) / len(shares) if shares else None,
            latencies=together.latencies,
        )
