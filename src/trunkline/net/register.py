"""The open connections of a server."""

from __future__ import annotations

from collections.abc import Iterator

from trunkline.net.websocket import WebSocket

__all__ = ["Connections"]


class Connections(set[WebSocket]):
    """A set of connections that may change while you iterate over it.

    You get the connections that were there when the iteration began, so `await` in the loop's body is safe. One that
    has closed meanwhile is still among them; one that has opened is not.
    """

    __slots__ = ()
    __hash__ = None  # unhashable, like any set

    def __iter__(self) -> Iterator[WebSocket]:
        return set.__iter__(self.copy())
