"""What can be typed, and what it starts."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Coroutine, Sequence
from typing import TYPE_CHECKING

import trunkline
from trunkline.cli.client import Exit, talk
from trunkline.cli.doctor import examine
from trunkline.cli.echo import serve_echo
from trunkline.cli.info import show_info
from trunkline.cli.stdout import silence

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # the stubs alone let it be subscripted

__all__ = ["main"]

CONNECT_EPILOG = """\
Lines from standard input are sent as text messages. Messages are printed one a line, binary ones in hexadecimal, with
every character that a terminal could act upon as an escape. At the end of the input the connection is closed: at once
if a person typed it, otherwise when nothing has come for --linger seconds.

exit status:
  0    the connection ended as it should (1000, 1001)
  1    it ended in any other way
  2    the command line or the URL makes no sense
  3    no link came up: name, port, TLS, timeout
  4    the server would not open a WebSocket
  130  interrupted
"""

DOCTOR_EPILOG = """\
Looks the name up, dials every address, makes TLS, opens a WebSocket, pings and closes it, and stops at the first step
that fails. Nothing but pings is sent.

exit status:
  0    the line is good
  2    the command line or the URL makes no sense
  10   the name was not found
  11   no address answers on that port
  12   the proxy would not
  13   no TLS: the certificate, or the handshake
  14   no WebSocket: refused, silent, or something else that answers
  15   pings are not answered
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
    parser = argparse.ArgumentParser(prog="trunkline", description="WebSocket lines: a demo, a client, an echo server.")
    parser.add_argument("--version", action="version", version=f"trunkline {trunkline.__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_demo(commands)
    _add_connect(commands)
    _add_serve(commands)
    _add_doctor(commands)
    _add_info(commands)
    return parser


def _add_demo(commands: Commands) -> None:
    parser = commands.add_parser(
        "demo",
        help="typed connections to three services, kept up while faults are injected",
        description="Serve three services on loopback, hold a typed connection to each, and break things for a while. "
        "Exit status 0 if every connection is up at the end, 1 otherwise.",
    )
    parser.add_argument("--seconds", type=_positive, default=30.0, metavar="N", help="how long (default 30)")
    parser.add_argument("--port", type=_port, default=0, metavar="P", help="where to serve (default: a free port)")
    parser.set_defaults(start=_demo)


def _add_connect(commands: Commands) -> None:
    parser = commands.add_parser(
        "connect",
        help="talk to any WebSocket server, line by line",
        description="Talk to any WebSocket server, line by line.",
        epilog=CONNECT_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_address(parser)
    parser.add_argument(
        "--linger", type=_positive, default=1.0, metavar="S", help="seconds of silence before closing (default 1)"
    )
    parser.set_defaults(start=talk)


def _add_serve(commands: Commands) -> None:
    parser = commands.add_parser("serve", help="serve WebSocket connections", description="Serve until interrupted.")
    parser.add_argument("--echo", action="store_true", required=True, help="send every message back")
    parser.add_argument("--host", default="127.0.0.1", help="where to listen (default 127.0.0.1)")
    parser.add_argument("--port", type=_port, default=8765, help="0 for a free one (default 8765)")
    parser.set_defaults(start=serve_echo)


def _add_doctor(commands: Commands) -> None:
    parser = commands.add_parser(
        "doctor",
        help="find out where a line breaks: name, port, TLS, proxy, handshake, ping",
        description="Find out where the line to a WebSocket server breaks, step by step, and why.",
        epilog=DOCTOR_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_address(parser)
    parser.add_argument(
        "--timeout", type=_positive, default=10.0, metavar="S", help="seconds that a step may take (default 10)"
    )
    parser.add_argument(
        "--proxy", default=True, metavar="URL", help="go through it (default: the environment's, as connections do)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object in place of the lines")
    parser.set_defaults(start=examine)


def _add_info(commands: Commands) -> None:
    parser = commands.add_parser("info", help="versions, SIMD and loop in use", description="What is in use here.")
    parser.add_argument("--json", action="store_true", help="one JSON object in place of the lines")
    parser.set_defaults(start=show_info)


def _add_address(parser: argparse.ArgumentParser) -> None:
    """What every command that dials takes."""
    parser.add_argument("url", metavar="URL", help="ws://host[:port]/path or wss://...")
    parser.add_argument(
        "--header", action="append", default=[], type=_header, metavar="NAME:VALUE", help="send it; may be repeated"
    )
    parser.add_argument(
        "--subprotocol", action="append", default=[], metavar="NAME", help="offer it; may be repeated, best first"
    )


async def _demo(options: argparse.Namespace) -> int:
    from trunkline.cli.demo.run import run_demo  # it needs pseudo-terminals, which the other commands do not

    return await run_demo(options.seconds, options.port)


def _positive(text: str) -> float:
    number = float(text)
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not more than 0")
    return number


def _port(text: str) -> int:
    number = int(text)
    if not 0 <= number <= 65535:
        raise argparse.ArgumentTypeError(f"{text} is no port, wanted 0 to 65535")
    return number


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise argparse.ArgumentTypeError(f"{text!r} is no header field, wanted NAME:VALUE")
    return name.strip(), value.strip()
