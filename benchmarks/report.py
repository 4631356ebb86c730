"""The report: docs/benchmarks.md and its picture, from the kept results."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from benchmarks.figures import Figures, ratio, summarize
from benchmarks.goals import GOALS, Goal
from benchmarks.plot import PANELS, Bar, Panel, draw
from benchmarks.scenario import LIMIT, Scenario
from benchmarks.scenarios import SCENARIOS
from benchmarks.store import Measured, Store
from benchmarks.tables import markdown

DOCS = Path(__file__).parents[1] / "docs"
PACKAGES = ["trunkline", "picows", "websockets", "aiohttp", "wsproto", "uvloop"]
LOOPS = ["uvloop", "asyncio"]

HEAD = """\
# Benchmarks

This page compares trunkline with other libraries, and with a C program that makes only the system calls that the work
needs. **Read first [what to doubt about these figures](../benchmarks/README.md#doubts-first).** In short: they come
from one machine, over loopback, and the programs do no work between reading and writing. Compare ratios, not rates.
Where the spread is wide, trust none of the figures beside it.

`make bench` measures everything again on your machine, and rewrites this page.
"""

INSTRUCTIONS = """\
## Instructions a message

Rates depend on the machine's load; instruction counts do not. [baseline.json](../benchmarks/instructions/baseline.json)
has the instructions that the core needs for each kind of message. `make instructions` counts them again with valgrind's
callgrind, compares, and fails if a count has grown by 3 %.
"""


def machine() -> str:
    """Describe the machine."""
    about = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(": ")[2] for line in about if line.startswith("model name")), platform.machine())
    return f"{model}, {len(os.sched_getaffinity(0))} cores, Linux {platform.release()}"


def versions() -> str:
    """Return the versions of what was measured."""
    return f"Python {platform.python_version()}, " + ", ".join(f"{name} {version(name)}" for name in PACKAGES)


def number(value: float) -> str:
    """Format a figure with its significant digits: 1,234,567 or 12.3 or 0.0123."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def table(scenario: Scenario, measured: Measured) -> str:
    """Return the table of one case: a row for each subject, in the scenario's order."""
    figures = {name: summarize(measured.samples[name]) for name in scenario.subjects if name in measured.samples}
    ratios = [base for base in (scenario.base, LIMIT) if base in figures]
    optional = [field for field in ("cpu", "p50") if any(getattr(of, field) is not None for of in figures.values())]
    titles = {"cpu": f"CPU µs a {scenario.per}", "p50": "p50 / p99 µs"}
    header = ["", scenario.unit, *(f"to {base}" for base in ratios), *(titles[field] for field in optional), "spread"]
    rows = []
    for name, of in figures.items():
        to = [ratio(measured.samples, name, base, scenario.smaller_is_better) for base in ratios]
        rows.append([name, number(of.figure), *(f"{value:.2f}" for value in to if value is not None)])
        rows[-1] += [*(cell(of, field) for field in optional), f"{of.spread:.0%}"]
    return markdown(header, rows)


def cell(of: Figures, field: str) -> str:
    """Return the text of an optional column."""
    if field == "p50":
        return "" if of.p50 is None or of.p99 is None else f"{of.p50:.0f} / {of.p99:.0f}"
    return "" if of.cpu is None else f"{of.cpu:.3g}"


def goal_row(goal: Goal, store: Store, loop: str) -> list[str] | None:
    """Return the row of a target and its result; None if it was not measured."""
    measured = goal.measured(store, loop)
    if measured is None:
        return None
    scenario = SCENARIOS[goal.scenario]
    aim = f"at most {goal.aim:,.0f} {scenario.unit}" if goal.base is None else f"{goal.aim:g} × {goal.base}"
    got = number(measured) if goal.base is None else f"{measured:.2f}"
    by_cpu = goal.measured_by_cpu(store, loop)
    work = f"{scenario.title}, {case_title(scenario, goal.case)}"
    verdict = "met" if goal.is_met(measured) else "**missed**"
    return [work, goal.subject, aim, got, verdict, "" if by_cpu is None else f"{by_cpu:.2f}"]


def case_title(scenario: Scenario, label: str) -> str:
    """Return a case's label for readers: a load in brackets, a size or a count with its unit."""
    if scenario.name in ("echo", "tls", "deflate"):
        return f"[{label.replace(',', ', ')}]"
    case = scenario.case(label)
    if label == str(case.size):
        return f"{case.size:,} bytes"
    return f"{case.connections:,} connections" if label == str(case.connections) else label


def case_words(scenario: Scenario, label: str) -> str:
    """Describe a case in words, for readers of the picture."""
    if scenario.name not in ("echo", "tls", "deflate"):
        return case_title(scenario, label)
    case = scenario.case(label)
    return f"{case.connections} connections, {case.size:,} bytes, {case.depth} in flight"


def sections(store: Store) -> Iterator[str]:
    """Yield the parts of the report after its head."""
    runs = sorted({(one.about["machine"], one.about["versions"]) for one in store.all()})
    for where, what in runs:
        yield f"Measured on {where}; {what}."
    rows = [row for goal in GOALS if (row := goal_row(goal, store, LOOPS[0])) is not None]
    if rows:
        yield "## Targets"
        yield (
            "Ratios of medians within one run, on uvloop. The last column is the ratio of the CPU times for a message, "
            "which other work on the machine disturbs less."
        )
        yield markdown(["work", "trunkline by", "at least", "measured", "", "by CPU"], rows)
    for scenario in SCENARIOS.values():
        for loop in LOOPS:
            yield from scenario_sections(store, scenario, loop)
    yield INSTRUCTIONS.strip()


def scenario_sections(store: Store, scenario: Scenario, loop: str) -> Iterator[str]:
    """Yield the parts for a scenario on a loop: its title, its text, and a table for each case."""
    cases = store.load(scenario.name, loop)
    if not cases:
        return
    yield f"## {scenario.title}, {loop}" if scenario.name != "codec" else f"## {scenario.title}"
    yield scenario.text
    for case in scenario.cases:
        if case.label in cases:
            measured = cases[case.label]
            about = measured.about
            yield f"### {scenario.title}: {case_title(scenario, case.label)}, {loop}".removesuffix(f", {LOOPS[0]}")
            yield table(scenario, measured)
            yield f"{about['date']}, {about['rounds']}, `{about['command']}`"


def panels(store: Store) -> Iterator[Panel]:
    """Yield the panels of the picture."""
    for name, label in PANELS:
        scenario = SCENARIOS[name]
        measured = store.load(name, LOOPS[0]).get(label)
        if measured is None:
            continue
        bars = [
            Bar(subject, summarize(measured.samples[subject]).figure)
            for subject in scenario.subjects
            if subject in measured.samples
        ]
        better = "less is better" if scenario.smaller_is_better else "more is better"
        unit = f"{scenario.unit} a connection" if scenario.name == "memory" else scenario.unit
        yield Panel(f"{scenario.title}: {case_words(scenario, label)}", f"{unit}, {better}", bars)


def write_report(store: Store) -> list[Path]:
    """Write the page and its picture, and return their paths."""
    page, picture = DOCS / "benchmarks.md", DOCS / "benchmarks.svg"
    shown = list(panels(store))
    parts = [HEAD.strip()]
    if shown:
        picture.write_text(draw(shown))
        parts.append(f"![Bars of the main figures; the tables below hold them all]({picture.name})")
    page.write_text("\n\n".join([*parts, *sections(store)]) + "\n")
    return [page, picture] if shown else [page]
