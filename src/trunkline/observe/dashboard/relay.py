"""The relay: serves the page for a program that runs elsewhere, fed by that program's own dashboard."""

from __future__ import annotations

import asyncio
import contextlib
import urllib.parse
from typing import Final

import trunkline
from trunkline.manager.redacting import redact
from trunkline.observe.dashboard.protocol import OFFERED, PROTOCOL
from trunkline.protocol.errors import ConnectionClosed, TrunklineError

__all__ = ["Relay"]

MAX_SIZE: Final = 64 * 2**20  # bytes of a message, enough for a snapshot of very many connections


class Relay:
    """Feeds each viewer over its own connection to the program's dashboard at `url`, which treats it as any viewer."""

    def __init__(self, url: str, max_viewers: int) -> None:
        """Raise ValueError if `url` is not the URL of a dashboard, with its token."""
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or not parts.fragment:
            shown = redact(url.partition("#")[0])
            raise ValueError(f"url is {shown!r}, must be the address that a dashboard printed: http://host:port/#token")
        scheme = "wss" if parts.scheme == "https" else "ws"
        self._address = urllib.parse.urlunsplit((scheme, parts.netloc, parts.path.rstrip("/") + "/feed", "", ""))
        self._protocols = [PROTOCOL, OFFERED + parts.fragment]
        self.viewers: set[trunkline.WebSocket] = set()
        self.max_viewers = max_viewers

    @property
    def is_full(self) -> bool:
        """Whether the number of viewers has reached its limit."""
        return len(self.viewers) >= self.max_viewers

    async def show(self, viewer: trunkline.WebSocket) -> None:
        """Forward messages between a viewer and the program until either goes."""
        self.viewers.add(viewer)
        try:
            program = trunkline.connect(self._address, subprotocols=self._protocols, max_size=MAX_SIZE)
            async with program as feed, asyncio.TaskGroup() as group:
                group.create_task(_forward(viewer, feed))
                group.create_task(_forward(feed, viewer))
            reason = "the program is gone"
        except (TrunklineError, OSError) as error:
            reason = f"the program: {error}"
        finally:
            self.viewers.discard(viewer)
        viewer.start_closing(1012, reason[:100])

    def close(self) -> None:
        """Do nothing: each viewer's connection to the program ends with the viewer."""


async def _forward(one: trunkline.WebSocket, other: trunkline.WebSocket) -> None:
    """Forward messages from one to the other until either closes, then close the other."""
    with contextlib.suppress(ConnectionClosed):
        async for message in one:
            await other.send(message)
    other.start_closing(1012)
