"""Figures from samples: medians, spreads, ratios."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Sample:
    """The result of one round."""

    figure: float  # in the scenario's unit
    cpu: float | None = None  # microseconds of the subject's CPU time for a message, user and system
    p50: float | None = None  # microseconds from queueing a message to its echo
    p99: float | None = None


@dataclass(frozen=True)
class Figures:
    """The medians over the rounds of one subject in one case."""

    figure: float
    spread: float  # (largest - smallest) / median of the figure
    cpu: float | None
    p50: float | None
    p99: float | None


def summarize(samples: Sequence[Sample]) -> Figures:
    """Return the figures of one or more samples."""

    def median(values: Sequence[float | None]) -> float | None:
        present = [value for value in values if value is not None]
        return statistics.median(present) if present else None

    figures = [sample.figure for sample in samples]
    middle = statistics.median(figures)
    return Figures(
        figure=middle,
        spread=(max(figures) - min(figures)) / middle,
        cpu=median([sample.cpu for sample in samples]),
        p50=median([sample.p50 for sample in samples]),
        p99=median([sample.p99 for sample in samples]),
    )


def ratio(subjects: Mapping[str, Sequence[Sample]], subject: str, base: str, smaller_is_better: bool) -> float | None:
    """Return how many times better `subject` is than `base`, by medians; None if one of them was not measured."""
    if subject not in subjects or base not in subjects:
        return None
    ours, theirs = summarize(subjects[subject]).figure, summarize(subjects[base]).figure
    return theirs / ours if smaller_is_better else ours / theirs
