"""The health of a connection: what it counts while it runs, and the snapshot made of it.

Recording costs a few additions in the compiled `_metrics`, and the clock is read once a batch, not once a message. All
times come from the monotonic clock, so setting the wall clock changes nothing.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Final, NamedTuple

from trunkline._metrics import Average, Histogram, Rates, Suspicion
from trunkline.manager.clock import Clock
from trunkline.manager.redacting import redacted_repr
from trunkline.manager.states import ConnectionStatus

__all__ = ["ConnectionHealth", "Meter", "Rate"]

_counting: Final = threading.Lock()  # held briefly: any thread may ask for a report

LATENCY_WEIGHT: Final = 1 / 8  # of a new round trip in the average, as in TCP (RFC 6298 2)
LEAST_DEVIATION: Final = 1.0  # seconds: a sign of life this late raises no suspicion


class Rate(NamedTuple):
    """A rate per second, over the last 1, 10 and 60 s."""

    over_1: float
    over_10: float
    over_60: float


@dataclass(frozen=True, slots=True, repr=False)
class ConnectionHealth:
    """A snapshot of one connection. Times are in seconds; what is not known yet is None."""

    connection_id: str  # the service's name and the parameters, secret ones included
    service: str  # name of the service
    status: ConnectionStatus  # the present status

    # Round trips of pings, over all links
    latency: float | None  # the last round trip of a ping
    latency_average: float | None  # EWMA of round trips, weight 1/8
    latency_p50: float | None  # median of all round trips, within 1 %
    latency_p90: float | None  # 90th percentile of the round trips
    latency_p99: float | None  # 99th percentile
    jitter: float | None  # EWMA of |round trip - previous round trip|, weight 1/8

    # What it moves
    messages_per_second: float  # both ways, over the last 10 s
    received_per_second: Rate  # messages
    sent_per_second: Rate  # messages
    bytes_received_per_second: Rate  # on the wire; with TLS, before encryption
    bytes_sent_per_second: Rate  # the same
    messages_received: int  # of all links
    messages_sent: int  # of all links
    bytes_received: int  # on the wire, of all links
    bytes_sent: int  # the same

    # How it holds
    error_rate: float  # errors / (messages + errors), over the last 10 s
    errors: int  # undecodable messages, failed attempts and lost links
    faults: int  # exceptions of the program's callbacks, or trunkline's own, that the connection survived
    undecodable: int  # messages that did not decode as the service's type
    uptime: float  # of the present link; 0 without one
    availability: float  # share of the time since the first link in which there was one; 0 before that
    last_seen: float | None  # time since anything was last received
    phi: float  # how unusual the present silence is: 1 is one in 10, 3 one in 1,000; 0 without a link
    attempts: int  # failed attempts and lost links since the connection was last stable
    reconnects: int  # links after the first

    # What waits, and what was not delivered
    queue_depth: int  # messages in the outbox
    queue_bytes: int  # their payloads in memory
    unconfirmed: int  # messages written to the present link and not confirmed yet
    dropped: int  # messages never written: dropped, conflated, expired, refused, or left at the end
    unknown: int  # messages written to a link that was lost before they were confirmed
    late_replies: int  # replies that came after their request had timed out
    unknown_replies: int  # messages with the correlation id of no request
    discarded: int  # messages received over a lost link while the inbox was beyond its limit

    def __repr__(self) -> str:
        return redacted_repr(self)  # without the secrets in the id


@dataclass(slots=True)
class Times:
    """When the connection was up, by the manager's clock."""

    clock: Clock
    first_up: float | None = None
    up_since: float | None = None
    down_since: float | None = None
    up_before: float = 0.0  # by earlier links
    seen: float | None = None  # when something was last received

    def mark_up(self) -> float | None:
        """Note that a link came up. Return the downtime before it, None for the first link."""
        now = self.up_since = self.clock.time()
        if self.first_up is None:
            self.first_up = now
        return None if self.down_since is None else now - self.down_since

    def mark_down(self) -> None:
        """Note that the link is gone."""
        now = self.clock.time()
        if self.up_since is not None:
            self.up_before += now - self.up_since
            self.up_since, self.down_since = None, now

    def uptime(self) -> float:
        """Return the seconds for which the present link has been up."""
        since = self.up_since  # read once: another thread may be ending the link
        return 0.0 if since is None else self.clock.time() - since

    def availability(self) -> float:
        """Return the share of the time with a link, since the first one."""
        if self.first_up is None:
            return 0.0
        since = self.clock.time() - self.first_up
        return (self.up_before + self.uptime()) / since if since > 0 else 1.0


@dataclass(slots=True)
class Counters:
    """Counters with their rates."""

    received: Rates
    sent: Rates
    bytes_received: Rates
    bytes_sent: Rates
    errors: Rates

    @classmethod
    def starting(cls, now: float) -> Counters:
        """Return counters at zero."""
        return cls(*(Rates(now) for _ in range(5)))


class Queue(NamedTuple):
    """Messages that wait to be sent or confirmed."""

    depth: int = 0  # messages
    size: int = 0  # bytes of their payloads
    unconfirmed: int = 0  # messages


NOTHING: Final = Queue()


