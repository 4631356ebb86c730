"""Typed messages for a server: what `trunkline.manager` does for clients."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, TypeVar

import msgspec

import trunkline

__all__ = ["encode", "received"]

Message = TypeVar("Message")

_encoder = msgspec.json.Encoder()


def encode(message: msgspec.Struct) -> str:
    """Encode `message` as JSON."""
    return _encoder.encode(message).decode()


async def received(ws: trunkline.WebSocket, decoder: msgspec.json.Decoder[Message]) -> AsyncIterator[Message]:
    """Yield a connection's messages until it ends. Close it with 1007 if one cannot be decoded."""
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
