"""Measure trunkline and its peers side by side: `make bench`, or `python -m benchmarks` once the C programs are built.

Every subject runs in a process of its own, pinned to one core; its counterpart is pinned to another. Rounds are
interleaved: each subject once, then each again, so that other work on the machine affects all alike. Every measurement
starts new processes. Results are kept in reports/bench; a run of everything writes docs/benchmarks.md and its picture
from them.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.bench import Bench, BenchError
from benchmarks.goals import under_floor
from benchmarks.report import machine, table, versions, write_report
from benchmarks.scenario import Case, Scenario
from benchmarks.scenarios import SCENARIOS
from benchmarks.store import FOLDER, Measured, Store


def arguments(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure trunkline and its peers.")
    parser.add_argument("--only", nargs="+", choices=SCENARIOS, default=list(SCENARIOS), metavar="SCENARIO")
    parser.add_argument("--cases", nargs="+", metavar="CASE", help="cases to measure, as named in the tables")
    parser.add_argument("--subjects", nargs="+", metavar="NAME", help="subjects to measure, as named in the tables")
    parser.add_argument("--loop", choices=["asyncio", "uvloop"], default="uvloop", help="loop of every Python program")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="seconds for each round, subject and case")
    parser.add_argument(
        "--short", action="store_true", help="see whether it works: a few cases, one round, 0.3 s; kept separately"
    )
    parser.add_argument("--check", action="store_true", help="fail if a ratio is below its floor")
    parser.add_argument("--report", action="store_true", help="measure nothing; write the report from kept results")
    return parser.parse_args(words)


def choose(scenario: Scenario, options: argparse.Namespace) -> tuple[list[Case], list[str]]:
    """Return the cases and subjects of a scenario to measure."""
    wanted = options.cases or (scenario.short if options.short else [case.label for case in scenario.cases])
    cases = [case for case in scenario.cases if case.label in wanted]
    subjects = [name for name in scenario.subjects if not options.subjects or name in options.subjects]
    return cases, subjects


def measure(bench: Bench, scenario: Scenario, case: Case, subjects: list[str], options: argparse.Namespace) -> Measured:
    """Measure all subjects in turn, `rounds` times."""
    samples: dict[str, list] = {name: [] for name in subjects}
    for turn in range(options.rounds):
        for name in subjects:
            note = f"{scenario.name} {case.label}: round {turn + 1} of {options.rounds}, {name}"
            print(note, file=sys.stderr)
            try:
                samples[name].append(scenario.measure(bench, name, case))
            except BenchError as error:
                raise SystemExit(f"{note}: {error}") from None
    about = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "machine": machine(),
        "versions": versions(),
        "command": f"make bench ARGS={shlex.quote(shlex.join(options.words))}" if options.words else "make bench",
        "rounds": f"{options.rounds} rounds of {bench.seconds:g} s",
    }
    return Measured(about, samples)


def run(options: argparse.Namespace, store: Store) -> None:
    """Measure the chosen scenarios, and keep and print the results."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise SystemExit("this process may use only one core, needed are two: one for the subject, one for its load")
    bench = Bench(options.loop, options.seconds, (cores[0], cores[1]))
    for name in options.only:
        scenario = SCENARIOS[name]
        cases, subjects = choose(scenario, options)
        for case in cases:
            measured = measure(bench, scenario, case, subjects, options)
            store.save(name, options.loop, case.label, measured)
            print(f"### {scenario.title}, {case.label}, {options.loop}\n\n{table(scenario, measured)}\n", flush=True)


def main(words: list[str]) -> int:
    options = arguments(words)
    options.words = words
    if options.short:
        options.rounds, options.seconds = 1, 0.3
    store = Store(FOLDER / "short" if options.short else FOLDER)
    if not options.report:
        run(options, store)
    whole = not words or words == ["--loop", options.loop]
    if options.report or whole:
        print(f"wrote {' and '.join(str(path.relative_to(Path.cwd())) for path in write_report(store))}")
    faults = under_floor(store, options.loop) if options.check else []
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
