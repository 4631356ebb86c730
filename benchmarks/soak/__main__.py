"""Long runs that must not leak: `python -m benchmarks.soak [SECTION...] [--loop LOOP] [--short]`.

messages, tls, deflate: a million messages there and back. reconnects, reconnects-tls: 10,000 connections, closed or
aborted by either side. managed: 10,000 reconnects of managed connections behind a proxy that cuts them. idle: 10,000
silent connections. halfopen: 5,000 handshakes at a byte a second. Floods, each from 4 connections that do not read:
pings, pongs, echoes, empty, fragments, bombs, connects.

It exits with 1 if memory grows by more than its bound, if a descriptor, task or connection is left over, or if healthy
traffic suffers. --short does a fiftieth of everything.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections.abc import Callable, Coroutine
from functools import partial

from benchmarks.peers.start import run
from benchmarks.soak.attack import FLOODS
from benchmarks.soak.crowd import Crowd, attack
from benchmarks.soak.traffic import managed, messages, reconnects
from benchmarks.soak.watch import Watch
from benchmarks.tables import markdown

MESSAGES, RECONNECTS = 1_000_000, 10_000
TRAFFIC: dict[str, tuple[Callable[[int], Coroutine[None, None, Watch]], int]] = {
    "messages": (partial(messages, mode="plain"), MESSAGES),
    "tls": (partial(messages, mode="tls"), MESSAGES),
    "deflate": (partial(messages, mode="deflate"), MESSAGES),
    "reconnects": (partial(reconnects, mode="plain"), RECONNECTS),
    "reconnects-tls": (partial(reconnects, mode="tls"), RECONNECTS),
    "managed": (managed, RECONNECTS),
}
CROWDS = {"idle": (10_000, 60.0), "halfopen": (5_000, 20.0), **dict.fromkeys(FLOODS, (4, 5.0))}
TRAFFIC_HEADER = [
    "",
    "count",
    "RSS, first",
    "last",
    "bytes a 1,000",
    "blocks a 1,000",
    "fds",
    "tasks",
    "WebSockets",
    "s",
]
CROWD_HEADER = ["", "connections", "server RSS", "peak", "fds", "healthy p50", "p99", "longest", "what the crowd saw"]


def mebibytes(size: float) -> str:
    return f"{size / 2**20:.1f} MiB"


def traffic_row(name: str, watch: Watch, seconds: float) -> list[str]:
    first, last = watch.steady[0], watch.steady[-1]
    return [
        name,
        f"{last.done:,}",
        mebibytes(first.resident),
        mebibytes(last.resident),
        f"{watch.slope('resident') * 1000:.0f}",
        f"{watch.slope('blocks') * 1000:.1f}",
        *(f"{getattr(first, what)} → {getattr(last, what)}" for what in ("files", "tasks", "objects")),
        f"{seconds:.0f}",
    ]


def crowd_row(crowd: Crowd, count: int) -> list[str]:
    times = [crowd.percentile(0.5), crowd.percentile(0.99), max(crowd.latencies)] if crowd.latencies else []
    told = ", ".join(f"{name} {value:,}" for name, value in crowd.told.items())
    if crowd.name == "idle":
        told += f", {(crowd.peak - crowd.base) / count:,.0f} bytes a connection"
    return [
        crowd.name,
        f"{count:,}",
        mebibytes(crowd.base),
        mebibytes(crowd.peak),
        f"{crowd.files[0]} → {crowd.files[1]}",
        *([f"{1000 * one:.1f} ms" for one in times] or ["", "", ""]),
        told,
    ]


def soak(sections: list[str], loop: str, share: float) -> int:
    """Run the sections, print the figures, and return the number of sections with faults."""
    traffic, crowds, bad = [], [], 0
    for name in sections:
        began = time.monotonic()
        faults: list[str]
        if name in TRAFFIC:
            work, total = TRAFFIC[name]
            watch = run(work(round(total * share)), loop)
            traffic.append(traffic_row(name, watch, time.monotonic() - began))
            faults = watch.faults() if share == 1 else watch.left()
        else:
            count, seconds = CROWDS[name]
            count = count if name in FLOODS else round(count * share)
            seconds = seconds if share == 1 or name == "halfopen" else 1.0
            crowd = run(attack(name, loop, count, seconds), loop)
            crowds.append(crowd_row(crowd, count))
            faults = crowd.faults
        for fault in faults:
            print(f"{name}: {fault}", file=sys.stderr)
        bad += bool(faults)
        print(f"{name}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    for header, rows in ((TRAFFIC_HEADER, traffic), (CROWD_HEADER, crowds)):
        if rows:
            print(f"\n{markdown(header, rows)}")
    return bad


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__.split("\n")[0])
    parser.add_argument("sections", nargs="*", choices=[*TRAFFIC, *CROWDS, []], help="all if none is named")
    parser.add_argument("--loop", choices=("asyncio", "uvloop"), default="asyncio")
    parser.add_argument("--short", action="store_true")
    options = parser.parse_args()
    logging.getLogger("trunkline").setLevel(logging.CRITICAL)
    return 1 if soak(options.sections or [*TRAFFIC, *CROWDS], options.loop, 0.02 if options.short else 1) else 0


if __name__ == "__main__":
    sys.exit(main())
