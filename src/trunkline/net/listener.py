"""Callbacks in place of a coroutine: the lowest latency, no task a connection."""

from __future__ import annotations

from trunkline.net.close import Close
from trunkline.net.websocket import WebSocket

__all__ = ["Close", "Listener"]


class Listener:
    """Subclass it and define what you need. Every callback runs on the event loop and must not block.

    What a callback raises is logged and ends the connection with 1011; what it sends leaves in one write when the read
    that it belongs to has been processed. After a callback has closed or aborted the connection, no message is
    delivered any more.

    on_batch(ws, messages): if a subclass defines it, it is called in place of `on_message`, with the list of all
    messages that one read completed (between two control frames).
    """

    __slots__ = ()  # a subclass may have slots of its own

    def on_open(self, ws: WebSocket) -> None:
        """The opening handshake is done."""

    def on_message(self, ws: WebSocket, message: str | bytes) -> None:
        """A message was received: str for text, bytes for binary."""

    # on_batch is not defined here, since its presence is the choice.

    def on_close(self, ws: WebSocket, close: Close) -> None:
        """The connection has ended; called once for every on_open."""
