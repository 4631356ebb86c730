"""A TCP proxy in this process that breaks connections on purpose, and reproducibly.

Theory of operation. A `Line` has two ends, one to the client and one to the server, and two flows between them. What an
end receives waits in the flow to the other end until the flow lets it pass. The flow counts what has passed, and stops
at the byte at which the next fault begins, so a fault strikes between two bytes and not between two reads. An end of
file waits behind the bytes before it. While a flow is stalled or holds 64 KiB, its source is not read, so the sender
sees backpressure.

It uses the loop's `create_server` and `create_connection`, so it works on real sockets and, with a `VirtualLoop`, on
simulated ones.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
from collections import deque
from collections.abc import Callable, Sequence
from operator import methodcaller
from types import TracebackType
from typing import Final, Literal, NamedTuple, Self, cast

from trunkline.testing.faults import AT_THE_DOOR, LASTING, Fault, Plan
from trunkline.testing.flow import Flow

__all__ = ["FaultProxy", "Incident", "Line", "reset"]

LOG_SIZE: Final = 10_000  # incidents that a proxy remembers
# struct linger: on, for 0 seconds. Windows uses shorts.
NO_LINGER: Final = struct.pack("HH" if sys.platform == "win32" else "ii", 1, 0)
LINGER: Final = 60.0  # seconds to keep a half-open line for an end that has sent its end of file

Gone = Literal["server", "client", "both"]

_SENDER: Final[dict[str, Gone]] = {"client": "server", "server": "client", "both": "both"}  # of the bytes toward an end


class Incident(NamedTuple):
    """An entry of a proxy's log. at: the loop's time in seconds. line: the number of the connection, from 0."""

    at: float
    line: int
    what: str


class FaultProxy:
    """A proxy that listens on its own port and forwards connections to `host` and `port`.

        async with FaultProxy("127.0.0.1", server.port, plan=seeded_faults(7, within_bytes=10_000)) as proxy:
            async with trunkline.connect(f"ws://127.0.0.1:{proxy.port}/") as ws: ...

    Its methods `cut`, `reset`, `stall`, `resume` and `half_open` act on all connections; the same methods of a member
    of `lines` act on one. Leaving the block ends all connections.

    Args:
        host, port: where to forward connections to.
        plan: a function from a connection's number to its faults, or a sequence of faults for each connection.
        listen, listen_port: the address to listen on; port 0 for any free one.
        log_size: how many of the latest incidents `log` keeps; None for all.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        plan: Plan | Sequence[Fault] = (),
        listen: str = "127.0.0.1",
        listen_port: int = 0,
        log_size: int | None = LOG_SIZE,
    ) -> None:
        self.host = listen
        self.port = listen_port
        self.lines: list[Line] = []  # those that have not ended
        self.log: deque[Incident] = deque(maxlen=log_size)  # the latest
        self.accepted = 0  # connections so far
        self.is_blackhole = False  # accept new connections, but neither read nor answer them
        self._target = (host, port)
        self._plan: Plan = plan if callable(plan) else lambda _: plan
        self._server: asyncio.AbstractServer | None = None

    async def __aenter__(self) -> Self:
        await self.accept()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def accept(self) -> None:
        """Listen; after `refuse`, on the same port as before. Raise OSError if that fails."""
        if self._server is None:
            loop = asyncio.get_running_loop()
            server = self._server = await loop.create_server(lambda: Line(self).client, self.host, self.port)
            self.port = server.sockets[0].getsockname()[1]

    def refuse(self) -> None:
        """Stop listening, so that new connections are refused. Existing ones continue."""
        server, self._server = self._server, None
        if server is not None:
            server.close()

    async def close(self) -> None:
        """Stop listening, drop all connections, and wait until nothing is left of them."""
        self.refuse()
        lines = list(self.lines)
        for line in lines:
            line.drop()
        for line in lines:
            await line.wait_ended()

    def cut(self) -> None:
        """End all connections with an end of file both ways."""
        self._each(Line.cut)

    def reset(self) -> None:
        """End all connections with a TCP reset both ways."""
        self._each(Line.reset)

    def stall(self) -> None:
        """Let nothing pass on the present connections until `resume`."""
        self._each(Line.stall)

    def resume(self) -> None:
        """End `stall`: what was held passes."""
        self._each(Line.resume)

    def half_open(self) -> None:
        """Drop the server's ends. The clients do not notice."""
        self._each(Line.half_open)

    def _each(self, act: Callable[[Line], None]) -> None:
        for line in list(self.lines):
            act(line)

    def _enrol(self, line: Line) -> int:
        self.lines.append(line)
        self.accepted += 1
        return self.accepted - 1

    def _faults_of(self, number: int) -> Sequence[Fault]:
        return [Fault("blackhole")] if self.is_blackhole else self._plan(number)


