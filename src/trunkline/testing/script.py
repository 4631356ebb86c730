"""The steps of a scripted server: what it does with one connection, one thing after another.

A step is a coroutine function that is given the `ScriptedPeer`, so a test may write its own beside these.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from trunkline.testing.peer import ScriptedPeer

__all__ = [
    "Step",
    "accept",
    "answer",
    "close",
    "drop",
    "echo",
    "hang",
    "raw",
    "receive",
    "reset",
    "send",
    "stay",
    "wait",
]

Step = Callable[[ScriptedPeer], Awaitable[object]]


def answer(status: int, headers: Mapping[str, str] | None = None, body: bytes | str = b"") -> Step:
    """Reads the request and answers it with any status, in place of a 101."""
    return lambda peer: peer.answer(status, headers, body)


def accept(subprotocol: str | None = None, headers: Mapping[str, str] | None = None) -> Step:
    """Reads the request and accepts it."""
    return lambda peer: peer.accept(subprotocol, headers)


def send(*messages: str | bytes) -> Step:
    """Sends messages."""

    async def step(peer: ScriptedPeer) -> None:
        for message in messages:
            await peer.send(message)

    return step


def receive(count: int = 1) -> Step:
    """Waits for so many messages; they are kept in `ScriptedPeer.messages`. Pings are answered meanwhile."""

    async def step(peer: ScriptedPeer) -> None:
        for _ in range(count):
            await peer.receive()

    return step


def echo(count: int | None = None) -> Step:
    """Sends each message back: so many of them, or until the client closes."""

    async def step(peer: ScriptedPeer) -> None:
        left = count
        while left is None or left > 0:
            await peer.send(await peer.receive())
            left = None if left is None else left - 1

    return step


def close(code: int | None = 1000, reason: str = "") -> Step:
    """Sends a close frame with any code, legal or not (None: without one), and waits until the client has answered."""
    return lambda peer: peer.close(code, reason)


def raw(data: bytes) -> Step:
    """Sends bytes as they are, without a handshake if none was a step before."""
    return lambda peer: peer.write(data)


def wait(seconds: float) -> Step:
    """Lets time pass, in which nothing is read."""
    return lambda peer: asyncio.sleep(seconds)


def stay() -> Step:
    """Reads and answers pings until the client closes or goes."""

    async def step(peer: ScriptedPeer) -> None:
        while True:
            await peer.receive()

    return step


def hang() -> Step:
    """Neither reads nor writes any more, until the server is closed."""

    async def step(peer: ScriptedPeer) -> None:
        await asyncio.get_running_loop().create_future()

    return step


def drop() -> Step:
    """Ends the connection with an end of file, without a close frame."""
    return ScriptedPeer.drop


def reset() -> Step:
    """Ends the connection with a TCP reset."""
    return ScriptedPeer.reset
