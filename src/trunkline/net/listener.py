"""Callbacks in place of a coroutine: the lowest latency, and no task per connection."""

from __future__ import annotations

from trunkline.net.close import Close
from trunkline.net.websocket import WebSocket

__all__ = ["Close", "Listener"]


class Listener:
    """A base class for listeners: define the callbacks you need. They run on the event loop and must not block.

    If a callback raises, the exception is logged and the connection is failed with 1011. What callbacks send leaves in
    one write, once the read that they were called for is processed. After a callback has closed or aborted the
    connection, no more messages are delivered.

    on_batch(ws, messages): if a subclass defines it, it is called in place of `on_message`, with a list of all messages
    that one read completed (between two control frames).
    """

    __slots__ = ()  # a subclass may have slots of its own

    def on_open(self, ws: WebSocket) -> None:
        """Called when the opening handshake is done."""

    def on_message(self, ws: WebSocket, message: str | bytes) -> None:
        """Called with each message: str for text, bytes for binary."""

    # on_batch is not defined here: a subclass chooses it by defining it.

    def on_close(self, ws: WebSocket, close: Close) -> None:
        """Called when the connection has ended, once for every on_open."""
