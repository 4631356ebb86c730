"""TCP servers that do as a test says, for whoever expects a WebSocket."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any]


@contextlib.asynccontextmanager
async def raw(talk: Talk, **options: Any) -> AsyncIterator[int]:
    """A TCP server that does as the test says; gives its port. Whoever is connected at its end is dropped."""
    talking: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        talking.add(task)
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                await talk(reader, writer)
        finally:
            talking.discard(task)
            writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0, **options) as server:
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            for task in talking:
                task.cancel()
            await asyncio.gather(*talking, return_exceptions=True)


async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Takes everything and says nothing."""
    await reader.read()


def banner(text: bytes) -> Talk:
    """Says this at once and hangs up."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(text)
        await reader.read(1)

    return talk
