"""Counts the users of a connection, so that an unused one can close."""

from __future__ import annotations

from collections.abc import Callable

from trunkline.manager.clock import Clock, Timer

__all__ = ["Leases"]


class Leases:
    """The leases of one connection. `expire` is called after `idle_timeout` seconds without one."""

    def __init__(self, clock: Clock, idle_timeout: float | None, expire: Callable[[], None]) -> None:
        self.count = 0
        self._clock = clock
        self._idle_timeout = idle_timeout
        self._expire = expire
        self._timer: Timer | None = None
        self._used_at = float("-inf")  # the time of the last use

    def take(self) -> None:
        """Take a lease."""
        self.count += 1
        self.cancel()

    def release(self) -> None:
        """Release a lease. Raise RuntimeError if there is none."""
        if not self.count:
            raise RuntimeError("released more often than leased")
        self.count -= 1
        if not self.count:
            self.watch()

    def watch(self) -> None:
        """Start the idle timeout: nobody has a lease."""
        self.cancel()
        if self._idle_timeout is not None:
            self._timer = self._clock.call_later(self._idle_timeout, self._on_idle)

    def touch(self) -> None:
        """Note a use without a lease, which restarts the idle timeout."""
        self._used_at = self._clock.time()
        if not self.count and self._timer is None:
            self.watch()

    def cancel(self) -> None:
        """Stop the idle timeout."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_idle(self) -> None:
        self._timer = None
        assert self._idle_timeout is not None
        left = self._used_at + self._idle_timeout - self._clock.time()
        if left > 0:
            self._timer = self._clock.call_later(left, self._on_idle)
        else:
            self._expire()
