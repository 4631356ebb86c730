"""What a Lifecycle calls on its opening handshake and on its listener."""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

from trunkline.net.close import Close

__all__ = ["Listening", "Opening"]

Life = TypeVar("Life", contravariant=True)


class Opening(Protocol[Life]):
    """One side's opening handshake, while it lasts."""

    def begin(self, life: Life, /) -> None:
        """Start: the transport is there."""

    def receive(self, life: Life, data: bytes, /) -> None:
        """Process bytes that were read."""

    def lose(self, life: Life, error: Exception | None, /) -> None:
        """Stop: the transport ended before the handshake did."""

    def is_answering(self) -> bool:
        """Return whether what was received has yet to be answered."""


class Listening(Protocol):
    """The callbacks of a listener when its connection opens and closes."""

    def on_open(self, ws: Any, /) -> object:
        """Called when the opening handshake is done."""

    def on_close(self, ws: Any, close: Close, /) -> object:
        """Called when the connection has ended."""
