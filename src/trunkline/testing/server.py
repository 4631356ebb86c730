"""A server that follows a script for each connection."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from trunkline.testing.peer import MAX_HEAD, PeerGone, ScriptedPeer
from trunkline.testing.script import Step

__all__ = ["ScriptedServer"]


class ScriptedServer:
    """A server that plays a script for each connection.

        async with ScriptedServer([answer(503, {"Retry-After": "4"})], [accept(), receive(3), close(1012)]) as server:
            await manager.connect(Service("flaky", server.uri, ...))

    A script is a list of steps (`trunkline.testing.script`). When it ends or the client leaves, the connection is
    closed. If a step raises, leaving the block raises that.

    Args:
        scripts: the first connection gets the first script, the second one the second, and those after the last script
            get the last one. Or one callable that takes the connection's number, from 0, and returns its script.
        host, port: where to listen; port 0 for any free one.

    Attributes:
        peers: all connections so far, oldest first.
    """

    def __init__(
        self, *scripts: Sequence[Step] | Callable[[int], Sequence[Step]], host: str = "127.0.0.1", port: int = 0
    ) -> None:
        self.host = host
        self.port = port
        self.peers: list[ScriptedPeer] = []
        self._scripts = scripts
        self._server: asyncio.Server | None = None
        self._talks: set[asyncio.Task[None]] = set()
        self._errors: list[Exception] = []

    @property
    def uri(self) -> str:
        """The URI to connect to."""
        return f"ws://{self.host}:{self.port}/"

    @property
    def arrivals(self) -> list[float]:
        """The loop's time at which each connection was accepted."""
        return [peer.at for peer in self.peers]

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()
        if error is None and self._errors:
            raise self._errors[0]

    async def start(self) -> None:
        """Listen; after `stop`, on the same port as before."""
        self._server = await asyncio.start_server(self._accept, self.host, self.port, limit=MAX_HEAD)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening and drop all connections."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for talk in self._talks:
            talk.cancel()
        if self._talks:
            await asyncio.wait(self._talks)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = ScriptedPeer(len(self.peers), reader, writer)
        self.peers.append(peer)
        talk = asyncio.get_running_loop().create_task(self._play(peer))
        self._talks.add(talk)
        talk.add_done_callback(self._talks.discard)

    def _script_of(self, number: int) -> Sequence[Step]:
        first = self._scripts[0] if self._scripts else ()
        if callable(first):
            return first(number)
        script = self._scripts[min(number, len(self._scripts) - 1)] if self._scripts else ()
        assert not callable(script)
        return script

    async def _play(self, peer: ScriptedPeer) -> None:
        transport = peer.writer.transport
        try:
            for step in self._script_of(peer.number):
                await step(peer)
        except PeerGone:
            transport.close()
        except Exception as error:
            self._errors.append(error)
            transport.abort()
        except BaseException:
            transport.abort()
            raise
        else:
            await self._part(peer)

    async def _part(self, peer: ScriptedPeer) -> None:
        """End the connection, and read what is on the way.

        Closing a socket with unread data would reset it and lose what it has sent.
        """
        transport = peer.writer.transport
        if transport.is_closing():
            return
        try:
            if transport.can_write_eof():
                transport.write_eof()
            while await peer.reader.read(65_536):
                pass
        except OSError:
            pass  # reset, or gone before we ended it
        finally:
            transport.close()
