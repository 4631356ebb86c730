"""What the demo's connections send, and a note of what they last received."""

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
    """Watch the machine's figures, alternately at a short and a long interval."""

    async def send(number: int) -> None:
        await connection.send(Watch(0.1 if number % 2 else 0.3), timeout=None)

    def take(figures: Figures) -> None:
        words = [f"load {figures.load:.2f}"]
        if figures.memory is not None:
            words.append(f"memory {figures.memory:.0%}")
        if figures.received is not None and figures.sent is not None:
            words.append(f"network {_rate(figures.received)} in, {_rate(figures.sent)} out")
        note(f"{', '.join(words)}, from {figures.source}")

    await _converse(connection, 1.0, send, take)


async def chat(connection: Connection[Say, Heard], note: Note) -> None:
    """Say something to the room twice a second, and note what is said in it."""

    async def send(number: int) -> None:
        await connection.send(Say(f"hello, {number}"), timeout=None)

    def take(heard: Heard) -> None:
        if isinstance(heard, Said):
            note(f'{heard.who} says "{heard.text}"')
        else:
            what = "joined" if isinstance(heard, Joined) else "left"
            note(f"{heard.who} {what}, {heard.here} in the room")

    await _converse(connection, 0.5, send, take)


async def terminal(connection: Connection[Input | Resize, Output | Exit], note: Note) -> None:
    """Let the shell count. After a lost link it continues, since the shell outlives the link."""

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
    """Send every `interval` seconds and take each message, until the connection has failed for good."""

    async def keep_sending() -> None:
        for number in itertools.count(1):
            with contextlib.suppress(NotConnected):  # this message may be lost; the next one follows
                await send(number)
            await asyncio.sleep(interval)

    sending = asyncio.create_task(keep_sending())
    watch(sending, logging.getLogger("trunkline.cli"), "sending on a demo's connection")
    try:
        with contextlib.suppress(NotConnected):  # it has failed for good, which the table shows
            async for message in connection:
                take(message)
    finally:
        sending.cancel()


def _rate(rate: float) -> str:
    """Format a rate in bytes a second."""
    return f"{rate / 1e6:.1f} MB/s" if rate >= 1e6 else f"{rate / 1e3:.1f} kB/s"
