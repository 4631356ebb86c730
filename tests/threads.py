"""Calls from outside of the event loop's thread."""

import asyncio
import threading
from collections.abc import Awaitable, Callable


async def in_a_thread(call: Callable[[], object]) -> BaseException | None:
    """Call it in a thread that runs no loop, and give what it raised."""
    caught: list[BaseException] = []

    def run() -> None:
        try:
            call()
        except BaseException as error:
            caught.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    await asyncio.to_thread(thread.join)
    return caught[0] if caught else None


async def in_another_loop(start: Callable[[], Awaitable[object]]) -> BaseException | None:
    """Await it in a loop of another thread, and give what it raised."""

    async def wait() -> None:
        async with asyncio.timeout(5):
            await start()

    return await in_a_thread(lambda: asyncio.run(wait()))
