"""A feed of this machine's load. A client that was cut off resumes without a gap, as long as the server runs.

serve [PORT]             run the server
follow [URL] [COUNT]     print COUNT readings, or all of them until you stop it
"""

import asyncio
import contextlib
import os
import sys
import time
from collections import deque
from collections.abc import AsyncIterator

import msgspec

import trunkline

URL = "ws://127.0.0.1:8801/"


class Follow(msgspec.Struct, frozen=True):
    """The client's request for the readings after number `after`; None asks for new ones only."""

    after: int | None


class Reading(msgspec.Struct, frozen=True):
    """One reading, with its place in the feed."""

    number: int
    at: float  # seconds since 1970, UTC
    load: float  # load average of the last minute


class Feed:
    """The latest readings, and the tasks that wait for the next one."""

    def __init__(self) -> None:
        self._readings: deque[Reading] = deque(maxlen=1000)
        self._changed = asyncio.Condition()

    async def measure(self, interval: float) -> None:
        """Take a reading every `interval` seconds, forever."""
        # The numbers keep rising when the server restarts, so that a client's old position never means a new reading.
        number = int(time.time() * 1000)
        while True:
            number += 1
            async with self._changed:
                self._readings.append(Reading(number, time.time(), os.getloadavg()[0]))
                self._changed.notify_all()
            await asyncio.sleep(interval)

    async def after(self, place: int | None) -> AsyncIterator[Reading]:
        """Yield all readings after a number, as they are taken."""
        if place is None:
            place = self._readings[-1].number if self._readings else 0
        while True:
            for reading in [reading for reading in self._readings if reading.number > place]:
                yield reading
                place = reading.number
            async with self._changed:
                while self._readings[-1].number <= place:
                    await self._changed.wait()


async def serve(port: int = 8801, interval: float = 0.2) -> None:
    """Run the server until it is interrupted."""
    feed, codec = Feed(), trunkline.manager.JsonCodec(Reading, Follow)

    async def handle(ws: trunkline.WebSocket) -> None:
        with contextlib.suppress(trunkline.ConnectionClosed):
            follow = codec.decode(await ws.recv())
            async for reading in feed.after(follow.after):
                await ws.send(codec.encode(reading))

    async with trunkline.serve(handle, "127.0.0.1", port) as server:
        print(f"ready ws://127.0.0.1:{server.port}/", flush=True)
        await feed.measure(interval)


async def go_on(session: trunkline.manager.Session[Follow, Reading]) -> None:
    """On each new link, ask for what was missed."""
    await session.send(Follow(session.position))


async def follow(url: str = URL, count: int | None = None) -> None:
    """Print `count` readings, or all of them."""
    main = trunkline.Service(
        "main",
        url,
        sends=Follow,
        receives=Reading,
        position="number",
        on_connected=go_on,
        retry=trunkline.manager.RetryPolicy(base=0.1, cap=5),
    )
    async with trunkline.ConnectionManager([main]) as manager:
        manager.subscribe(lambda change: print(f"  {change.after}: {change.explain()}", file=sys.stderr))
        readings = await manager.connect(main)
        async for reading in readings:
            print(f"{reading.number} {reading.load:.2f}", flush=True)
            if count is not None and (count := count - 1) == 0:
                return


if __name__ == "__main__":
    arguments = sys.argv[1:]
    with contextlib.suppress(KeyboardInterrupt):
        match arguments:
            case ["serve", *rest]:
                asyncio.run(serve(*map(int, rest)))
            case ["follow"]:
                asyncio.run(follow())
            case ["follow", url, *rest]:
                asyncio.run(follow(url, *map(int, rest)))
            case _:
                sys.exit(__doc__)
