"""Options that several commands share, and the types of their arguments."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # only the stubs let it be subscripted
else:
    Commands = argparse._SubParsersAction

__all__ = ["Commands", "add_address", "add_command", "add_header", "add_json", "count", "port", "positive"]


def add_command(
    commands: Commands, name: str, start: Callable[..., object], summary: str, *, description: str = "", epilog: str
) -> argparse.ArgumentParser:
    """Add a command and return its parser.

    Args:
        commands: Where to add it.
        name: What the user types.
        start: Makes the coroutine to run from the parsed options.
        summary: Shown in the list of commands.
        description: Shown by `--help`; the summary by default.
        epilog: Its exit statuses, printed as they are.
    """
    parser = commands.add_parser(
        name,
        help=summary,
        description=description or f"{summary[0].upper()}{summary[1:]}.",
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(start=start)
    return parser


def add_address(parser: argparse.ArgumentParser) -> None:
    """Add URL, --header and --subprotocol, as for every command that connects."""
    parser.add_argument("url", metavar="URL", help="ws://host[:port]/path or wss://...")
    add_header(parser)
    parser.add_argument(
        "--subprotocol",
        action="append",
        default=[],
        metavar="NAME",
        help="subprotocol to offer; may be repeated, preferred first",
    )


def add_header(parser: argparse.ArgumentParser) -> None:
    """Add --header, for more header fields in the opening handshake."""
    parser.add_argument(
        "--header",
        action="append",
        default=[],
        type=_header,
        metavar="NAME:VALUE",
        help="header field to send in the opening handshake; may be repeated",
    )


def add_json(parser: argparse.ArgumentParser, what: str = "print one JSON object instead of text") -> None:
    """Add --json, for programs that read the output."""
    parser.add_argument("--json", action="store_true", help=what)


def positive(text: str) -> float:
    """Parse a finite number above 0."""
    number = float(text)
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a finite number above 0")
    return number


def count(text: str) -> int:
    """Parse a whole number, at least 1."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is below 1")
    return number


def port(text: str) -> int:
    """Parse a TCP port; 0 is allowed."""
    number = int(text)
    if not 0 <= number <= 65535:
        raise argparse.ArgumentTypeError(f"{text} is not a port, must be 0 to 65535")
    return number


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise argparse.ArgumentTypeError("not a header field, must be NAME:VALUE")
    return name.strip(), value.strip()
