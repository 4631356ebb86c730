"""How a server is doing: all its connections together, including those that are gone."""

from __future__ import annotations

import threading
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from trunkline._metrics import Histogram
from trunkline.net.stats import Stats

if TYPE_CHECKING:
    from trunkline.net.websocket import WebSocket

__all__ = ["ServerHealth", "Tally"]


@dataclass(frozen=True, slots=True)
class ServerHealth:
    """A snapshot of a server. Counters cover all its connections since it began to listen.

    Attributes:
        connections: connections open now.
        pending_handshakes: opening handshakes under way now.
        opened: connections opened so far.
        turned_away: connections refused because there were too many.
        refused: opening handshakes refused because of the request.
        expired: opening handshakes that were not done within open_timeout.
        tls_failed: connections that ended or failed before their TLS handshake was done.
        stats: what all connections have moved.
        latency_p50, latency_p90, latency_p99: quantiles of the round trips of pings, in seconds, within 1 %; None
            before the first.
        latencies: all these round trips, to merge with others.
    """

    connections: int
    pending_handshakes: int
    opened: int
    turned_away: int
    refused: int
    expired: int
    tls_failed: int
    stats: Stats
    latency_p50: float | None
    latency_p90: float | None
    latency_p99: float | None
    latencies: Histogram


NAMES = tuple(field.name for field in fields(Stats))


class Tally:
    """Totals of the connections that are gone, and the round trips of all. Recording allocates nothing.

    Any thread may ask for the total. A connection counts either as open or as gone, so the total never goes down.
    """

    __slots__ = ("_gone", "_moving", "expired", "latencies", "opened", "refused", "tls_failed")

    def __init__(self) -> None:
        self.opened = 0
        self.refused = 0
        self.expired = 0
        self.tls_failed = 0
        self.latencies = Histogram()
        self._gone = dict.fromkeys(NAMES, 0)
        self._moving = threading.RLock()  # reentrant: a finalizer may ask while it is held

    def move(self, ws: WebSocket, connections: set[WebSocket]) -> None:
        """Move a connection that is gone from the open ones to the totals."""
        with self._moving:
            connections.discard(ws)
            _add(self._gone, ws.stats())

    def total(self, connections: set[WebSocket]) -> Stats:
        """Return what all connections have moved, including these open ones."""
        with self._moving:
            together, still = dict(self._gone), [*connections]
        for ws in still:
            _add(together, ws.stats())
        return Stats(**together)


def _add(together: dict[str, int], stats: Stats) -> None:
    for name in NAMES:
        together[name] += getattr(stats, name)
