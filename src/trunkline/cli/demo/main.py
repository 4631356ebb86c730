"""`main`: load, memory and network rates of this machine, at the interval that the client asks for.

client  {"interval": 0.5}
server  {"source": "/proc", "load": 0.31, "memory": 0.14, "received": 812.0, "sent": 790.5}, every 0.5 s
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

import msgspec

import trunkline
from trunkline.cli.demo.system import Figures, Machine
from trunkline.cli.demo.typed import encode, received
from trunkline.net import faults

__all__ = ["Watch", "serve_main"]

SHORTEST: Final = 0.05  # seconds between two readings
LONGEST: Final = 60.0


class Watch(msgspec.Struct, frozen=True):
    """What the client sends: how often it wants figures, in seconds."""

    interval: float


_watches = msgspec.json.Decoder(Watch)


async def serve_main(ws: trunkline.WebSocket) -> None:
    """Send figures at once, then every second or at the interval that the client last asked for."""
    pace = _Pace()
    sending = asyncio.create_task(_send_figures(ws, pace))
    faults.watch(sending, ws.logger, "sending figures", ws.abort)
    try:
        async for watch in received(ws, _watches):
            pace.set(watch.interval)
    finally:
        sending.cancel()


class _Pace:
    """The interval, and a wait that ends early when the interval changes."""

    def __init__(self) -> None:
        self._interval = 1.0
        self._changed = asyncio.Event()

    def set(self, interval: float) -> None:
        self._interval = min(max(interval, SHORTEST), LONGEST)
        self._changed.set()

    async def wait(self) -> None:
        self._changed.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._interval):
                await self._changed.wait()


async def _send_figures(ws: trunkline.WebSocket, pace: _Pace) -> None:
    machine = Machine()
    with contextlib.suppress(trunkline.ConnectionClosed):  # `serve_main` notices too, and ends the service
        while True:
            figures: Figures = machine.read()
            await ws.send(encode(figures))
            await pace.wait()
