"""HTTP of opening handshakes, written by hand: a client that sends any bytes, a server that answers any.

Fields are changed by their names; None leaves one out, a list repeats it.
"""

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

LIMIT = 20  # seconds, after which a test that waits for what never comes fails
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

# The example of RFC 6455 1.3.
KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

ASKED: dict[str, bytes] = {
    "Host": b"localhost",
    "Upgrade": b"websocket",
    "Connection": b"Upgrade",
    "Sec-WebSocket-Key": KEY,
    "Sec-WebSocket-Version": b"13",
}
ANSWERED: dict[str, bytes] = {"Upgrade": b"websocket", "Connection": b"Upgrade", "Sec-WebSocket-Accept": ACCEPT}

Fields = Mapping[str, bytes | list[bytes] | None]


def head(line: bytes, fields: Fields, more: bytes = b"") -> bytes:
    """A first line, fields, more bytes as they are, and the empty line."""
    rows = [(name, one) for name, value in fields.items() for one in (value if isinstance(value, list) else [value])]
    return b"\r\n".join([line, *(b"%s: %s" % (n.encode(), v) for n, v in rows if v is not None), more + b"\r\n"])


def request(changed: Fields | None = None, more: bytes = b"", *, line: bytes = b"GET /chat?x=1 HTTP/1.1") -> bytes:
    """A good request, but for what is changed."""
    return head(line, {**ASKED, **(changed or {})}, more)


def answer(
    changed: Fields | None = None, more: bytes = b"", *, line: bytes = b"HTTP/1.1 101 Switching Protocols"
) -> bytes:
    """A good answer to KEY, but for what is changed."""
    return head(line, {**ANSWERED, **(changed or {})}, more)


def accept_for(asked: bytes) -> bytes:
    """The accept key that proves to have read this request."""
    lines = asked.split(b"\r\n")
    key = next(line.split(b":")[1].strip() for line in lines if line.lower().startswith(b"sec-websocket-key:"))
    return base64.b64encode(hashlib.sha1(key + GUID).digest())


@asynccontextmanager
async def dialled(
    port: int = 0, *, unix: str | None = None, **options: Any
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A stream to a port of this machine or to a unix socket; at the end it is dropped."""
    opening = asyncio.open_connection("127.0.0.1", port, **options) if port else asyncio.open_unix_connection(unix)
    reader, writer = await opening
    try:
        async with asyncio.timeout(LIMIT):
            yield reader, writer
    finally:
        writer.transport.abort()


async def status_of(port: int, *chunks: bytes) -> int:
    """The status that these bytes get, each sent when the one before has left; unless it is 101, the server must then
    hang up.
    """
    async with dialled(port) as (reader, writer):
        for chunk in chunks:
            writer.write(chunk)
            with suppress(ConnectionError):
                await writer.drain()
        status = int((await reader.readline()).split()[1])
        if status != 101:
            await reader.read()
        return status


@asynccontextmanager
async def answering(data: bytes, *, step: int | None = None, then_closes: bool = True) -> AsyncIterator[str]:
    """The address of a TCP server that reads a request and answers `data`, in which ACCEPT stands for the accept key
    that is right, whole or in steps of some bytes each; then it closes, or else waits for the client to do so.
    """
    talks: list[asyncio.Task[None]] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talks.append(asyncio.current_task())  # type: ignore[arg-type]  # it runs as one
        with suppress(ConnectionError):
            asked = await reader.readuntil(b"\r\n\r\n")
            reply = data.replace(ACCEPT, accept_for(asked)) if ACCEPT in data else data
            for at in range(0, len(reply), step or len(reply) or 1):
                writer.write(reply[at : at + (step or len(reply))])
                await writer.drain()
                await asyncio.sleep(0)
            if not then_closes:
                await reader.read()
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    try:
        async with asyncio.timeout(LIMIT):
            yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
            server.close()
            await asyncio.gather(*talks)
    finally:
        server.close()
        for task in talks:
            task.cancel()
