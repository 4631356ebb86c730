"""How a fleet of managed connections reconnects after its server has gone: `python -m benchmarks.herd [--write]`.

All connections are real ones on loopback. The server and the clients share this process and its event loop, so that one
clock times both. It counts when attempts begin. `--write` puts the report into docs/retrying.md.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import re
import statistics
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trunkline
from benchmarks.fleet import busiest
from benchmarks.tables import markdown
from trunkline.manager.dialing.budget import RetryBudget

PAGE = Path(__file__).parents[2] / "docs/retrying.md"
PLACE = re.compile(r"(<!-- measured: herd -->\n).*?(<!-- end -->)", re.DOTALL)
WIDTH = 60  # characters of the longest bar


@dataclass(frozen=True)
class Case:
    """A fleet and what happens to its server. managers: each stands for a process and has a gate of its own."""

    name: str
    managers: int
    connections: int  # of each manager
    code: int | None  # of the close frame; None: the connections are cut
    down: float  # seconds
    per_second: float = 200.0  # the gate's


CASES = [
    Case("1,000 connections of one manager, restart announced with 1012", 1, 1000, 1012, 3.0),
    Case("1,000 connections of one manager, server killed", 1, 1000, None, 3.0),
    Case("2,000 clients of one connection each, server killed", 2000, 1, None, 3.0),
]


@dataclass
class Watch:
    """What happens and when, in seconds since the server went."""

    start: float = 0.0
    dials: list[float] = field(default_factory=list)
    back: list[float] = field(default_factory=list)
    count: int = 0  # connections that have to come back
    all_back: asyncio.Event = field(default_factory=asyncio.Event)

    def now(self) -> float:
        return asyncio.get_running_loop().time() - self.start

    async def dial(self, uri: str, /, **options: Any) -> trunkline.WebSocket:
        self.dials.append(self.now())
        return await trunkline.connect(uri, **options)

    def take(self, change: trunkline.StateChange) -> None:
        if change.after is trunkline.ConnectionStatus.CONNECTED:
            self.back.append(self.now())
            if len(self.back) == self.count:
                self.all_back.set()


class Listener(trunkline.Listener):
    """The server's side, which sends nothing."""


async def listen(port: int = 0) -> trunkline.Server:
    return await trunkline.serve(
        listener=Listener,
        host="127.0.0.1",
        port=port,
        ping_interval=None,
        max_connections=10_000,
        max_pending_handshakes=5000,
    )


@asynccontextmanager
async def fleet(case: Case, watch: Watch, port: int) -> AsyncIterator[None]:
    """Hold the connections of a case, which are all up."""
    # Processes on several hosts share no budget.
    budgets = [None] if case.managers == 1 else [RetryBudget() for _ in range(case.managers)]
    async with AsyncExitStack() as stack:
        connecting = []
        for budget in budgets:
            service = trunkline.Service(
                "herd", f"ws://127.0.0.1:{port}/{{number}}", sends=str, receives=str, ping_interval=None
            )
            manager = trunkline.ConnectionManager(
                [service], dial=watch.dial, budget=budget, gate=trunkline.manager.GatePolicy(per_second=case.per_second)
            )
            manager.subscribe(watch.take)
            await stack.enter_async_context(manager)
            connecting += [manager.connect(service, number=number) for number in range(case.connections)]
        for at in range(0, len(connecting), 1000):
            await asyncio.gather(*connecting[at : at + 1000])
        yield


async def measure(case: Case) -> Watch:
    """Stop the server and start it again, and wait until every connection is up again."""
    watch, count = Watch(), case.managers * case.connections
    server = await listen()
    port = server.port
    async with fleet(case, watch, port):
        watch.start = asyncio.get_running_loop().time()
        watch.dials, watch.back, watch.count = [], [], count
        if case.code is None:
            for ws in list(server.connections):
                ws.abort()
        await server.close(case.code or 1001)
        await asyncio.sleep(max(0.0, case.down - watch.now()))
        server = await listen(port)
        await watch.all_back.wait()
        # Time for a second storm, if there were one.
        await asyncio.sleep(2)
    await server.close()
    return watch


def histogram(case: Case, watch: Watch) -> str:
    """Return bars of the attempts in each second, successful ones apart from failed ones."""
    up = Counter(int(time) for time in watch.back)
    dials = Counter(int(time) for time in watch.dials)
    scale = WIDTH / max(dials.values())
    lines = [case.name, f"{'second':>6}  dials  (█ up again, ░ in vain)"]
    for second in range(max(dials) + 1):
        good = round(min(up[second], dials[second]) * scale)
        bad = round(dials[second] * scale) - good
        lines.append(f"{second:>6} {dials[second]:>6}  {'█' * good}{'░' * max(0, bad)}".rstrip())
    return "```text\n" + "\n".join(lines) + "\n```"


def row(case: Case, watch: Watch) -> list[str]:
    count = case.managers * case.connections
    percentiles = statistics.quantiles(watch.back[:count], n=100)
    return [
        case.name,
        f"{case.per_second * 0.1:g}" if case.managers == 1 else f"{case.per_second * 0.1:g} each",
        # A window of 100 ms, less the difference that the loop's clock may have between the gate's reading and ours.
        str(busiest(watch.dials, 0.099)),
        str(len(watch.dials) - count),
        f"{percentiles[49]:.1f} s",
        f"{percentiles[98]:.1f} s",
        f"{max(watch.back):.1f} s",
        str(len(watch.back) - count),
    ]


def report(measured: list[tuple[Case, Watch]]) -> str:
    header = [
        "fleet, server down for 3 s",
        "gate a 100 ms",
        "dials, busiest 100 ms",
        "dials in vain",
        "up again, median",
        "p99",
        "last",
        "links lost again",
    ]
    table = markdown(header, [row(case, watch) for case, watch in measured])
    pictures = [histogram(case, watch) for case, watch in measured]
    return "\n\n".join([table, *pictures]) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.herd", description=__doc__.split("\n")[0])
    parser.add_argument("--write", action="store_true", help="put the report into docs/retrying.md")
    parser.add_argument(
        "--case", type=int, nargs="+", default=list(range(len(CASES))), help="numbers of the cases to run, from 0"
    )
    options = parser.parse_args()
    logging.getLogger("trunkline").setLevel(logging.CRITICAL)
    measured = [(CASES[number], asyncio.run(measure(CASES[number]))) for number in options.case]
    text = report(measured)
    print(text)
    if options.write:
        PAGE.write_text(PLACE.sub(lambda found: found[1] + text + found[2], PAGE.read_text()))


if __name__ == "__main__":
    main()
