"""The cost of the dashboard: `python -m benchmarks.dashboard [--connections 2000]`.

It measures the CPU time of a process with this many managed connections, alternately with and without a viewer: the
difference is the cost. And it measures the frames of the page in Chromium while links are cut and the table is
scrolled. The server and the viewers are processes of their own.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import multiprocessing
import random
import shutil
import statistics
import sys
import time
from collections.abc import AsyncIterator
from multiprocessing.connection import Connection as Pipe
from typing import TYPE_CHECKING

import msgspec

import trunkline
from trunkline.observe import dashboard
from trunkline.observe.dashboard.server import PROTOCOL

if TYPE_CHECKING:
    from playwright.async_api import CDPSession

TOKEN = "a-token-of-a-measurement"
TURN = 5.0  # seconds of each measurement of CPU time
TURNS = 4  # measurements with a viewer, and as many without
WATCHED = 8.0  # seconds of each measurement of frames

# Runs in the page: counts frames and long tasks for `seconds`, and scrolls meanwhile if `scrolls` is set.
FRAMES = """
([seconds, scrolls]) => new Promise((resolve) => {
    const table = document.getElementById("table"), deltas = [], tasks = [], begin = performance.now();
    const note = (list) => list.getEntries().forEach((entry) => tasks.push(entry.duration));
    const observer = new PerformanceObserver(note);
    observer.observe({type: "longtask"});
    let last = begin;
    requestAnimationFrame(function frame(now) {
        deltas.push(now - last);
        last = now;
        if (scrolls) table.scrollTop = (table.scrollTop + 137) % (table.scrollHeight - table.clientHeight);
        if (now - begin < seconds * 1000) requestAnimationFrame(frame);
        else { observer.disconnect(); resolve({deltas: deltas.slice(1), tasks}); }
    });
})
"""


class Tick(msgspec.Struct):
    n: int


def serve_ticks(pipe: Pipe) -> None:
    """Serve connections until the pipe gets a message: send each a message a second, and close two every 0.5 s."""

    async def main() -> None:
        rng = random.Random(1)

        async def tick(ws: trunkline.WebSocket) -> None:
            with contextlib.suppress(trunkline.ConnectionClosed):
                await asyncio.sleep(rng.random())
                while True:
                    await ws.send('{"n":1}')
                    await asyncio.sleep(1.0)

        async with trunkline.serve(tick, "127.0.0.1", 0) as server:
            pipe.send(server.port)
            while not pipe.poll():
                await asyncio.sleep(0.5)
                for ws in rng.sample(sorted(server.connections, key=id), min(2, len(server.connections))):
                    ws.start_closing(1012, "deploy")

    asyncio.run(main())


def look(url: str, pipe: Pipe) -> None:
    """Be a viewer, in a process of its own, that connects and disconnects as the pipe says."""

    async def main() -> None:
        while await asyncio.to_thread(pipe.recv):
            async with trunkline.connect(url, subprotocols=[PROTOCOL, f"token.{TOKEN}"], max_size=2**24) as ws:
                size = count = 0
                pipe.send(True)
                while not pipe.poll():
                    message = await ws.recv()
                    size, count = size + len(message), count + 1
                pipe.recv()
            pipe.send((size, count))

    asyncio.run(main())


@contextlib.asynccontextmanager
async def child(work: object, *arguments: object) -> AsyncIterator[Pipe]:
    """Run `work(*arguments, pipe)` in a process."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=work, args=(*arguments, theirs), daemon=True)  # type: ignore[arg-type]
    process.start()
    try:
        yield ours
    finally:
        ours.send(None)
        await asyncio.to_thread(process.join, 10)
        process.kill()


