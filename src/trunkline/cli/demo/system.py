"""Load, memory and network rates of this machine."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

__all__ = ["Figures", "Machine"]

PROC: Final = Path("/proc")


class Figures(msgspec.Struct, frozen=True):
    """Load, memory and network rates. A figure that this system does not provide is None."""

    source: str  # "/proc", or "os" where there is none
    load: float  # processes that run or wait to run, mean of the last minute
    memory: float | None  # share of the memory that is in use
    received: float | None  # bytes a second since the last reading, over all network interfaces
    sent: float | None


class Machine:
    """Reads the figures. The network rates are means since the last reading."""

    def __init__(self, proc: Path = PROC, clock: Callable[[], float] = time.monotonic) -> None:
        self._proc = proc
        self._clock = clock
        self._last: tuple[float, int, int] | None = None  # time, bytes received, bytes sent

    def read(self) -> Figures:
        """Return the current figures; without /proc, only the load."""
        try:
            load = float((self._proc / "loadavg").read_text().split()[0])
            memory = self._read_memory()
            received, sent = self._read_network()
        except OSError:
            return Figures("os", os.getloadavg()[0], None, None, None)
        return Figures(str(self._proc), load, memory, received, sent)

    def _read_memory(self) -> float:
        fields = dict(line.split(":") for line in (self._proc / "meminfo").read_text().splitlines())
        total, available = (int(fields[name].split()[0]) for name in ("MemTotal", "MemAvailable"))
        return 1 - available / total

    def _read_network(self) -> tuple[float, float]:
        received = sent = 0
        for line in (self._proc / "net" / "dev").read_text().splitlines()[2:]:
            counters = line.partition(":")[2].split()
            received += int(counters[0])
            sent += int(counters[8])
        now = self._clock()
        before, self._last = self._last, (now, received, sent)
        if before is None or now <= before[0]:
            return 0.0, 0.0
        elapsed = now - before[0]
        return (received - before[1]) / elapsed, (sent - before[2]) / elapsed
