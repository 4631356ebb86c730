"""Rows for the clients of a server of the program: they come and go, and never retry."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from wsproto.connection import ConnectionState

import trunkline
from trunkline._metrics import Histogram
from trunkline.manager.logs import redact
from trunkline.net.stats import Stats
from trunkline.observe.dashboard.rows import Labels, Row, short

__all__ = ["Served"]

WINDOW = 10.0  # seconds that rates cover, as in the rows of a manager


@dataclass(slots=True)
class Seen:
    """A client's counters at the last look, and its rates."""

    since: float | None
    at: float  # when the rates were computed
    stats: Stats
    in_rate: float = 0.0
    out_rate: float = 0.0
    in_bytes: float = 0.0
    out_bytes: float = 0.0

    def look(self, now: float, stats: Stats) -> None:
        """Compute the rates from the differences since the last look; a longer interval has more weight."""
        past = now - self.at
        if past < 0.1:
            return
        weight = min(1.0, past / WINDOW)
        before = self.stats
        for name, moved in (
            ("in_rate", stats.messages_received - before.messages_received),
            ("out_rate", stats.messages_sent - before.messages_sent),
            ("in_bytes", stats.bytes_received - before.bytes_received),
            ("out_bytes", stats.bytes_sent - before.bytes_sent),
        ):
            rate = getattr(self, name)
            setattr(self, name, rate + weight * (moved / past - rate))
        self.at, self.stats = now, stats


class Served:
    """The connections of a server."""

    def __init__(self, server: trunkline.Server, labels: Labels) -> None:
        self.server = server
        self._labels = labels
        self._seen: dict[trunkline.WebSocket, Seen] = {}
        self._by_label: dict[str, trunkline.WebSocket] = {}
        self._is_first = True  # connections of the first look are older than the dashboard

    def connections(self) -> dict[str, trunkline.WebSocket]:
        """Return all connections by their labels, which hold the peers' addresses."""
        self.moved()
        return {label: ws for label, ws in self._by_label.items() if ws in self.server.connections}

    def get(self, label: str) -> trunkline.WebSocket | None:
        """Return the connection with this label; None if there is none."""
        ws = self._by_label.get(label)
        return ws if ws in self.server.connections else None

    def moved(self) -> list[str]:
        """Return the labels of connections that came or went since the last call."""
        now, there = time.time(), self.server.connections
        moved = [self._labels.get(ws, "") for ws in self._seen.keys() - there]
        for ws in there - self._seen.keys():
            label = self._labels.get(ws, f"client {_address(ws.remote_address)}")
            self._by_label[label] = ws
            self._seen[ws] = Seen(None if self._is_first else round(now, 1), now, ws.stats())
            moved.append(label)
        self._is_first = False
        return moved

    def forget(self, label: str) -> None:
        """Forget the connection with this label, which is gone."""
        ws = self._by_label.pop(label, None)
        if ws is not None:
            del self._seen[ws]
            self._labels.forget(label)

    def row(self, ws: trunkline.WebSocket) -> Row:
        """Return the current row of a connection."""
        seen, latency = self._seen[ws], short(ws.latency)
        seen.look(time.time(), ws.stats())
        return Row(
            id=self._labels.get(ws, ""),
            service=self.server.name,
            status="connected" if ws.state is ConnectionState.OPEN else "closing",
            since=seen.since,
            in_rate=round(seen.in_rate, 1),
            out_rate=round(seen.out_rate, 1),
            in_bytes=round(seen.in_bytes),
            out_bytes=round(seen.out_bytes),
            latency=latency,
            dropped=seen.stats.messages_dropped,
            kind="served",
        )

    def facts(self, ws: trunkline.WebSocket) -> list[tuple[str, str]]:
        """Return what the details pane shows of a connection besides its row."""
        stats = ws.stats()
        return [
            ("path", redact(ws.request.path) if ws.request is not None else "–"),
            ("subprotocol", ws.subprotocol or "none"),
            ("compression", "permessage-deflate" if ws.agreement is not None else "none"),
            ("messages", f"{stats.messages_received} in, {stats.messages_sent} out"),
            ("pings", f"{stats.pings_received} in, {stats.pings_sent} out"),
            ("writes", str(stats.writes)),
            ("peer's errors", str(stats.errors)),
        ]

    def merge_latencies(self, into: Histogram, ws: trunkline.WebSocket | None = None) -> None:
        """Add the round trips of all connections to `into`. Those of a single connection are not kept."""
        if ws is None:
            into.merge(self.server.health().latencies)


def _address(address: Any) -> str:
    if isinstance(address, tuple):
        return f"[{address[0]}]:{address[1]}" if ":" in address[0] else f"{address[0]}:{address[1]}"
    return str(address or "of a unix socket")
