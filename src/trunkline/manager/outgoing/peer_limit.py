"""The largest message that a peer accepts, as far as we know.

A peer that closes with 1009 (RFC 6455 7.4.1) does not say what its limit is, or which message exceeded it. One of those
on their way did, so the limit is below the largest of them, and no message of that size is sent again over any link.
"""

from __future__ import annotations

from collections.abc import Iterable

from trunkline.manager.clock import Clock
from trunkline.manager.codecs import Payload
from trunkline.manager.errors import PeerLimitExceeded

__all__ = ["PeerLimit"]


class PeerLimit:
    """The limit of one service and set of parameters, across its links.

    size: messages of this many bytes or more are too big for the peer; None while nothing is known.
    """

    __slots__ = ("_clock", "_seen", "size")

    def __init__(self, clock: Clock) -> None:
        self.size: int | None = None
        self._clock = clock
        self._seen = 0.0  # when it was learned

    def learn(self, payloads: Iterable[Payload]) -> None:
        """Lower the limit after a close with 1009, with the payloads that were on their way. No payloads, no change."""
        largest = max((count_bytes(payload) for payload in payloads), default=0)
        if largest and (self.size is None or largest < self.size):
            self.size, self._seen = largest, self._clock.time()

    def forget(self) -> None:
        """Forget the limit."""
        self.size = None

    def refuses(self, payload: Payload) -> bool:
        """Return whether the payload is too big for the peer."""
        return self.size is not None and count_bytes(payload) >= self.size

    def check(self, connection_id: str, payload: Payload) -> None:
        """Raise PeerLimitExceeded if the payload is too big for the peer."""
        if self.size is not None and self.refuses(payload):
            ago = self._clock.time() - self._seen
            raise PeerLimitExceeded(connection_id, count_bytes(payload), self.size, ago)


def count_bytes(payload: Payload) -> int:
    """Return the size of a payload on the wire, before compression."""
    if isinstance(payload, str):
        return len(payload) if payload.isascii() else len(payload.encode(errors="surrogatepass"))
    return len(payload)
