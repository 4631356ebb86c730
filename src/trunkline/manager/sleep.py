"""Notices that the machine was suspended, and checks whether links survived it.

A TCP connection does not learn of it, nor of a change of the network. A link that looks open may be dead for minutes
before a timeout shows it, and a connection in a long pause may be able to connect at once. So every open link is asked
for a sign of life and dropped if it shows none, and every waiting connection dials.

A suspension shows in the clocks: one goes on while the machine is suspended, and the other one stops.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Final

from trunkline.manager.clock import Clock, Deadline, Timer
from trunkline.net.websocket import WebSocket
from trunkline.protocol.errors import ConnectionClosed

__all__ = ["SIGN_OF_LIFE", "SleepWatch", "is_alive", "time_asleep"]

SIGN_OF_LIFE: Final = 5.0  # seconds that a link has to show one
INTERVAL: Final = 5.0  # seconds between two looks at the clocks
SHORTEST_SLEEP: Final = 1.0  # seconds; a shorter one does not matter


async def is_alive(link: WebSocket, clock: Clock) -> bool:
    """Return whether the link shows a sign of life in time, a pong or any other byte. False if it is closed."""
    seen = link.stats().bytes_received
    try:
        async with Deadline(clock, SIGN_OF_LIFE):
            await link.ping()
    except TimeoutError:
        return link.stats().bytes_received != seen  # the pong may be queued behind megabytes of data
    except ConnectionClosed:
        return False
    return True


def time_asleep() -> float:
    """Return the seconds for which the machine has been suspended, from an arbitrary start.

    Outside Linux, the wall clock has to do: if it jumps, that looks like a suspension, which costs a ping per link.
    """
    if sys.platform == "linux":
        return time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)
    return time.time() - time.monotonic()


class SleepWatch:
    """Checks the clocks every few seconds, and calls `woke` with the seconds for which the machine was suspended."""

    def __init__(
        self,
        clock: Clock,
        woke: Callable[[float], None],
        asleep: Callable[[], float] = time_asleep,
    ) -> None:
        self._clock = clock
        self._woke = woke
        self._asleep = asleep
        self._slept = 0.0
        self._timer: Timer | None = None

    def start(self) -> None:
        """Start, unless it was started."""
        if self._timer is None:
            self._slept = self._asleep()
            self._timer = self._clock.call_later(INTERVAL, self._look)

    def stop(self) -> None:
        """Stop checking."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = self._clock.call_later(INTERVAL, self._look)
        before, self._slept = self._slept, self._asleep()
        if self._slept - before >= SHORTEST_SLEEP:
            self._woke(self._slept - before)
