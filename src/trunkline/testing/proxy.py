"""A TCP proxy in this process that does harm on purpose, and always the same.

Theory of operation. A `Line` has two ends, one to the client and one to the server, and two flows between them. What an
end receives waits in the flow to the other until the flow lets it pass: the flow counts what has passed, and stops at
the byte at which the next fault begins, so that a fault strikes between two bytes and not between two reads. The end
of a side waits in the flow behind its bytes. While a flow is stalled, or holds 64 KiB, its source is not read: the
sender feels backpressure, as from any proxy that does not read.

It speaks to the loop's own `create_server` and `create_connection`, and so works on real sockets and, under a
`VirtualLoop`, on simulated ones.
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
# struct linger: on, for no seconds. Windows has shorts in it.
NO_LINGER: Final = struct.pack("HH" if sys.platform == "win32" else "ii", 1, 0)
LINGER: Final = 60.0  # seconds that a half-open line is kept for an end that sends nothing more

Gone = Literal["server", "client", "both"]

_SENDER: Final[dict[str, Gone]] = {"client": "server", "server": "client", "both": "both"}  # of the bytes toward an end


class Incident(NamedTuple):
    """A line of a proxy's log. at: the loop's time, in seconds. line: the connection's number, from 0."""

    at: float
    line: int
    what: str


class FaultProxy:
    """A proxy that listens on a port of its own and passes connections on to `host` and `port`.

        async with FaultProxy("127.0.0.1", server.port, plan=seeded_faults(7, within_bytes=10_000)) as proxy:
            async with trunkline.connect(f"ws://127.0.0.1:{proxy.port}/") as ws: ...

    plan: the faults of each connection by its number, or a sequence of faults that each of them meets. listen: the
    address to listen on. log_size: incidents that `log` keeps, the latest; None for all. At any time `cut`, `reset`,
    `stall`, `half_open` and their opposites act on every connection there is, and on one alone when called on a
    member of `lines`. Leaving the block ends all.
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
        self.is_blackhole = False  # whether new connections are accepted, and neither read nor answered
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
        """Listens; after `refuse`, on the same port as before. Raises OSError if it cannot."""
        if self._server is None:
            loop = asyncio.get_running_loop()
            server = self._server = await loop.create_server(lambda: Line(self).client, self.host, self.port)
            self.port = server.sockets[0].getsockname()[1]

    def refuse(self) -> None:
        """Stops listening: dials are refused. The lines there are go on."""
        server, self._server = self._server, None
        if server is not None:
            server.close()

    async def close(self) -> None:
        """Stops listening and drops every line. Done when nothing of them is left."""
        self.refuse()
        lines = list(self.lines)
        for line in lines:
            line.drop()
        for line in lines:
            await line.wait_ended()

    def cut(self) -> None:
        """Ends every line with an end of file both ways."""
        self._each(Line.cut)

    def reset(self) -> None:
        """Ends every line with a TCP reset both ways."""
        self._each(Line.reset)

    def stall(self) -> None:
        """Lets nothing pass on the lines there are, until `resume`."""
        self._each(Line.stall)

    def resume(self) -> None:
        """Ends `stall`: what was held passes."""
        self._each(Line.resume)

    def half_open(self) -> None:
        """The server's ends are dropped; the clients hear nothing of it."""
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
    """One connection through a FaultProxy. number: counted from 0. to_server, to_client: bytes passed on so far."""

    def __init__(self, proxy: FaultProxy) -> None:
        self.number = -1
        self.client = _End(self)  # the end that the client has connected to
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
        """Whether `cut` was called. What either side still sends is thrown away until it has read the end of file: to
        close a socket with unread data would reset it.
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
        """Ends it with an end of file both ways, after what has been passed on."""
        self._note("cut")
        self._is_cut = True
        self._end(_end_output)

    def reset(self) -> None:
        """Ends it with a TCP reset both ways; it may overtake what was passed on."""
        self._note("reset")
        self._end(reset)

    def stall(self) -> None:
        """Lets nothing pass, until `resume`."""
        self._note("stall")
        for flow in (self._ahead, self._back):
            flow.hold()

    def resume(self) -> None:
        """Ends `stall`."""
        self._note("resume")
        for flow in (self._ahead, self._back):
            flow.release()

    def half_open(self, gone: Gone = "server") -> None:
        """One end is dropped, and the other hears nothing of it: what it sends is read and thrown away. With "both",
        nothing passes either way, and both wait.
        """
        self._note(f"half open, {gone} gone")
        for flow in (self._ahead, self._back):
            flow.sink()
        for end, name in ((self.server, "server"), (self.client, "client")):
            if gone == name and end.transport is not None:
                end.transport.abort()

    def drop(self) -> None:
        """Ends it at once, whatever has been done to it."""
        self._end(methodcaller("abort"))

    async def wait_ended(self) -> None:
        """Waits until both of its sockets are gone."""
        await asyncio.shield(self._ended)

    # What its ends tell

    def begin(self) -> None:
        """The client has connected."""
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
        """An end of a half-open line has said that it sends nothing more; to answer would be more than it may hear."""
        self._timers.append(self._loop.call_later(LINGER, end.drop))

    def check_end(self) -> None:
        """Whether it is over, now that an end is gone."""
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
        """Closes it when both sides have said that they send nothing more."""
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
    """One end of a line: what it receives flows to the other. transport: None before and after it has one."""

    def __init__(self, line: Line) -> None:
        self.transport: asyncio.Transport | None = None
        self._line = line

    def join(self, out: Flow, into: Flow) -> None:
        """The flows that this end feeds, and that feed it."""
        self._out, self._into = out, into

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        if self._line.client is self:
            self._line.begin()
        else:
            self._into.pump()
        self._out.check_reading()

    def drop(self) -> None:
        """Ends it at once."""
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
        return True  # what comes the other way still passes

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
    """Ends a connection with a TCP reset, whatever kind of transport it has."""
    simulated = getattr(transport, "reset", None)
    if simulated is not None:
        simulated()
        return
    sock = transport.get_extra_info("socket")
    if sock is not None and not transport.is_closing():
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
    transport.abort()
