"""Typed messages for a server's end of a line: what `trunkline.manager` does for the client's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, TypeVar

import msgspec

import trunkline

__all__ = ["encode", "received"]

Message = TypeVar("Message")

_encoder = msgspec.json.Encoder()


def encode(message: msgspec.Struct) -> str:
    """The text message for `message`."""
    return _encoder.encode(message).decode()


async def received(ws: trunkline.WebSocket, decoder: msgspec.json.Decoder[Message]) -> AsyncIterator[Message]:
    """The messages of a connection, until it ends in whatever way. One that does not fit closes it with 1007."""
    try:
        async for payload in ws:
            try:
                message: Any = decoder.decode(payload)
            except msgspec.DecodeError as error:
                await ws.close(1007, str(error)[:100])
                return
            yield message
    except trunkline.ConnectionClosedError:
        return
