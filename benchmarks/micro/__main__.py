"""Run the microbenchmarks on the current core and on a commit's, in turns, and exit with 1 if one has become slower.

    python -m benchmarks.micro [--base COMMIT] [--short] [--summary FILE]

The runs stay in reports/microbench, as pytest-benchmark saves them, with a summary.md. `--short` measures two pairs to
show that everything works, and does not judge.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from benchmarks.micro.compare import LIMIT, Row, compared, medians, slower, suspects, table
from benchmarks.micro.cores import ROOT, core_of, head_core, name_of

REPORTS: Final = ROOT / "reports" / "microbench"
FEW, MOST, SHORT = 6, 24, 2  # pairs of runs
PYTEST: Final = [
    *("-q", "-p", "no:cacheprovider", "-o", "python_files=bench_*.py"),
    *("--benchmark-only", "--benchmark-disable-gc", "--benchmark-timer=time.process_time"),
    *("--benchmark-min-rounds=5", "--benchmark-min-time=0.0005", "--benchmark-max-time=0.03"),
]


def measure(core: Path, saved: Path, only: list[str]) -> dict[str, float]:
    """Run once with one core, in a process of its own. only: benchmarks to run besides wsproto's; if empty, all."""
    environment = os.environ | {"PYTHONPATH": str(core), "TRUNKLINE_MEASURED": str(core), "PYTHONHASHSEED": "0"}
    command = [sys.executable, "-m", "pytest", str(ROOT / "benchmarks/micro"), *PYTEST, f"--benchmark-json={saved}"]
    if only:
        command += ["-k", " or ".join(["wsproto", *{name.partition("[")[0] for name in only}])]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(done.stdout + done.stderr)
    return medians(saved)


def compare(base: Path, most: int) -> list[Row]:
    """Measure in pairs; more of them while a benchmark may be slower."""
    pairs: list[tuple[dict[str, float], dict[str, float]]] = []
    cores = {"base": base, "head": head_core()}
    doubtful: list[str] = []
    while len(pairs) < most:
        # The second run of a pair may find a warmer machine, so the two also take turns in going first.
        order = ("base", "head") if len(pairs) % 2 else ("head", "base")
        run = {side: measure(cores[side], REPORTS / f"{side}-{len(pairs):02}.json", doubtful) for side in order}
        pairs.append((run["base"], run["head"]))
        doubtful = [row.name for row in suspects(compared(pairs))] if len(pairs) >= FEW else []
        if len(pairs) >= FEW and not doubtful:
            break
    return compared(pairs)


def main() -> int:
    """Compare the two cores, and print and save the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.micro", description=__doc__)
    parser.add_argument("--base", default="HEAD", help="the commit to compare with (default HEAD)")
    parser.add_argument("--short", action="store_true", help="measure two pairs and do not judge")
    parser.add_argument("--summary", type=Path, help="also append the table to this file")
    options = parser.parse_args()
    shutil.rmtree(REPORTS, ignore_errors=True)
    REPORTS.mkdir(parents=True)
    base = core_of(options.base)
    rows = compare(base, SHORT if options.short else MOST)
    found = [] if options.short else slower(rows)
    pairs = sorted({row.pairs for row in rows})
    note = f"Pairs of runs: {pairs[0]} to {pairs[-1]}. CPU time, medians; the ratio leaves out the change of wsproto's."
    if base == head_core():
        note += " Nothing that makes the core has changed since the base, so it is compared with itself."
    summary = f"## Microbenchmarks\n\n{table(rows, name_of(options.base))}\n\n{note}\n"
    (REPORTS / "summary.md").write_text(summary)
    print(summary)
    if options.summary:
        with options.summary.open("a") as file:
            file.write(summary)
    for row in found:
        print(f"slower: {row.name} needs {row.ratio:.2f} times the CPU of the base, limit {LIMIT}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
