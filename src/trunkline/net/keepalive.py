"""The keepalive: pings that notice a line that is dead, and the round-trip times.

Theory of operation. Every `ping_interval` a ping goes out. A line is dead when neither direction has moved for
`ping_timeout` after a ping.

What comes is a sign of life, whatever it is, and not the pong alone, since a pong may stand behind megabytes of data.

What leaves is one as long as our ping may stand behind it: an upload that the peer's TCP acknowledges goes on, but a
line that swallows everything and never answers is dead however much it swallows. So bytes count that leave before all
has left that was queued when the first unanswered ping was sent, and, if the way out was blocked by then, `BUFFERS`
bytes more: a proxy may hold so much that the ping has to get through. What the kernel's buffer takes counts only where
the kernel does not tell what the peer has taken (`trunkline.net.progress`).

While we have paused reading we cannot see a pong, but the kernel counts what it has received for us. Only if so much
lies unread that the peer may have no room to answer in, or if nobody knows, is all that leaves a sign of life.

A timer that fires after the loop has stalled may run before the bytes that came meanwhile are read, or our ping may
have been held up as well: so a missed deadline brings more pings, and is looked at once more a moment later. If the
timer itself came late, we or the whole machine slept, and what did not come meanwhile proves nothing: it all begins
anew.
"""

from __future__ import annotations

import asyncio
import os
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

from trunkline.net.faults import FATAL, Breakable, break_down
from trunkline.net.progress import Look
from trunkline.net.settings import Settings
from trunkline.net.timers import Timed, Timers

__all__ = ["Keepalive", "Pinged"]

SECOND_LOOK: Final = 0.5  # seconds between a missed deadline and the verdict
STALL: Final = 0.5  # seconds that a timer may come late before we take it that we slept
BUFFERS: Final = 8 * 2**20  # bytes that machines on the way may hold of an upload: Linux gives a socket up to 6 MiB
MAX_PENDING: Final = 64  # pings of the keepalive and of callers that wait for their pong; the oldest is given up


class Pinged(Breakable, Protocol):
    """What a Keepalive needs of its connection."""

    def send_ping(self, payload: bytes) -> None:
        """Sends a ping frame."""

    def bytes_seen(self) -> int:
        """How many bytes have been received so far."""

    def is_deaf(self) -> bool:
        """Whether we have paused reading."""

    def look(self) -> Look:
        """How far its bytes have come, each way."""

    def note_latency(self, seconds: float) -> None:
        """A ping was answered, so many seconds after it was sent."""

    def declare_dead(self) -> None:
        """Nothing moved in time."""


class _Upload(NamedTuple):
    """What was on its way out when a ping was sent. Bytes that leave past `mark` are no sign of life."""

    look: Look
    mark: int


