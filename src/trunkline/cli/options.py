"""What the command line's words are made into, and the options that several commands have."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # the stubs alone let it be subscripted
else:
    Commands = argparse._SubParsersAction

__all__ = ["Commands", "add_address", "add_command", "add_header", "add_json", "count", "port", "positive"]


def add_command(
    commands: Commands, name: str, start: Callable[..., object], summary: str, *, description: str = "", epilog: str
) -> argparse.ArgumentParser:
    """Add a command. start: makes the coroutine to run from the options. epilog: its exit statuses, printed as is."""
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
    """What every command that dials takes."""
    parser.add_argument("url", metavar="URL", help="ws://host[:port]/path or wss://...")
    add_header(parser)
    parser.add_argument(
        "--subprotocol", action="append", default=[], metavar="NAME", help="offer it; may be repeated, best first"
    )


def add_header(parser: argparse.ArgumentParser) -> None:
    """Fields of our own for the opening handshake."""
    parser.add_argument(
        "--header", action="append", default=[], type=_header, metavar="NAME:VALUE", help="send it; may be repeated"
    )


def add_json(parser: argparse.ArgumentParser, what: str = "print one JSON object instead of text") -> None:
    """For programs that read the output."""
    parser.add_argument("--json", action="store_true", help=what)


def positive(text: str) -> float:
    """A number of more than 0."""
    number = float(text)
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not more than 0")
    return number


def count(text: str) -> int:
    """A whole number of 1 or more."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return number


def port(text: str) -> int:
    """A TCP port, 0 among them."""
    number = int(text)
    if not 0 <= number <= 65535:
        raise argparse.ArgumentTypeError(f"{text} is no port, wanted 0 to 65535")
    return number


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise argparse.ArgumentTypeError("no header field, wanted NAME:VALUE")
    return name.strip(), value.strip()
