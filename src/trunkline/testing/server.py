"""A server that does what a script says, connection by connection."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from trunkline.testing.peer import MAX_HEAD, PeerGone, ScriptedPeer
from trunkline.testing.script import Step

__all__ = ["ScriptedServer"]


class ScriptedServer:
    """Plays scripts to whoever connects.

        async with ScriptedServer([answer(503, {"Retry-After": "4"})], [accept(), receive(3), close(1012)]) as server:
            await manager.connect(Service("flaky", server.uri, ...))

    scripts: the first connection gets the first one, the second the second, and all after the last get the last; or one
    callable that is given the connection's number, from 0. A script is a list of steps (`trunkline.testing.script`).
    When it ends, or the client goes, the connection is closed; what else a step raises is raised when the block ends.
    peers: all connections so far, in the order in which they came, with what was asked and received.
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
        """Where to connect."""
        return f"ws://{self.host}:{self.port}/"

    @property
    def arrivals(self) -> list[float]:
        """The loop's time at each connection."""
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
        """Listens; after `stop`, on the same port as before."""
        self._server = await asyncio.start_server(self._accept, self.host, self.port, limit=MAX_HEAD)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stops listening, and drops every connection there is."""
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
        """Ends the connection, and reads what is on the way: to close a socket with unread data would reset it, and
        what it has sent with it.
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
