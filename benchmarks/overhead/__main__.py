"""`python -m benchmarks.overhead`: the cost of carrying the messages of 64 users, with a socket for each user and with
a pool of two links.

For each message it measures CPU time of both ends; system calls of both ends on sockets and epoll, counted by strace in
a separate run; bytes besides the payload, in frames and in TCP and IP headers. It also gives sockets for each user.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from benchmarks.overhead.party import SETUPS, TICKS, USERS
from benchmarks.report import machine
from benchmarks.tables import markdown

NAMES: Final = {
    "sockets": "a socket a user",
    "pool": "a pool of 2",
    "envelopes": "a pool of 2, batches in envelopes",
}
PARTY: Final = [sys.executable, "-m", "benchmarks.overhead.party"]
STRACE: Final = ["strace", "-f", "-c", "-e", "trace=%network,epoll_wait,epoll_pwait,epoll_ctl"]


def run(setup: str, *, traced: bool = False) -> dict[str, float]:
    """Measure once; if `traced`, only system calls, since strace costs too much for the other figures."""
    with tempfile.TemporaryDirectory() as folder:
        reports = [Path(folder, "server"), Path(folder, "client")] if traced else []
        prefixes = [[*STRACE, "-o", str(report)] for report in reports] or [[], []]
        pipe = subprocess.PIPE
        with subprocess.Popen([*prefixes[0], *PARTY, "server"], stdin=pipe, stdout=pipe, text=True) as server:
            assert server.stdin is not None
            assert server.stdout is not None
            port = server.stdout.readline().strip()
            command = [*prefixes[1], *PARTY, "client", setup, port, str(server.pid)]
            told = subprocess.run(command, stdout=pipe, text=True, check=True, timeout=120)
            server.stdin.close()
        figures: dict[str, float] = json.loads(told.stdout)
        if traced:
            figures["calls"] = sum(map(calls, reports)) / (2 * USERS * TICKS)
    return figures


def calls(report: Path) -> int:
    """Return the total of strace's summary."""
    total = next(line for line in report.read_text().splitlines() if line.endswith(" total"))
    return int(total.split()[3])


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    measured: dict[str, list[dict[str, float]]] = {setup: [] for setup in SETUPS}
    for _ in range(rounds):
        for setup, figures in measured.items():
            figures.append(run(setup))
    rows = []
    first: list[float] = []
    for setup, figures in measured.items():
        medians = [statistics.median(one[name] for one in figures) for name in ("cpu", "bytes", "sockets")]
        medians.insert(1, run(setup, traced=True)["calls"])
        first = first or medians
        shares = [f"{100 * value / of:.0f} %" for value, of in zip(medians, first, strict=True)]
        cpu, syscalls, size, sockets = medians
        cells = [f"{cpu * 1e6:.1f} µs", f"{syscalls:.2f}", f"{size:.1f}", f"{sockets:.2f}"]
        rows.append([NAMES[setup], *(f"{cell} ({share})" for cell, share in zip(cells, shares, strict=True))])
    print(markdown(["", "CPU a message", "system calls", "bytes beside the payload", "sockets a user"], rows))
    print(f"\n{USERS} users, {TICKS} messages each, there and back; medians of {rounds}. {machine()}")


if __name__ == "__main__":
    main()
