"""Compare two cores by runs that took turns.

A run is a process that measures everything once. Runs of the head (the current core) and of the base (that of another
commit) take turns. On a shared machine the minima of the same code differ by 18 % between two runs in the median case,
and by 47 % at worst, so nothing is compared with an earlier figure. Instead:

- a run measures CPU time, and takes the median of its rounds;
- each run of the head is divided by the run of the base next to it;
- wsproto is the same code on both sides, so changes of its times come from the machine: the ratios are divided by the
  median of wsproto's;
- the result is the median of all pairs' ratios.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple

from benchmarks.tables import markdown

__all__ = ["LIMIT", "Row", "compared", "medians", "slower", "suspects", "table"]

LIMIT: Final = 1.10  # of the base's CPU time; the median of equal cores stays within 4 %
SUSPICIOUS: Final = 1.05  # above this, more pairs are measured
CONTROL: Final = "wsproto"

Medians = Mapping[str, float]  # CPU seconds for each call, by the benchmark's name


class Row(NamedTuple):
    """One benchmark. base, head: CPU seconds for each call. ratio: head by base, corrected for the machine's drift."""

    name: str
    base: float
    head: float
    ratio: float
    pairs: int

    @property
    def is_control(self) -> bool:
        return CONTROL in self.name


def medians(path: Path) -> dict[str, float]:
    """Return the medians of a run from pytest-benchmark's JSON."""
    return {one["name"]: one["stats"]["median"] for one in json.loads(path.read_text())["benchmarks"]}


def drift(base: Medians, head: Medians) -> float:
    """Return how much slower the machine was in the head's run: the median ratio of the unchanged code."""
    return median([head[name] / base[name] for name in base.keys() & head.keys() if CONTROL in name] or [1.0])


def compared(pairs: Iterable[tuple[Medians, Medians]]) -> list[Row]:
    """Compare the benchmarks that both sides have; each pair is a run of the base and one of the head."""
    bases: dict[str, list[float]] = {}
    heads: dict[str, list[float]] = {}
    ratios: dict[str, list[float]] = {}
    for base, head in pairs:
        machine = drift(base, head)
        for name in base.keys() & head.keys():
            bases.setdefault(name, []).append(base[name])
            heads.setdefault(name, []).append(head[name])
            ratios.setdefault(name, []).append(head[name] / base[name] / machine)
    return [
        Row(name, median(bases[name]), median(heads[name]), median(each), len(each))
        for name, each in sorted(ratios.items())
    ]


def suspects(rows: Iterable[Row]) -> list[Row]:
    """Return the benchmarks that may be slower and need more pairs."""
    return [row for row in rows if row.ratio > SUSPICIOUS and not row.is_control]


def slower(rows: Iterable[Row]) -> list[Row]:
    """Return the benchmarks that are slower."""
    return [row for row in rows if row.ratio > LIMIT and not row.is_control]


def table(rows: list[Row], base: str) -> str:
    """Return a Markdown table, with wsproto's times where it has a counterpart."""
    known = {row.name: row for row in rows}
    lines = []
    for row in rows:
        if row.is_control:
            continue
        other = known.get(row.name.replace("trunkline", CONTROL)) if "trunkline" in row.name else None
        beside = f"{other.head / row.head:.1f} × head" if other else ""
        mark = " **slower**" if row in slower(rows) else ""
        label = row.name.removeprefix("test_").replace("trunkline-", "").replace("[trunkline]", "")
        times = [f"{seconds * 1e6:,.2f} µs" for seconds in (row.base, row.head)]
        lines.append([label, *times, f"{row.ratio:.3f}{mark}", beside])
    return markdown(["benchmark", f"base ({base})", "head", "head / base", "wsproto"], lines)
