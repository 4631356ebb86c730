"""The viewers' feed: first a snapshot, then the changes, twice a second, encoded once for all viewers.

A viewer that reads too slowly misses ticks and gets a snapshot once it has caught up.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final

import msgspec

import trunkline
from trunkline._metrics import Histogram
from trunkline.manager import ConnectionManager, StateChange
from trunkline.net.faults import note
from trunkline.observe.dashboard.actions import Actions
from trunkline.observe.dashboard.board import Board
from trunkline.observe.dashboard.gauges import gauge, gauges_of
from trunkline.observe.dashboard.protocol import Asked
from trunkline.observe.dashboard.rows import COLUMNS, Event, Labels, Managed
from trunkline.observe.dashboard.served import Served

__all__ = ["Feed"]

INTERVAL: Final = 0.5  # seconds between two ticks
KEPT_EVENTS: Final = 500  # events that a new viewer gets
SPREAD_EVERY: Final = 8  # ticks between two merges of all latency histograms
_encode = msgspec.json.Encoder().encode


class Feed:
    """The state that the viewers share. It ticks while there are viewers."""

    def __init__(
        self,
        manager: ConnectionManager,
        servers: Sequence[trunkline.Server] = (),
        *,
        name: str,
        actions: bool,
        max_viewers: int,
    ) -> None:
        labels = Labels()
        self.viewers: set[trunkline.WebSocket] = set()
        self.max_viewers = max_viewers
        self._managed = Managed(manager, labels)
        self.board = Board([self._managed, *(Served(server, labels) for server in servers)])
        self._program = {
            "name": name,
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "version": trunkline.__version__,
            "python": sys.version.partition(" ")[0],
        }
        self._actions = Actions(manager) if actions else None
        self._stale: set[trunkline.WebSocket] = set()  # viewers that have missed a tick
        self._events: deque[Event] = deque(maxlen=KEPT_EVENTS)
        self._fresh: list[Event] = []  # since the last tick
        self._ticks = 0
        self._count = 0  # events so far
        self._spread: dict[str, Any] = {"p50": None, "p99": None, "buckets": []}
        self._stall = 0.0
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._has_failed = False  # whether the last tick failed
        self._logger = logging.getLogger("trunkline.observe.dashboard")
        self._unsubscribe = manager.subscribe(self._note)
        changes = [held.last_change for held in manager.connections() if held.last_change is not None]
        for change in sorted(changes, key=lambda change: change.at)[-KEPT_EVENTS:]:
            self._note(change)  # how each came into its current state

    @property
    def is_full(self) -> bool:
        """Whether the number of viewers has reached its limit."""
        return len(self.viewers) >= self.max_viewers

    # Viewers

    def add(self, viewer: trunkline.WebSocket) -> None:
        """Add a viewer and send it a snapshot."""
        if not self.viewers:
            self._begin()
        self.viewers.add(viewer)
        viewer.send_nowait(self._snapshot())

    def remove(self, viewer: trunkline.WebSocket) -> None:
        """Remove a viewer that has gone."""
        self.viewers.discard(viewer)
        self._stale.discard(viewer)
        if not self.viewers and self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self.board.clear()

    def close(self) -> None:
        """Stop the ticks and drop the viewers."""
        self._unsubscribe()
        for viewer in list(self.viewers):
            self.remove(viewer)

    async def show(self, viewer: trunkline.WebSocket) -> None:
        """Feed a viewer and answer its requests until it goes."""
        self.add(viewer)
        try:
            async for message in viewer:
                answer = self._answer(viewer, message)
                if answer is not None:
                    await viewer.send(answer)
        finally:
            self.remove(viewer)

    def _answer(self, viewer: trunkline.WebSocket, message: str | bytes) -> str | None:
        try:
            asked = msgspec.json.decode(message, type=Asked)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            viewer.fail(1007, "not a request that the dashboard knows")
            return None
        if asked.kind == "action":
            return self.act(asked.action, asked.id, viewer)
        return self.details(asked.id) if asked.kind == "details" else None

    def details(self, label: str) -> str | None:
        """Return what the details pane shows of a connection besides its row; None if there is no such connection."""
        source, connection = self.board.find(label)
        if source is None:
            return None
        self.board.mark([label])  # so that its row is updated in each tick while it is shown
        latencies = Histogram()
        source.merge_latencies(latencies, connection)
        facts = source.facts(connection)
        return _encode({"kind": "details", "id": label, "facts": facts, "buckets": latencies.buckets()}).decode()

    def act(self, action: str, label: str, viewer: trunkline.WebSocket) -> str:
        """Carry out a viewer's action and return the answer."""
        if self._actions is None:
            text = "actions are off: serve(manager, actions=True) enables them"
        else:
            text = self._actions.act(action, label, self.board.find(label)[1], viewer)
            self.board.mark(self.board.rows if action in ("pause", "resume") else [label])
        return _encode({"kind": "answer", "id": label, "text": text}).decode()

    # Ticks

    def _begin(self) -> None:
        loop = asyncio.get_running_loop()
        self.board.begin()
        self._fresh.clear()
        self._spread = self.board.merge_latencies()
        self._due = loop.time() + INTERVAL
        self._timer = loop.call_at(self._due, self._tick)

    def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        late = loop.time() - self._due
        self._stall = max(late, self._stall * 0.9)  # so that a stall stays visible for some seconds
        self._due = loop.time() + INTERVAL
        self._timer = loop.call_at(self._due, self._tick)
        try:
            self._tell_changes()
        except Exception as error:
            if not self._has_failed:
                note(self._logger, error, "a tick of the dashboard")
            self._has_failed = True
            self._stale.update(self.viewers)  # they have missed these changes: they get a snapshot
        else:
            self._has_failed = False

    def _tell_changes(self) -> None:
        self._ticks += 1
        if self._ticks % SPREAD_EVERY == 0:
            self._spread = self.board.merge_latencies()
        changed, gone = self.board.look()
        message = _encode(
            {
                "kind": "delta",
                "at": time.time(),
                "rows": changed,
                "gone": gone,
                "events": [asdict(event) for event in self._fresh],
                "totals": self._totals(),
            }
        ).decode()
        self._fresh.clear()
        self._send(message)

    def _send(self, message: str) -> None:
        behind = [viewer for viewer in self.viewers if viewer.is_writing_paused]
        caught_up = [viewer for viewer in self._stale if viewer not in behind]
        self._stale.update(behind)
        trunkline.broadcast([viewer for viewer in self.viewers if viewer not in self._stale], message, slow="drop")
        for viewer in caught_up:
            self._stale.discard(viewer)
            trunkline.broadcast([viewer], self._snapshot(), slow="drop")

    def _snapshot(self) -> str:
        return _encode(
            {
                "kind": "snapshot",
                "at": time.time(),
                "program": self._program,
                "actions": self._actions is not None,
                "columns": COLUMNS,
                "rows": [row.values() for row in self.board.rows.values()],
                "events": [asdict(event) for event in self._events],
                "totals": self._totals(),
            }
        ).decode()

    def _totals(self) -> dict[str, Any]:
        totals = self.board.totals()
        gauges = gauges_of(self._managed.manager, totals["queue"], totals["queue_bytes"], self.board.fullest)
        gauges.append(gauge("viewers of this page", len(self.viewers), self.max_viewers))
        return {**totals, "events": self._count, "stall": round(self._stall, 3), "gauges": gauges, **self._spread}

    def _note(self, change: StateChange) -> None:
        self._count += 1
        event = self._managed.event(self._count, change)
        self._events.append(event)
        if not self.viewers:
            self.board.forget(event.id)  # no tick will, and there may be ever new ids
        else:
            self._fresh.append(event)
            self.board.mark([event.id])
