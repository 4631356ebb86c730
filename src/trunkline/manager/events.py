"""State changes, published to callbacks at once and to streams at their own speed."""

from __future__ import annotations

import asyncio
import logging
import weakref
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from trunkline.manager.failure.issues import ConnectionIssue
from trunkline.manager.guard import FATAL
from trunkline.manager.redacting import redacted_repr
from trunkline.manager.states import ConnectionStatus
from trunkline.net.logs import log_fields
from trunkline.net.loops import Home

__all__ = ["PAUSED", "Callbacks", "EventStream", "Events", "StateChange"]

News = TypeVar("News")

PAUSED: Final = "paused"  # the note of a change that `ConnectionManager.pause` caused

_S = ConnectionStatus


@dataclass(frozen=True, slots=True, repr=False)
class StateChange:
    """One change of one connection's status. What does not apply is None.

    Attributes:
        before, after: the statuses.
        at: when, in seconds by the manager's clock (`ConnectionManager.time`).
        generation: number of links so far, the present one included.
        issue: what caused the change, None if the program did.
        retry: number of the next or the current retry.
        delay: seconds until that retry.
        downtime: seconds without a link, up to this change.
        note: what the program asked for: "paused", "resumed", "reconnect asked for".
    """

    connection_id: str
    service: str
    before: ConnectionStatus
    after: ConnectionStatus
    at: float
    generation: int
    issue: ConnectionIssue | None = None
    retry: int | None = None
    delay: float | None = None
    downtime: float | None = None
    note: str | None = None

    def __repr__(self) -> str:
        return redacted_repr(self)  # without the secrets in the id

    def explain(self) -> str:
        """Return the change as a sentence for people: "retry 3 in 4.2 s: 503 with Retry-After 4"."""
        if self.note is not None:
            return self.note if not self.delay else f"{self.note}, next attempt in {self.delay:.1f} s"
        if self.after is _S.CONNECTING:
            return "first attempt" if self.retry is None else f"retry {self.retry}"
        if self.after is _S.CONNECTED:
            return "up" if self.downtime is None else f"up again after {self.downtime:.1f} s"
        if self.after is _S.WAITING and self.issue is not None:
            return self.issue.explain(self.retry, self.delay)
        if self.after is _S.SUSPENDED and self.issue is not None:
            return f"suspended, next probe in {self.delay or 0.0:.0f} s: {self.issue.message}"
        if self.after is _S.FAILED and self.issue is not None:
            return f"given up: {self.issue.message}"
        if self.issue is not None:
            return f"ended by the peer: {self.issue.message}"
        return "as asked"


class EventStream:
    """All state changes from now on, in order: `async for change in stream`. Ends when the manager is closed.

    A reader that falls more than `limit` behind loses the oldest changes; `dropped` counts them.
    """

    def __init__(self, limit: int, home: Home | None = None) -> None:
        """home: the loop in which the stream may be read."""
        if limit < 1:
            raise ValueError(f"limit is {limit}, wanted at least 1")
        self.limit = limit
        self._home = home or Home()
        self.dropped = 0
        self._changes: deque[StateChange] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._ended = False

    def __aiter__(self) -> EventStream:
        return self

    async def __anext__(self) -> StateChange:
        """Return the next change. Only one task may wait at a time. Cancellation loses nothing."""
        self._home.check(self)
        while not self._changes:
            if self._ended:
                raise StopAsyncIteration
            if self._waiter is not None:
                raise RuntimeError("another task is already waiting for the next event of this stream; only one may")
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return self._changes.popleft()

    def _put(self, change: StateChange) -> None:
        if len(self._changes) == self.limit:
            self._changes.popleft()
            self.dropped += 1
        self._changes.append(change)
        self._wake()

    def _end(self) -> None:
        self._ended = True
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Callbacks(Generic[News]):
    """A list of subscribers. What one of them raises is logged and does not affect the others."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._callbacks: dict[object, Callable[[News], object]] = {}

    def subscribe(self, callback: Callable[[News], object]) -> Callable[[], None]:
        """Call `callback` with everything that is published. Return a function that unsubscribes it."""
        ticket = object()
        self._callbacks[ticket] = callback

        def unsubscribe() -> None:
            self._callbacks.pop(ticket, None)

        return unsubscribe

    def publish(self, news: News) -> int:
        """Call all subscribers. Return how many raised."""
        failures = 0
        for callback in tuple(self._callbacks.values()):
            try:
                callback(news)
            except FATAL:
                raise
            except BaseException:
                # A subscriber's fault must not stop the connection.
                failures += 1
                extra = log_fields("subscriber.failed")
                self._logger.exception("a subscriber of connection events raised", extra=extra)
        return failures


class Events:
    """Publishes each change to every callback and every stream."""

    def __init__(self, logger: logging.Logger) -> None:
        self._callbacks: Callbacks[StateChange] = Callbacks(logger)
        # Weak: a stream without a reader must not fill up for ever.
        self._streams: weakref.WeakSet[EventStream] = weakref.WeakSet()
        self._ended = False

    def stream(self, limit: int, home: Home | None = None) -> EventStream:
        """Return a stream of all changes from now on. Raise ValueError if `limit` is below 1."""
        stream = EventStream(limit, home)
        if self._ended:
            stream._end()
        self._streams.add(stream)
        return stream

    def subscribe(self, callback: Callable[[StateChange], object]) -> Callable[[], None]:
        """Call `callback` with every change. Return a function that unsubscribes it."""
        return self._callbacks.subscribe(callback)

    def publish(self, change: StateChange) -> int:
        """Publish a change. Return how many callbacks raised."""
        for stream in tuple(self._streams):
            stream._put(change)
        return self._callbacks.publish(change)

    def end(self) -> None:
        """End every stream after the changes that it still holds."""
        self._ended = True
        for stream in tuple(self._streams):
            stream._end()
