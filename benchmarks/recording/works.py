"""What is measured: each way to record, and a compiled call that does nothing.

`map` calls them from C with arguments that were made before, so no bytecode runs and no object is made. What is left of
Python is the call itself. `Suspicion.touch` before the first sign of life is a call of the same shape that looks at one
field and returns; its time is what the core, which calls these methods from C, does not pay.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from trunkline._metrics import Average, Histogram, Rates, Suspicion

__all__ = ["CALLS", "EMPTY", "WORKS", "Work", "run"]

CALLS: Final = 100_000


@dataclass(frozen=True)
class Work:
    """One way to record. make: a new recorder's method; arguments: a list of CALLS for each of its parameters."""

    name: str
    make: Callable[[], Callable[..., object]]
    arguments: tuple[list[float], ...]


def run(method: Callable[..., object], arguments: tuple[list[float], ...]) -> None:
    """Call it with each of the arguments."""
    deque(map(method, *arguments), maxlen=0)


def _durations() -> list[float]:
    """Round trips as they come: most about 1 ms, some much longer."""
    source = random.Random(1)
    return [source.lognormvariate(-7, 1.5) for _ in range(CALLS)]


def _times() -> Iterator[float]:
    """A clock's readings, 10 µs apart: a busy connection's, so that slots and windows are left now and then."""
    return (1000 + number * 1e-5 for number in range(CALLS))


_DURATIONS: Final = _durations()
_TIMES: Final = list(_times())

EMPTY: Final = Work("a call that does nothing", lambda: Suspicion().touch, (_TIMES,))
WORKS: Final = (
    Work("Histogram.record, a duration", lambda: Histogram().record, (_DURATIONS,)),
    Work("Average.record, a value", lambda: Average().record, (_DURATIONS,)),
    Work("Rates.add, a count in three windows", lambda: Rates(1000.0).add, (_TIMES, [1] * CALLS)),
    Work("Suspicion.record, a sign of life", lambda: Suspicion().record, (_TIMES,)),
)
