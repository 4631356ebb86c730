"""How full the things are that have a bound."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from trunkline.manager import ConnectionManager
from trunkline.observe.dashboard.rows import Row

__all__ = ["gauges_of"]


def gauges_of(manager: ConnectionManager, rows: Collection[Row]) -> list[dict[str, Any]]:
    """Name, what is used, the size (None: no bound), the unit and a note of each."""
    queued, waiting = sum(row.queue for row in rows), sum(row.queue_bytes for row in rows)
    return [
        _gauge("outboxes, messages", queued, None),
        _gauge("outboxes", waiting, None, "bytes"),
    ]


def _gauge(name: str, used: float, size: float | None, unit: str = "", note: str = "") -> dict[str, Any]:
    return {"name": name, "used": used, "size": size, "unit": unit, "note": note}
