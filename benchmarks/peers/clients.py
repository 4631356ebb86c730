"""The clients: `python -m benchmarks.peers.clients WORK NAME LOOP PORT BYTES SECONDS`.

WORK is feed (receive what a server pushes), push (send as fast as possible) or wait (send when the echo of the previous
message has come). After SECONDS, each prints one line of JSON: messages, seconds, CPU seconds, and messages sent since
the start. Nothing is compressed; every message of the feed becomes a `bytes` object.
"""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from functools import partial

from benchmarks.peers.meter import Meter
from benchmarks.peers.start import run

MAX_SIZE = 16 * 2**20
BURST = 100  # messages between two looks at the loop
WAITING = 2**20  # bytes in a transport's buffer at which a pushing client waits

Start = Callable[[str, int, Meter], Awaitable[object]]


# Callbacks: a client is connected, then the meter lets the loop run


async def trunkline_feed(on: str, uri: str, size: int, meter: Meter) -> object:
    import trunkline

    class OnMessage(trunkline.Listener):
        def on_message(self, ws: trunkline.WebSocket, message: str | bytes) -> None:
            meter.messages += 1

    class OnBatch(trunkline.Listener):
        def on_batch(self, ws: trunkline.WebSocket, messages: list[str | bytes]) -> None:
            meter.messages += len(messages)

    return await trunkline.connect(uri, listener=OnBatch() if on == "batch" else OnMessage(), max_size=MAX_SIZE)


async def trunkline_wait(uri: str, size: int, meter: Meter) -> object:
    import trunkline

    message = b"x" * size

    class Wait(trunkline.Listener):
        def on_open(self, ws: trunkline.WebSocket) -> None:
            ws.send_nowait(message)

        def on_message(self, ws: trunkline.WebSocket, message: str | bytes) -> None:
            meter.messages += 1
            ws.send_nowait(message)

    return await trunkline.connect(uri, listener=Wait(), max_size=MAX_SIZE)


async def picows_feed(uri: str, size: int, meter: Meter) -> object:
    import picows

    class Feed(picows.WSListener):
        def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
            frame.get_payload_as_bytes()
            meter.messages += 1

    return await picows.ws_connect(Feed, uri, max_frame_size=MAX_SIZE)


async def picows_wait(uri: str, size: int, meter: Meter) -> object:
    import picows

    message = b"x" * size

    class Wait(picows.WSListener):
        def on_ws_connected(self, transport: picows.WSTransport) -> None:
            transport.send(picows.WSMsgType.BINARY, message)

        def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
            meter.messages += 1
            transport.send(picows.WSMsgType.BINARY, frame.get_payload_as_bytes())

    return await picows.ws_connect(Wait, uri, max_frame_size=MAX_SIZE)


# Coroutines: a task works on beside the meter


async def trunkline_push(how: str, uri: str, size: int, meter: Meter) -> None:
    import trunkline

    message = b"x" * size
    async with trunkline.connect(uri) as ws:
        while True:
            if how == "await":
                for _ in range(BURST):
                    await ws.send(message)
            else:
                for _ in range(BURST):
                    ws.send_nowait(message)
                await asyncio.sleep(0)
                await ws.wait_writable()
            meter.messages += BURST


async def picows_push(uri: str, size: int, meter: Meter) -> None:
    import picows

    message = b"x" * size
    transport, _ = await picows.ws_connect(picows.WSListener, uri)
    while True:
        for _ in range(BURST):
            transport.send(picows.WSMsgType.BINARY, message)
        meter.messages += BURST
        await asyncio.sleep(0)
        while transport.underlying_transport.get_write_buffer_size() > WAITING:  # noqa: ASYNC110  # its only way
            await asyncio.sleep(0.0005)


def websockets_connect(package: str, uri: str):  # type: ignore[no-untyped-def]
    """Connect with picows.websockets, websockets or trunkline: their interfaces are alike."""
    if package == "trunkline":
        from trunkline import connect
    elif package == "picows":
        from picows.websockets.asyncio.client import connect
    else:
        from websockets.asyncio.client import connect
    return connect(uri, compression=None, max_size=MAX_SIZE)


async def shaped_feed(package: str, uri: str, size: int, meter: Meter) -> None:
    async with websockets_connect(package, uri) as ws:
        await meter.count(ws)


async def shaped_push(package: str, uri: str, size: int, meter: Meter) -> None:
    message = b"x" * size
    async with websockets_connect(package, uri) as ws:
        while True:
            for _ in range(BURST):
                await ws.send(message)
            meter.messages += BURST
            await asyncio.sleep(0)  # a send that need not wait does not yield to the loop, but the meter needs a turn


async def shaped_wait(package: str, uri: str, size: int, meter: Meter) -> None:
    message = b"x" * size
    async with websockets_connect(package, uri) as ws:
        while True:
            await ws.send(message)
            await ws.recv()
            meter.messages += 1


async def aiohttp_client(work: str, uri: str, size: int, meter: Meter) -> None:
    import aiohttp

    message = b"x" * size
    async with aiohttp.ClientSession() as session, session.ws_connect(uri, max_msg_size=MAX_SIZE) as ws:
        if work == "feed":
            await meter.count(ws)
        while True:
            for _ in range(BURST if work == "push" else 1):
                await ws.send_bytes(message)
                meter.messages += 1
            await (ws.receive() if work == "wait" else asyncio.sleep(0))


async def trunkline_batches(uri: str, size: int, meter: Meter) -> None:
    async with websockets_connect("trunkline", uri) as ws:
        await meter.count_batches(ws.batches())


CLIENTS: dict[str, dict[str, Start]] = {
    "feed": {
        "trunkline on_batch": partial(trunkline_feed, "batch"),
        "trunkline on_message": partial(trunkline_feed, "message"),
        "trunkline batches": trunkline_batches,
        "trunkline async for": partial(shaped_feed, "trunkline"),
        "picows": picows_feed,
        "picows.websockets": partial(shaped_feed, "picows"),
        "websockets": partial(shaped_feed, "websockets"),
        "aiohttp": partial(aiohttp_client, "feed"),
    },
    "push": {
        "trunkline send_nowait": partial(trunkline_push, "nowait"),
        "trunkline await send": partial(shaped_push, "trunkline"),
        "picows": picows_push,
        "picows.websockets": partial(shaped_push, "picows"),
        "websockets": partial(shaped_push, "websockets"),
        "aiohttp": partial(aiohttp_client, "push"),
    },
    "wait": {
        "trunkline on_message": trunkline_wait,
        "trunkline recv": partial(shaped_wait, "trunkline"),
        "picows": picows_wait,
        "picows.websockets": partial(shaped_wait, "picows"),
        "websockets": partial(shaped_wait, "websockets"),
        "aiohttp": partial(aiohttp_client, "wait"),
    },
}


async def main(client: Start, port: int, size: int, seconds: float) -> None:
    meter = Meter(seconds)
    working = asyncio.ensure_future(client(f"ws://127.0.0.1:{port}/", size, meter))
    measuring = asyncio.ensure_future(meter.run())
    await asyncio.wait([working, measuring], return_when=asyncio.FIRST_COMPLETED)
    if not measuring.done():
        working.result()  # raises what ended it
    await measuring
    os._exit(0)  # the figures are printed, so skip the closing handshake


if __name__ == "__main__":
    work, name, loop, port, size, seconds = sys.argv[1:]
    run(main(CLIENTS[work][name], int(port), int(size), float(seconds)), loop)
