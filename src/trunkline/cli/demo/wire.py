"""A TCP forwarder on loopback that the demo can cut."""

from __future__ import annotations

import asyncio
import logging
from typing import cast

from trunkline.net.faults import watch

__all__ = ["Wire"]


class Wire:
    """Listens on a port of its own and forwards each TCP connection to another port."""

    def __init__(self, target: int) -> None:
        self.port = 0
        self._target = target
        self._server: asyncio.Server | None = None
        self._ends: set[_End] = set()
        self._dials: set[asyncio.Task[None]] = set()

    async def connect(self) -> None:
        """Listen, on the same port as before if there was one."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _End(self), "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    def disconnect(self) -> None:
        """Stop listening, so that further connections are refused, and cut those that are open."""
        self.cut()
        server, self._server = self._server, None
        if server is not None:
            # asyncio sets up an accepted connection one turn later, which fails if the server is closed by then.
            loop = asyncio.get_running_loop()
            for sock in server.sockets:
                loop.remove_reader(sock.fileno())
            loop.call_soon(self._close, server)

    def _close(self, server: asyncio.Server) -> None:
        server.close()
        for dial in self._dials:
            dial.cancel()
        self.cut()

    def cut(self) -> None:
        """Abort every connection."""
        for end in self._ends:
            end.transport.abort()

    def stall(self) -> None:
        """Discard what is sent on the connections that are open, as if they were dead without an error."""
        for end in self._ends:
            end.is_stalled = True

    def forward(self, near: _End) -> None:
        """Connect an accepted connection to the target. Abort it if the wire was disconnected meanwhile."""
        if self._server is None:
            near.transport.abort()
            return
        task = asyncio.get_running_loop().create_task(self._dial(near))
        self._dials.add(task)
        task.add_done_callback(self._dials.discard)
        watch(task, logging.getLogger("trunkline.cli"), "dialling for the wire", near.transport.abort)

    async def _dial(self, near: _End) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.create_connection(lambda: _End(self, near), "127.0.0.1", self._target)
        except OSError:
            near.transport.abort()
        else:
            near.transport.resume_reading()

    def add(self, end: _End) -> None:
        """Add an end that has connected."""
        self._ends.add(end)

    def remove(self, end: _End) -> None:
        """Remove an end that has closed."""
        self._ends.discard(end)


class _End(asyncio.Protocol):
    """One end of a forwarded connection: the other end sends what this one receives."""

    transport: asyncio.Transport

    def __init__(self, wire: Wire, other: _End | None = None) -> None:
        self.is_stalled = False
        self._early = bytearray()
        self._wire = wire
        self._other = other

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._wire.add(self)
        if self._other is not None:
            self._other._other = self
            self.transport.write(self._other._early)
        else:
            self.transport.pause_reading()
            self._wire.forward(self)

    def data_received(self, data: bytes) -> None:
        if self._other is None:
            self._early += data
        elif not self.is_stalled:
            self._other.transport.write(data)

    def pause_writing(self) -> None:
        if self._other is not None:
            self._other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self._other is not None:
            self._other.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self._wire.remove(self)
        if self._other is not None:
            self._other.transport.close()  # closes after it has sent what it buffers
