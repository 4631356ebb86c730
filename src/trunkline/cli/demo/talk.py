"""What the connections of the demo say, and what they were told last."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from trunkline.cli.demo.chat import Heard, Joined, Said, Say
from trunkline.cli.demo.main import Watch
from trunkline.cli.demo.system import Figures
from trunkline.cli.demo.terminal import Exit, Input, Output, Resize
from trunkline.manager import Connection, NotConnected
from trunkline.net.faults import watch
from trunkline.protocol.wording import printable

__all__ = ["chat", "main", "terminal"]

Note = Callable[[str], None]
Sends = TypeVar("Sends")
Receives = TypeVar("Receives")


async def main(connection: Connection[Watch, Figures], note: Note) -> None:
    """Watch the machine, now quickly, now slowly."""

    async def send(number: int) -> None:
        await connection.send(Watch(0.1 if number % 2 else 0.3), timeout=None)

    def take(figures: Figures) -> None:
        words = [f"load {figures.load:.2f}"]
        if figures.memory is not None:
            words.append(f"memory {figures.memory:.0%}")
        if figures.received is not None and figures.sent is not None:
            words.append(f"network {_rate(figures.received)} in, {_rate(figures.sent)} out")
        note(f"{', '.join(words)}, as {figures.source} has it")

    await _converse(connection, 1.0, send, take)


async def chat(connection: Connection[Say, Heard], note: Note) -> None:
    """Say something to the room twice a second, and hear it."""

    async def send(number: int) -> None:
        await connection.send(Say(f"hello, {number}"), timeout=None)

    def take(heard: Heard) -> None:
        if isinstance(heard, Said):
            note(f'{heard.who} says "{heard.text}"')
        else:
            came = "comes in" if isinstance(heard, Joined) else "goes out"
            note(f"{heard.who} {came}, {heard.here} here")

    await _converse(connection, 0.5, send, take)


async def terminal(connection: Connection[Input | Resize, Output | Exit], note: Note) -> None:
    """Let the shell count. It goes on where it was after a cut, since the shell is still there."""

    async def send(number: int) -> None:
        if number % 10 == 1:
            await connection.send(Resize(rows=40, columns=100), timeout=None)
        await connection.send(Input("echo $((n += 1)) lines so far\n"), timeout=None)

    def take(message: Output | Exit) -> None:
        if isinstance(message, Output):
            for line in message.data.splitlines():
                if line.endswith("lines so far") and "echo" not in line:
                    note(f"the shell says {printable(line)!r}")
        else:
            note(f"the shell has ended, status {message.status}")

    await _converse(connection, 0.5, send, take)


async def _converse(
    connection: Connection[Sends, Receives],
    interval: float,
    send: Callable[[int], Awaitable[None]],
    take: Callable[[Receives], None],
) -> None:
    """Send every `interval` seconds, take what comes, for ever."""

    async def keep_sending() -> None:
        for number in itertools.count(1):
            with contextlib.suppress(NotConnected):  # lost, or nobody knows; the next one follows
                await send(number)
            await asyncio.sleep(interval)

    sending = asyncio.create_task(keep_sending())
    watch(sending, logging.getLogger("trunkline.cli"), "sending on a demonstration's connection")
    try:
        with contextlib.suppress(NotConnected):  # it has failed for good, and the table will say so
            async for message in connection:
                take(message)
    finally:
        sending.cancel()


def _rate(rate: float) -> str:
    """Bytes a second, for people."""
    return f"{rate / 1e6:.1f} MB/s" if rate >= 1e6 else f"{rate / 1e3:.1f} kB/s"
