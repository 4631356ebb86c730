"""What slow sends need of a connection: in fragments, compressed by a thread, or in their turn."""

from __future__ import annotations

from typing import Protocol

from wsproto.connection import ConnectionState

from trunkline._link import Link
from trunkline.net.close import MakeError
from trunkline.net.settings import Settings

__all__ = ["Sendable"]


class Sendable(Protocol):
    """A connection's Lifecycle, as slow sends see it."""

    link: Link
    settings: Settings
    state: ConnectionState

    def refusal(self) -> Exception:
        """Return the error for a message that cannot be sent now."""

    def bad_text(self, error: UnicodeEncodeError) -> Exception:
        """Return the error for text with lone surrogates."""

    def on_broken(self, error: BaseException) -> None:
        """End the connection: code of ours raised."""

    def fail(self, code: int, reason: str, error: MakeError | None = None, *, told: str | None = None) -> None:
        """Fail the connection."""

    async def wait_writable(self) -> None:
        """Wait until there is room."""
