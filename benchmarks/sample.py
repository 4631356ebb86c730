"""The result of a measurement."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Sample:
    """The result of one round."""

    figure: float  # in the scenario's unit
    cpu: float | None = None  # microseconds of the subject's CPU time for a message, user and system
    p50: float | None = None  # microseconds from queueing a message to its echo
    p99: float | None = None