@contextlib.asynccontextmanager
async def program(connections: int) -> AsyncIterator[dashboard.Dashboard]:
    """Hold connections in this process, read from each, and serve a dashboard of them."""
    async with child(serve_ticks) as pipe:
        port = await asyncio.to_thread(pipe.recv)
        service = trunkline.Service("ticks", f"ws://127.0.0.1:{port}/{{room}}", sends=Tick, receives=Tick)
        async with trunkline.ConnectionManager(
            [service], gate=trunkline.manager.GatePolicy(per_second=2000)
        ) as manager:
            held = [await manager.connect(service, wait=False, room=f"room-{n:05d}") for n in range(connections)]

            async def read(connection: trunkline.Connection[Tick, Tick]) -> None:
                async for _ in connection:
                    pass

            readers = [asyncio.create_task(read(connection)) for connection in held]
            for connection in held:
                await connection.wait_connected()
            async with dashboard.serve(manager, token=TOKEN, name="measured") as page:
                yield page
            for reader in readers:
                reader.cancel()


async def measure_cost(page: dashboard.Dashboard) -> None:
    """Measure and print the CPU time with and without a viewer, in turns."""
    with_viewer, without = [], []
    async with child(look, f"ws://127.0.0.1:{page.port}/feed") as pipe:
        for _ in range(TURNS):
            without.append(await busy_share())
            pipe.send(True)
            await asyncio.to_thread(pipe.recv)
            await asyncio.sleep(1.0)  # until the snapshot has been sent
            with_viewer.append(await busy_share())
            pipe.send(False)
            size, count = await asyncio.to_thread(pipe.recv)
    cost = statistics.median(with_viewer) - statistics.median(without)
    for name, shares in (("without a viewer", without), ("with a viewer", with_viewer)):
        print(f"{name}: {', '.join(f'{share:.1%}' for share in shares)} of a core")
    print(f"the dashboard: {cost:.2%} of a core (difference of the medians)")
    print(f"the last viewer got {count} messages, {size / 1e3:.0f} kB")


async def busy_share() -> float:
    """Return the CPU time of this process over a turn, as a share of the turn."""
    busy, begin = time.process_time(), time.monotonic()
    await asyncio.sleep(TURN)
    return (time.process_time() - busy) / (time.monotonic() - begin)


async def measure_frames(page: dashboard.Dashboard) -> None:
    """Measure and print the frames of the page while its rows change, without and with scrolling."""
    from playwright.async_api import async_playwright

    browser = shutil.which("chromium")
    if browser is None:
        print("measuring frames needs Chromium: apt-get install chromium")
        return
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        tab = await chromium.new_page(viewport={"width": 1280, "height": 800})
        devtools = await tab.context.new_cdp_session(tab)
        await devtools.send("Performance.setTimeDomain", {"timeDomain": "threadTicks"})
        await devtools.send("Performance.enable")
        await tab.goto(page.url)
        await tab.locator(".row").first.wait_for()
        await asyncio.sleep(3)
        for name, scrolls in (("while rows change", False), ("while it is scrolled, too", True)):
            before = await worked(devtools)
            seen = await tab.evaluate(FRAMES, [WATCHED, scrolls])
            work = (await worked(devtools) - before) / len(seen["deltas"]) * 1e3
            deltas = sorted(seen["deltas"])
            late = sum(delta > 50 for delta in deltas)
            p99, tasks = deltas[int(len(deltas) * 0.99)], seen["tasks"]
            print(f"{name}: {work:.1f} ms of the page's thread a frame; {len(deltas)} frames,", end=" ")
            print(f"median {statistics.median(deltas):.1f} ms, p99 {p99:.1f} ms, longest {deltas[-1]:.1f} ms,", end=" ")
            print(f"{late} over 50 ms; {len(tasks)} tasks over 50 ms")
        await chromium.close()


async def worked(devtools: CDPSession) -> float:
    """Return the CPU seconds of the page's main thread so far, which a busy machine does not change."""
    metrics = (await devtools.send("Performance.getMetrics"))["metrics"]
    return next(metric["value"] for metric in metrics if metric["name"] == "TaskDuration")


async def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the cost of the dashboard.")
    parser.add_argument("--connections", type=int, default=2000)
    parser.add_argument("--only", choices=["cost", "frames"])
    arguments = parser.parse_args()
    print(f"{arguments.connections} connections, each received a message a second, 4 a second cut", file=sys.stderr)
    async with program(arguments.connections) as page:
        if arguments.only != "frames":
            await measure_cost(page)
        if arguments.only != "cost":
            await measure_frames(page)


if __name__ == "__main__":
    asyncio.run(main())
