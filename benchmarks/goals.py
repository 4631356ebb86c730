"""trunkline's targets, as ratios within one run, and the floors below which a run fails.

A target that is met is raised; one that is missed stays in the report with its figure. There are floors only where both
sides run in one process, so that other work on the machine affects both alike.
"""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.figures import ratio, summarize
from benchmarks.scenarios import SCENARIOS
from benchmarks.store import Store


@dataclass(frozen=True)
class Goal:
    """`subject` should be at least `aim` times better than `base`; without a base, its figure at most `aim`."""

    scenario: str
    case: str
    subject: str
    base: str | None
    aim: float
    floor: float | None = None

    def measured(self, store: Store, loop: str) -> float | None:
        """Return the ratio, or without a base the figure itself; None if it was not measured."""
        scenario = SCENARIOS[self.scenario]
        case = store.load(self.scenario, loop).get(self.case)
        if case is None or self.subject not in case.samples:
            return None
        if self.base is None:
            return summarize(case.samples[self.subject]).figure
        return ratio(case.samples, self.subject, self.base, scenario.smaller_is_better)

    def measured_by_cpu(self, store: Store, loop: str) -> float | None:
        """Return the ratio of `base` to the subject in CPU time for a message; None if one of them was not measured."""
        case = store.load(self.scenario, loop).get(self.case)
        if case is None or not case.samples.keys() >= {self.subject, self.base}:
            return None
        ours, theirs = (summarize(case.samples[name]).cpu for name in (self.subject, self.base or ""))
        return theirs / ours if ours and theirs else None

    def is_met(self, measured: float) -> bool:
        """Return whether this figure meets the target."""
        return measured <= self.aim if self.base is None else measured >= self.aim

    def is_under_floor(self, measured: float) -> bool:
        """Return whether this figure fails the run."""
        return self.floor is not None and measured < self.floor


ON_MESSAGE, ON_BATCH, ASYNC_FOR = "trunkline on_message", "trunkline on_batch", "trunkline async for"

GOALS = [
    Goal("echo", "100,64,16", ON_MESSAGE, "picows", 13),
    Goal("echo", "100,64,16", ON_MESSAGE, "C", 0.75),
    Goal("echo", "100,64,16", ON_BATCH, "picows", 15),
    Goal("echo", "100,64,16", ON_BATCH, "C", 0.9),
    Goal("echo", "1,64,64", ON_MESSAGE, "picows", 4.8),
    Goal("echo", "10,4096,8", ON_MESSAGE, "picows", 5),
    Goal("echo", "100,64,1", ON_MESSAGE, "picows", 1.2),
    Goal("echo", "1,64,1", ON_MESSAGE, "picows", 1.05),
    Goal("echo", "4,1048576,1", ON_MESSAGE, "picows", 1.05),
    Goal("echo", "4,1048576,1", ON_MESSAGE, "C", 0.97),
    Goal("echo", "100,64,16", ASYNC_FOR, "picows", 7),
    Goal("echo", "100,64,16", ASYNC_FOR, "websockets", 16),
    Goal("echo", "100,64,1", ASYNC_FOR, "picows.websockets", 1.15),
    Goal("deflate", "10,1024,8", ASYNC_FOR, "websockets", 2),
    Goal("feed", "64", ON_BATCH, "picows", 1.8),
    Goal("feed", "64", ON_MESSAGE, "picows", 1.1),
    Goal("feed", "64", ASYNC_FOR, "picows.websockets", 1.3),
    Goal("feed", "65536", ON_MESSAGE, "picows", 1.2),
    Goal("push", "64", "trunkline send_nowait", "picows", 20),
    Goal("wait", "64", ON_MESSAGE, "picows", 1.03),
    Goal("wait", "65536", ON_MESSAGE, "picows", 1.1),
    Goal("broadcast", "1 a turn", "trunkline", "picows in a loop", 1.05),
    Goal("broadcast", "10 a turn", "trunkline", "picows in a loop", 8),
    Goal("handshakes", "3000", ON_MESSAGE, "websockets", 1.5),
    Goal("memory", "5000", ON_MESSAGE, None, 6000),
    Goal("codec", "burst 64", "trunkline.protocol", "wsproto", 40, floor=25),
    Goal("codec", "round trip 64", "trunkline.protocol", "wsproto", 12, floor=8),
    Goal("codec", "round trip 65536", "trunkline.protocol", "wsproto", 25, floor=15),
]


def under_floor(store: Store, loop: str) -> list[str]:
    """Describe what fails the run."""
    return [
        f"{goal.scenario} {goal.case}: {goal.subject} is {measured:.1f} times {goal.base}, the floor is {goal.floor}"
        for goal in GOALS
        if (measured := goal.measured(store, loop)) is not None and goal.is_under_floor(measured)
    ]
