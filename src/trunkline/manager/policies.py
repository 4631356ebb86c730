"""The policies that a program can set; `RetryPolicy` is in `trunkline.manager.failure.retry`."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["BatchPolicy", "BreakerPolicy", "GatePolicy", "OutboxPolicy", "PoolPolicy"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchPolicy:
    """How a connection joins messages into batches.

    Even without this policy, messages sent in one turn of the event loop leave in one write. The policy adds a wait and
    an envelope, and limits the batches.

    Args:
        max_messages, max_bytes: write a batch at once when it has this many messages or bytes of payload. A message
            larger than `max_bytes` is a batch by itself.
        max_delay: seconds that a message may wait for others. With 0 it waits for the end of the turn at most, and an
            idle connection writes it now.
        envelope: send a batch as one message, `{"type": "batch", "messages": [...], "timestamp": milliseconds}`, and
            unpack received envelopes. Otherwise a batch is frames in one write, like any others to the peer.
        wrap_single: put a single message into an envelope as well.

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
        """Return a policy of 10 messages or 100 ms, whichever comes first, with each batch in an envelope."""
        return cls(max_messages=10, max_delay=0.1, envelope=True, wrap_single=True)

    @property
    def holds(self) -> bool:
        """Whether a message on an idle connection waits for others at all."""
        return self.envelope or self.max_delay > 0


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """When to stop dialling an endpoint for a while.

    Args:
        failures: failed dials in a row, over all connections, that open the breaker; None to never open it.
        cooldown: the longest time in seconds that it stays open. It starts with an eighth and doubles; jitter takes off
            up to half. The `cap` of a service's retry policy limits it as well.
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
    """How many dials a gate lets through to one host.

    Args:
        under_way: attempts at a time, from asking for credentials to the end of the handshake.
        per_second: dials per second; at most a tenth of it, rounded up, in any 100 ms.
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
    """What happens to messages that cannot be written at once, and how written ones are confirmed.

    Args:
        when_full: "block": `send` waits for room, `send_nowait` raises OutboxFull. "reject": both raise OutboxFull.
            "drop_oldest": the oldest messages make room. "conflate": the same, and a message replaces an older one with
            the same `key` even if there is room.
        key: for "conflate", a callable that returns a message's key, None if it has none.
        max_messages, max_bytes: limits of what waits; bytes as payloads lie in memory. A message larger than
            `max_bytes` waits alone.
        max_age: seconds that a message may wait; None for no limit.
        confirm: seconds after which a ping confirms what was written. None to confirm nothing: the outcome of a message
            then stays `written`, even if the link is lost.
        max_unconfirmed, max_unconfirmed_bytes: limits of what is written and not confirmed; beyond them, messages wait.
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
            raise ValueError('key and when_full="conflate" need each other')
        for name in ("max_messages", "max_bytes", "max_unconfirmed", "max_unconfirmed_bytes"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, wanted 1 or more")
        for name in ("max_age", "confirm"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name} is {value}, wanted more than 0 seconds, or None")


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolPolicy:
    """A pool of connections for one set of parameters.

    Args:
        size: the largest number of connections; they are opened when needed.
        strategy: how a member is picked. "least_pending": one that is up and has the fewest messages under way, or a
            new one if all are busy and there are fewer than `size`. "round_robin": one after the other. "hash": the
            same one for the same key, up or not. Only "hash" keeps the order of messages, for each key.
        idle_timeout: seconds after its last use when a connection without a lease is closed; None to keep it.
    """

    size: int = 4
    strategy: Literal["least_pending", "round_robin", "hash"] = "least_pending"
    idle_timeout: float | None = None

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError(f"size is {self.size}, wanted 1 or more connections")
        if self.strategy not in ("least_pending", "round_robin", "hash"):
            raise ValueError(f"strategy is {self.strategy!r}; wanted least_pending, round_robin or hash")
        if self.idle_timeout is not None and not self.idle_timeout > 0:
            raise ValueError(f"idle_timeout is {self.idle_timeout}, wanted more than 0 seconds, or None")
