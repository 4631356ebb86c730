"""The keepalive: pings that find dead connections and measure round trips.

Theory of operation. A ping is sent every `ping_interval` seconds. A connection is dead when nothing has moved in either
direction for `ping_timeout` seconds after a ping.

Whatever we receive is a sign of life, not only the pong, since a pong may be queued behind megabytes of data.

Whatever leaves is a sign of life as long as our ping may be queued behind it. An upload that the peer's TCP
acknowledges goes on, but a connection that takes everything and never answers is dead, however much it takes. So bytes
count until all that was queued when the first unanswered ping was sent has left, and, if the way out was blocked at
that time, `BUFFERS` bytes more: a proxy may hold that much in front of the ping. What the kernel's buffer takes counts
only where the kernel does not tell what the peer has taken (`trunkline.net.progress`).

While reading is paused we cannot see a pong, but the kernel counts what it receives for us. Everything that leaves is a
sign of life only if so much is unread that the peer may have no room to answer in, or if the kernel does not tell.

After the event loop has stalled, a timer may run before the bytes that came meanwhile are read, and our ping may have
been held up as well. So after a missed deadline we ping again, and look once more a moment later. If the timer itself
was late, we or the whole machine slept, and silence proves nothing: everything starts over.
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
STALL: Final = 0.5  # seconds that a timer may be late before we assume that we slept
BUFFERS: Final = 8 * 2**20  # bytes of an upload that machines on the way may hold: Linux gives a socket up to 6 MiB
MAX_PENDING: Final = 64  # pings, ours and callers', that may wait for a pong; past this the oldest is given up


class Pinged(Breakable, Protocol):
    """What a Keepalive needs of its connection."""

    def send_ping(self, payload: bytes) -> None:
        """Send a ping frame."""

    def bytes_seen(self) -> int:
        """Return how many bytes have been received so far."""

    def is_deaf(self) -> bool:
        """Return whether we have paused reading."""

    def look(self) -> Look:
        """Return how far its bytes have come, each way."""

    def note_latency(self, seconds: float) -> None:
        """Take note that a ping was answered, `seconds` after it was sent."""

    def declare_dead(self) -> None:
        """Fail the connection: nothing moved in time."""


class _Upload(NamedTuple):
    """What was on its way out when a ping was sent. Bytes that leave past `mark` are not a sign of life."""

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
        # What to do when the timer fires. A bound method would be one more object per connection.
        self._step: Callable[[Keepalive, Pinged], None] = Keepalive._tick
        self._seen = 0  # bytes received before the last ping
        self._left = 0.0  # seconds from the last ping, or the last look, to the deadline
        self._upload: _Upload | None = None  # None: nothing was queued and we were reading, so only an answer counts
        self.due = 0.0
        self.before: Timed | None = None
        self.behind: Timed | None = None
        self.latency: float | None = None  # seconds: the last round trip

    def start(self) -> None:
        """Start sending pings, if there is an interval."""
        if self._settings.ping_interval is not None:
            self._left = self._settings.ping_timeout or 0.0
            self._timers.after(self._settings.ping_interval, self)

    def stop(self, make_error: Callable[[], BaseException]) -> None:
        """Stop sending pings. Whoever waits for a pong gets an error from `make_error`."""
        self._pinged = None
        self._timers.forget(self)
        pending, self._pending = self._pending, None
        for _, waiter in (pending or {}).values():
            if waiter is not None and not waiter.done():
                _fail(waiter, make_error())

    def ping(self, payload: bytes | None, waiter: asyncio.Future[float] | None) -> None:
        """Send a ping.

        Args:
            payload: None for an unpredictable one, which no peer can answer in advance.
            waiter: gets the round trip in seconds; None if nobody waits for it.

        Raises:
            ValueError: a ping with this payload is under way.
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
        """Take a pong. It answers its ping and all before it (RFC 6455 5.5.3); one that answers no ping is ignored."""
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
            _fail(waiter, TimeoutError(f"more than {MAX_PENDING} pings are waiting for a pong; this one was given up"))

    def come_due(self) -> None:
        """Do what is due: ping, judge, or look again."""
        pinged = self._pinged
        if pinged is None:
            return
        try:
            self._step(self, pinged)
        except FATAL:
            raise
        except BaseException as error:  # else nobody would notice any more when the connection is dead
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
        """Ping again after a missed deadline, and look again later."""
        wait = min(self._left, self._settings.ping_interval or self._left)
        self._left -= wait
        self.ping(None, None)
        self._after(wait, Keepalive._look_again)

    def _has_slept(self) -> bool:
        return self._timers.time() - self.due > STALL

    def _is_alive(self, pinged: Pinged) -> bool:
        """Return whether there was a sign of life since `_note`."""
        if pinged.bytes_seen() != self._seen:
            return True
        if self._upload is None:
            return pinged.is_deaf()  # reading was paused since then, so bytes had been read
        before, now = self._upload.look, pinged.look()
        if now.received != before.received:
            return True
        if now.left <= before.left:
            return False
        return before.left < self._upload.mark or (now.is_choked and pinged.is_deaf())

    def _note(self, pinged: Pinged) -> None:
        """Record how things stand just before a ping."""
        upload, seen, now = self._upload, self._seen, pinged.look()
        self._seen = pinged.bytes_seen()
        if upload is None or self._seen != seen or now.received != upload.look.received:
            # As far as we know, this is the first unanswered ping.
            mark = now.left + now.queued + (BUFFERS if now.is_pressed else 0)
        else:
            mark = upload.mark
        self._upload = _Upload(now, mark) if now.queued or pinged.is_deaf() else None


def _fail(waiter: asyncio.Future[float], error: BaseException) -> None:
    waiter.set_exception(error)
    waiter.exception()  # retrieved: if nobody waits, the loop's exception handler need not know
