"""The open connections of a server."""

from __future__ import annotations

from collections.abc import Iterator

from trunkline.net.websocket import WebSocket

__all__ = ["Connections"]


class Connections(set[WebSocket]):
    """A set of connections that may change while it is iterated over.

    An iteration goes over those that were there when it began: `await` in the loop's body is safe. One that has closed
    meanwhile still comes, and one that has been opened does not.
    """

    __slots__ = ()
    __hash__ = None  # as of any set

    def __iter__(self) -> Iterator[WebSocket]:
        return set.__iter__(self.copy())
