"""A connection without a WebSocket library: the loop's transport and the smallest protocol."""

import asyncio
import base64
import hashlib
import re

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
KEY = re.compile(rb"\r\nSec-WebSocket-Key: (\S+)\r\n", re.IGNORECASE)
ANSWER = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n"
)


class Bare(asyncio.Protocol):
    """A protocol that answers one opening handshake, which must come in one read."""

    __slots__ = ("transport",)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        key = KEY.search(data)
        if key:
            accept = base64.b64encode(hashlib.sha1(key[1] + GUID).digest())
            self.transport.write(ANSWER % accept)  # type: ignore[attr-defined]
