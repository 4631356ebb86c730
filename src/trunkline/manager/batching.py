"""Several messages in one write, or in one message."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["BatchPolicy"]


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