class Line:
    """One connection through a FaultProxy. number: counted from 0."""

    def __init__(self, proxy: FaultProxy) -> None:
        self.number = -1
        self.client = _End(self)  # the end that the client is connected to
        self.server = _End(self)
        self._proxy = proxy
        self._loop = asyncio.get_running_loop()
        self._ahead = Flow(self.client, self.server, self._loop, self._check_over)
        self._back = Flow(self.server, self.client, self._loop, self._check_over)
        self.client.join(self._ahead, self._back)
        self.server.join(self._back, self._ahead)
        self._is_cut = self._is_over = False
        self._timers: list[asyncio.TimerHandle] = []
        self._dial: asyncio.Task[None] | None = None
        self._ended: asyncio.Future[None] = self._loop.create_future()

    @property
    def is_cut(self) -> bool:
        """Whether `cut` was called.

        What either side still sends is discarded until it has read the end of file, as closing a socket with unread
        data would reset it.
        """
        return self._is_cut

    @property
    def to_server(self) -> int:
        """Bytes passed on from the client so far."""
        return self._ahead.passed

    @property
    def to_client(self) -> int:
        """Bytes passed on from the server so far."""
        return self._back.passed

    def cut(self) -> None:
        """End it with an end of file both ways, after what has been passed on."""
        self._note("cut")
        self._is_cut = True
        self._end(_end_output)

    def reset(self) -> None:
        """End it with a TCP reset both ways, which may overtake what was passed on."""
        self._note("reset")
        self._end(reset)

    def stall(self) -> None:
        """Let nothing pass until `resume`."""
        self._note("stall")
        for flow in (self._ahead, self._back):
            flow.hold()

    def resume(self) -> None:
        """End `stall`."""
        self._note("resume")
        for flow in (self._ahead, self._back):
            flow.release()

    def half_open(self, gone: Gone = "server") -> None:
        """Drop one end without the other noticing: what the other sends is read and discarded.

        gone: the end to drop. With "both", nothing passes either way, and both ends wait.
        """
        self._note(f"half open, {gone} gone")
        for flow in (self._ahead, self._back):
            flow.sink()
        for end, name in ((self.server, "server"), (self.client, "client")):
            if gone == name and end.transport is not None:
                end.transport.abort()

    def drop(self) -> None:
        """End it at once, in any state."""
        self._end(methodcaller("abort"))

    async def wait_ended(self) -> None:
        """Wait until both of its sockets are gone."""
        await asyncio.shield(self._ended)

    # Called by its ends

    def begin(self) -> None:
        """Begin: the client has connected."""
        self.number = self._proxy._enrol(self)
        faults = self._proxy._faults_of(self.number)
        door = next((fault.kind for fault in faults if fault.kind in AT_THE_DOOR), None)
        self._note("accepted")
        if door == "refuse":
            self.reset()
        elif door == "blackhole":
            self._note("blackhole")
        else:
            for fault in faults:
                self._arrange(fault)
            if not self._is_over:
                self._dial = self._loop.create_task(self._connect())

    def forget_later(self, end: _End) -> None:
        """Drop an end of a half-open line some time after its end of file, which must not be answered."""
        self._timers.append(self._loop.call_later(LINGER, end.drop))

    def check_end(self) -> None:
        """Finish if both ends are gone."""
        if self.client.transport is None and self.server.transport is None and self._dial is None:
            for timer in self._timers:
                timer.cancel()
            if self in self._proxy.lines:
                self._proxy.lines.remove(self)
            if not self._ended.done():
                self._ended.set_result(None)

    async def _connect(self) -> None:
        try:
            await self._loop.create_connection(lambda: self.server, *self._proxy._target)
        except OSError as error:
            self._note(f"the server cannot be reached: {error}")
            if self.client.transport is not None:
                reset(self.client.transport)
        finally:
            self._dial = None
            self.check_end()

    def _check_over(self) -> None:
        """Close it when both sides have sent their end of file."""
        if self._ahead.is_over and self._back.is_over:
            self._end(methodcaller("close"))

    def _arrange(self, fault: Fault) -> None:
        flows = {"server": [self._ahead], "client": [self._back], "both": [self._ahead, self._back]}[fault.toward]
        if fault.after is not None:
            self._timers.append(self._loop.call_later(fault.after, self._strike, fault, flows))
        elif fault.at_byte is not None:
            for flow in flows:
                flow.at_byte(fault.at_byte, lambda flow=flow: self._strike(fault, [flow]))  # type: ignore[misc]
        else:
            self._strike(fault, flows)

    def _strike(self, fault: Fault, flows: Sequence[Flow]) -> None:
        match fault.kind:
            case "cut":
                self.cut()
            case "reset":
                self.reset()
            case "half_open":
                self.half_open(_SENDER[fault.toward])
            case _:
                self._note(f"{fault.kind} toward {fault.toward}")
                for flow in flows:
                    flow.begin(fault.kind, fault.amount)
                    if fault.lasts is not None and fault.kind in LASTING:
                        self._timers.append(self._loop.call_later(fault.lasts, flow.finish, fault.kind))

    def _end(self, how: Callable[[asyncio.Transport], object]) -> None:
        for flow in (self._ahead, self._back):
            flow.stop()
        self._is_over = True
        if self._dial is not None and self.server.transport is None:
            self._dial.cancel()
        for end in (self.client, self.server):
            if end.transport is not None:
                how(end.transport)

    def _note(self, what: str) -> None:
        self._proxy.log.append(Incident(self._loop.time(), self.number, what))


