"""What a line carries, as the line tells of it."""

from __future__ import annotations

from typing import Protocol

from trunkline.manager.failure.issues import ConnectionIssue
from trunkline.net.websocket import WebSocket

__all__ = ["Traffic"]


class Traffic(Protocol):
    """What goes over a line, as the line tells of it. None of these may block or raise."""

    @property
    def has_greeting(self) -> bool:
        """Whether a new link is greeted before it is for all."""

    @property
    def greeting_timeout(self) -> float:
        """Seconds that this may take."""

    def prepare(self, link: WebSocket) -> None:
        """A link is there, the status is connecting, nothing has been read of it."""

    async def greet(self) -> None:
        """The first words on it, while it is read. May wait; if it raises, the attempt has failed."""

    def begin(self, link: WebSocket) -> None:
        """The link is up, the status is connected."""

    def receive(self, batch: list[str | bytes]) -> None:
        """Messages of the link of the moment; what there is no room for waits."""

    @property
    def has_room(self) -> bool:
        """Whether nothing waits, and more can be received."""

    async def wait_room(self) -> None:
        """Wait until nothing waits and more can be received. Backpressure reaches the peer meanwhile."""

    def set_aside(self, issue: ConnectionIssue) -> None:
        """The peer choked on a message of ours (1003, 1007, 1009): the suspect must not be sent again."""

    def call_last(self) -> None:
        """The link is closed: let in what it still holds, over the bound. It is asked for no room from now on."""

    def stop(self, link: WebSocket) -> None:
        """The link is gone; another may follow."""

    async def wait_stopped(self) -> None:
        """Wait until no task is left of a link that is gone."""

    def end(self) -> None:
        """No link will come by itself: the status is in ENDED. Called at each move to such a status."""
