"""Beside the process: the page for a program that runs elsewhere, fed by that program's own dashboard."""

from __future__ import annotations

import asyncio
import contextlib
import urllib.parse
from typing import Final

import trunkline
from trunkline.observe.dashboard.protocol import OFFERED, PROTOCOL
from trunkline.protocol.errors import ConnectionClosed, TrunklineError

__all__ = ["Relay"]

MAX_SIZE: Final = 64 * 2**20  # bytes of a message: a snapshot of very many connections


class Relay:
    """Feeds each viewer over a line of its own to the program, whose dashboard at `url` bounds and judges it as any."""

    def __init__(self, url: str, max_viewers: int) -> None:
        """Raises ValueError for an address without a token."""
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or not parts.fragment:
            raise ValueError(f"{url!r} is not an address that a dashboard printed: http://host:port/#token (url)")
        scheme = "wss" if parts.scheme == "https" else "ws"
        self._address = urllib.parse.urlunsplit((scheme, parts.netloc, parts.path.rstrip("/") + "/feed", "", ""))
        self._protocols = [PROTOCOL, OFFERED + parts.fragment]
        self.viewers: set[trunkline.WebSocket] = set()
        self.max_viewers = max_viewers

    @property
    def is_full(self) -> bool:
        """Whether there are as many viewers as there may be."""
        return len(self.viewers) >= self.max_viewers

    async def show(self, viewer: trunkline.WebSocket) -> None:
        """Hand on what comes from either until one of them goes."""
        self.viewers.add(viewer)
        try:
            program = trunkline.connect(self._address, subprotocols=self._protocols, max_size=MAX_SIZE)
            async with program as feed, asyncio.TaskGroup() as group:
                group.create_task(_hand_on(viewer, feed))
                group.create_task(_hand_on(feed, viewer))
            reason = "the program is gone"
        except (TrunklineError, OSError) as error:
            reason = f"the program: {error}"
        finally:
            self.viewers.discard(viewer)
        viewer.start_closing(1012, reason[:100])

    def close(self) -> None:
        """Nothing is left that viewers do not take with them."""


async def _hand_on(one: trunkline.WebSocket, other: trunkline.WebSocket) -> None:
    """Until one of them is closed; the other is closed then."""
    with contextlib.suppress(ConnectionClosed):
        async for message in one:
            await other.send(message)
    other.start_closing(1012)
