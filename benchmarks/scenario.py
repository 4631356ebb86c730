"""The one shape that every benchmark has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.bench import Bench
from benchmarks.sample import Sample

LIMIT = "C"  # the subject that is no library: the least work that the kernel leaves


@dataclass(frozen=True)
class Case:
    """What is asked of a subject. `label` names it on the command line and in the tables."""

    label: str
    size: int = 0  # bytes a message
    connections: int = 1
    depth: int = 1  # messages in flight a connection; of a broadcast: messages a turn


@dataclass(frozen=True)
class Scenario:
    """A benchmark: subjects that do the same work, in cases that ask for more or less of it.

    measure: runs one subject in one case and gives a sample. base: the subject that ratios are to. unit: of the figure;
    a ratio over 1 is better than the base, whether `smaller_is_better` or not. short: the cases of a short run.
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
        """The case with this label; KeyError if there is none."""
        return {case.label: case for case in self.cases}[label]
