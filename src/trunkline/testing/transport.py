"""One end of a simulated connection: an asyncio transport whose other end is in the same process.

Theory of operation. What is written waits in the buffer until the peer has room, travels for the network's latency, and
waits at the peer until it is read. At most `WINDOW` bytes are on the way or unread, as with a kernel's buffers.
Arrivals of one direction are in one queue with one timer, so nothing is overtaken. A closed end that still receives
bytes answers with a reset, as TCP does.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections import deque
from collections.abc import Callable
from typing import Any, Final, Protocol, cast

__all__ = ["SimTransport"]

WINDOW: Final = 64 * 1024  # bytes on the way or unread

Place = tuple[str, int]


class Medium(Protocol):
    """What a transport needs from its Network."""

    latency: float  # seconds one way

    def note(self, way: Any, what: str, size: int) -> None:
        """Add an arrival to the trace."""


class SimTransport(asyncio.Transport):
    """A transport on a simulated network: asyncio's methods, and `reset`."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        network: Medium,
        here: Place,
        there: Place,
        sock: socket.socket | None,
    ) -> None:
        super().__init__({"sockname": here, "peername": there})
        self._loop, self._network, self._sock = loop, network, sock
        self._way = f"{here[0]}:{here[1]} > {there[0]}:{there[1]}"
        self._peer: SimTransport | None = None
        self._protocol: asyncio.BaseProtocol | None = None
        self._buffer = bytearray()  # written, but not sent yet for lack of room
        self._room = WINDOW
        self._high, self._low = 64 * 1024, 16 * 1024
        self._arrivals: deque[tuple[float, Callable[..., None], tuple[Any, ...]]] = deque()
        self._timer: asyncio.Handle | None = None
        self._unread = bytearray()
        self._is_protocol_paused = self._is_eof_written = self._is_eof_sent = self._is_eof_come = False
        self._is_started = self._is_paused = self._is_closing = self._is_gone = False

    # How it begins

    def join(self, peer: SimTransport) -> None:
        """Set the other end."""
        self._peer = peer

    def start(self, protocol: asyncio.BaseProtocol) -> None:
        """Call the protocol's `connection_made` in the next turn, and read from then on."""
        self._protocol = protocol
        self._loop.call_soon(protocol.connection_made, self)
        self._loop.call_soon(self._start_reading)

    async def begin(self, protocol: asyncio.BaseProtocol) -> tuple[asyncio.Transport, asyncio.BaseProtocol]:
        """Call `start` and wait until it has begun. If it is cancelled, it closes the connection."""
        self.start(protocol)
        try:
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        except BaseException:
            self.close()
            raise
        return self, protocol

    # For the protocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Use another protocol from now on."""
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Return the protocol."""
        assert self._protocol is not None
        return self._protocol

    def is_closing(self) -> bool:
        """Return whether it was closed or aborted, or has ended."""
        return self._is_closing

    def is_reading(self) -> bool:
        """Return whether the protocol gets what arrives."""
        return self._is_started and not self._is_paused and not self._is_closing

    def pause_reading(self) -> None:
        """Let what arrives wait; the other end waits once the window is full."""
        self._is_paused = True

    def resume_reading(self) -> None:
        """Undo `pause_reading`, from the next turn on."""
        if self._is_paused:
            self._is_paused = False
            self._loop.call_soon(self._deliver)

    def get_write_buffer_size(self) -> int:
        """Return the bytes that were written and not sent yet."""
        return len(self._buffer)

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """Return the low-water and the high-water mark, in bytes."""
        return self._low, self._high

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set the marks, in bytes. Raise ValueError unless high >= low >= 0."""
        if high is None:
            high = 64 * 1024 if low is None else 4 * low
        low = high // 4 if low is None else low
        if not high >= low >= 0:
            raise ValueError(f"high ({high!r}) must be >= low ({low!r}) must be >= 0")
        self._high, self._low = high, low
        self._check_pressure()

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        """Send as fast as the peer reads. Raise TypeError for other types, RuntimeError after `write_eof`."""
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise TypeError(f"data is {type(data).__name__}, must be bytes-like")
        if self._is_eof_written:
            raise RuntimeError("Cannot call write() after write_eof()")
        if self._is_gone or not data:
            return
        self._buffer += data
        self._send()
        self._check_pressure()

    def can_write_eof(self) -> bool:
        """Return True."""
        return True

    def write_eof(self) -> None:
        """Send an end of file after what was written. Reading goes on."""
        if not self._is_closing and not self._is_eof_written:
            self._is_eof_written = True
            self._send()

    def close(self) -> None:
        """End it when everything written has been sent. Nothing more is read."""
        if not self._is_closing:
            self._is_closing = True
            self._send()

    def abort(self) -> None:
        """End it now. The peer gets an end of file, or a reset if some of what it sent was not read."""
        self._depart(with_reset=bool(self._unread))

    def reset(self) -> None:
        """End it now. The peer gets ConnectionResetError."""
        self._depart(with_reset=True)

    # The way out

    def _send(self) -> None:
        while self._buffer and self._room > 0 and not self._is_gone:
            piece = bytes(self._buffer[: self._room])
            del self._buffer[: len(piece)]
            self._room -= len(piece)
            self._tell_peer(SimTransport._on_bytes, piece)
        if self._buffer or self._is_gone:
            return
        if (self._is_eof_written or self._is_closing) and not self._is_eof_sent:
            self._is_eof_sent = True
            self._tell_peer(SimTransport._on_eof)
        if self._is_closing:
            self._go(None)

    def _depart(self, *, with_reset: bool) -> None:
        if self._is_gone:
            return
        self._is_closing = True
        self._buffer.clear()
        if with_reset:
            self._tell_peer(SimTransport._on_reset)
        elif not self._is_eof_sent:
            self._is_eof_sent = True
            self._tell_peer(SimTransport._on_eof)
        self._go(None)

    def _tell_peer(self, what: Callable[..., None], *arguments: object) -> None:
        if self._peer is not None:
            self._peer._expect(what, arguments)

    def _on_room(self, size: int) -> None:
        """Send more, as the peer has read."""
        if not self._is_gone:
            self._room += size
            self._send()
            self._check_pressure()

    def _check_pressure(self) -> None:
        protocol = cast(asyncio.Protocol, self._protocol)
        if not self._is_protocol_paused and len(self._buffer) > self._high:
            self._is_protocol_paused = True
            protocol.pause_writing()
        elif self._is_protocol_paused and len(self._buffer) <= self._low:
            self._is_protocol_paused = False
            protocol.resume_writing()

    # The way in

    def _expect(self, what: Callable[..., None], arguments: tuple[object, ...]) -> None:
        """Queue something that is on its way here."""
        latest = self._arrivals[-1][0] if self._arrivals else 0.0
        self._arrivals.append((max(latest, self._loop.time() + self._network.latency), what, arguments))
        if self._timer is None:
            self._timer = self._loop.call_at(self._arrivals[0][0], self._arrive)

    def _arrive(self) -> None:
        self._timer = None
        now = self._loop.time()
        while self._arrivals and self._arrivals[0][0] <= now:
            _, what, arguments = self._arrivals.popleft()
            what(self, *arguments)
        if self._arrivals and self._timer is None:
            self._timer = self._loop.call_at(self._arrivals[0][0], self._arrive)

    def _on_bytes(self, data: bytes) -> None:
        self._network.note(self._way, "bytes", len(data))
        if self._is_gone:
            self._tell_peer(SimTransport._on_reset)
            return
        self._unread += data
        self._deliver()

    def _on_eof(self) -> None:
        self._network.note(self._way, "eof", 0)
        self._is_eof_come = True
        self._deliver()

    def _on_reset(self) -> None:
        self._network.note(self._way, "reset", 0)
        if not self._is_gone:
            self._is_closing = True
            self._buffer.clear()
            self._unread.clear()
            self._go(ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"))

    def _start_reading(self) -> None:
        self._is_started = True
        self._deliver()

    def _deliver(self) -> None:
        """Give the protocol what has arrived."""
        while self._unread and self.is_reading():
            size = self._hand_over()
            self._tell_peer(SimTransport._on_room, size)
        if self._is_eof_come and not self._unread and self.is_reading():
            self._is_eof_come = False
            if not cast(asyncio.Protocol, self._protocol).eof_received():
                self.close()

    def _hand_over(self) -> int:
        protocol = self._protocol
        if isinstance(protocol, asyncio.BufferedProtocol):
            space = memoryview(protocol.get_buffer(-1))
            size = min(len(space), len(self._unread))
            space[:size] = self._unread[:size]
            del self._unread[:size]
            protocol.buffer_updated(size)
        else:
            data = bytes(self._unread)
            size = len(data)
            self._unread.clear()
            cast(asyncio.Protocol, protocol).data_received(data)
        return size

    def _go(self, error: Exception | None) -> None:
        self._is_gone = True
        self._loop.call_soon(self._lose, error)

    def _lose(self, error: Exception | None) -> None:
        if self._sock is not None:
            self._sock.close()
        if self._protocol is not None:
            self._protocol.connection_lost(error)
