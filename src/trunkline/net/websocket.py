"""One WebSocket connection: what applications hold."""

from __future__ import annotations

import asyncio
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Final

from wsproto.connection import ConnectionState

from trunkline._link import iterated_natively
from trunkline.net.fragments import is_parts, send_fragments
from trunkline.net.http import Response
from trunkline.net.large import Turns, send_large
from trunkline.net.loops import shared_by
from trunkline.net.stats import Stats
from trunkline.net.wire import Wire
from trunkline.protocol.errors import LocalProtocolError

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from trunkline.net.fragments import Parts

__all__ = ["WebSocket", "websocket_class"]

_making: Final = threading.RLock()  # for a moment: any thread may be the first to ask for `data`

_SENT: Final = (
    "messages_sent",
    "messages_discarded",
    "messages_dropped",
    "bytes_sent",
    "frames_sent",
    "pings_sent",
    "pongs_sent",
    "writes",
    "throttles",
    "holds",
)


class WebSocket(Wire):
    """A WebSocket connection, made by `trunkline.connect` and `trunkline.serve`.

    It belongs to its event loop. In another thread `send`, `recv` and what else is awaited may be called, and awaited
    by `asyncio.run_coroutine_threadsafe`; properties and `stats` may be read; all other methods raise WrongThread, a
    RuntimeError, and do nothing. Besides the methods here it has those of the compiled core,
    `recv`, iteration, `batches`, `send`, `send_nowait` and `send_many`, and those of its life: `state`, `wait_closed`,
    `wait_writable`, `abort` and `fail`.

    request, response: those of the opening handshake. subprotocol: the chosen one; None for none.
    agreement: what was agreed on compression; None for none. close_info: how it ended, a Close; None while it is open.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<WebSocket {self._state.name.lower()} {self.remote_address}>"

    # What it is

    @property
    def data(self) -> SimpleNamespace:
        """A place for what the program knows of this connection: `ws.data.user = ...`, in `process_request`, say.

        trunkline never looks at it. It lasts as long as the connection's object.
        """
        if self._data is None:
            with _making:
                if self._data is None:
                    self._data = SimpleNamespace()
        return self._data

    @property
    def close_code(self) -> int | None:
        """The close code (RFC 6455 7.1.5); None while the connection is open."""
        return self.close_info.code if self.close_info else None

    @property
    def close_reason(self) -> str | None:
        """The close reason; None while the connection is open."""
        return self.close_info.reason if self.close_info else None

    @property
    def latency(self) -> float | None:
        """Seconds of the last round trip of a ping; None before the first."""
        return self._keepalive.latency if self._keepalive else None

    def moved(self) -> tuple[int, int]:
        """Bytes received and bytes sent since it opened, as `stats` has them, without making a snapshot."""
        decoder = self._decoder_view
        return (0, 0) if decoder is None else (decoder.bytes_received, self.bytes_sent)

    def stats(self) -> Stats:
        """A snapshot of the counters."""
        decoder = self._decoder_view
        if decoder is None:
            return Stats()
        return Stats(
            messages_received=decoder.messages_received,
            bytes_received=decoder.bytes_received,
            frames_received=decoder.frames_received,
            pings_received=decoder.pings_received,
            pongs_received=decoder.pongs_received,
            errors=decoder.errors,
            deflated_bytes_received=decoder.inflater.deflated_bytes if decoder.inflater else 0,
            inflated_bytes_received=decoder.inflater.inflated_bytes if decoder.inflater else 0,
            deflated_bytes_sent=self.deflated_bytes,
            inflated_bytes_sent=self.inflated_bytes,
            **{name: getattr(self, name) for name in _SENT},
        )

    def respond(self, status: int, text: str) -> Response:
        """A plain-text answer for `process_request` to return."""
        return Response(status, [("Content-Type", "text/plain; charset=utf-8")], text.encode())

    # Receiving and sending: recv, batches, send, send_nowait, send_many are the Link's

    async def _send_slowly(self, message: str | Buffer | Parts, compress: bool | None = None) -> None:
        sending = self._send_in_turn(message, compress)
        # The parts of a message may come as slowly as they like: only the waits for room between them are timed.
        await (sending if is_parts(message) else self._in_time(sending))

    async def _send_in_turn(self, message: str | Buffer | Parts, compress: bool | None) -> None:
        if self._deflater is None:
            await self._send_later(message, None)
            return
        if self._turns is None:
            self._turns = Turns(self)
        async with self._turns:
            if is_parts(message) or not await send_large(self, message, compress):  # type: ignore[arg-type]
                await self._send_later(message, compress)

    async def _send_later(self, message: str | Buffer | Parts, compress: bool | None) -> None:
        await self.wait_writable()
        while self._is_unfinished and self._state is ConnectionState.OPEN:
            await self._wait_wakened()
            await self.wait_writable()
        if not is_parts(message):
            self.send_nowait(message, compress=compress)  # type: ignore[arg-type]
            return
        self._set_unfinished(True)
        try:
            await send_fragments(self, message, compress)  # type: ignore[arg-type]  # is_parts says so
        finally:
            self._set_unfinished(False)
            self._on_writable()

    async def ping(self, payload: bytes | None = None) -> float:
        """Sends a ping and waits for its pong; gives the round trip in seconds.

        payload: up to 125 bytes, by default 8 unpredictable ones. Raises ConnectionClosed if the connection is not open
        or closes before the pong; LocalProtocolError for a longer payload; ValueError for one that is under way
        already. A cancelled ping has been sent.
        """
        return await self.ping_nowait(payload)

    def ping_nowait(self, payload: bytes | None = None) -> asyncio.Future[float]:
        """Sends a ping; the future gets the round trip in seconds, or the ConnectionClosed. Raises as `ping`."""
        self._check_thread()
        if self._state is not ConnectionState.OPEN or self._keepalive is None:
            raise self._refusal()
        if payload is not None and not isinstance(payload, bytes):
            raise TypeError(f"a ping payload is bytes, not {type(payload).__name__}")
        if payload is not None and len(payload) > 125:
            raise LocalProtocolError(f"ping payload has {len(payload)} bytes, limit 125 (payload, RFC 6455 5.5)")
        waiter: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._keepalive.ping(payload, waiter)
        return waiter

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Closes the connection and waits until the transport is gone, `close_timeout` seconds at most.

        Messages received and not yet taken can still be taken; those that come from now on are discarded and counted.
        Closing a connection that is closing or closed changes nothing. Raises LocalProtocolError for a code that may
        not be sent (RFC 6455 7.4) or a reason over 123 bytes. If it is cancelled, the closing goes on.
        """
        self.start_closing(code, reason)
        await self.wait_closed()


