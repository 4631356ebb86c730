"""An event loop with virtual time: when nothing is ready, it jumps to the next timer at once.

Theory of operation. `VirtualLoop` is asyncio's selector loop with another clock and another way to wait. Where asyncio
would sleep until the next timer is due, it moves its clock there. So hours of retries take milliseconds, and what
happens depends on the order of the timers alone. Two kinds of waiting cannot be skipped:

- Work in the loop's executor (name look-ups, files): time stands still until it is done.
- Real sockets: the loop polls them for `GRACE` real seconds before it moves the clock. On loopback, that is enough in
  practice, but it is no guarantee: another process may take longer.

For reproducible runs, use nothing real: servers and clients under names that end in ".sim.invalid" meet on the loop's
simulated network (`trunkline.testing.Network`).
"""

from __future__ import annotations

import asyncio
import selectors
import socket
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final, TypeVar, TypeVarTuple

from trunkline.testing.network import Network

__all__ = ["VirtualLoop", "run_virtual"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

GRACE: Final = 0.002  # real seconds for real sockets to become ready before time moves


class VirtualLoop(asyncio.SelectorEventLoop):
    """An asyncio event loop with virtual time, which starts at 0, and a simulated network.

    With pytest and anyio: `@pytest.fixture def anyio_backend(): return "asyncio", {"loop_factory": VirtualLoop}`.
    Raises RuntimeError when all tasks wait and no timer or real work can ever wake one.

    Attributes:
        network: the simulated network that `create_server` and `create_connection` use for names under ".sim.invalid".
    """

    is_virtual = True  # watchers of the real machine, such as its network, stay off

    def __init__(self) -> None:
        self._now = 0.0
        self._working = 0  # calls in the executor
        super().__init__(_Selector(self._pass_time))
        self.network = Network(self)

    def time(self) -> float:
        """Return the virtual seconds since the loop was made."""
        return self._now

    def stall(self, seconds: float) -> None:
        """Let time pass in which nothing runs, as if a callback took that long or the machine was suspended."""
        self._now += seconds

    def run_in_executor(self, executor: Any, func: Callable[[*Ts], T], *args: *Ts) -> asyncio.Future[T]:
        """Run it as asyncio does. Time stands still until it is done."""
        future = super().run_in_executor(executor, func, *args)
        self._working += 1
        future.add_done_callback(self._work_done)
        return future

    async def shutdown_default_executor(self, *args: Any) -> None:
        """Do as asyncio does, which waits for a thread."""
        self._working += 1
        try:
            await super().shutdown_default_executor(*args)
        finally:
            self._working -= 1

    async def getaddrinfo(self, host: Any, port: Any, **hints: Any) -> Any:
        """Do as asyncio does; a simulated name has one address."""
        if not self.network.knows(host):
            return await super().getaddrinfo(host, port, **hints)
        address = self.network.address_of(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, int(port or 0)))]

    async def sock_connect(self, sock: socket.socket, address: Any) -> None:
        """Do as asyncio does; for a simulated address, the socket only represents the connection."""
        if isinstance(address, tuple) and self.network.knows(address[0]):
            await self.network.dial(address[0], address[1], sock)
        else:
            await super().sock_connect(sock, address)

    async def create_connection(  # type: ignore[override]  # the overloads add nothing here
        self, protocol_factory: Callable[[], asyncio.BaseProtocol], host: Any = None, port: Any = None, **options: Any
    ) -> tuple[asyncio.Transport, asyncio.BaseProtocol]:
        """Do as asyncio does; a simulated host, or a socket that `sock_connect` connected to one, cannot have TLS."""
        sock = options.get("sock")
        transport = None if sock is None else self.network.take(sock)
        if transport is None and not self.network.knows(host):
            return await super().create_connection(protocol_factory, host, port, **options)
        self._refuse_tls(options)
        if transport is None:
            transport = await self.network.dial(host, port, None)
        return await transport.begin(protocol_factory())

    async def create_server(
        self, protocol_factory: Callable[[], asyncio.BaseProtocol], host: Any = None, port: Any = None, **options: Any
    ) -> Any:
        """Do as asyncio does; a server on a simulated host cannot have TLS."""
        name = host[0] if isinstance(host, Sequence) and not isinstance(host, str) and len(host) == 1 else host
        if not self.network.knows(name):
            return await super().create_server(protocol_factory, host, port, **options)
        self._refuse_tls(options)
        server = self.network.bind(name, port or 0, protocol_factory)
        if options.get("start_serving", True):
            await server.start_serving()
        return server

    def _refuse_tls(self, options: dict[str, Any]) -> None:
        if options.get("ssl"):
            raise ValueError("a simulated connection cannot have TLS, whose records would differ from run to run (ssl)")

    def _work_done(self, _: object) -> None:
        self._working -= 1

    def _pass_time(self, timeout: float | None, poll: Callable[[float | None], list[Any]], is_alone: bool) -> list[Any]:
        """Wait for real work, or move the clock, when nothing is ready. is_alone: there is no real socket."""
        if self._working > 0 or (timeout is None and not is_alone):
            return poll(None)
        if timeout is None:
            raise RuntimeError("all tasks wait, and no timer or real work can ever wake one")
        if not is_alone and (ready := poll(GRACE)):
            return ready
        self._now += timeout
        return []


class _Selector(selectors.DefaultSelector):
    """Polls instead of waiting, and leaves the waiting to the loop."""

    def __init__(self, wait: Callable[[float | None, Callable[[float | None], list[Any]], bool], list[Any]]) -> None:
        super().__init__()
        self._wait = wait

    def select(self, timeout: float | None = None) -> list[Any]:
        """Return what is ready, or let the loop wait if nothing is."""
        ready: list[Any] = super().select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        return self._wait(timeout, super().select, len(self.get_map()) <= 1)  # one is the loop's own, to wake it


def run_virtual(main: Coroutine[Any, Any, T], *, debug: bool | None = None) -> T:
    """Run a coroutine on a new VirtualLoop, as `asyncio.run` does on a real one."""
    with asyncio.Runner(debug=debug, loop_factory=VirtualLoop) as runner:
        return runner.run(main)
