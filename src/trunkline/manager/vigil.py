"""Notices a dead link sooner than the keepalive does, on connections with regular traffic.

Theory of operation. Traffic has a rhythm: a tick every 200 ms, a reply a second. `Suspicion` learns it, and phi says
how surprising a silence is. A silence that is much too long (phi 2) raises a question and never decides anything:

    silence ─ phi 2 ─▶ ping ─ no answer in time ─▶ second opinion ─ a new link opens, the old one is silent ─▶ replaced
       ▲                 │ answered                      │ a byte comes, or no link opens
       └── asks later ◀──┴───────────────────────────────┘

The second opinion is another dial to the same server. A server that stalls or is overloaded, or whose network stalls,
completes no handshake either; and if our own loop stood still, it reads what arrived on the old link before the new one
can open. So a link is replaced only if the server answers others but not this link, and a new link is ready. In all
other cases the keepalive decides, in its own time.

A connection without a rhythm is not questioned, and one that stays quiet is questioned less and less often. After a
wrong suspicion, a connection gets more patience.

When our side has changed (`trunkline.manager.sleep`), the link is asked at once, and dropped if it shows no sign of
life.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, cast

from trunkline._metrics import Histogram, Suspicion
from trunkline.manager.clock import Timer, wait_future
from trunkline.manager.guard import Guard
from trunkline.manager.sleep import is_alive
from trunkline.net.websocket import WebSocket
from trunkline.protocol.errors import ConnectionClosed

__all__ = ["Vigil"]

HABIT: Final = 8  # batches after which the rhythm is known
PHI: Final = 2.0  # a silence as long as one living link in 100 would keep
LEAST_DEVIATION: Final = 0.05  # seconds
LEAST_SILENCE: Final = 0.5  # seconds; a shorter one raises no question
LONGEST_SILENCE: Final = 60.0  # seconds; by then the keepalive has sent a ping
LEAST_ANSWER: Final = 0.2  # seconds to answer a ping, at least: TCP resends a lost segment after this time
UNKNOWN_ANSWER: Final = 1.0  # seconds to answer if no round trip is known
ROUND_TRIPS: Final = 4  # slow round trips (p99) to answer
MOST_PATIENCE: Final = 16.0  # the largest factor on the last three after wrong suspicions


class Vigil:
    """Watches the links of one connection, one after the other.

    Args:
        guard: the connection's guard, which has the clock and starts tasks.
        latencies: the round trips of the connection's pings.
        dial: opens another link to the same server; None to ask for no second opinion.
        replace: puts that link in the place of the present one, given the seconds for which it has been silent.
    """

    def __init__(
        self,
        guard: Guard,
        latencies: Histogram,
        dial: Callable[[], Awaitable[WebSocket]] | None,
        replace: Callable[[WebSocket, float], None],
    ) -> None:
        self.is_deaf = False  # we have stopped reading, so silence proves nothing
        self._task: asyncio.Task[None] | None = None  # asks a question
        self._inquiry: asyncio.Task[None] | None = None  # asks after our side has changed
        self._clock = self._guard = guard
        self._latencies = latencies
        self._dial = dial
        self._replace = replace
        self._habit = Suspicion(least=LEAST_DEVIATION)
        self._patience = 1.0
        self._link: WebSocket | None = None
        self._timer: Timer | None = None
        self._between = 0.0  # seconds without a link so far, which the rhythm leaves out
        self._heard = guard.time()  # when something was last received
        self._asked = 0  # questions since then

    @property
    def tasks(self) -> list[asyncio.Task[None]]:
        """The tasks that run."""
        return [task for task in (self._task, self._inquiry) if task is not None]

    def begin(self, link: WebSocket) -> None:
        """Watch a link that is up."""
        now = self._clock.time()
        self._between += now - self._heard
        self._heard = now
        self._link, self._asked, self.is_deaf = link, 0, False
        self._watch()

    def note(self) -> None:
        """Note that something was received."""
        if self._dial is None:
            return
        now = self._heard = self._clock.time()
        self._asked = 0
        self._habit.record(now - self._between)
        if self._task is not None:
            self._task.cancel()  # this is the answer
        elif self._timer is None:
            self._watch()

    def end(self) -> None:
        """Stop watching: the link is gone."""
        self._link = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for task in self.tasks:
            task.cancel()

    def inquire(self) -> None:
        """Ask the link for a sign of life, if there is a link, and drop it if there is none in time."""
        if self._link is not None and self._inquiry is None:
            self._inquiry = self._guard.start(self._inquire(self._link), "trunkline inquiring")

    async def _inquire(self, link: WebSocket) -> None:
        try:
            if not await is_alive(link, self._clock):
                link.abort()
        finally:
            self._inquiry = None

    def _watch(self) -> None:
        """Set a timer for when the silence is long enough to raise a question."""
        if self._link is None or self._habit.count < HABIT or self._task is not None:
            return
        silence = self._find_silence() * 2.0**self._asked
        if silence <= LONGEST_SILENCE:
            left = max(0.0, self._heard + silence - self._clock.time())
            self._timer = self._clock.call_later(left, self._look)

    def _find_silence(self) -> float:
        """Return the length of a silence that raises a question, in seconds."""
        low, high, since = LEAST_SILENCE, LONGEST_SILENCE, self._heard - self._between
        if self._habit.phi(since + low) >= PHI:
            return low
        for _ in range(12):  # within 15 ms
            middle = (low + high) / 2
            if self._habit.phi(since + middle) >= PHI:
                high = middle
            else:
                low = middle
        return high

    def _look(self) -> None:
        self._timer = None
        link = self._link
        silence = self._find_silence() * 2.0**self._asked
        if link is None:
            return
        if self._clock.time() < self._heard + silence or self.is_deaf:
            if self.is_deaf:
                self._heard = self._clock.time()
            self._watch()
            return
        self._asked += 1
        self._task = self._guard.start(self._ask(link), "trunkline asking")

    async def _ask(self, link: WebSocket) -> None:
        other = None
        try:
            seen = link.moved()[0]
            if not await self._is_answered(link):
                patience, self._patience = self._patience, min(MOST_PATIENCE, self._patience * 2)
                other = await self._find_second_opinion(link)
                if other is not None and link.moved()[0] == seen and not self.is_deaf:
                    self._patience = patience  # the suspicion was right
                    self._replace(other, self._clock.time() - self._heard)
                    other = None
        except ConnectionClosed:
            pass  # the connection notices by itself
        finally:
            if other is not None:
                other.abort()
            self._task = None
            self._watch()

    async def _is_answered(self, link: WebSocket) -> bool:
        """Return whether anything arrives in the time that a pong should take."""
        seen = link.moved()[0]
        slow = self._latencies.quantile(0.99)
        limit = UNKNOWN_ANSWER if slow is None else max(LEAST_ANSWER, ROUND_TRIPS * slow)
        answered: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        link.ping_nowait().add_done_callback(lambda _: None if answered.done() else answered.set_result(True))
        await wait_future(self._clock, answered, self._clock.time() + limit * self._patience)
        return answered.result() or link.moved()[0] != seen

    async def _find_second_opinion(self, link: WebSocket) -> WebSocket | None:
        """Return another link, if one opens before this one shows a sign of life."""
        answer: asyncio.Future[Any] = link.ping_nowait()
        assert self._dial is not None
        dialling: asyncio.Future[Any] = asyncio.ensure_future(self._dial())
        try:
            await asyncio.wait([dialling, answer], return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not dialling.done():
                dialling.cancel()
                await asyncio.wait([dialling])
        failed = dialling.cancelled() or dialling.exception() is not None  # for any reason: then we know nothing
        return None if failed else cast("WebSocket", dialling.result())
