"""`trunkline serve --echo`."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys

import trunkline
from trunkline.cli.client import Exit

__all__ = ["serve_echo"]


async def echo(ws: trunkline.WebSocket) -> None:
    """Send every message back."""
    async for message in ws:
        await ws.send(message)


async def serve_echo(options: argparse.Namespace) -> int:
    """Serve until SIGINT or SIGTERM, then close every connection with 1001."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    try:
        server = await trunkline.serve(echo, options.host, options.port)
    except OSError as error:
        print(f"trunkline: cannot listen on {options.host}:{options.port}: {error.strerror}", file=sys.stderr)
        return Exit.BROKEN
    host = f"[{options.host}]" if ":" in options.host else options.host
    print(f"ready ws://{host}:{server.port}", flush=True)
    await stopped.wait()
    await server.close()
    return Exit.CLOSED
