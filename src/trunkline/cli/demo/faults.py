"""The faults: the demo injects one after another while there is time to recover."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Callable, Mapping
from typing import Final

from trunkline.cli.demo.server import DemoServer
from trunkline.cli.demo.wire import Wire
from trunkline.manager import ConnectionStatus, StateChange

__all__ = ["Faults", "Lookout"]

PAUSE: Final = 1.0  # seconds between a recovery and the next fault
PATIENCE: Final = 8.0  # seconds that connections get to recover; then the next fault comes anyway


class Lookout:
    """Keeps track of which connections are up, and whether one was lost."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._up: set[str] = set()
        self._whole = asyncio.Event()
        self._lost = asyncio.Event()

    def see(self, change: StateChange) -> None:
        """Take a connection's change of state."""
        if change.after is ConnectionStatus.CONNECTED:
            self._up.add(change.connection_id)
        else:
            self._up.discard(change.connection_id)
            self._whole.clear()
            self._lost.set()
        if len(self._up) == self._count:
            self._whole.set()

    def forget_losses(self) -> None:
        """Make `wait_lost` wait for the next loss."""
        self._lost.clear()

    async def wait_lost(self) -> None:
        """Wait until a connection has been lost since `forget_losses`."""
        await self._lost.wait()

    async def wait_whole(self, timeout: float) -> bool:
        """Wait until every connection is up. Return False if they are not within `timeout` seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._whole.wait()
        return self._whole.is_set()


class Faults:
    """Breaks the links between the manager and the server, and describes each fault to `say`."""

    def __init__(
        self, server: DemoServer, wires: Mapping[str, Wire], lookout: Lookout, say: Callable[[str], None]
    ) -> None:
        self._server = server
        self._wires = wires
        self._lookout = lookout
        self._say = say
        self._names = itertools.cycle(wires)
        self.count = 0  # faults so far

    async def inject(self, seconds: float) -> None:
        """Inject one fault after another for about `seconds`. Each fault is undone before the next."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        for fault in itertools.cycle([self._cut_one, self._restart, self._refuse, self._stall, self._cut_all]):
            await asyncio.sleep(PAUSE)
            if loop.time() >= end:
                return
            self.count += 1
            self._lookout.forget_losses()
            await fault()
            await self._lookout.wait_lost()
            await self._lookout.wait_whole(PATIENCE)

    async def _cut_one(self) -> None:
        name = next(self._names)
        self._say(f"the link to {name} is cut")
        self._wires[name].cut()

    async def _cut_all(self) -> None:
        self._say("every link is cut")
        for wire in self._wires.values():
            wire.cut()

    async def _refuse(self) -> None:
        name = next(self._names)
        self._say(f"the link to {name} is cut, and the server answers 503 for a while")
        self._server.is_refusing = True
        self._wires[name].cut()
        await asyncio.sleep(1.2)
        self._server.is_refusing = False

    async def _restart(self) -> None:
        self._say("the server restarts, which ends its terminals")
        await self._server.stop(1012, "back in a moment")
        for wire in self._wires.values():
            wire.disconnect()
        await asyncio.sleep(1.0)
        await self._server.start()
        for wire in self._wires.values():
            await wire.connect()

    async def _stall(self) -> None:
        name = next(self._names)
        self._say(f"the link to {name} goes silent; only the keepalive can notice")
        self._wires[name].stall()
