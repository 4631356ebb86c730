"""What to do when the network changed or the machine slept: nobody tells a TCP connection.

After either, a link that looks open may be dead for minutes before a timeout says so, and a line that waits out a long
pause may be up at once. So every open link is asked for a sign of life, and only one that gives none is dropped; every
line that waits, dials.

A sleep is seen in the clocks: one goes on while the machine is suspended, the other stands still.
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

SIGN_OF_LIFE: Final = 5.0  # seconds that a link has for it
INTERVAL: Final = 5.0  # seconds between two looks at the clocks
SHORTEST_SLEEP: Final = 1.0  # seconds; less is no reason to ask anybody


async def is_alive(link: WebSocket, clock: Clock) -> bool:
    """Whether the link gives a sign of life in time: the pong to a ping, or any other byte. False if it is closed."""
    seen = link.stats().bytes_received
    try:
        async with Deadline(clock, SIGN_OF_LIFE):
            await link.ping()
    except TimeoutError:
        return link.stats().bytes_received != seen  # the pong may stand behind megabytes of data
    except ConnectionClosed:
        return False
    return True


def time_asleep() -> float:
    """Seconds that the machine has been suspended, counted from any moment.

    Where no clock tells (outside Linux), the wall clock stands in: a jump of it then looks like a sleep, which costs a
    ping a link.
    """
    if sys.platform == "linux":
        return time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)
    return time.time() - time.monotonic()


class SleepWatch:
    """Looks at the clocks every few seconds, and calls `woke` with the seconds that the machine was asleep."""

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
        """Begin, unless it has begun."""
        if self._timer is None:
            self._slept = self._asleep()
            self._timer = self._clock.call_later(INTERVAL, self._look)

    def stop(self) -> None:
        """No more looks."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = self._clock.call_later(INTERVAL, self._look)
        before, self._slept = self._slept, self._asleep()
        if self._slept - before >= SHORTEST_SLEEP:
            self._woke(self._slept - before)