@dataclass(slots=True)
class Undelivered:
    """Counters of messages that did not reach anybody."""

    dropped: int = 0
    unknown: int = 0
    late_replies: int = 0
    unknown_replies: int = 0
    discarded: int = 0


class Meter:
    """The counters of one connection, across all its links."""

    def __init__(self, clock: Clock) -> None:
        self.times = Times(clock)
        self.latencies = Histogram()  # seconds, of all links
        self.undelivered = Undelivered()
        self.links = 0
        self.undecodable = 0
        self.faults = 0
        self._clock = clock
        self._counters = Counters.starting(clock.time())
        self._latency = Average(LATENCY_WEIGHT)
        self._suspicion = Suspicion(least=LEAST_DEVIATION)
        self._moved = (0, 0)  # bytes of the present link counted so far
        self._ended = 0  # generation of the last link that ended

    # Counting

    def count_sent(self, messages: int = 1) -> None:
        """Count messages that were written."""
        self._counters.sent.add(self._clock.time(), messages)

    def count_undelivered(self, *, is_unknown: bool) -> None:
        """Count a message that was not delivered, or whose fate is unknown."""
        self.undelivered.unknown += is_unknown
        self.undelivered.dropped += not is_unknown

    def count_received(self, messages: int) -> None:
        """Count messages that came in one batch."""
        now = self.times.seen = self._clock.time()
        self._counters.received.add(now, messages)
        self._suspicion.touch(now)

    def count_error(self) -> None:
        """Count a failed attempt or a lost link."""
        self._counters.errors.add(self._clock.time(), 1)

    def count_fault(self, times: int = 1) -> None:
        """Count exceptions that should not have been raised."""
        self.faults += times

    def count_undecodable(self) -> None:
        """Count a message that did not decode."""
        self.undecodable += 1
        self.count_error()

    def count_bytes(self, received: int, sent: int, generation: int | None = None) -> None:
        """Count what the present link has moved since it came up. Any thread may call it.

        generation: the link that the figures are from; if it has ended meanwhile, they were counted already.
        """
        now = self._clock.time()
        with _counting:
            before_received, before_sent = self._moved
            if generation is not None and (generation != self.links or generation == self._ended):
                return
            if received < before_received or sent < before_sent:
                return  # another thread was faster
            self._counters.bytes_received.add(now, received - before_received)
            self._counters.bytes_sent.add(now, sent - before_sent)
            self._moved = received, sent

    def record_latency(self, seconds: float) -> None:
        """Record the round trip of a ping."""
        now = self.times.seen = self._clock.time()
        self.latencies.record(seconds)
        self._latency.record(seconds)
        self._suspicion.record(now)

    def mark_up(self) -> float | None:
        """Note that a link came up. Return the downtime before it in seconds, None for the first link."""
        self.links += 1
        self._suspicion.forget()
        return self.times.mark_up()

    def mark_down(self) -> None:
        """Note that the link is gone, whether it was up or only being greeted."""
        with _counting:
            self._moved = 0, 0
            self._ended = self.links
        self.times.mark_down()

    # Reporting

    def report(
        self, connection_id: str, service: str, status: ConnectionStatus, attempts: int, queue: Queue = NOTHING
    ) -> ConnectionHealth:
        """Return a snapshot."""
        now, counters, latencies = self._clock.time(), self._counters, self.latencies
        messages = counters.received.totals(now)[1] + counters.sent.totals(now)[1]
        errors = counters.errors.totals(now)[1]
        received, sent = Rate(*counters.received.per_second(now)), Rate(*counters.sent.per_second(now))
        return ConnectionHealth(
            connection_id=connection_id,
            service=service,
            status=status,
            latency=self._latency.last,
            latency_average=self._latency.value,
            latency_p50=latencies.quantile(0.5),
            latency_p90=latencies.quantile(0.9),
            latency_p99=latencies.quantile(0.99),
            jitter=self._latency.jitter,
            messages_per_second=received.over_10 + sent.over_10,
            received_per_second=received,
            sent_per_second=sent,
            bytes_received_per_second=Rate(*counters.bytes_received.per_second(now)),
            bytes_sent_per_second=Rate(*counters.bytes_sent.per_second(now)),
            messages_received=counters.received.total,
            messages_sent=counters.sent.total,
            bytes_received=counters.bytes_received.total,
            bytes_sent=counters.bytes_sent.total,
            error_rate=errors / max(1, errors + messages),
            errors=counters.errors.total,
            undecodable=self.undecodable,
            faults=self.faults,
            uptime=self.times.uptime(),
            availability=self.times.availability(),
            last_seen=None if self.times.seen is None else now - self.times.seen,
            phi=0.0 if self.times.up_since is None else self._suspicion.phi(now),
            attempts=attempts,
            reconnects=max(0, self.links - 1),
            queue_depth=queue.depth,
            queue_bytes=queue.size,
            unconfirmed=queue.unconfirmed,
            dropped=self.undelivered.dropped,
            unknown=self.undelivered.unknown,
            late_replies=self.undelivered.late_replies,
            unknown_replies=self.undelivered.unknown_replies,
            discarded=self.undelivered.discarded,
        )
