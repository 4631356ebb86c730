"""What a program may set of a manager's parts; `RetryPolicy` is in `failure.retry`."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["BatchPolicy", "BreakerPolicy", "GatePolicy", "OutboxPolicy", "PoolPolicy"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchPolicy:
    """How a connection joins what it sends.

    Whatever one turn of the event loop sends leaves in one write, with this policy and without. The policy adds a wait
    and an envelope, and bounds the batches.

    max_messages, max_bytes: a batch that has so much is written at once. Bytes are those of the payloads; a message
        larger than `max_bytes` is a batch by itself.
    max_delay: seconds that a message may wait for others. 0: until the end of the turn; an idle line is written to now.
    envelope: send a batch as one message, `{"type": "batch", "messages": [...], "timestamp": milliseconds}`, and take
        apart the envelopes that come. Without it, a batch is frames in one write, which the peer cannot tell from
        others. A batch of one message goes without an envelope unless `wrap_single`.
    wrap_single: an envelope around a single message, too.

    `BatchPolicy.seed()` is 10 messages or 100 ms, each batch in an envelope.
    """

    max_messages: int = 256
    max_bytes: int = 64 * 1024
    max_delay: float = 0.0
    envelope: bool = False
    wrap_single: bool = False

    def __post_init__(self) -> None:
        if self.max_messages < 1 or self.max_bytes < 1:
            raise ValueError(
                f"max_messages is {self.max_messages} and max_bytes {self.max_bytes}; wanted 1 or more of each"
            )
        if not 0 <= self.max_delay < float("inf"):
            raise ValueError(f"max_delay is {self.max_delay}, wanted 0 or more seconds")

    @classmethod
    def seed(cls) -> BatchPolicy:
        """Ten messages or 100 ms, whichever comes first, each batch in an envelope."""
        return cls(max_messages=10, max_delay=0.1, envelope=True, wrap_single=True)

    @property
    def holds(self) -> bool:
        """Whether a message on an idle line waits for others at all."""
        return self.envelope or self.max_delay > 0


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """When to leave an endpoint alone.

    failures: failed dials in a row, of whichever lines, that open the breaker; None: it never opens.
    cooldown: the most seconds that it then stays open, reached by doubling from an eighth; half of them may be drawn
        off, and a service whose policy has a lower cap goes by that.
    """

    failures: int | None = 8
    cooldown: float = 10.0

    def __post_init__(self) -> None:
        if (self.failures is not None and self.failures < 1) or self.cooldown <= 0:
            raise ValueError(
                f"failures is {self.failures} and cooldown {self.cooldown} s; wanted 1 or more or None, and above 0"
            )


@dataclass(frozen=True, slots=True)
class GatePolicy:
    """What a gate lets through to one host.

    under_way: attempts at once, from the asking for credentials to the end of the handshake.
    per_second: dials a second; in any 100 ms no more than a tenth of it, rounded up.
    """

    under_way: int = 32
    per_second: float = 200.0

    def __post_init__(self) -> None:
        if self.under_way < 1 or self.per_second <= 0:
            raise ValueError(
                f"under_way is {self.under_way} and per_second {self.per_second}; wanted 1 or more, and above 0"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxPolicy:
    """What becomes of messages that cannot be written at once, and when a written one counts as delivered.

    when_full: "block": `send` waits for room, and `send_nowait` raises OutboxFull. "reject": both raise it.
        "drop_oldest": the oldest make room. "conflate": as that, and a message takes the place of an older one with the
        same `key`, whether the outbox is full or not.
    key: for "conflate": a callable that takes the message and gives its key; None for a message that has none.
    max_messages, max_bytes: bounds of what waits, in memory. A message larger than `max_bytes` waits alone.
    max_age: seconds that a message may wait; None: for ever.
    confirm: seconds after which what was written is confirmed by a ping, if it was not by then. None: never, and
        what a lost link had been given is then not known to be unknown: `written` is its last word.
    max_unconfirmed, max_unconfirmed_bytes: what may be on its way without confirmation; past that, messages wait.
    """

    when_full: Literal["block", "reject", "drop_oldest", "conflate"] = "block"
    key: Callable[[Any], Hashable | None] | None = None
    max_messages: int = 1024
    max_bytes: int = 2**20
    max_age: float | None = 60.0
    confirm: float | None = 1.0
    max_unconfirmed: int = 8192
    max_unconfirmed_bytes: int = 4 * 2**20

    def __post_init__(self) -> None:
        if self.when_full not in ("block", "reject", "drop_oldest", "conflate"):
            raise ValueError(f"when_full is {self.when_full!r}; wanted block, reject, drop_oldest or conflate")
        if (self.key is not None) is not (self.when_full == "conflate"):
            raise ValueError('a key goes with when_full="conflate", and that with a key')
        for name in ("max_messages", "max_bytes", "max_unconfirmed", "max_unconfirmed_bytes"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, wanted 1 or more")
        for name in ("max_age", "confirm"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name} is {value}, wanted more than 0 seconds, or None")


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolPolicy:
    """A pool of links.

    size: how many there may be; they are opened when they are needed.
    strategy: which one is taken. "least_pending": a link that is up and has the least under way, or a new one while
        all are busy and there are fewer than `size`. "round_robin": one after the other. "hash": always the same one
        for the same key, up or not, so that the messages of a key keep their order; the others promise none.
    idle_timeout: seconds after its last use in which a link that nobody has leased is closed; None: it stays.
    """

    size: int = 4
    strategy: Literal["least_pending", "round_robin", "hash"] = "least_pending"
    idle_timeout: float | None = None

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError(f"size is {self.size}, wanted 1 or more links")
        if self.strategy not in ("least_pending", "round_robin", "hash"):
            raise ValueError(f"strategy is {self.strategy!r}; wanted least_pending, round_robin or hash")
        if self.idle_timeout is not None and not self.idle_timeout > 0:
            raise ValueError(f"idle_timeout is {self.idle_timeout}, wanted more than 0 seconds, or None")
