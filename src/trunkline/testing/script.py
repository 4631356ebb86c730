"""The steps of a scripted server: what it does with one connection, one step after another.

A step is a coroutine function that takes the `ScriptedPeer`, so a test can add its own.
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
    """Read the request and answer it with any status instead of 101."""
    return lambda peer: peer.answer(status, headers, body)


def accept(subprotocol: str | None = None, headers: Mapping[str, str] | None = None) -> Step:
    """Read the request and accept it."""
    return lambda peer: peer.accept(subprotocol, headers)


def send(*messages: str | bytes) -> Step:
    """Send messages."""

    async def step(peer: ScriptedPeer) -> None:
        for message in messages:
            await peer.send(message)

    return step


def receive(count: int = 1) -> Step:
    """Wait for `count` messages, kept in `ScriptedPeer.messages`, and answer pings meanwhile."""

    async def step(peer: ScriptedPeer) -> None:
        for _ in range(count):
            await peer.receive()

    return step


def echo(count: int | None = None) -> Step:
    """Send each message back, `count` of them, or until the client closes."""

    async def step(peer: ScriptedPeer) -> None:
        left = count
        while left is None or left > 0:
            await peer.send(await peer.receive())
            left = None if left is None else left - 1

    return step


def close(code: int | None = 1000, reason: str = "") -> Step:
    """Send a close frame with any code, legal or not (None for no code), and wait for the client's answer."""
    return lambda peer: peer.close(code, reason)


def raw(data: bytes) -> Step:
    """Send raw bytes, even before any handshake."""
    return lambda peer: peer.write(data)


def wait(seconds: float) -> Step:
    """Wait without reading."""
    return lambda peer: asyncio.sleep(seconds)


def stay() -> Step:
    """Read and answer pings until the client closes or leaves."""

    async def step(peer: ScriptedPeer) -> None:
        while True:
            await peer.receive()

    return step


def hang() -> Step:
    """Neither read nor write until the server is closed."""

    async def step(peer: ScriptedPeer) -> None:
        await asyncio.get_running_loop().create_future()

    return step


def drop() -> Step:
    """End the connection with an end of file, without a close frame."""
    return ScriptedPeer.drop


def reset() -> Step:
    """End the connection with a TCP reset."""
    return ScriptedPeer.reset
