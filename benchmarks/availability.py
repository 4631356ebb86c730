"""The availability of a server to its clients, over an hour of faults on a virtual clock.

    python -m benchmarks.availability [--hours N] [--clients N]

Each client connects through a fault proxy of its own. In an hour its link is cut six times, reset six times, stalled
once and left half open once, at random moments. The server restarts twice (1012) and is away for 3 s each time.

- link: share of the time in which the client had a working link, of the time in which the server was there. A stalled
  link counts as down at once, not only when the keepalive notices.
- requests: each client makes one a second, which fails after 5 s; the share that was answered, of those made while the
  server was there.

All randomness comes from the seed, so the figures are the same in each run.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import sys
import time
from dataclasses import dataclass, field
from typing import Final

import msgspec

import trunkline
from benchmarks.tables import markdown
from trunkline.testing import FaultProxy, run_virtual

HOUR: Final = 3600.0
AWAY: Final = 3.0  # seconds of a restart
PATIENCE: Final = 5.0  # seconds after which a request fails
SERVER: Final = "server.sim.invalid"
SETTLED: Final = 60.0  # seconds before the first fault and after the last


class Ask(msgspec.Struct):
    """A request or its answer."""

    id: int | None = None


def defaults() -> dict[str, object]:
    """Return the settings of a service that sets nothing."""
    return {}


def former() -> dict[str, object]:
    """Return the former defaults, for comparison."""
    spread = trunkline.manager.Hint("first after 0 to 5 s, then backoff", first=(0.0, 5.0))
    restart = trunkline.manager.Hint("first after 5 to 30 s, then backoff", first=(5.0, 30.0))
    return {
        "retry": trunkline.manager.RetryPolicy(cap=60.0, growth=2.0, second_opinion=False),
        "rules": {
            code: trunkline.manager.Rule(hint=hint) for code, hint in ((1001, spread), (1006, spread), (1012, restart))
        },
    }


def eager() -> dict[str, object]:
    """Return settings for a service that prefers a burst of attempts, which the gate spreads, to a pause."""
    return {
        "ping_interval": 0.5,
        "ping_timeout": 0.5,
        "retry": trunkline.manager.RetryPolicy(base=0.1, cap=0.5, reset_after=5.0),
        "rules": {code: trunkline.manager.Rule(hint=trunkline.manager.Hint.FAST) for code in (1001, 1006, 1012)},
    }


POLICIES: Final = {"defaults": defaults, "former": former, "eager": eager}


@dataclass(slots=True)
class Tally:
    """One client's figures. link_down: seconds without a working link while the server was there."""

    offered: float = 0.0
    link_down: float = 0.0
    asked: int = 0
    answered: int = 0
    reconnects: int = 0
    _down_since: float | None = field(default=None, repr=False)

    def lose(self, now: float) -> None:
        """Note that the link has stopped working."""
        if self._down_since is None:
            self._down_since = now

    def regain(self, now: float, away: list[tuple[float, float]]) -> None:
        """Note that there is a working link again. away: the times when the server was away, which do not count."""
        if self._down_since is not None:
            missing = sum(max(0.0, min(now, end) - max(self._down_since, begin)) for begin, end in away)
            self.link_down += now - self._down_since - missing
            self._down_since = None


