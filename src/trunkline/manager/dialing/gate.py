"""The dial gate of one host: how many handshakes may run at a time, and how fast dials may follow each other.

However many connections want to come back, the host sees a steady stream: a few at once if it was quiet before, then
one after the other at equal intervals, in the order in which they came.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from trunkline.manager.clock import Clock
from trunkline.manager.dialing.fair_queue import ROUNDING, FairQueue
from trunkline.manager.policies import GatePolicy

__all__ = ["DialGate"]

WINDOW: Final = 0.1  # seconds over which `per_second` is enforced


class DialGate:
    """A gate with two queues: one for a slot, one for the moment to dial."""

    def __init__(self, policy: GatePolicy, clock: Clock) -> None:
        self.policy = policy
        self.under_way = 0
        self._clock = clock
        self._slots = FairQueue()
        self._moments = FairQueue()
        self._distance = 1 / policy.per_second
        self._quota = max(1, int(policy.per_second * WINDOW + ROUNDING))
        self._window = self._quota * self._distance
        self._burst = max(1, self._quota // 4)
        self._begun: deque[float] = deque(maxlen=self._quota)  # when the latest dials began

    @property
    def waiting(self) -> int:
        """Connections that wait for a slot or for their moment."""
        return len(self._slots) + len(self._moments)

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Hold one of the `under_way` slots for the length of a block. First come, first served."""
        await self._slots.enter(self._clock, self._take_slot)
        try:
            yield
        finally:
            self.under_way -= 1
            self._slots.nudge()

    async def wait_moment(self) -> None:
        """Wait for the moment to dial. First come, first served."""
        await self._moments.enter(self._clock, self._take_moment)

    def _take_slot(self) -> float:
        if self.under_way >= self.policy.under_way:
            return math.inf
        self.under_way += 1
        return 0.0

    def _take_moment(self) -> float:
        now = self._clock.time()
        wait = self._next_moment(now) - now
        if wait > ROUNDING:
            return wait
        self._begun.append(now)
        return 0.0

    def _next_moment(self, now: float) -> float:
        recent = sum(begun > now - self._window + ROUNDING for begun in self._begun)
        if recent < self._burst:
            return now
        moment = self._begun[-1] + self._distance
        if recent >= self._quota:
            moment = max(moment, self._begun[0] + self._window)
        return moment
