"""What is measured: each way to record, and a compiled call that does nothing.

`map` calls them from C with arguments made beforehand, so no bytecode runs and no object is created. Only the cost of
the call itself is Python's. `Suspicion.touch` before the first sign of life is such a call that looks at one field and
returns; its time is what the core saves, since it calls these methods from C.
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
    """One way to record. make: makes a recorder and returns its method. arguments: CALLS values for each parameter."""

    name: str
    make: Callable[[], Callable[..., object]]
    arguments: tuple[list[float], ...]


def run(method: Callable[..., object], arguments: tuple[list[float], ...]) -> None:
    """Call it with each of the arguments."""
    deque(map(method, *arguments), maxlen=0)


def _durations() -> list[float]:
    """Return typical round trips: most about 1 ms, some much longer."""
    source = random.Random(1)
    return [source.lognormvariate(-7, 1.5) for _ in range(CALLS)]


def _times() -> Iterator[float]:
    """Yield clock readings 10 µs apart, as of a busy connection, so that time slots and windows end now and then."""
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
