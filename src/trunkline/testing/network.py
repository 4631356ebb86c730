"""A simulated network for a VirtualLoop: names, listeners and dials without a kernel.

Every name under ".sim.invalid" (reserved by RFC 6761) gets an address when it is first used, in order, from the range
for network tests (RFC 2544). A byte takes `latency` seconds one way, and a dial takes twice that.
"""

from __future__ import annotations

import asyncio
import errno
import itertools
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from trunkline.testing.transport import SimTransport

if TYPE_CHECKING:
    import socket

__all__ = ["Network", "Passage", "SimSocket"]

SUFFIX: Final = "sim.invalid"
FIRST_PORT: Final = 49152


class Passage(NamedTuple):
    """An entry of a network's trace. what: "bytes", "eof" or "reset". way: the addresses of sender and receiver."""

    at: float
    way: str
    what: str
    size: int


class Network:
    """The network of a VirtualLoop.

    Attributes:
        latency: seconds that a byte takes one way; you may change it at any time.
        trace: None, or a list to which every arrival is added. Two runs are the same if their traces are.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, latency: float = 0.001) -> None:
        self.latency = latency
        self.trace: list[Passage] | None = None
        self._loop = loop
        self._addresses: dict[str, str] = {}
        self._listeners: dict[tuple[str, int], SimServer] = {}
        self._dialled: weakref.WeakKeyDictionary[Any, SimTransport] = weakref.WeakKeyDictionary()
        self._ports = itertools.count(FIRST_PORT)

    def knows(self, host: object) -> bool:
        """Return whether a host is simulated: a name under ".sim.invalid", or the address of one."""
        if not isinstance(host, str):
            return False
        return host == SUFFIX or host.endswith("." + SUFFIX) or host in self._addresses.values()

    def address_of(self, host: str) -> str:
        """Return the address of a simulated host."""
        if host in self._addresses.values():
            return host
        number = len(self._addresses) + 1
        return self._addresses.setdefault(host, f"198.18.{number >> 8}.{number & 255}")

    def bind(self, host: str, port: int, protocol_factory: Callable[[], asyncio.BaseProtocol]) -> SimServer:
        """Return a server that does not listen yet. port: 0 for any free one. Raise OSError if it is in use."""
        place = (self.address_of(host), port or next(self._ports))
        if place in self._listeners:
            raise OSError(errno.EADDRINUSE, f"{host}:{port} is in use on the simulated network")
        return SimServer(self, self._loop, place, protocol_factory)

    async def dial(self, host: str, port: int, sock: socket.socket | None) -> SimTransport:
        """Connect to a listener. Raise ConnectionRefusedError if there is none. sock: closed with the connection."""
        place = (self.address_of(host), port)
        await asyncio.sleep(self.latency)
        listener = self._listeners.get(place)
        if listener is None:
            await asyncio.sleep(self.latency)
            raise ConnectionRefusedError(errno.ECONNREFUSED, f"nobody listens on {host}:{port} (simulated)")
        here = SimTransport(self._loop, self, ("198.18.0.0", next(self._ports)), place, sock)
        there = SimTransport(self._loop, self, place, here.get_extra_info("sockname"), None)
        here.join(there)
        there.join(here)
        there.start(listener.protocol_factory())
        try:
            await asyncio.sleep(self.latency)
        except BaseException:
            here.abort()
            raise
        if sock is not None:
            self._dialled[sock] = here
        return here

    def take(self, sock: socket.socket) -> SimTransport | None:
        """Return the connection that a socket represents, None for a real socket."""
        return self._dialled.pop(sock, None)

    def note(self, way: str, what: str, size: int) -> None:
        """Add an arrival to the trace."""
        if self.trace is not None:
            self.trace.append(Passage(self._loop.time(), way, what, size))

    def _listen(self, server: SimServer) -> None:
        self._listeners[server.place] = server

    def _stop_listening(self, server: SimServer) -> None:
        if self._listeners.get(server.place) is server:
            del self._listeners[server.place]


class SimServer(asyncio.AbstractServer):
    """A listening server of a Network."""

    def __init__(
        self,
        network: Network,
        loop: asyncio.AbstractEventLoop,
        place: tuple[str, int],
        protocol_factory: Callable[[], asyncio.BaseProtocol],
    ) -> None:
        self.place = place
        self.protocol_factory = protocol_factory
        self._network, self._loop = network, loop
        self._is_closed = False

    @property
    def sockets(self) -> tuple[SimSocket, ...]:
        """A substitute for its listening socket; empty once it is closed."""
        return () if self._is_closed else (SimSocket(self.place),)

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """Return the loop that it was made on."""
        return self._loop

    def is_serving(self) -> bool:
        """Return whether it accepts connections."""
        return self._network._listeners.get(self.place) is self

    async def start_serving(self) -> None:
        """Start to accept connections."""
        self._network._listen(self)

    async def serve_forever(self) -> None:
        """Accept connections until cancelled."""
        await self.start_serving()
        await self._loop.create_future()

    def close(self) -> None:
        """Accept no more connections. Existing ones continue."""
        self._is_closed = True
        self._network._stop_listening(self)

    async def wait_closed(self) -> None:
        """Return at once: a closed server has nothing left."""


class SimSocket:
    """A substitute for the listening socket of a SimServer, which knows its address."""

    def __init__(self, place: tuple[str, int]) -> None:
        self._place = place

    def getsockname(self) -> tuple[str, int]:
        """Return the address that the server listens on."""
        return self._place
