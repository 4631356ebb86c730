"""How a connection is doing: a few counters, a clock reading, and the report that they make."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from trunkline.manager.clock import Clock
from trunkline.manager.states import ConnectionStatus

__all__ = ["ConnectionHealth", "Meter", "Window"]

WINDOW = 10.0  # seconds over which rates are taken


@dataclass(frozen=True, slots=True)
class ConnectionHealth:
    """A snapshot of one connection."""

    connection_id: str
    service: str
    status: ConnectionStatus
    latency: float | None  # seconds, RTT of the last ping that was answered; None before the first
    messages_per_second: float  # both ways, mean of the last 10 s
    error_rate: float  # share of the last 10 s that went wrong: errors / (messages + errors)
    uptime: float  # seconds that the present link has been up; 0 without one
    last_seen: float | None  # seconds since a message last arrived; None before the first
    availability: float  # share of the time since the first link came up in which there was one; 0 before
    reconnects: int  # links after the first
    attempts: int  # failures and losses since the line was last stable
    messages_sent: int
    messages_received: int
    undecodable: int  # messages that did not fit the service's type
    errors: int  # those, failed attempts and lost links


class Window:
    """Counts what happened in the last `WINDOW` seconds, to a tenth of it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._born = clock.time()
        self._slots: deque[list[float]] = deque()  # [slot number, count], oldest first, at most eleven

    def add(self, count: int = 1) -> None:
        slot = self._slot()
        if self._slots and self._slots[-1][0] == slot:
            self._slots[-1][1] += count
        else:
            self._slots.append([slot, count])
            self._forget(slot)

    def total(self) -> int:
        self._forget(self._slot())
        return int(sum(count for _, count in self._slots))

    def rate(self) -> float:
        """Per second; over its life while it is younger than the window."""
        age = self._clock.time() - self._born
        return self.total() / max(min(age, WINDOW), WINDOW / 10)

    def _slot(self) -> int:
        return int(self._clock.time() / WINDOW * 10)

    def _forget(self, slot: int) -> None:
        while self._slots and self._slots[0][0] <= slot - 10:
            self._slots.popleft()


class Meter:
    """What one connection counts, across all its links."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._messages = Window(clock)
        self._errors = Window(clock)
        self.sent = 0
        self.received = 0
        self.undecodable = 0
        self.errors = 0
        self.links = 0
        self.latency: float | None = None
        self._received_at: float | None = None
        self._first_up_at: float | None = None
        self._up_since: float | None = None
        self._down_since: float | None = None
        self._up_before = 0.0  # seconds, by links that are gone

    def count_sent(self) -> None:
        self.sent += 1
        self._messages.add()

    def count_received(self, messages: int) -> None:
        self.received += messages
        self._messages.add(messages)
        self._received_at = self._clock.time()

    def count_error(self) -> None:
        self.errors += 1
        self._errors.add()

    def count_undecodable(self) -> None:
        self.undecodable += 1
        self.count_error()

    def note_latency(self, latency: float | None) -> None:
        if latency is not None:
            self.latency = latency

    def mark_up(self) -> float | None:
        """A link came up; the seconds there was none before it, None if it is the first."""
        now = self._clock.time()
        self.links += 1
        self._up_since = now
        if self._first_up_at is None:
            self._first_up_at = now
        return None if self._down_since is None else now - self._down_since

    def mark_down(self) -> None:
        now = self._clock.time()
        if self._up_since is not None:
            self._up_before += now - self._up_since
            self._up_since, self._down_since = None, now

    def uptime(self) -> float:
        return 0.0 if self._up_since is None else self._clock.time() - self._up_since

    def availability(self) -> float:
        if self._first_up_at is None:
            return 0.0
        since = self._clock.time() - self._first_up_at
        return (self._up_before + self.uptime()) / since if since > 0 else 1.0

    def report(self, connection_id: str, service: str, status: ConnectionStatus, attempts: int) -> ConnectionHealth:
        now, errors = self._clock.time(), self._errors.total()
        return ConnectionHealth(
            connection_id=connection_id,
            service=service,
            status=status,
            latency=self.latency,
            messages_per_second=self._messages.rate(),
            error_rate=errors / max(1, errors + self._messages.total()),
            uptime=self.uptime(),
            last_seen=None if self._received_at is None else now - self._received_at,
            availability=self.availability(),
            reconnects=max(0, self.links - 1),
            attempts=attempts,
            messages_sent=self.sent,
            messages_received=self.received,
            undecodable=self.undecodable,
            errors=self.errors,
        )
