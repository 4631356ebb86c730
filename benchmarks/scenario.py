"""What every benchmark consists of: a scenario with cases."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.bench import Bench
from benchmarks.figures import Sample

LIMIT = "C"  # the subject without a library, which does the least work possible


@dataclass(frozen=True)
class Case:
    """How much work a subject gets. `label` names the case on the command line and in the tables."""

    label: str
    size: int = 0  # bytes of a message
    connections: int = 1
    depth: int = 1  # messages in flight on each connection; in a broadcast: messages in each turn


@dataclass(frozen=True)
class Scenario:
    """A benchmark: subjects that do the same work, in cases with different amounts of it.

    measure: runs one subject in one case and returns a sample. base: the subject that ratios are to; a ratio over 1 is
    better than the base, whether `smaller_is_better` or not. unit: of the figure. short: the cases of a short run.
    """

    name: str
    title: str
    text: str
    unit: str
    cases: tuple[Case, ...]
    subjects: tuple[str, ...]
    base: str
    short: tuple[str, ...]
    measure: Callable[[Bench, str, Case], Sample]
    per: str = "message"
    smaller_is_better: bool = False

    def case(self, label: str) -> Case:
        """Return the case with this label. Raises KeyError if there is none."""
        return {case.label: case for case in self.cases}[label]
