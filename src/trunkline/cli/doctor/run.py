"""The command: prints each finding as the walk makes it."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Final

from trunkline.cli.doctor.findings import EXITS, Finding, Outcome, Step
from trunkline.cli.doctor.walk import walk
from trunkline.cli.exits import Exit
from trunkline.cli.options import Commands, add_address, add_command, add_json, positive
from trunkline.cli.progress import show_progress
from trunkline.protocol.wording import printable

__all__ = ["add", "examine"]

MARKS: Final = {Outcome.OK: "ok", Outcome.NOTE: "note", Outcome.FAULT: "FAULT"}

EPILOG: Final = """\
Looks up the name, tries each address, negotiates TLS, opens a WebSocket, pings it and closes it; stops at the first
step that fails. If every step succeeds, it offers permessage-deflate, each variant on a connection of its own. It sends
pings and no messages.

exit status:
  0    every step succeeded
  2    invalid arguments or URL
  10   the name was not found
  11   no address answers on that port
  12   the proxy refused or failed
  13   TLS failed: the certificate or the handshake
  14   no WebSocket: refused, no answer, or not a WebSocket server
  15   pings are not answered
  17   works, but fails when offered an extension
  130  interrupted
"""


def add(commands: Commands) -> None:
    """Add the `doctor` command."""
    parser = add_command(
        commands,
        "doctor",
        examine,
        "find out where a connection fails: name, port, TLS, proxy, handshake, ping, extensions",
        description="Find out, step by step, where and why a connection to a WebSocket server fails.",
        epilog=EPILOG,
    )
    add_address(parser)
    parser.add_argument(
        "--timeout", type=positive, default=10.0, metavar="S", help="seconds allowed for each step (default 10)"
    )
    parser.add_argument(
        "--proxy", default=True, metavar="URL", help="proxy to use (default: from the environment, as connections do)"
    )
    add_json(parser)


async def examine(options: argparse.Namespace) -> int:
    """Print the findings and return the exit status: 0, or that of the first step that failed."""
    findings: list[Finding] = []
    async with show_progress() as progress:

        def begin(what: str) -> None:
            progress.begin(lambda passed: f"{printable(what)}: {passed:.0f} s of {options.timeout:g}")

        async for finding in walk(options, begin):
            progress.end()
            findings.append(finding)
            if not options.json:
                _show(finding)
    broken = _broken(findings)
    status = int(Exit.CLOSED) if broken is None else EXITS[broken.step]
    if options.json:
        print(json.dumps({"status": status, "steps": [found.as_dict() for found in findings]}))
    else:
        print(_verdict(findings))
    sys.stdout.flush()
    return status


def _broken(findings: Sequence[Finding]) -> Finding | None:
    return next((found for found in findings if found.outcome is Outcome.FAULT), None)


def _show(finding: Finding) -> None:
    took = "" if finding.seconds is None else f"{finding.seconds * 1e3:.1f} ms"
    print(f"{MARKS[finding.outcome]:<6}{finding.step:<10}{took:>10}  {finding.text}", flush=True)
    for line in filter(None, (finding.more, finding.advice)):
        print(f"{'':<28}{line}", flush=True)


def _verdict(findings: Sequence[Finding]) -> str:
    broken = _broken(findings)
    notes = sum(found.outcome is Outcome.NOTE for found in findings)
    if broken is not None and broken.step is Step.EXTENSION:
        return "\nThe connection works, but fails for clients that offer an extension."
    if broken is not None:
        return f"\nThe connection fails at: {broken.step}."
    return "\nThe connection works." + (
        f" See the {'note' if notes == 1 else f'{notes} notes'} above." if notes else ""
    )
