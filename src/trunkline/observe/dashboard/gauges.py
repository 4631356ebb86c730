"""The occupancy gauges: how full the things are that have a limit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from trunkline.manager import ConnectionManager
from trunkline.manager.dialing.budget import RetryBudget
from trunkline.manager.dialing.endpoints import Endpoint
from trunkline.manager.logs import redact
from trunkline.observe.dashboard.rows import Row

__all__ = ["gauge", "gauges_of"]

MOST: Final = 12  # endpoints to show, the most urgent first, and pools


def gauges_of(manager: ConnectionManager, queued: float, waiting: float, fullest: Row | None) -> list[dict[str, Any]]:
    """Return the gauges as they are sent.

    Args:
        manager: Whose retry budget, endpoints and pools to show.
        queued: Messages in all outboxes.
        waiting: Bytes in all outboxes.
        fullest: The row whose outbox has the least room; None if all are empty.
    """
    return [
        gauge("outboxes, all", waiting, None, "bytes", f"{queued:.0f} messages wait"),
        _of_fullest(fullest),
        _of_budget(manager.budget),
        *_of_endpoints(manager),
        *_of_pools(manager),
    ]


def _of_fullest(row: Row | None) -> dict[str, Any]:
    if row is None:
        return gauge("fullest outbox", 0, 100, "%", "all are empty")
    return gauge("fullest outbox", round(row.fill * 100), 100, "%", row.id, is_bad=row.fill > 0.8)


def _of_budget(budget: RetryBudget) -> dict[str, Any]:
    spent, waiting = budget.capacity - budget.tokens, budget.waiting
    note = f"attempts waiting for it: {waiting}" if waiting else "no attempt is waiting"
    return gauge("retry budget, spent", round(spent), budget.capacity, "", note, is_bad=waiting > 0)


def _of_endpoints(manager: ConnectionManager) -> Iterator[dict[str, Any]]:
    endpoints = sorted(manager.endpoints(), key=_urgency, reverse=True)
    for endpoint in endpoints[:MOST]:
        gate, breaker = endpoint.gate, endpoint.breaker
        notes = [f"{gate.waiting} waiting"] if gate.waiting else []
        if breaker.state != "closed":
            wait = breaker.wait_time(manager.time())
            when = "probing now" if breaker.state == "half-open" else f"next probe in {wait:.0f} s"
            notes.append(f"breaker {breaker.state}: {when}")
        elif breaker.failures:
            notes.append(f"failures in a row: {breaker.failures}")
        note = ", ".join(notes) or "breaker closed"
        size, is_bad = gate.policy.under_way, breaker.state != "closed"
        yield gauge(f"dials to {redact(endpoint.name)}", gate.under_way, size, "", note, is_bad=is_bad)
    if len(endpoints) > MOST:
        yield gauge("further endpoints", len(endpoints) - MOST, None)


def _urgency(endpoint: Endpoint) -> tuple[bool, int, int]:
    return endpoint.breaker.state != "closed", endpoint.gate.waiting, endpoint.gate.under_way


def _of_pools(manager: ConnectionManager) -> Iterator[dict[str, Any]]:
    pools = manager.pools()
    for pool in pools[:MOST]:
        members = pool.members
        up = sum(member.websocket is not None for member in members)
        yield gauge(f"pool {redact(pool.id)}", len(members), pool.policy.size, "", f"{up} up")
    if len(pools) > MOST:
        yield gauge("further pools", len(pools) - MOST, None)


def gauge(
    name: str, used: float, size: float | None, unit: str = "", note: str = "", *, is_bad: bool = False
) -> dict[str, Any]:
    """Return one gauge as it is sent.

    Args:
        name: What it measures.
        used: How much is in use.
        size: The limit; None if there is none.
        unit: "bytes", "%", or "" for a count.
        note: A remark to show with it.
        is_bad: Whether to highlight it as a problem.
    """
    return {"name": name, "used": used, "size": size, "unit": unit, "note": note, "bad": is_bad}
