"""Samples of a process's memory, descriptors and objects, their slope, and the verdict."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

import trunkline
from benchmarks.bench import resident

WARM_UP = 0.25  # share of the samples that the slope leaves out
POINTS = 24  # samples in a section


@dataclass(frozen=True, slots=True)
class Sample:
    """What a process held after `done` messages or reconnects. resident: bytes. blocks: of Python's allocator.
    objects: WebSockets that are alive.
    """

    done: int
    resident: int
    blocks: int
    files: int
    tasks: int
    objects: int


@dataclass(frozen=True, slots=True)
class Bounds:
    """Upper bounds of a slope, in bytes and in blocks for each message or reconnect."""

    resident: float
    blocks: float


def files(pid: int | str = "self") -> int:
    """Return the number of a process's open descriptors."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Return the slope of the least-squares line through the points."""
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread


@dataclass(slots=True)
class Watch:
    """The samples of this process in one section."""

    total: int  # messages or reconnects in the section
    bounds: Bounds
    samples: list[Sample] = field(default_factory=list)

    def is_over(self, done: int) -> bool:
        """Take the next of the POINTS samples if it is time for it, and return whether everything is done."""
        if done * POINTS >= self.total * (len(self.samples) + 1):
            self.sample(done)
        return done >= self.total

    def sample(self, done: int) -> None:
        """Take a sample of this process. Call it when as much is under way as at the other samples."""
        gc.collect()
        objects = sum(isinstance(one, trunkline.WebSocket) for one in gc.get_objects())
        self.samples.append(
            Sample(
                done=done,
                resident=resident(),
                blocks=sys.getallocatedblocks(),
                files=files(),
                tasks=len(asyncio.all_tasks()),
                objects=objects,
            )
        )

    @property
    def steady(self) -> list[Sample]:
        """Return the samples after the warm-up."""
        return self.samples[int(len(self.samples) * WARM_UP) :]

    def slope(self, what: str) -> float:
        """Return by how much a figure rises with each message or reconnect."""
        return slope([(one.done, getattr(one, what)) for one in self.steady])

    def faults(self) -> list[str]:
        """Describe what grows by more than its bound."""
        found = []
        for what in ("resident", "blocks"):
            bound = getattr(self.bounds, what)
            if self.slope(what) > bound:
                found.append(f"{what} rises by {self.slope(what) * 1000:.0f} for each 1,000, limit {bound * 1000:.0f}")
        return found + self.left()

    def left(self) -> list[str]:
        """Describe what is left over at the end."""
        half = len(self.steady) // 2
        before, after = self.steady[:half], self.steady[half:]
        return [
            f"{what}: at most {most} before, at least {least} after"
            for what in ("files", "tasks", "objects")
            if (least := min(getattr(one, what) for one in after)) > (most := max(getattr(one, what) for one in before))
        ]
