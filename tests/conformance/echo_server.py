"""The server that the Autobahn suite drives: `echo_server.py STYLE LOOP` prints "ready PORT" and echoes until killed.

STYLE is coroutines (`async for` and `send`) or callbacks (a Listener); LOOP is asyncio or uvloop.
"""

import asyncio
import sys

import uvloop

import trunkline

# The suite sends messages of 16 MiB in any number of fragments, and counts every frame: no keepalive ping may come.
LIMITS = {
    "max_size": 16 * 2**20,
    "max_fragments": None,
    "ping_interval": None,
    "compression": trunkline.Deflate(threshold=0),
}


async def echo(ws: trunkline.WebSocket) -> None:
    async for message in ws:
        await ws.send(message)


class Echo(trunkline.Listener):
    def on_message(self, ws: trunkline.WebSocket, message: str | bytes) -> None:
        ws.send_nowait(message)


async def main(style: str) -> None:
    style_of = {"coroutines": {"handler": echo}, "callbacks": {"listener": Echo}}
    async with trunkline.serve(host="127.0.0.1", port=0, **style_of[style], **LIMITS) as server:
        print("ready", server.port, flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    run = {"asyncio": asyncio.run, "uvloop": uvloop.run}[sys.argv[2]]
    run(main(sys.argv[1]))
