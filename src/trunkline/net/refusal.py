"""The answer to a connection that there is no room for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from trunkline.net.lifecycle import Lifecycle

__all__ = ["Refusal"]

# Sent before anything is read, so not by a Handshake (RFC 9110 15.6.4).
FULL: Final = b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n"


class Refusal:
    """An opening handshake that answers 503 and discards the request."""

    def begin(self, life: Lifecycle) -> None:
        """Send the answer."""
        assert life.link.transport is not None
        life.link.transport.write(FULL)
        life.linger()

    def receive(self, life: Lifecycle, data: bytes) -> None:
        """Discard the request."""

    def lose(self, life: Lifecycle, error: Exception | None) -> None:
        """Do nothing: the client is gone."""

    def is_answering(self) -> bool:
        """Return False: the answer has been sent."""
        return False
