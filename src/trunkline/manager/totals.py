"""A service's connections together, those that are gone included: what monitoring systems collect."""

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

    connections: how many are in which state now. counters: the fields of `ConnectionHealth` named in COUNTERS, summed
    over all connections that there have been. failures: failed attempts and lost links by category.
    queue_depth, queue_bytes: what waits in the outboxes now. availability: of the connections that there are and were
    ever up, the mean; None if there are none. latencies: seconds, round trips of all.
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
    """What a service's connections that are gone have counted, and the failures of all."""

    counters: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    latencies: Histogram = field(default_factory=Histogram)

    def add(self, health: ConnectionHealth) -> None:
        """Adds what a connection has counted."""
        self.counters.update({name: getattr(health, name) for name in COUNTERS})


class Totals:
    """The pasts of a manager's services.

    Any thread may ask. A connection counts either for itself or in the past: what is told never goes back.
    """

    def __init__(self, services: Iterable[str]) -> None:
        self._past = {name: Past() for name in services}
        self._moving = threading.RLock()  # for a moment; a finalizer may ask in the middle of it

    def note(self, change: StateChange) -> None:
        """A subscriber of the manager's events: counts failures."""
        if change.issue is not None:
            self._past[change.service].failures[str(change.issue.category)] += 1

    def forget(self, connection: Connection[Any, Any], connections: MutableMapping[str, Connection[Any, Any]]) -> None:
        """A connection is gone: it leaves those that there are, by their ids, and what it has counted stays."""
        past = self._past[connection.service.name]
        with self._moving:
            past.add(connection.health())
            connection.latencies(into=past.latencies)
            del connections[connection.id]

    def report(self, service: str, held: Mapping[str, Connection[Any, Any]]) -> ServiceHealth:
        """A snapshot of a service with these connections, by their ids."""
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