class _End(asyncio.Protocol):
    """One end of a line. What it receives flows to the other end. transport: None while it has none."""

    def __init__(self, line: Line) -> None:
        self.transport: asyncio.Transport | None = None
        self._line = line

    def join(self, out: Flow, into: Flow) -> None:
        """Set the flow that this end feeds, and the one that feeds it."""
        self._out, self._into = out, into

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        if self._line.client is self:
            self._line.begin()
        else:
            self._into.pump()
        self._out.check_reading()

    def drop(self) -> None:
        """End it at once."""
        if self.transport is not None:
            self.transport.abort()

    def data_received(self, data: bytes) -> None:
        self._out.feed(data)

    def eof_received(self) -> bool:
        self._out.feed_end("eof")
        if self._line.is_cut and self.transport is not None:
            self.transport.close()
        elif self._out.is_sunk:
            self._line.forget_later(self)
        return True  # the other direction goes on

    def pause_writing(self) -> None:
        self._into.choke()

    def resume_writing(self) -> None:
        self._into.unchoke()

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self._out.feed_end("reset" if exc is not None else "lost")
        self._line.check_end()


def _end_output(transport: asyncio.Transport) -> None:
    if transport.can_write_eof() and not transport.is_closing():
        transport.write_eof()
        if not transport.is_reading():
            transport.resume_reading()
    else:
        transport.close()


def reset(transport: asyncio.Transport) -> None:
    """End a connection with a TCP reset, whatever its kind of transport."""
    simulated = getattr(transport, "reset", None)
    if simulated is not None:
        simulated()
        return
    sock = transport.get_extra_info("socket")
    if sock is not None and not transport.is_closing():
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
    transport.abort()