@iterated_natively
class BufferedWebSocket(WebSocket, asyncio.BufferedProtocol):
    """For loops that read into a buffer of ours."""

    __slots__ = ()


@iterated_natively
class StreamedWebSocket(WebSocket, asyncio.Protocol):
    """For loops that hand us `bytes`."""

    __slots__ = ()

    def _make_twin(self) -> Twin:
        return Twin(self)


class Twin:
    """Stands in for a StreamedWebSocket while large payloads come in: a BufferedProtocol with the other's callbacks."""

    __slots__ = (
        "buffer_updated",
        "connection_lost",
        "eof_received",
        "get_buffer",
        "pause_writing",
        "resume_writing",
    )

    def __init__(self, ws: StreamedWebSocket) -> None:
        self.get_buffer = ws.get_buffer
        self.buffer_updated = ws.buffer_updated
        self.eof_received = ws.eof_received
        self.connection_lost = ws.connection_lost
        self.pause_writing = ws.pause_writing
        self.resume_writing = ws.resume_writing


for _kind in (BufferedWebSocket, StreamedWebSocket):
    _kind.__name__ = _kind.__qualname__ = WebSocket.__name__  # which of them it is matters to no program


def websocket_class(loop: asyncio.AbstractEventLoop) -> type[WebSocket]:
    """The class whose reads suit the loop."""
    return BufferedWebSocket if shared_by(loop).wants_buffers else StreamedWebSocket
