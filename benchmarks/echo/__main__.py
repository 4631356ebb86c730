"""Measures echo servers side by side: `make bench`, or `python -m benchmarks.echo` once that has compiled its programs.

Every server runs in a process of its own, pinned to the first core; the load is pinned to the second. Rounds are
interleaved (each server once, then each again), so that what the machine does meanwhile falls on all alike. Reported
are medians over the rounds; the server's CPU time comes from /proc and covers exactly the seconds that were measured.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.echo.servers import SERVERS
from benchmarks.tables import machine, markdown

PROGRAMS = Path(__file__).parents[2] / "build" / "bench"
LIMIT = "C, epoll"
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Load:
    """What is asked of a server."""

    connections: int
    size: int  # bytes a message
    depth: int  # messages in flight a connection

    @classmethod
    def parse(cls, text: str) -> "Load":
        return cls(*map(int, text.split(",")))

    def __str__(self) -> str:
        return f"[{self.connections}, {self.size}, {self.depth}]"


@dataclass(frozen=True)
class Sample:
    """What one run gave."""

    rate: float  # messages a second
    cpu: float  # microseconds of the server's CPU time a message, user and system
    p50: float  # microseconds from queueing a message to having its echo
    p99: float


LOADS = [Load(1, 64, 1), Load(1, 64, 64), Load(100, 64, 1), Load(100, 64, 16), Load(10, 4096, 8), Load(4, 2**20, 1)]


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far; /proc counts in ticks of 10 ms."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


@contextmanager
def running(name: str, loop: str, core: int) -> Iterator[tuple[int, int]]:
    """A server, pinned to a core: gives its process id and its port."""
    python = [sys.executable, "-m", "benchmarks.echo.servers", name, loop]
    program = [str(PROGRAMS / "limit")] if name == LIMIT else python
    pinned = ["taskset", "-c", str(core), *program]
    with subprocess.Popen(pinned, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        try:
            assert server.stdout is not None
            ready = server.stdout.readline().split()
            if not ready:
                raise SystemExit(f"{name} did not start: {' '.join(program)}")
            yield server.pid, int(ready[1])
        finally:
            server.send_signal(signal.SIGKILL)


def measure(server: tuple[int, int], load: Load, seconds: float, core: int) -> Sample:
    """Puts the load on the server and waits for its result."""
    pid, port = server
    numbers = [port, load.connections, load.size, load.depth, seconds]
    command = ["taskset", "-c", str(core), str(PROGRAMS / "load"), *map(str, numbers)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()  # "measuring"
        before = cpu_seconds(pid)
        result = process.stdout.readline()
        used = cpu_seconds(pid) - before
    if not result:
        raise SystemExit(f"no result for {load}")
    seen = json.loads(result)
    rate = seen["messages"] / seen["seconds"]
    return Sample(rate, used / max(seen["messages"], 1) * 1e6, seen["p50_us"], seen["p99_us"])


def report(load: Load, samples: dict[str, list[Sample]]) -> str:
    """One table; ratios are to the first server named."""

    def median(name: str, field: str) -> float:
        return statistics.median(getattr(sample, field) for sample in samples[name])

    base = median(next(iter(samples)), "rate")
    rows = []
    for name, runs in samples.items():
        rate = median(name, "rate")
        spread = (max(run.rate for run in runs) - min(run.rate for run in runs)) / rate
        cpu, latency = f"{median(name, 'cpu'):.2f}", f"{median(name, 'p50'):.0f} / {median(name, 'p99'):.0f}"
        rows.append([name, f"{rate:,.0f}", f"{rate / base:.2f}", cpu, latency, f"{spread:.0%}"])
    header = ["server", "messages/s", "ratio", "CPU µs a message", "p50 / p99 µs", "spread"]
    return f"### Echo, {load}: connections, bytes, in flight\n\n{markdown(header, rows)}"


def arguments(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.echo", description="Measures echo servers side by side."
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.2, help="measured a round, a server and a load")
    parser.add_argument("--loop", choices=["asyncio", "uvloop"], default="uvloop", help="under every Python server")
    parser.add_argument("--loads", nargs="+", type=Load.parse, default=LOADS, metavar="CONNECTIONS,BYTES,DEPTH")
    parser.add_argument("--servers", nargs="+", choices=[*SERVERS, LIMIT], default=[*SERVERS, LIMIT])
    return parser.parse_args(words)


def main(words: list[str]) -> None:
    options = arguments(words)
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise SystemExit("the server and the load need a core each; this process may use one only")
    samples: dict[Load, dict[str, list[Sample]]] = defaultdict(lambda: defaultdict(list))
    for turn in range(options.rounds):
        for name in options.servers:
            print(f"round {turn + 1} of {options.rounds}: {name}", file=sys.stderr)
            with running(name, options.loop, cores[0]) as server:
                for load in options.loads:
                    samples[load][name].append(measure(server, load, options.seconds, cores[1]))
    print(f"## Echo servers, {options.loop}\n\n{machine(['trunkline', 'picows', 'websockets', 'aiohttp', 'uvloop'])}\n")
    print("\n\n".join(report(load, of_load) for load, of_load in samples.items()))


if __name__ == "__main__":
    main(sys.argv[1:])
