"""What a benchmark gives."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Sample:
    """What one round gave."""

    figure: float  # in the scenario's unit
    cpu: float | None = None  # microseconds of the subject's CPU time a message, user and system
    p50: float | None = None  # microseconds from queueing a message to having its echo
    p99: float | None = None
