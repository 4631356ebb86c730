"""The commands and the argument parser."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Coroutine, Sequence

import trunkline
from trunkline.cli import bench, client, doctor, echo, info, top
from trunkline.cli.exits import Exit, give_up
from trunkline.cli.options import Commands, add_command, port, positive
from trunkline.cli.stdout import silence

__all__ = ["main"]

DEMO_EPILOG = """\
exit status:
  0    every connection is up at the end
  1    one is not, or the port is taken
  2    invalid arguments
  130  interrupted
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command in `argv` (default: sys.argv[1:]) and return its exit status."""
    options = make_parser().parse_args(argv)
    command: Coroutine[None, None, int] = options.start(options)
    try:
        return asyncio.run(command)
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except BrokenPipeError:
        silence()  # nobody reads our output any more
        return Exit.CLOSED


def make_parser() -> argparse.ArgumentParser:
    """Make the parser. Each command sets `start`, which makes the coroutine to run."""
    parser = argparse.ArgumentParser(
        prog="trunkline",
        description="Watch WebSocket connections, talk over them, measure them and find out where they fail.",
        epilog="`trunkline COMMAND --help` explains a command's options and exit statuses.",
    )
    parser.add_argument("--version", action="version", version=f"trunkline {trunkline.__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_demo(commands)
    for module in (top, client, echo, bench, doctor, info):
        module.add(commands)
    return parser


def _add_demo(commands: Commands) -> None:
    parser = add_command(
        commands,
        "demo",
        _demo,
        "run three services with a typed connection to each, and inject faults",
        description="Run three services on loopback, keep a typed connection to each, and inject faults. "
        "A dashboard shows the connections meanwhile.",
        epilog=DEMO_EPILOG,
    )
    parser.add_argument("--seconds", type=positive, default=30.0, metavar="N", help="how long to run (default 30)")
    parser.add_argument("--port", type=port, default=0, metavar="P", help="port to serve on (default: a free port)")
    parser.add_argument("--no-dashboard", action="store_true", help="do not serve a dashboard")


async def _demo(options: argparse.Namespace) -> int:
    if sys.platform == "win32":
        return give_up("the demo runs a shell on a pseudo-terminal, and Windows has none", Exit.MISSING)
    from trunkline.cli.demo.run import run_demo  # its imports are not needed by the other commands

    return await run_demo(options.seconds, options.port, dashboard=not options.no_dashboard)
