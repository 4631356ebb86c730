"""What every proxy of the tests does: it keeps its connections, moves bytes both ways, and ends with the test."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

import trunkline


@dataclass
class Tunnels:
    """The part of a proxy that speaks nothing; `talk` is the subclass's."""

    port: int = 0
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        raise NotImplementedError

    async def join(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, port: int, answer: bytes
    ) -> None:
        """Connects to where the client wants to go, says so, and moves bytes until either side ends."""
        there, here = await asyncio.open_connection(host, port)
        self.writers.append(here)
        writer.write(answer)
        await asyncio.gather(_move(reader, here), _move(there, writer))


async def _move(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


P = TypeVar("P", bound=Tunnels)


@contextlib.asynccontextmanager
async def running(proxy: P, tls: Any = None) -> AsyncIterator[P]:
    """The proxy, listening on loopback."""
    server = await asyncio.start_server(proxy.talk, "127.0.0.1", 0, ssl=tls)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        async with asyncio.timeout(20):
            yield proxy
    finally:
        server.close()
        for writer in proxy.writers:
            writer.transport.abort()
        await asyncio.gather(*(writer.wait_closed() for writer in proxy.writers), return_exceptions=True)


async def works(uri: str, **options: Any) -> None:
    """A short and a long message come back."""
    async with trunkline.connect(uri, **options) as ws:
        for message in ("through", b"x" * 300_000):
            await ws.send(message)
            assert await ws.recv() == message
