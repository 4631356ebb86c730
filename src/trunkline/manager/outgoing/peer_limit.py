"""What a peer takes in one message, as far as it has shown.

A peer that closes with 1009 (RFC 6455 7.4.1) does not say what its limit is, nor which message was over it. One of
those that were on their way was, so its limit is below the largest of them: that is the bound, and nothing of that size
is sent any more, over whatever link.
"""

from __future__ import annotations

from collections.abc import Iterable

from trunkline.manager.clock import Clock
from trunkline.manager.codecs import Payload
from trunkline.manager.errors import PeerLimitExceeded

__all__ = ["PeerLimit"]


class PeerLimit:
    """The bound of one service and set of parameters, across its links.

    size: bytes of a message that is too big for the peer, as is every larger one; None while nothing is known.
    """

    __slots__ = ("_clock", "_seen", "size")

    def __init__(self, clock: Clock) -> None:
        self.size: int | None = None
        self._clock = clock
        self._seen = 0.0  # when it was learned, by the clock

    def learn(self, payloads: Iterable[Payload]) -> None:
        """The peer closed with 1009 while these were on their way. Nothing is learned if none was."""
        largest = max((count_bytes(payload) for payload in payloads), default=0)
        if largest and (self.size is None or largest < self.size):
            self.size, self._seen = largest, self._clock.time()

    def forget(self) -> None:
        """Nothing is known any more."""
        self.size = None

    def refuses(self, payload: Payload) -> bool:
        """Whether the peer would not take it."""
        return self.size is not None and count_bytes(payload) >= self.size

    def check(self, connection_id: str, payload: Payload) -> None:
        """Raises PeerLimitExceeded if the peer would not take it."""
        if self.size is not None and self.refuses(payload):
            ago = self._clock.time() - self._seen
            raise PeerLimitExceeded(connection_id, count_bytes(payload), self.size, ago)


def count_bytes(payload: Payload) -> int:
    """The size of a payload on the wire, before any compression."""
    if isinstance(payload, str):
        return len(payload) if payload.isascii() else len(payload.encode(errors="surrogatepass"))
    return len(payload)
