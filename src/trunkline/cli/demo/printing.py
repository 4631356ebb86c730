"""What the demo prints: a line for each event, and a table at the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from trunkline.cli.stdout import silence
from trunkline.manager import ConnectionHealth, StateChange

__all__ = ["Printer", "health_rows", "introduction", "table"]


class Printer:
    """Prints lines that begin with the seconds since the start."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began = clock()

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return self._clock() - self._began

    def change(self, change: StateChange) -> None:
        """Print a connection's change of state."""
        self._line(change.service, change.after, change.explain())

    def fault(self, text: str) -> None:
        """Print a fault that the demo injects."""
        self.say("")
        self._line("--", "fault", text)

    def say(self, text: str) -> None:
        """Print a text. The demo goes on even if nobody reads its output any more."""
        try:
            print(text, flush=True)
        except BrokenPipeError:
            silence()

    def _line(self, who: str, what: str, why: str) -> None:
        self.say(f"{self.elapsed:6.1f} s  {who:<10}{what:<12}{why}")


def introduction(seconds: float, url: str, dashboard: str) -> str:
    """Return what the demo does and how to look in. dashboard: its URL, "" if there is none."""
    lines = [f"dashboard {dashboard}"] if dashboard else []
    lines += ["", f"Three services, a typed connection to each, {seconds:g} s of faults. To look in while it runs:"]
    lines += [f"    python -m trunkline connect {url}/chat/lobby"]
    lines += [f"    python -m trunkline top '{dashboard}'"] if dashboard else []
    return "\n".join([*lines, ""])


def table(rows: Sequence[Sequence[str]], left: int) -> str:
    """Return the rows in columns: the first `left` columns aligned left, the others, which hold figures, right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]

    def align(row: Sequence[str]) -> str:
        cells = [f"{cell:<{widths[at]}}" if at < left else f"{cell:>{widths[at]}}" for at, cell in enumerate(row)]
        return "  ".join(cells).rstrip()

    return "\n".join(map(align, rows))


def health_rows(reports: Sequence[ConnectionHealth]) -> list[tuple[str, ...]]:
    """Return the headings and a row for each connection."""
    headings = ("connection", "status", "sent", "received", "msg/s", "reconnects", "latency", "availability")
    return [headings, *map(_health_row, reports)]


def _health_row(report: ConnectionHealth) -> tuple[str, ...]:
    return (
        report.connection_id,
        report.status,
        str(report.messages_sent),
        str(report.messages_received),
        f"{report.messages_per_second:.1f}",
        str(report.reconnects),
        "-" if report.latency is None else f"{report.latency * 1000:.2f} ms",
        f"{report.availability:.1%}",
    )
