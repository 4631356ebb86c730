"""A server with the defaults, in a process of its own: `python -m benchmarks.soak.serve LOOP [--deflate]`."""

import argparse
import asyncio

import trunkline
from benchmarks.peers.start import run


async def echo(ws: trunkline.WebSocket) -> None:
    async for message in ws:
        await ws.send(message)


async def main(compression: str | None) -> None:
    async with trunkline.serve(echo, "127.0.0.1", 0, compression=compression) as server:
        print("ready", server.port, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak.serve")
    parser.add_argument("loop", choices=("asyncio", "uvloop"))
    parser.add_argument("--deflate", action="store_true")
    options = parser.parse_args()
    run(main("deflate" if options.deflate else None), options.loop)
