"""The counter of a measured client."""

import asyncio
import json
import time
from collections.abc import AsyncIterable, Sized

WARM_UP = 0.33  # seconds, as in the C programs


class Meter:
    """Counts messages; `run` prints how many came in the measured time."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.messages = 0

    async def run(self) -> None:
        """Let the loop work for the warm-up and then for the measured time, and print the result."""
        await asyncio.sleep(WARM_UP)
        messages, start, cpu = self.messages, time.perf_counter(), time.process_time()
        await asyncio.sleep(self.seconds)
        seen = {
            "messages": self.messages - messages,
            "seconds": time.perf_counter() - start,
            "cpu": time.process_time() - cpu,
            "sent": self.messages,
        }
        print(json.dumps(seen), flush=True)

    async def count(self, messages: AsyncIterable[object]) -> None:
        """Take messages one by one. The count is updated every 64 messages, so that counting costs little."""
        n = 0
        async for _ in messages:
            n += 1
            if not n & 63:
                self.messages = n

    async def count_batches(self, batches: AsyncIterable[Sized]) -> None:
        """Take lists of messages."""
        async for batch in batches:
            self.messages += len(batch)
