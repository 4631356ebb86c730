"""How 2,000 processes reconnect to a server that all of them lost at one moment, on a virtual clock.

    python -m benchmarks.fleet [--clients N] [--age SECONDS]

Each client is a manager of its own, with its own gate, budget and breaker, so that only their jitter spreads them.
For each case it prints:

- taken: the most attempts in any second that the server accepted;
- in vain: the most attempts in any second that the kernel refused while the server was away;
- longest wait: of an attempt in the queue of a server that does `CAPACITY` handshakes a second, in order of arrival.

`CAPACITY` is what a server at 60 % load has left: 40 % of the 6,000 handshakes a second of docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import asyncio
import bisect
import random
from dataclasses import dataclass, field
from typing import Any, Final

import trunkline
from benchmarks.availability import POLICIES
from benchmarks.tables import markdown
from trunkline.testing import run_virtual

CAPACITY: Final = 2_400  # handshakes a second
SERVER: Final = "server.sim.invalid"


@dataclass(frozen=True)
class Case:
    """What happens to the server. code: of its close frames; None: the links are cut. away: seconds."""

    name: str
    code: int | None
    away: float


CASES: Final = [
    Case("every link cut, the server stays", None, 0.0),
    Case("server killed, back after 3 s", None, 3.0),
    Case("restart announced with 1012, back after 3 s", 1012, 3.0),
    Case("going away with 1001, back after 3 s", 1001, 3.0),
]


@dataclass
class Found:
    """Times of attempts and of reconnections, in seconds since the server was lost."""

    taken: list[float] = field(default_factory=list)
    in_vain: list[float] = field(default_factory=list)
    back: list[float] = field(default_factory=list)


def busiest(times: list[float], seconds: float = 1.0) -> int:
    """Return the largest number of times within any window of `seconds`."""
    times = sorted(times)
    return max((bisect.bisect_left(times, at + seconds) - index for index, at in enumerate(times)), default=0)


def longest_wait(times: list[float]) -> float:
    """Return the longest wait, in seconds, in a queue that is served `CAPACITY` times a second."""
    free_at, longest = 0.0, 0.0
    for at in sorted(times):
        longest = max(longest, free_at - at)
        free_at = max(free_at, at) + 1 / CAPACITY
    return longest


class Fleet:
    """Clients with one connection each."""

    def __init__(self, clients: int, settings: dict[str, Any], seed: int) -> None:
        self.found = Found()
        self.all_up = asyncio.Event()
        self._up = 0
        self._clients = clients
        self._lost_at = 0.0
        self._loop = asyncio.get_running_loop()
        options = {**settings, "ping_interval": None}
        self._service = trunkline.Service("feed", f"ws://{SERVER}:8000/", sends=str, receives=str, **options)
        self.managers = [self._make(f"{seed}/{number}") for number in range(clients)]

    def _make(self, seed: str) -> trunkline.ConnectionManager:
        budget = trunkline.manager.RetryBudget(clock=self._loop.time)
        manager = trunkline.ConnectionManager(
            [self._service], rng=random.Random(seed), budget=budget, dial=self._dial, asleep=lambda: 0.0
        )
        manager.subscribe(self._see)
        return manager

    async def start(self) -> None:
        """Connect all clients and wait until they are up."""
        for manager in self.managers:
            await manager.connect(self._service, wait=False)
        await self.all_up.wait()

    def lose(self) -> None:
        """Start counting: the server is lost now."""
        self.found, self._lost_at = Found(), self._loop.time()

    async def _dial(self, uri: str, /, **options: Any) -> trunkline.WebSocket:
        at = self._loop.time() - self._lost_at
        try:
            link = await trunkline.connect(uri, **options)
        except trunkline.ConnectError:
            self.found.in_vain.append(at)
            raise
        self.found.taken.append(at)
        return link

    def _see(self, change: trunkline.StateChange) -> None:
        if change.after is trunkline.ConnectionStatus.CONNECTED:
            self._up += 1
            self.found.back.append(change.at - self._lost_at)
        elif change.before is trunkline.ConnectionStatus.CONNECTED:
            self._up -= 1
        if self._up == self._clients:
            self.all_up.set()
        else:
            self.all_up.clear()


async def listen() -> trunkline.Server:
    """Start a server whose limits do not affect the result."""
    limits = {"max_connections": 100_000, "max_pending_handshakes": 100_000, "ping_interval": None}
    return await trunkline.serve(trunkline.WebSocket.wait_closed, SERVER, 8000, **limits)


async def lose_server(case: Case, settings: dict[str, Any], clients: int, age: float) -> Found:
    """Take the server from a fleet whose links have lived for `age` seconds, and return what happened."""
    server = await listen()
    fleet = Fleet(clients, settings, seed=1)
    await fleet.start()
    await asyncio.sleep(age)
    fleet.lose()
    if case.code is None:
        for ws in list(server.connections):
            ws.abort()
    if case.away:
        closing = asyncio.ensure_future(server.close(case.code or 1001))
        await asyncio.sleep(case.away)
        await closing
        server = await listen()
    await asyncio.sleep(0.01)
    await fleet.all_up.wait()
    found = fleet.found
    for manager in fleet.managers:
        await manager.close()
    await server.close()
    return found


def measure(case: Case, policy: str = "defaults", *, clients: int = 2_000, age: float = 600.0) -> Found:
    """Run a case with a policy on a virtual clock, and return what happened."""
    return run_virtual(lose_server(case, POLICIES[policy](), clients, age))


def row(case: Case, policy: str, found: Found) -> list[str]:
    """Return a row of the table."""
    back = sorted(found.back)
    return [
        case.name,
        policy,
        f"{busiest(found.taken):,}",
        f"{busiest(found.in_vain):,}",
        f"{longest_wait(found.taken):.2f} s",
        f"{back[len(back) // 2]:.1f} s",
        f"{back[-1]:.1f} s",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fleet", description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, default=2_000)
    parser.add_argument("--age", type=float, default=600.0)
    options = parser.parse_args()
    header = ["fleet", "policy", "taken a second", "in vain a second", "longest wait", "up again, median", "last"]
    rows = []
    for case in CASES:
        for policy in ("defaults", "former"):
            found = measure(case, policy, clients=options.clients, age=options.age)
            rows.append(row(case, policy, found))
    print(markdown(header, rows))


if __name__ == "__main__":
    main()
