"""A protocol that stands in for a link, on loops that accept another protocol in the middle of a connection."""

from __future__ import annotations

from typing import Any

__all__ = ["Twin"]


class Twin:
    """A BufferedProtocol with the callbacks of a link, used while large payloads come in."""

    __slots__ = (
        "buffer_updated",
        "connection_lost",
        "eof_received",
        "get_buffer",
        "pause_writing",
        "resume_writing",
    )

    def __init__(self, link: Any) -> None:
        self.get_buffer = link.get_buffer
        self.buffer_updated = link.buffer_updated
        self.eof_received = link.eof_received
        self.connection_lost = link.connection_lost
        self.pause_writing = link.pause_writing
        self.resume_writing = link.resume_writing
