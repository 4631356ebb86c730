"""A fleet on real sockets whose server goes and comes back: through the gate, all of it, once."""

import asyncio
from typing import Any

import pytest

import trunkline
from trunkline.manager.dialing.budget import RetryBudget
from trunkline.manager.failure.retry import RetryPolicy

pytestmark = pytest.mark.anyio

LINES = 100
GATE = trunkline.manager.GatePolicy(per_second=400)


class Herd:
    """The lines of one manager, when they dialled, and which are up."""

    def __init__(self, port: int) -> None:
        self.times: list[float] = []
        self.up: set[str] = set()
        self._moved = asyncio.Event()
        # Nothing but the gate is to hold them back: all come at once.
        retry = RetryPolicy(base=0.01, cap=0.01)
        self.service = trunkline.Service(
            "herd", f"ws://127.0.0.1:{port}/{{line}}", sends=str, receives=str, retry=retry
        )
        budget, breaker = RetryBudget(1e6), trunkline.manager.BreakerPolicy(failures=None)
        self.manager = trunkline.ConnectionManager(
            [self.service], dial=self._dial, budget=budget, gate=GATE, breaker=breaker
        )
        self.manager.subscribe(self._take)

    async def _dial(self, uri: str, /, **options: Any) -> trunkline.WebSocket:
        self.times.append(asyncio.get_running_loop().time())
        return await trunkline.connect(uri, **options)

    def _take(self, change: trunkline.StateChange) -> None:
        if change.after is trunkline.ConnectionStatus.CONNECTED:
            self.up.add(change.connection_id)
        elif change.before is trunkline.ConnectionStatus.CONNECTED:
            self.up.discard(change.connection_id)
        self._moved.set()

    async def wait(self, count: int) -> None:
        """Wait until so many are up."""
        while len(self.up) != count:
            self._moved.clear()
            await self._moved.wait()

    async def wait_dials(self, count: int) -> None:
        """Wait until so many dials have begun."""
        while len(self.times) < count:
            self._moved.clear()
            await self._moved.wait()


def busiest(times: list[float], seconds: float) -> int:
    return max(sum(start <= time < start + seconds for time in times) for start in times)


async def test_a_fleet_comes_back_through_the_gate() -> None:
    server = await trunkline.serve(trunkline.WebSocket.wait_closed, "127.0.0.1", 0)
    port = server.port
    herd = Herd(port)
    async with asyncio.timeout(60), herd.manager:
        await asyncio.gather(*(herd.manager.connect(herd.service, line=number) for number in range(LINES)))
        await server.close(1001)
        await herd.wait(0)
        await herd.wait_dials(2 * LINES)  # down, and every one of them at the door
        server = await trunkline.serve(trunkline.WebSocket.wait_closed, "127.0.0.1", port)
        await herd.wait(LINES)
        assert len(server.connections) == LINES
        # A window of 100 ms, less what two looks at the clock may differ by.
        assert busiest(herd.times, 0.099) <= 40
    await server.close()
