"""`trunkline bench`: messages a second and round trips of an echo server, measured from one process."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Final

import trunkline
from trunkline._metrics import Histogram
from trunkline.cli.exits import CONNECTING, Exit, explain, give_up
from trunkline.cli.options import Commands, add_address, add_command, add_json, count, positive
from trunkline.cli.progress import Progress, show_progress

__all__ = ["add", "bench"]

AT_ONCE: Final = 32  # connections opened at the same time
WARM_UP: Final = 0.2  # share of --seconds that is not measured

EPILOG: Final = """\
Opens the connections, keeps --depth messages in flight on each, and times every echo.

Caveats: load generation and timing share one process and one core. Above roughly ten thousand messages a second you may
be measuring that core; below that, it makes round trips look longer than they are. If the server runs on the same
machine, both compete for CPU. With --depth above 1, a round trip includes the time a message waits behind the others.
If the server stalls, that counts as one long round trip, not as many. To find a server's limit, use several machines.

exit status:
  0    measured
  1    not an echo server, or a connection ended
  2    invalid arguments or URL
  3    could not connect: name, port, TLS or timeout
  4    the server refused to open a WebSocket
  130  interrupted
"""


def add(commands: Commands) -> None:
    """Add the `bench` command."""
    summary = "measure an echo server: messages a second, round trips"
    parser = add_command(commands, "bench", bench, summary, epilog=EPILOG)
    add_address(parser)
    parser.add_argument("--connections", type=count, default=10, metavar="N", help="how many to open (default 10)")
    parser.add_argument("--size", type=count, default=64, metavar="BYTES", help="size of each message (default 64)")
    parser.add_argument("--depth", type=count, default=1, metavar="N", help="messages in flight on each (default 1)")
    parser.add_argument(
        "--seconds", type=positive, default=5.0, metavar="S", help="duration; the first fifth is warm-up (default 5)"
    )
    add_json(parser)


@dataclass(slots=True)
class Tally:
    """Figures over all connections."""

    is_counting: bool = False
    echoes: int = 0  # all of them, warm-up included
    messages: int = 0  # echoes after the warm-up
    latencies: Histogram = field(default_factory=Histogram)
    faults: list[str] = field(default_factory=list)


class Load(trunkline.Listener):
    """Listener that keeps `depth` messages in flight on a connection and times each echo."""

    def __init__(self, tally: Tally, payload: bytes, depth: int) -> None:
        self._tally = tally
        self._payload = payload
        self._sent: deque[float] = deque(maxlen=depth)  # send times, oldest first: echoes come in this order

    def start(self, ws: trunkline.WebSocket) -> None:
        """Send the first `depth` messages."""
        depth = self._sent.maxlen or 1
        self._sent.extend([time.perf_counter()] * depth)
        ws.send_many([self._payload] * depth)

    def on_batch(self, ws: trunkline.WebSocket, messages: list[str | bytes]) -> None:
        """Time the echoes that came, and send as many messages again."""
        now, tally = time.perf_counter(), self._tally
        for message in messages:
            if message != self._payload or not self._sent:
                tally.faults.append(_not_ours(message, self._payload))
                ws.start_closing()
                return
            if tally.is_counting:
                tally.latencies.record(now - self._sent[0])
                tally.messages += 1
            self._sent.append(now)  # the oldest drops out
        tally.echoes += len(messages)
        ws.send_many([self._payload] * len(messages))

    def on_close(self, ws: trunkline.WebSocket, close: trunkline.Close) -> None:
        """Record that a connection ended, unless we ended it."""
        if close.initiator != "local":
            self._tally.faults.append(f"a connection ended: {close.code} {close.reason}".rstrip())


def _not_ours(message: str | bytes, payload: bytes) -> str:
    kind, size = ("text", len(message.encode())) if isinstance(message, str) else ("binary", len(message))
    return f"sent {len(payload)} bytes, but received another message ({kind}, {size} bytes): not an echo server"


async def bench(options: argparse.Namespace) -> int:
    """Open the connections, keep them busy, and print the rate and the round trips."""
    tally = Tally()
    connections: list[tuple[trunkline.WebSocket, Load]] = []
    async with show_progress() as progress:
        try:
            await _open(tally, connections, progress, options)
            for ws, load in connections:
                load.start(ws)
            seconds = await _count(tally, progress, options)
        except CONNECTING as error:
            progress.end()
            return explain(error)
        except trunkline.ConnectionClosed:
            seconds = 0.0  # `on_close` has recorded why
        finally:
            progress.end()
            await asyncio.gather(*(ws.close() for ws, _ in connections), return_exceptions=True)
    if tally.faults:
        more = f" (and {len(tally.faults) - 1} more)" if len(tally.faults) > 1 else ""
        return give_up(f"{tally.faults[0]}{more}", Exit.BROKEN)
    if not tally.messages:
        when = "after the warm-up" if tally.echoes else f"in {options.seconds:g} s"
        return give_up(f"received no echo {when}: is this an echo server?", Exit.BROKEN)
    _report(tally, seconds, options)
    return Exit.CLOSED


async def _open(
    tally: Tally, connections: list[tuple[trunkline.WebSocket, Load]], progress: Progress, options: argparse.Namespace
) -> None:
    """Open the connections, AT_ONCE at a time. Those that opened are in `connections` even if another fails."""

    async def open_one() -> None:
        load = Load(tally, os.urandom(options.size), options.depth)
        ws = await trunkline.connect(
            options.url,
            listener=load,
            additional_headers=options.header,
            subprotocols=options.subprotocol,
            max_size=max(2**20, options.size),
            write_limit=max(2**20, 2 * options.depth * (options.size + 16)),
        )
        connections.append((ws, load))

    progress.begin(lambda passed: f"{len(connections)} of {options.connections} connections open, {passed:.0f} s")
    for begun in range(0, options.connections, AT_ONCE):
        group = min(AT_ONCE, options.connections - begun)
        for outcome in await asyncio.gather(*(open_one() for _ in range(group)), return_exceptions=True):
            if outcome is not None:
                raise outcome


async def _count(tally: Tally, progress: Progress, options: argparse.Namespace) -> float:
    """Wait while the listeners work. Return the seconds that were measured."""
    loop = asyncio.get_running_loop()
    counted_from = began = loop.time()

    def say(passed: float) -> str:
        rate = tally.messages / max(loop.time() - counted_from, 1e-9) if tally.is_counting else 0
        shown = f"{rate:,.0f} messages/s" if rate else "warming up"
        return f"{min(1, passed / options.seconds):4.0%}  {shown}"

    progress.begin(say)
    end = began + options.seconds
    while (left := end - loop.time()) > 0 and not tally.faults:
        if not tally.is_counting and loop.time() >= began + WARM_UP * options.seconds:
            tally.is_counting, counted_from = True, loop.time()
        # Short sleeps, so that a fault soon ends the wait.
        await asyncio.sleep(min(0.1, left, WARM_UP * options.seconds))
    tally.is_counting = False
    return loop.time() - counted_from


def _report(tally: Tally, seconds: float, options: argparse.Namespace) -> None:
    trips = {f"p{q:g}": tally.latencies.quantile(q / 100) for q in (50, 90, 99, 99.9)}
    rate = tally.messages / seconds
    if options.json:
        seen: dict[str, Any] = {
            "connections": options.connections,
            "bytes": options.size,
            "in_flight": options.depth,
            "seconds": round(seconds, 3),
            "messages": tally.messages,
            "messages_per_second": round(rate, 1),
            "round_trip_seconds": {**trips, "max": tally.latencies.maximum},
        }
        print(json.dumps(seen))
    else:
        print(f"{rate:,.0f} messages/s there and back: {tally.messages:,} in {seconds:.1f} s")
        print(f"  {options.connections} connections, {options.depth} of {options.size:,} bytes in flight on each")
        shown = [f"{name} {value * 1e3:.2f} ms" for name, value in trips.items() if value is not None]
        print(f"  round trip: {', '.join(shown)}, longest {(tally.latencies.maximum or 0) * 1e3:.2f} ms")
    sys.stdout.flush()
