"""What a connection's Lifecycle asks of its opening handshake, and of its listener."""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

from trunkline.net.close import Close

__all__ = ["Listening", "Opening"]

Life = TypeVar("Life", contravariant=True)


class Opening(Protocol[Life]):
    """The opening handshake of one side, while it lasts."""

    def begin(self, life: Life, /) -> None:
        """The transport is there."""

    def receive(self, life: Life, data: bytes, /) -> None:
        """Bytes were read."""

    def lose(self, life: Life, error: Exception | None, /) -> None:
        """The transport ended before the handshake did."""

    def is_answering(self) -> bool:
        """Whether an answer to what has been received is still to come."""


class Listening(Protocol):
    """What is called of a listener when its connection opens and closes."""

    def on_open(self, ws: Any, /) -> object:
        """The opening handshake is done."""

    def on_close(self, ws: Any, close: Close, /) -> object:
        """The connection has ended."""
