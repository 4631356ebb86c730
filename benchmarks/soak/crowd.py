"""Crowds at a server with the defaults: 10,000 silent clients, 5,000 that never finish their handshake, floods."""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import trunkline
from benchmarks.bench import resident
from benchmarks.soak.watch import files

DEADLINE = 11.0  # seconds: open_timeout, and one
PATIENCE = 5.0  # seconds within which healthy traffic must be answered
ROOM = 16 * 2**20  # bytes by which each connection of a flood may make the server grow
BYTES_AN_IDLE = 6_000  # resident memory that an idle connection may take
EVERY = 0.01  # seconds between two healthy messages


@dataclass(slots=True)
class Crowd:
    """The figures of a crowd. base, peak: the server's bytes before and at most. files: its descriptors before and
    after.
    """

    name: str
    base: int
    peak: int = 0
    files: tuple[int, int] = (0, 0)
    latencies: list[float] = field(default_factory=list)
    told: dict[str, Any] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def percentile(self, share: float) -> float:
        """Return a percentile of the healthy round trips, in seconds."""
        return statistics.quantiles(self.latencies, n=1000)[round(share * 1000) - 1]


@asynccontextmanager
async def program(module: str, *words: object) -> AsyncIterator[Process]:
    """Run a program of this package, and kill it at the end."""
    command = [sys.executable, "-m", f"benchmarks.soak.{module}", *map(str, words)]
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stdin=asyncio.subprocess.DEVNULL)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def line(process: Process) -> str:
    """Return the next line that a program prints. Raises RuntimeError if the program has ended."""
    assert process.stdout is not None
    said = await process.stdout.readline()
    if not said:
        raise RuntimeError("a program of the soak test has ended early")
    return said.decode()


async def healthy(port: int, crowd: Crowd, pid: int) -> None:
    """Make round trips on one connection all the time, and a new connection each second."""
    uri = f"ws://127.0.0.1:{port}/"
    async with trunkline.connect(uri, open_timeout=PATIENCE) as ws:
        second = time.monotonic()
        while True:
            began = time.monotonic()
            async with asyncio.timeout(PATIENCE):
                await ws.send("healthy")
                await ws.recv()
            crowd.latencies.append(time.monotonic() - began)
            if began - second >= 1:
                second = began
                async with trunkline.connect(uri, open_timeout=PATIENCE):
                    pass
            crowd.peak = max(crowd.peak, resident(pid))
            await asyncio.sleep(EVERY)


async def descriptors(pid: int, base: int) -> int:
    """Return the server's number of descriptors, after waiting a few seconds for those that are being closed."""
    for _ in range(100):
        if files(pid) <= base:
            break
        await asyncio.sleep(0.1)
    return files(pid)


async def attack(kind: str, loop: str, count: int, seconds: float) -> Crowd:
    """Run a server, healthy traffic, and an attack on the server."""
    deflate = ["--deflate"] if kind == "bombs" else []
    async with program("serve", loop, *deflate) as server:
        port, pid = int((await line(server)).split()[1]), server.pid
        async with trunkline.connect(f"ws://127.0.0.1:{port}/"):
            pass  # so that what is allocated only once does not count
        await asyncio.sleep(0.2)
        base = files(pid)
        crowd = Crowd(kind, resident(pid))
        async with program("attack", kind, port, count, seconds) as attackers:
            traffic = asyncio.create_task(healthy(port, crowd, pid)) if kind != "idle" else None
            await line(attackers)
            if kind == "idle":
                crowd.peak = resident(pid)
            crowd.told = json.loads(await line(attackers))
            if traffic is not None:
                await end(traffic, crowd)
        crowd.files = base, await descriptors(pid, base)
    judge(crowd, kind, count)
    return crowd


async def end(traffic: asyncio.Task[None], crowd: Crowd) -> None:
    """End the healthy traffic and record its failure, if there was one."""
    if traffic.done():
        crowd.faults.append(f"healthy traffic failed: {traffic.exception()!r}")
    traffic.cancel()
    await asyncio.wait([traffic])


def judge(crowd: Crowd, kind: str, count: int) -> None:
    """Record what is wrong."""
    faults = crowd.faults
    if crowd.files[1] > crowd.files[0]:
        faults.append(f"descriptors: {crowd.files[0]} before, {crowd.files[1]} after")
    growth = crowd.peak - crowd.base
    if kind == "idle":
        if growth > count * BYTES_AN_IDLE:
            faults.append(f"{growth / count:,.0f} bytes for each connection, limit {BYTES_AN_IDLE:,}")
        if crowd.told["lost"]:
            faults.append(f"{crowd.told['lost']} connections were lost")
    elif kind == "halfopen":
        if crowd.told["left"] or crowd.told["last"] > DEADLINE:
            faults.append(f"{crowd.told['left']} connections are left, the last to end took {crowd.told['last']} s")
    elif growth > ROOM * count:
        faults.append(f"the server has grown by {growth / 2**20:.0f} MiB, limit {ROOM * count / 2**20:.0f}")
