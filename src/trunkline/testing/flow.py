"""One direction of a line through a fault proxy: bytes that wait, and the rules by which they pass."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections import deque
from collections.abc import Callable
from typing import Final, Literal, Protocol

__all__ = ["Flow"]

BOUND: Final = 64 * 1024  # waiting bytes from which on the sender is not read

Ending = Literal["eof", "lost", "reset"]


class End(Protocol):
    """What a flow needs from its two ends."""

    transport: asyncio.Transport | None


class Flow:
    """Passes on to `target` what `source` receives. passed: bytes so far."""

    def __init__(
        self,
        source: End,
        target: End,
        loop: asyncio.AbstractEventLoop,
        on_over: Callable[[], None],
    ) -> None:
        """on_over: called when the end of file of this direction has been passed on."""
        self.passed = 0
        self.is_over = False
        self._source, self._target, self._loop = source, target, loop
        self._on_over = on_over
        self._waiting: deque[tuple[float, bytes]] = deque()  # each with its time of arrival
        self._held = 0  # bytes in it
        self._ending: Ending | None = None
        self._marks: list[tuple[int, int, Callable[[], None]]] = []  # what happens at which byte; a heap
        self._numbers = itertools.count()
        self._amounts: dict[str, float] = {}  # of the active delay, split and throttle
        self._stalls = 0
        self._is_choked = False  # the target accepts no more
        self.is_sunk = False
        self._is_stopped = False
        self._free_at = 0.0  # when a throttled flow may pass the next piece
        self._rest: asyncio.Handle | None = None  # nothing passes until it has run

    # What comes in

    def feed(self, data: bytes) -> None:
        """Take bytes for the other end."""
        if not self.is_sunk and not self._is_stopped:
            self._waiting.append((self._loop.time(), data))
            self._held += len(data)
            self.pump()

    def feed_end(self, ending: Ending) -> None:
        """Take the end of this direction: "eof", or "lost" or "reset" if the source is gone."""
        self._ending = ending if self._ending != "reset" else self._ending
        self.pump()

    # What is done to it

    def at_byte(self, offset: int, act: Callable[[], None]) -> None:
        """Call `act` when this many bytes have passed, before the next one."""
        heapq.heappush(self._marks, (offset, next(self._numbers), act))
        self.pump()

    def begin(self, kind: str, amount: float | None) -> None:
        """Begin a stall, delay, split or throttle."""
        if kind == "stall":
            self.hold()
        else:
            assert amount is not None
            self._amounts[kind] = amount

    def finish(self, kind: str) -> None:
        """End a stall, delay, split or throttle."""
        if kind == "stall":
            self.release()
        else:
            self._amounts.pop(kind, None)
            self._wake()

    def hold(self) -> None:
        """Let nothing pass until `release` has been called as often."""
        self._stalls += 1
        self.check_reading()

    def release(self) -> None:
        """Undo one `hold`; what has waited passes."""
        self._stalls = max(0, self._stalls - 1)
        self.pump()

    def choke(self) -> None:
        """Stop passing: the target accepts no more for now."""
        self._is_choked = True
        self.check_reading()

    def unchoke(self) -> None:
        """Go on passing: the target accepts more again."""
        self._is_choked = False
        self.pump()

    def sink(self) -> None:
        """Read and discard what comes from now on, and its end of file."""
        self.is_sunk = True
        self._clear()
        self.check_reading()

    def stop(self) -> None:
        """Stop for good."""
        self._is_stopped = True
        self._clear()
        if self._rest is not None:
            self._rest.cancel()

    # What goes out

    def pump(self) -> None:
        """Pass on what may pass now, and arrange for the rest."""
        while self._may_pass():
            if self._marks and self._marks[0][0] <= self.passed:
                heapq.heappop(self._marks)[2]()
            elif not self._waiting or not self._pass_one():
                break
        if self._ending is not None and not self._waiting and self._may_pass():
            self._pass_end()
        self.check_reading()

    def check_reading(self) -> None:
        """Pause or resume reading of the source."""
        source, is_full = self._source.transport, self._held >= BOUND or (self._is_choked and self._held > 0)
        if source is None or source.is_closing():
            return
        is_barred = is_full or self._stalls > 0 or self._target.transport is None
        wanted = self.is_sunk or self._is_stopped or not is_barred
        if wanted is not source.is_reading():
            (source.resume_reading if wanted else source.pause_reading)()

    def _may_pass(self) -> bool:
        is_barred = self._stalls > 0 or self._is_choked or self.is_sunk or self._is_stopped
        return not is_barred and self._rest is None and self._target.transport is not None

    def _pass_one(self) -> bool:
        """Pass on one piece. Return False if the next one must wait, for which a timer is set."""
        came, data = self._waiting[0]
        ready = max(came + self._amounts.get("delay", 0.0), self._free_at if "throttle" in self._amounts else 0.0)
        now = self._loop.time()
        if ready > now:
            self._rest = self._loop.call_at(ready, self._wake)
            return False
        size = self._next_size(len(data))
        if size < len(data):
            self._waiting[0] = (came, data[size:])
        else:
            self._waiting.popleft()
        self._held -= size
        self.passed += size
        assert self._target.transport is not None
        self._target.transport.write(data[:size])
        if "throttle" in self._amounts:
            self._free_at = max(now, self._free_at) + size / self._amounts["throttle"]
        if "split" in self._amounts:
            self._rest = self._loop.call_soon(self._wake)
            return False
        return True

    def _next_size(self, size: int) -> int:
        """Return how many bytes of a chunk pass at once."""
        if self._marks:
            size = min(size, self._marks[0][0] - self.passed)
        if "split" in self._amounts:
            size = min(size, int(self._amounts["split"]))
        if "throttle" in self._amounts:
            size = min(size, max(1, int(self._amounts["throttle"] / 100)))  # what passes in 10 ms
        return size

    def _pass_end(self) -> None:
        target, ending = self._target.transport, self._ending
        assert target is not None
        self._ending, self.is_over = None, True
        if ending == "eof" and target.can_write_eof():
            target.write_eof()
        elif ending == "reset":
            target.abort()
        else:
            target.close()
        self._on_over()

    def _wake(self) -> None:
        if self._rest is not None:
            self._rest.cancel()
            self._rest = None
        self.pump()

    def _clear(self) -> None:
        self._waiting.clear()
        self._held = 0
        self._ending = None
