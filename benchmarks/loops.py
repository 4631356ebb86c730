"""The gain of more event loops, each in a thread: echoes a second with one loop and with several.

    python -m benchmarks.loops [--loops N] [--messages N] [--rounds N] [--loop asyncio|uvloop]

Each loop has a server and 4 clients, with callbacks on both sides; a client keeps 32 messages of 64 bytes in flight.
Each round measures one loop, then all of them; the result is the median of the rounds' ratios. With the GIL, loops take
turns and a second one adds nothing; without it, as many can run as there are cores.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import statistics
import sys
import threading
import time
from collections.abc import Callable
from typing import Final

import trunkline
from benchmarks.peers.start import loop_factory
from benchmarks.tables import markdown

CLIENTS: Final = 4
WINDOW: Final = 32  # messages in flight of a client
PAYLOAD: Final = b"x" * 64


class Echo(trunkline.Listener):
    """The server's side."""

    def on_message(self, ws: trunkline.WebSocket, message: str | bytes) -> None:
        """Send the message back."""
        ws.send_nowait(message)


class Asks(trunkline.Listener):
    """The client's side: sends a message for each that comes back, `messages` in all."""

    def __init__(self, messages: int) -> None:
        self.done = asyncio.get_running_loop().create_future()
        self._left, self._to_send = messages, messages - WINDOW

    def on_message(self, ws: trunkline.WebSocket, message: str | bytes) -> None:
        """Count the message and send the next."""
        self._left -= 1
        if self._to_send > 0:
            self._to_send -= 1
            ws.send_nowait(PAYLOAD)
        elif self._left == 0:
            self.done.set_result(None)


async def echo(messages: int, barrier: threading.Barrier) -> float:
    """Return the seconds that one loop takes for `messages` echoes of each client, once all loops are ready."""
    async with trunkline.serve(listener=Echo, host="127.0.0.1", port=0) as server:
        asking = [Asks(messages) for _ in range(CLIENTS)]
        lines = [await trunkline.connect(f"ws://127.0.0.1:{server.port}/", listener=one) for one in asking]
        await asyncio.to_thread(barrier.wait)
        began = time.perf_counter()
        for ws in lines:
            ws.send_many([PAYLOAD] * WINDOW)
        await asyncio.gather(*(one.done for one in asking))
        seconds = time.perf_counter() - began
        for ws in lines:
            await ws.close()
    return seconds


def measure(loops: int, messages: int, factory: Callable[[], asyncio.AbstractEventLoop]) -> float:
    """Return the echoes a second of `loops` loops together, each in a thread of its own."""
    barrier, taken = threading.Barrier(loops), []

    def run() -> None:
        with asyncio.Runner(loop_factory=factory) as runner:
            taken.append(runner.run(echo(messages, barrier)))

    threads = [threading.Thread(target=run) for _ in range(loops)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if len(taken) < loops:
        raise RuntimeError("a loop failed: see above")
    return loops * CLIENTS * messages / max(taken)


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--loops", type=int, default=min(2, os.cpu_count() or 2), help="at once; 2")
    parser.add_argument("--messages", type=int, default=25_000, help="of each client")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--loop", choices=["asyncio", "uvloop"], default="asyncio")
    asked = parser.parse_args()
    factory = loop_factory(asked.loop)
    measure(1, asked.messages // 10 + WINDOW, factory)  # warm-up: only the first measurement would pay for it
    pairs = [
        (measure(1, asked.messages, factory), measure(asked.loops, asked.messages, factory))
        for _ in range(asked.rounds)
    ]
    ratios = [many / one for one, many in pairs]
    lock = "with the GIL" if getattr(sys, "_is_gil_enabled", lambda: True)() else "without the GIL"
    print(
        markdown(
            ["", "1 loop, echoes/s", f"{asked.loops} loops", "ratio", "ratios seen"],
            [
                [
                    f"{lock}, {asked.loop}",
                    f"{statistics.median(one for one, _ in pairs):,.0f}",
                    f"{statistics.median(many for _, many in pairs):,.0f}",
                    f"{statistics.median(ratios):.2f}",
                    f"{min(ratios):.2f} to {max(ratios):.2f}",
                ]
            ],
        )
    )
    print(f"\nPython {platform.python_version()}, {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