class Keepalive:
    """The pings of one connection."""

    __slots__ = (
        "_left",
        "_pending",
        "_pinged",
        "_seen",
        "_settings",
        "_step",
        "_timers",
        "_upload",
        "before",
        "behind",
        "due",
        "latency",
    )

    def __init__(self, pinged: Pinged, settings: Settings, timers: Timers) -> None:
        self._pinged: Pinged | None = pinged  # None once it is stopped
        self._settings = settings
        self._timers = timers
        self._pending: OrderedDict[bytes, tuple[float, asyncio.Future[float] | None]] | None = None
        # What the next moment is for: a plain function, since a bound method would be one more object a connection.
        self._step: Callable[[Keepalive, Pinged], None] = Keepalive._tick
        self._seen = 0  # bytes received before the last ping
        self._left = 0.0  # seconds from the last ping, or the last look, to the deadline
        self._upload: _Upload | None = None  # None: nothing was queued and we were reading, so only an answer counts
        self.due = 0.0
        self.before: Timed | None = None
        self.behind: Timed | None = None
        self.latency: float | None = None  # seconds: the last round trip

    def start(self) -> None:
        """Begins to send pings, if there is an interval."""
        if self._settings.ping_interval is not None:
            self._left = self._settings.ping_timeout or 0.0
            self._timers.after(self._settings.ping_interval, self)

    def stop(self, make_error: Callable[[], BaseException]) -> None:
        """No more pings; whoever waits for a pong gets what `make_error` gives."""
        self._pinged = None
        self._timers.forget(self)
        pending, self._pending = self._pending, None
        for _, waiter in (pending or {}).values():
            if waiter is not None and not waiter.done():
                _fail(waiter, make_error())

    def ping(self, payload: bytes | None, waiter: asyncio.Future[float] | None) -> None:
        """Sends a ping, whose round-trip time the waiter gets.

        payload: None for an unpredictable one, which no peer can answer in advance. ValueError if a ping with it is
        under way.
        """
        if self._pending is None:
            self._pending = OrderedDict()
        if payload is None:
            payload = os.urandom(8)
        elif payload in self._pending:
            raise ValueError(f"a ping with the payload {payload!r} is under way already")
        if len(self._pending) >= MAX_PENDING:
            self._abandon_oldest(self._pending)
        self._pending[payload] = (self._settings.clock(), waiter)
        if self._pinged is not None:
            self._pinged.send_ping(payload)

    def pong(self, payload: bytes) -> None:
        """A pong came. It answers its ping and all before it (RFC 6455 5.5.3); one that nobody asked for is ignored."""
        pending = self._pending
        if not pending or payload not in pending:
            return
        now = self._settings.clock()
        while True:
            answered, (sent, waiter) = pending.popitem(last=False)
            if waiter is not None and not waiter.done():
                waiter.set_result(now - sent)
            if answered == payload:
                self.latency = now - sent
                if self._pinged is not None:
                    self._pinged.note_latency(self.latency)
                return

    def _abandon_oldest(self, pending: OrderedDict[bytes, tuple[float, asyncio.Future[float] | None]]) -> None:
        _, (_, waiter) = pending.popitem(last=False)
        if waiter is not None and not waiter.done():
            _fail(waiter, TimeoutError(f"more than {MAX_PENDING} pings wait for a pong; this one was given up"))

    def come_due(self) -> None:
        """The next moment has come."""
        pinged = self._pinged
        if pinged is None:
            return
        try:
            self._step(self, pinged)
        except FATAL:
            raise
        except BaseException as error:  # nobody would notice any more that the line is dead
            break_down(pinged, error, "the keepalive")

    def _after(self, delay: float, step: Callable[[Keepalive, Pinged], None]) -> None:
        self._step = step
        self._timers.after(delay, self)

    def _tick(self, pinged: Pinged) -> None:
        interval, timeout = self._settings.ping_interval, self._settings.ping_timeout
        assert interval is not None
        if timeout is None:
            self.ping(None, None)
            self._after(interval, Keepalive._tick)
            return
        if self._is_alive(pinged) or self._has_slept():
            self._left = timeout
        self._note(pinged)
        self.ping(None, None)
        if self._left <= interval:
            self._after(self._left, Keepalive._judge)
        else:
            self._left -= interval
            self._after(interval, Keepalive._tick)

    def _judge(self, pinged: Pinged) -> None:
        if self._is_alive(pinged):
            self._after(max(0.0, (self._settings.ping_interval or 0.0) - self._left), Keepalive._tick)
            self._left = self._settings.ping_timeout or 0.0
        elif self._has_slept():
            self._tick(pinged)
        else:
            self._left = SECOND_LOOK
            self._probe(pinged)

    def _look_again(self, pinged: Pinged) -> None:
        if self._is_alive(pinged):
            self._left = min(self._settings.ping_timeout or 0.0, self._settings.ping_interval or 0.0)
            self._judge(pinged)
        elif self._has_slept():
            self._tick(pinged)
        elif self._left > 0:
            self._probe(pinged)
        else:
            pinged.declare_dead()

    def _probe(self, pinged: Pinged) -> None:
        """The deadline has passed: asks once more, and looks again."""
        wait = min(self._left, self._settings.ping_interval or self._left)
        self._left -= wait
        self.ping(None, None)
        self._after(wait, Keepalive._look_again)

    def _has_slept(self) -> bool:
        return self._timers.time() - self.due > STALL

    def _is_alive(self, pinged: Pinged) -> bool:
        """Whether there was a sign of life since `_note`."""
        if pinged.bytes_seen() != self._seen:
            return True
        if self._upload is None:
            return pinged.is_deaf()  # it began just now, with bytes that were read
        before, now = self._upload.look, pinged.look()
        if now.received != before.received:
            return True
        if now.left <= before.left:
            return False
        return before.left < self._upload.mark or (now.is_choked and pinged.is_deaf())

    def _note(self, pinged: Pinged) -> None:
        """Keeps how things stand just before a ping."""
        upload, seen, now = self._upload, self._seen, pinged.look()
        self._seen = pinged.bytes_seen()
        if upload is None or self._seen != seen or now.received != upload.look.received:
            # The first ping that is unanswered, as far as we know.
            mark = now.left + now.queued + (BUFFERS if now.is_pressed else 0)
        else:
            mark = upload.mark
        self._upload = _Upload(now, mark) if now.queued or pinged.is_deaf() else None


def _fail(waiter: asyncio.Future[float], error: BaseException) -> None:
    waiter.set_exception(error)
    waiter.exception()  # seen: nobody need wait for it, and it is nothing for the loop's exception handler
