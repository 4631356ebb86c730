"""The table of connections, for terminals of any width."""

from __future__ import annotations

import time
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from trunkline.cli.top.view import View
from trunkline.protocol.wording import printable

__all__ = ["screen", "sheet"]

STYLES: Final = {
    "connected": "green",
    "connecting": "cyan",
    "waiting": "yellow",
    "suspended": "magenta",
    "paused": "magenta",
    "failed": "bold red",
}
# Columns of figures, and the least width of terminal that shows each.
FIGURES: Final = {"in/s": 70, "out/s": 70, "RTT": 82, "p99": 96, "queue": 110}
AROUND: Final = 4  # lines of a screen without a connection: two of totals, the headings, the keys
KEYS: Final = "q quit   s sort   / search   arrows"


def screen(view: View, width: int, height: int) -> RenderableType:
    """Make what fills a terminal of `width` columns and `height` lines."""
    rows = view.ordered()
    room = max(1, height - AROUND)
    view.first = max(0, min(view.first, len(rows) - room))
    table = _table(rows[view.first : view.first + room], view, width)
    blank = [Text()] * (room - len(table.rows))
    return Group(*_head(view), table, *blank, _foot(view, len(rows), room))


def sheet(view: View, width: int) -> RenderableType:
    """Make the whole table, for a terminal of `width` columns."""
    return Group(*_head(view), _table(view.ordered(), view, width))


def _head(view: View) -> list[Text]:
    totals, program = view.totals, view.program
    name = printable(f"{program.get('name', '?')}  pid {program.get('pid', '?')} on {program.get('host', '?')}")
    up, there = totals.get("up", 0), totals.get("connections", 0)
    down = there - up
    told = Text(name, style="bold", no_wrap=True, overflow="ellipsis")
    if view.fault:
        return [told, Text(printable(view.fault), style="bold red", no_wrap=True, overflow="ellipsis")]
    line = Text(no_wrap=True, overflow="ellipsis")
    line.append(f"{up:,} of {there:,} up", style="green" if not down else "yellow")
    line.append(f"   in {_figure(totals.get('in_rate'))}/s   out {_figure(totals.get('out_rate'))}/s")
    line.append(f"   RTT p50 {_milliseconds(totals.get('p50'))}, p99 {_milliseconds(totals.get('p99'))}")
    line.append(f"   queued {totals.get('queue', 0):,}")
    return [told, line]


def _foot(view: View, found: int, room: int) -> Text:
    foot = Text(no_wrap=True, overflow="ellipsis", style="dim")
    if view.typing:
        return Text(f"search: {printable(view.search)}_   Enter keeps it, Escape clears it", no_wrap=True)
    shown = f"{view.first + 1}-{min(view.first + room, found)} of {found}" if found > room else f"{found} shown"
    foot.append(f"{shown}, by {view.order}")
    if view.search:
        foot.append(f", with {printable(view.search)!r}")
    return foot.append(f"   {KEYS}")


def _table(rows: list[dict[str, Any]], view: View, width: int) -> Table:
    table = Table(box=None, pad_edge=False, expand=True, header_style="dim")
    longest = max((len(printable(str(row["id"]))) for row in rows), default=0)
    table.add_column("connection", no_wrap=True, overflow="ellipsis", width=max(10, min(longest, width * 2 // 5)))
    table.add_column("state", no_wrap=True)
    table.add_column("since", no_wrap=True, justify="right")
    for name, least in FIGURES.items():
        if width >= least:
            table.add_column(name, no_wrap=True, justify="right")
    wide = width >= FIGURES["RTT"]
    table.add_column("last failure, next try" if wide else "last failure", no_wrap=True, overflow="ellipsis", ratio=1)
    dim = bool(view.fault)
    for row in rows:
        table.add_row(*_cells(row, view.at, width), style="dim" if dim else "")
    return table


def _cells(row: dict[str, Any], now: float, width: int) -> list[Text]:
    status = "paused" if row.get("paused") else str(row.get("status", "?"))
    figures = {
        "in/s": _figure(row.get("in_rate")),
        "out/s": _figure(row.get("out_rate")),
        "RTT": _milliseconds(row.get("latency")),
        "p99": _milliseconds(row.get("p99")),
        "queue": _figure(row.get("queue")),
    }
    return [
        Text(printable(str(row["id"]))),
        Text(printable(status), style=STYLES.get(status, "")),
        Text("-" if row.get("since") is None else _duration(now - row["since"])),
        *(Text(text) for name, text in figures.items() if width >= FIGURES[name]),
        _failure(row, now, "retry in" if width >= FIGURES["RTT"] else "in"),
    ]


def _failure(row: dict[str, Any], now: float, then: str) -> Text:
    why = printable(str(row.get("why") or ""))
    if row.get("next_at"):
        return Text(f"{then} {_duration(row['next_at'] - now)}: {why}", style="yellow")
    return Text(why, style="dim" if row.get("status") == "connected" else "")


def _figure(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.1f}"


def _milliseconds(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    return f"{seconds:,.1f} s" if seconds >= 10 else f"{seconds * 1e3:,.{0 if seconds >= 0.1 else 2}f} ms"


def _duration(seconds: float) -> str:
    seconds = max(0.0, seconds)
    if seconds < 60:
        return f"{seconds:.0f} s"
    return time.strftime("%H:%M:%S", time.gmtime(seconds)) if seconds < 86400 else f"{seconds // 86400:.0f} d"