class World:
    """A server that restarts, and the times when it was away."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.away: list[tuple[float, float]] = []
        self._server: trunkline.Server | None = None

    async def start(self) -> None:
        """Start the server."""
        self._server = await trunkline.serve(_echo, SERVER, 8000)

    async def stop(self) -> None:
        """Announce a restart with 1012, and stop the server."""
        assert self._server is not None
        await self._server.close(1012, "restart")

    async def restart_now_and_then(self) -> None:
        """Restart the server twice in the hour."""
        rng, loop = random.Random(f"{self.seed}/server"), asyncio.get_running_loop()
        for moment in sorted(rng.uniform(SETTLED, HOUR - SETTLED) for _ in range(2)):
            await asyncio.sleep(max(0.0, moment - loop.time()))
            self.away.append((loop.time(), loop.time() + AWAY))
            stopping = asyncio.ensure_future(self.stop())
            await asyncio.sleep(AWAY)
            await stopping
            await self.start()

    def is_away(self, now: float) -> bool:
        """Return whether a request made now does not count: the server is away, or will be before it can answer."""
        return any(begin - 0.01 <= now < end for begin, end in self.away)


async def _echo(ws: trunkline.WebSocket) -> None:
    async for message in ws:
        await ws.send(message)


async def client(world: World, number: int, settings: dict[str, object]) -> Tally:
    """Run one client for an hour."""
    loop, tally = asyncio.get_running_loop(), Tally()
    rng = random.Random(f"{world.seed}/{number}")
    host = f"proxy{number}.sim.invalid"
    service = trunkline.Service(
        "ask",
        f"ws://{host}:8000/",
        sends=Ask,
        receives=Ask,
        correlate=("id", "id"),
        **settings,  # type: ignore[arg-type]
    )

    def see(change: trunkline.StateChange) -> None:
        if change.after is trunkline.ConnectionStatus.CONNECTED:
            tally.regain(change.at, world.away)
            tally.reconnects += 1
        elif change.before is trunkline.ConnectionStatus.CONNECTED:
            tally.lose(change.at)

    budget = trunkline.manager.RetryBudget(clock=loop.time)
    async with (
        FaultProxy(SERVER, 8000, listen=host, listen_port=8000) as proxy,
        trunkline.ConnectionManager([service], rng=rng, budget=budget) as manager,
    ):
        manager.subscribe(see)
        connection = await manager.connect(service)
        breaking = asyncio.create_task(_break(proxy, tally, rng))
        asking: set[asyncio.Task[None]] = set()
        await asyncio.sleep(rng.random())
        while loop.time() < HOUR:
            if not world.is_away(loop.time()):
                asking.add(asyncio.create_task(_ask(connection, tally)))
            asking = {task for task in asking if not task.done()}
            await asyncio.sleep(1.0)
        await asyncio.gather(breaking, *asking)
        tally.regain(loop.time(), world.away)
        tally.offered = loop.time() - sum(end - begin for begin, end in world.away)
    return tally


async def _ask(connection: trunkline.Connection[Ask, Ask], tally: Tally) -> None:
    tally.asked += 1
    with contextlib.suppress(trunkline.TrunklineError):
        await connection.request(Ask(), timeout=PATIENCE, idempotent=True)
        tally.answered += 1


async def _break(proxy: FaultProxy, tally: Tally, rng: random.Random) -> None:
    """Inject the faults of one client."""
    loop = asyncio.get_running_loop()
    acts = [proxy.cut] * 6 + [proxy.reset] * 6 + [proxy.stall, proxy.half_open]
    for moment, act in sorted(((rng.uniform(SETTLED, HOUR - SETTLED), act) for act in acts), key=lambda pair: pair[0]):
        await asyncio.sleep(max(0.0, moment - loop.time()))
        if proxy.lines:
            tally.lose(loop.time())
            act()


async def hour(seed: int, clients: int, settings: dict[str, object]) -> list[Tally]:
    """Run all clients for one hour."""
    world = World(seed)
    await world.start()
    restarting = asyncio.create_task(world.restart_now_and_then())
    tallies = await asyncio.gather(*(client(world, number, settings) for number in range(clients)))
    await restarting
    await world.stop()
    return list(tallies)


def measure(policy: str, hours: int, clients: int) -> dict[str, float]:
    """Return the shares with a policy."""
    tallies = [one for seed in range(hours) for one in run_virtual(hour(seed, clients, POLICIES[policy]()))]
    offered = sum(one.offered for one in tallies)
    return {
        "link": 1 - sum(one.link_down for one in tallies) / offered,
        "requests": sum(one.answered for one in tallies) / sum(one.asked for one in tallies),
        "reconnects": sum(one.reconnects for one in tallies) / len(tallies) - 1,
    }


def main(words: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.availability", description=__doc__.splitlines()[0])
    parser.add_argument("--hours", type=int, default=1)
    parser.add_argument("--clients", type=int, default=10)
    options = parser.parse_args(words)
    started, rows = time.perf_counter(), []
    for policy in POLICIES:
        found = measure(policy, options.hours, options.clients)
        shares = [f"{found[name]:.3%}" for name in ("link", "requests")]
        rows.append([policy, *shares, f"{found['reconnects']:.1f}"])
    print(markdown(["policy", "link", "requests", "reconnects an hour"], rows))
    print(f"\n{options.hours} hours of {options.clients} clients, in {time.perf_counter() - started:.0f} s.")


if __name__ == "__main__":
    main(sys.argv[1:])
