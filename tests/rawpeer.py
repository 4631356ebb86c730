"""The other end of a connection, by hand: a TCP peer that shakes hands and then sends and reads what the test says.

It knows the wire from RFC 6455 alone and uses nothing of the code under test.
"""

import asyncio
import socket
import struct
from dataclasses import dataclass

import rawhttp
from rawframes import build, xor

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


@dataclass(frozen=True)
class Frame:
    """A frame as it came. `payload` is unmasked."""

    opcode: int
    payload: bytes
    fin: bool = True

    @property
    def close(self) -> tuple[int | None, str]:
        """The code and the reason of a close frame."""
        assert self.opcode == CLOSE, self
        if not self.payload:
            return None, ""
        return struct.unpack("!H", self.payload[:2])[0], self.payload[2:].decode()


class Peer:
    """A connection whose opening handshake is done. `head` is what the other end sent of it."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes, *, is_client: bool
    ) -> None:
        self.reader = reader
        self.writer = writer
        self.head = head
        self.is_client = is_client

    def encode(self, opcode: int, payload: bytes = b"", **bits: object) -> bytes:
        """The bytes of a frame from this end: masked if it is the client. `bits`: as `rawframes.build`."""
        return build(opcode, payload, **{"masked": self.is_client, **bits})

    def encode_close(self, code: int, reason: str = "") -> bytes:
        """The bytes of a close frame."""
        return self.encode(CLOSE, struct.pack("!H", code) + reason.encode())

    def send(self, opcode: int, payload: bytes = b"", **bits: object) -> None:
        """Sends a frame."""
        self.writer.write(self.encode(opcode, payload, **bits))

    def send_close(self, code: int, reason: str = "") -> None:
        """Sends a close frame."""
        self.writer.write(self.encode_close(code, reason))

    async def frame(self) -> Frame:
        """The next frame; IncompleteReadError at the end of the stream, ConnectionResetError after a reset."""
        first, second = await self.reader.readexactly(2)
        assert bool(second & 0x80) is not self.is_client, "the other end masks if and only if it is the client (5.1)"
        size = second & 0x7F
        if size > 125:
            wide = size == 127
            size = int.from_bytes(await self.reader.readexactly(8 if wide else 2), "big")
        key = b"" if self.is_client else await self.reader.readexactly(4)
        payload = await self.reader.readexactly(size)
        return Frame(first & 0x0F, xor(payload, key) if key else payload, bool(first & 0x80))

    async def frames(self, count: int) -> list[Frame]:
        """The next `count` frames."""
        return [await self.frame() for _ in range(count)]

    async def rest(self) -> bytes:
        """What comes until the other end ends the stream; ConnectionResetError if it resets the connection."""
        return await self.reader.read()

    def reset(self) -> None:
        """Ends the connection with a TCP reset."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Peer:
    """The server's part of the opening handshake."""
    head = await reader.readuntil(b"\r\n\r\n")
    writer.write(rawhttp.answer({"Sec-WebSocket-Accept": rawhttp.accept_for(head)}))
    return Peer(reader, writer, head, is_client=False)


async def request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, fields: bytes = b"") -> Peer:
    """The client's part of the opening handshake. `fields`: lines to add to the request."""
    writer.write(rawhttp.request(more=fields, line=b"GET / HTTP/1.1"))
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 "), head
    assert rawhttp.ACCEPT in head
    return Peer(reader, writer, head, is_client=True)
