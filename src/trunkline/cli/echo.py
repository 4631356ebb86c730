"""`trunkline serve --echo`: an echo server."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
from typing import Final

import trunkline
from trunkline.cli.exits import Exit, give_up
from trunkline.cli.options import Commands, add_command, add_json, port
from trunkline.cli.signals import calling

__all__ = ["add", "serve_echo"]

EPILOG: Final = """\
Prints "ready URL" once it is listening. On SIGINT or SIGTERM it closes every connection with 1001 and exits.

exit status:
  0    stopped by SIGINT or SIGTERM
  1    could not listen on --host and --port
  2    invalid arguments
"""


def add(commands: Commands) -> None:
    """Add the `serve` command."""
    parser = add_command(commands, "serve", serve_echo, "serve WebSocket connections until interrupted", epilog=EPILOG)
    parser.add_argument("--echo", action="store_true", required=True, help="send every message back")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default 127.0.0.1)")
    parser.add_argument("--port", type=port, default=8765, help="port to listen on, 0 for a free one (default 8765)")
    parser.add_argument(
        "--subprotocol",
        action="append",
        default=[],
        metavar="NAME",
        help="subprotocol to accept; may be repeated, preferred first",
    )
    parser.add_argument("--compression", action="store_true", help="accept offers of permessage-deflate")
    add_json(parser, 'print {"ready": URL, "host": HOST, "port": PORT} once it is listening')


async def echo(ws: trunkline.WebSocket) -> None:
    """Send every message back."""
    async for message in ws:
        await ws.send(message)


async def serve_echo(options: argparse.Namespace) -> int:
    """Serve until SIGINT or SIGTERM, then close every connection with 1001."""
    stopped = asyncio.Event()
    with calling((signal.SIGINT, signal.SIGTERM), stopped.set):
        return await _serve_until(stopped, options)


async def _serve_until(stopped: asyncio.Event, options: argparse.Namespace) -> int:
    try:
        server = await trunkline.serve(
            echo,
            options.host,
            options.port,
            subprotocols=options.subprotocol,
            compression="deflate" if options.compression else None,
        )
    except OSError as error:
        return give_up(f"cannot listen on {options.host}:{options.port}: {error.strerror}", Exit.BROKEN)
    host = f"[{options.host}]" if ":" in options.host else options.host
    url = f"ws://{host}:{server.port}"
    ready = json.dumps({"ready": url, "host": options.host, "port": server.port}) if options.json else f"ready {url}"
    print(ready, flush=True)
    await stopped.wait()
    await server.close()
    return Exit.CLOSED
