"""The committed counts, and the comparison with new ones."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

BASELINE = Path(__file__).with_name("baseline.json")
TOLERANCE = 0.03  # of a count, on the same compiler and interpreter
FOREIGN_TOLERANCE = 0.25  # of a ratio to wsproto, on any other


NOTHING: Final[Mapping[str, float]] = MappingProxyType({})


@dataclass(frozen=True)
class Count:
    """Instructions for each message of one piece of work."""

    work: str
    side: str  # trunkline or wsproto
    instructions: float


@dataclass(frozen=True)
class Counts:
    """The counts of one run. environment: what they depend on besides the code."""

    environment: dict[str, str]
    counts: tuple[Count, ...]

    def by_work(self) -> dict[str, dict[str, float]]:
        """Return the instructions by work and then by side, in the order of counting."""
        found: dict[str, dict[str, float]] = {}
        for count in self.counts:
            found.setdefault(count.work, {})[count.side] = count.instructions
        return found

    def ratios(self) -> dict[str, float]:
        """Return how many times trunkline's instructions wsproto takes, by work that both do."""
        return {
            work: sides["wsproto"] / sides["trunkline"]
            for work, sides in self.by_work().items()
            if sides.keys() >= {"wsproto", "trunkline"}
        }

    def about(self) -> str:
        """Return the environment on one line."""
        return ", ".join(f"{name} {value}" for name, value in self.environment.items())


def read_baseline(path: Path = BASELINE) -> Counts:
    """Return the committed counts."""
    return parse_baseline(path.read_text())


def parse_baseline(text: str) -> Counts:
    """Return the counts in the text of a baseline."""
    kept = json.loads(text)
    return Counts(
        kept["environment"],
        tuple(
            Count(work, side, value) for work, sides in kept["instructions"].items() for side, value in sides.items()
        ),
    )


def write_baseline(counts: Counts, path: Path = BASELINE) -> None:
    """Make these counts the baseline for later ones."""
    rounded = {work: {side: round(n, 1) for side, n in sides.items()} for work, sides in counts.by_work().items()}
    path.write_text(json.dumps({"environment": counts.environment, "instructions": rounded}, indent=1) + "\n")


def differences(baseline: Counts, counts: Counts) -> dict[str, tuple[str, str]]:
    """Return how two environments differ: by name, the baseline's value and the other."""
    names = baseline.environment.keys() | counts.environment.keys()
    pairs = {name: (baseline.environment.get(name, "?"), counts.environment.get(name, "?")) for name in sorted(names)}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


@dataclass(frozen=True)
class Verdict:
    """faults: what fails the run. gains: what has fallen by more than the tolerance, and may be recorded."""

    faults: tuple[str, ...]
    gains: tuple[str, ...] = ()


def allowances(old: Counts, new: Counts) -> dict[str, float]:
    """Return by work the factor by which a commit has raised the baseline, and by which its counts may grow, too.

    Baselines of different environments cannot be compared, so they allow nothing.
    """
    if differences(old, new):
        return {}
    then = old.by_work()
    return {
        work: max(1.0, sides["trunkline"] / then[work]["trunkline"])
        for work, sides in new.by_work().items()
        if work in then
    }


def compare(
    baseline: Counts, counts: Counts, where: str = "in the baseline", allowed: Mapping[str, float] = NOTHING
) -> Verdict:
    """Compare counts with the baseline: each count if the environment is the same, and otherwise the ratios to wsproto,
    which change less with the compiler.

    Args:
        baseline: The counts to compare with; they may be another commit's.
        counts: The current counts.
        where: What `baseline` is, for the text of a fault.
        allowed: By work, the factor by which its count may grow on top of the tolerance.
    """
    if differences(baseline, counts):
        return Verdict(tuple(fallen_ratios(baseline, counts)))
    faults, gains = [], []
    found = counts.by_work()
    for work, sides in baseline.by_work().items():
        then, now = sides["trunkline"], found.get(work, {}).get("trunkline")
        if now is None:
            faults.append(f"{work}: is no longer counted")
            continue
        told = f"{work}: {now:,.1f} instructions a message, {then:,.1f} {where} ({now / then - 1:+.1%})"
        if now > then * (1 + TOLERANCE) * allowed.get(work, 1.0):
            faults.append(told)
        elif now < then * (1 - TOLERANCE):
            gains.append(told)
    faults += [f"{work}: is not {where}" for work in found if work not in baseline.by_work()]
    return Verdict(tuple(faults), tuple(gains))


def fallen_ratios(baseline: Counts, counts: Counts) -> Iterable[str]:
    """Yield the ratios to wsproto that are lower than the baseline's by more than FOREIGN_TOLERANCE."""
    now = counts.ratios()
    for work, then in baseline.ratios().items():
        if work not in now:
            yield f"{work}: is no longer counted"
        elif now[work] < then * (1 - FOREIGN_TOLERANCE):
            yield f"{work}: wsproto takes {now[work]:.1f} times the instructions, {then:.1f} times in the baseline"
