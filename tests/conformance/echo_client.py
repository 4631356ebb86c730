"""The client that the Autobahn suite drives: `echo_client.py STYLE LOOP URL AGENT`.

It asks the suite how many cases there are, runs each in a connection of its own, echoing what it gets, and has the
report written. STYLE is coroutines (`async for` and `send`) or callbacks (a Listener); LOOP is asyncio or uvloop.
"""

import asyncio
import sys

import uvloop

import trunkline

# The suite sends messages of 16 MiB in any number of fragments, and counts every frame: no keepalive ping may come.
# It answers the last handshake only when the report is written, which takes long on a busy machine.
LIMITS = {
    "open_timeout": 300,
    "max_size": 16 * 2**20,
    "max_fragments": None,
    "ping_interval": None,
    "compression": trunkline.Deflate(threshold=0),
}


class Echo(trunkline.Listener):
    def on_message(self, ws: trunkline.WebSocket, message: str | bytes) -> None:
        ws.send_nowait(message)


async def run_with_coroutines(url: str) -> None:
    async with trunkline.connect(url, **LIMITS) as ws:
        async for message in ws:
            await ws.send(message)


async def run_with_callbacks(url: str) -> None:
    async with trunkline.connect(url, listener=Echo(), **LIMITS) as ws:
        await ws.wait_closed()


async def main(style: str, url: str, agent: str) -> None:
    run_case = {"coroutines": run_with_coroutines, "callbacks": run_with_callbacks}[style]
    async with trunkline.connect(f"{url}/getCaseCount", **LIMITS) as ws:
        count = int(await ws.recv())
    for case in range(1, count + 1):
        try:
            await run_case(f"{url}/runCase?case={case}&agent={agent}")
        except trunkline.TrunklineError as error:
            # Most cases break the protocol on purpose; whether we were right to give up is for the report to say.
            print(f"case {case}: {error}")
    async with trunkline.connect(f"{url}/updateReports?agent={agent}", **LIMITS) as ws:
        await ws.wait_closed()


if __name__ == "__main__":
    run = {"asyncio": asyncio.run, "uvloop": uvloop.run}[sys.argv[2]]
    run(main(sys.argv[1], *sys.argv[3:]))
