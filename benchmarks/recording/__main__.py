"""Measure the time that recording a figure takes, and count what it allocates: `make recording`, in ten seconds.

It exits with 1 if a record takes 50 ns or more, or allocates.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from benchmarks.recording.works import CALLS, EMPTY, WORKS, Work, run
from benchmarks.report import machine
from benchmarks.tables import markdown

MALLOCS: Final = Path(__file__).parents[2] / "build" / "bench" / "mallocs.so"
LIMIT: Final = 50.0  # nanoseconds


def time_all(rounds: int) -> dict[str, float]:
    """Return the CPU nanoseconds of a call by name of the work: medians of interleaved rounds."""
    taken: dict[str, list[float]] = {work.name: [] for work in (EMPTY, *WORKS)}
    for _ in range(rounds):
        for work in (EMPTY, *WORKS):
            method = work.make()
            run(method, work.arguments)  # warm-up: its memory is allocated and in the caches
            began = time.process_time_ns()
            run(method, work.arguments)
            taken[work.name].append((time.process_time_ns() - began) / CALLS)
    return {name: statistics.median(values) for name, values in taken.items()}


def count_all() -> dict[str, int]:
    """Return the blocks that CALLS records allocate, by name of the work. Needs a process with mallocs.so preloaded."""
    counter = ctypes.c_ulong.in_dll(ctypes.CDLL(None), "tl_mallocs")

    def count(work: Work, calls: int) -> int:
        method = work.make()
        arguments = tuple(values[:calls] for values in work.arguments)
        run(method, arguments)  # the first record allocates
        before = counter.value
        run(method, arguments)
        return counter.value - before

    # The loop itself allocates some blocks, always the same number.
    return {work.name: count(work, CALLS) - count(work, 10) for work in WORKS}


def count_apart() -> dict[str, int]:
    """Return the same from a new process, in which every Python object is a block of the C library."""
    environment = {**os.environ, "LD_PRELOAD": str(MALLOCS), "PYTHONMALLOC": "malloc"}
    command = [sys.executable, "-m", "benchmarks.recording", "--count"]
    told = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True, timeout=120)
    counts: dict[str, int] = json.loads(told.stdout)
    return counts


def faults(times: Mapping[str, float], blocks: Mapping[str, int]) -> list[str]:
    """Describe what is over the limits."""
    slow = [f"{work.name}: {cost:.1f} ns" for work in WORKS if (cost := times[work.name] - times[EMPTY.name]) >= LIMIT]
    return slow + [f"{work.name}: {blocks[work.name]} blocks" for work in WORKS if blocks[work.name]]


def table(times: Mapping[str, float], blocks: Mapping[str, int]) -> str:
    """Return both as a Markdown table."""
    empty = times[EMPTY.name]
    rows = [
        [
            work.name,
            f"{times[work.name] - empty:.1f} ns",
            f"{times[work.name]:.1f} ns",
            f"{blocks[work.name]} in {CALLS:,}",
        ]
        for work in WORKS
    ]
    header = ["recording", "without the call", "called from Python", "allocations"]
    return markdown(header, [*rows, [EMPTY.name, "", f"{empty:.1f} ns", ""]])


def main(words: Sequence[str] | None = None) -> int:
    """Measure, print the table, and judge."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recording", description=__doc__)
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--count", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(words)
    if options.count:
        print(json.dumps(count_all()))
        return 0
    times, blocks = time_all(options.rounds), count_apart()
    print(table(times, blocks))
    print(f"\nMedians of {options.rounds} rounds of {CALLS:,} records, CPU time. {machine()}")
    found = faults(times, blocks)
    for fault in found:
        print(f"over the limit: {fault}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
