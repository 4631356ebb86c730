"""Prints what the walk finds, as it finds it."""

from __future__ import annotations

import argparse
import json
import sys

from trunkline.cli.client import Exit
from trunkline.cli.doctor.findings import EXITS, Finding, Outcome
from trunkline.cli.doctor.walk import walk

__all__ = ["examine"]

MARKS = {Outcome.OK: "ok", Outcome.NOTE: "note", Outcome.FAULT: "FAULT"}


async def examine(options: argparse.Namespace) -> int:
    """Walk, print, and give the exit status: 0, or that of the step that failed."""
    findings: list[Finding] = []
    async for finding in walk(options):
        findings.append(finding)
        if not options.json:
            _show(finding)
    last = findings[-1]
    status = EXITS[last.step] if last.outcome is Outcome.FAULT else int(Exit.CLOSED)
    if options.json:
        print(json.dumps({"status": status, "steps": [found.as_dict() for found in findings]}))
    else:
        print(_verdict(findings))
    sys.stdout.flush()
    return status


def _show(finding: Finding) -> None:
    took = "" if finding.seconds is None else f"{finding.seconds * 1e3:.1f} ms"
    print(f"{MARKS[finding.outcome]:<6}{finding.step:<10}{took:>10}  {finding.text}", flush=True)
    if finding.advice:
        print(f"{'':<28}{finding.advice}", flush=True)


def _verdict(findings: list[Finding]) -> str:
    last = findings[-1]
    notes = sum(found.outcome is Outcome.NOTE for found in findings)
    if last.outcome is Outcome.FAULT:
        return f"\nThe line breaks at: {last.step}."
    return "\nThe line is good." + (f" {notes} {'thing' if notes == 1 else 'things'} to note above." if notes else "")
