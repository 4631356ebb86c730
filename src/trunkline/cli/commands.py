"""What can be typed, and what it starts."""

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
    """Run the command in `argv` (by default the process's own) and give its exit status."""
    options = make_parser().parse_args(argv)
    command: Coroutine[None, None, int] = options.start(options)
    try:
        return asyncio.run(command)
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except BrokenPipeError:
        silence()  # whoever read our output has seen enough
        return Exit.CLOSED


def make_parser() -> argparse.ArgumentParser:
    """The parser; each command sets `start`, which makes the coroutine to run."""
    parser = argparse.ArgumentParser(
        prog="trunkline",
        description="Watch WebSocket connections, talk over them, measure them and find out where they fail.",
        epilog="`trunkline COMMAND --help` tells a command's options and exit statuses.",
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
        "typed connections to three services, kept up while faults are injected",
        description="Serve three services on loopback, hold a typed connection to each, and break things for a while. "
        "A dashboard shows it meanwhile.",
        epilog=DEMO_EPILOG,
    )
    parser.add_argument("--seconds", type=positive, default=30.0, metavar="N", help="how long (default 30)")
    parser.add_argument("--port", type=port, default=0, metavar="P", help="where to serve (default: a free port)")
    parser.add_argument("--no-dashboard", action="store_true", help="serve the three services and nothing else")


async def _demo(options: argparse.Namespace) -> int:
    if sys.platform == "win32":
        return give_up("the demo runs a shell on a pseudo-terminal, and Windows has none", Exit.MISSING)
    from trunkline.cli.demo.run import run_demo  # what it takes, the other commands do not

    return await run_demo(options.seconds, options.port, dashboard=not options.no_dashboard)
