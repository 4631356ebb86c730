"""What a connection gets that there is no room for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from trunkline.net.lifecycle import Lifecycle

__all__ = ["Refusal"]

# Sent before anything is read, so it is not the handshake's business (RFC 9110 15.6.4).
FULL: Final = b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n"


class Refusal:
    """The opening of such a connection: 503, and nothing is read."""

    def begin(self, life: Lifecycle) -> None:
        """Send the answer."""
        assert life.link.transport is not None
        life.link.transport.write(FULL)
        life.linger()

    def receive(self, life: Lifecycle, data: bytes) -> None:
        """Throw the request away."""

    def lose(self, life: Lifecycle, error: Exception | None) -> None:
        """The client went away."""

    def is_answering(self) -> bool:
        """It has its answer already."""
        return False
