"""What a connection asks of its opening handshake."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from trunkline.net.websocket import WebSocket

__all__ = ["Opening"]


class Opening(Protocol):
    """The opening handshake of one side, while it lasts."""

    def begin(self, ws: WebSocket) -> None:
        """The transport is there."""

    def receive(self, ws: WebSocket, data: bytes) -> None:
        """Bytes were read."""

    def lose(self, ws: WebSocket, error: Exception | None) -> None:
        """The transport ended before the handshake did."""

    def is_answering(self) -> bool:
        """Whether an answer to what has been received is still to come."""
