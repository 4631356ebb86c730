"""How a server is doing: its connections together, those that are gone included."""

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
    """A snapshot of a server. Counters are of all its connections since it began to listen.

    connections: open now. pending_handshakes: under way now. opened: connections so far. turned_away: refused since
    there were too many. refused: opening handshakes refused for what stood in them. expired: those that were not done
    in open_timeout. tls_failed: connections that ended or failed before their TLS handshake was done. stats: what they
    have moved. latency_p50, p90, p99: seconds, quantiles of the round trips of keepalive pings, within 1 %; None before
    the first. latencies: all of them, which may be merged with others.
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
    """What connections that are gone have moved, and the round trips of all. Recording allocates nothing.

    Any thread may ask. A connection counts either as open or as gone: what is told never goes back.
    """

    __slots__ = ("_gone", "_moving", "expired", "latencies", "opened", "refused", "tls_failed")

    def __init__(self) -> None:
        self.opened = 0
        self.refused = 0
        self.expired = 0
        self.tls_failed = 0
        self.latencies = Histogram()
        self._gone = dict.fromkeys(NAMES, 0)
        self._moving = threading.RLock()  # for a moment; a finalizer may ask in the middle of it

    def move(self, ws: WebSocket, connections: set[WebSocket]) -> None:
        """A connection is gone: it leaves those that are open."""
        with self._moving:
            connections.discard(ws)
            _add(self._gone, ws.stats())

    def total(self, connections: set[WebSocket]) -> Stats:
        """What all have moved, these open ones included."""
        with self._moving:
            together, still = dict(self._gone), [*connections]
        for ws in still:
            _add(together, ws.stats())
        return Stats(**together)


def _add(together: dict[str, int], stats: Stats) -> None:
    for name in NAMES:
        together[name] += getattr(stats, name)
