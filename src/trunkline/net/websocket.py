"""One WebSocket connection: what applications hold."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, Final

from wsproto.connection import ConnectionState

from trunkline._inbox import inherit_anext
from trunkline._link import Link
from trunkline.net.close import Close
from trunkline.net.http import Request, Response
from trunkline.net.lifecycle import Lifecycle
from trunkline.net.loops import state_of
from trunkline.net.openings import Opening
from trunkline.net.settings import Settings
from trunkline.net.stats import Stats
from trunkline.net.twin import Twin
from trunkline.protocol.deflate import Agreement
from trunkline.protocol.errors import LocalProtocolError

__all__ = ["WebSocket", "life_of", "websocket_class"]

_making: Final = threading.RLock()  # held for a moment: any thread may be the first to ask for `data`


class WebSocket(Link, asyncio.BaseProtocol):
    """A WebSocket connection, made by `trunkline.connect` and `trunkline.serve`.

    It belongs to its event loop. From another thread you may pass `send`, `recv` and other coroutines to
    `asyncio.run_coroutine_threadsafe`, and read properties and `stats`. All other methods raise WrongThread, a
    RuntimeError, and do nothing.

    `recv`, iteration, `batches`, `send`, `send_nowait` and `send_many` come from the compiled `Link`. Do not call the
    methods that are for the event loop, such as `connection_made`.
    """

    __slots__ = ("_data",)

    _life: Lifecycle  # given to the link, which calls it

    def __init__(self, settings: Settings, opening: Opening[Lifecycle], *, plain: bool) -> None:
        """Set up a connection whose transport is still to come.

        Args:
            settings: its limits and timeouts.
            opening: our side of the opening handshake.
            plain: whether the transport will be TCP or a unix socket without TLS, which may be written to directly.
        """
        loop_state = state_of(asyncio.get_running_loop())
        self._data: SimpleNamespace | None = None  # made when the program first asks for it
        self._join(loop_state, Lifecycle(self, settings, opening, plain=plain))
        self._adapt(Twin if loop_state.adapts else None)

    def __repr__(self) -> str:
        return f"<WebSocket {self.state.name.lower()} {self.remote_address}>"

    # Properties

    @property
    def state(self) -> ConnectionState:
        """The state of the connection, a ConnectionState of wsproto."""
        return self._life.state

    @property
    def is_client(self) -> bool:
        """Whether we are the client of this connection."""
        return self._life.is_client

    @property
    def request(self) -> Request | None:
        """The request of the opening handshake; None before a server has received it, or a client is open."""
        return self._life.request

    @property
    def response(self) -> Response | None:
        """The response of the opening handshake; None before the connection is open."""
        return self._life.response

    @property
    def subprotocol(self) -> str | None:
        """The chosen subprotocol; None for none."""
        return self._life.subprotocol

    @property
    def agreement(self) -> Agreement | None:
        """What was agreed on compression (RFC 7692); None for none."""
        return self._life.agreement

    @property
    def remote_address(self) -> Any:
        """The peer's socket address, also when the connection has ended; None before the transport is there."""
        return self.get_extra_info("peername")

    @property
    def local_address(self) -> Any:
        """Our socket address, also when the connection has ended; None before the transport is there."""
        return self.get_extra_info("sockname")

    @property
    def logger(self) -> logging.Logger:
        """Where this connection logs."""
        return self._life.logger

    @property
    def data(self) -> SimpleNamespace:
        """A place for your program's own data: `ws.data.user = ...`, in `process_request` for example.

        trunkline never looks at it. It lives as long as this object.
        """
        if self._data is None:
            with _making:
                if self._data is None:
                    self._data = SimpleNamespace()
        return self._data

    def respond(self, status: int, text: str) -> Response:
        """Return a plain-text answer, for `process_request` to return."""
        return Response(status, [("Content-Type", "text/plain; charset=utf-8")], text.encode())

    # Figures

    def stats(self) -> Stats:
        """Return a snapshot of the counters."""
        decoder = self._life.decoder
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
            **self._counters(),
        )

    def moved(self) -> tuple[int, int]:
        """Return bytes received and bytes sent, as in `stats`, but without the cost of a snapshot."""
        return self._moved()

    @property
    def latency(self) -> float | None:
        """Seconds of the last round trip of a ping; None before the first."""
        keepalive = self._life.keepalive
        return None if keepalive is None else keepalive.latency

    def watch_latency(self, record: Callable[[float], object]) -> None:
        """Call `record` with the seconds of every round trip of a ping, in place of whatever was called before."""
        self._life.on_latency = record

    # Sending: send, send_nowait and send_many are the Link's

    @property
    def is_writable(self) -> bool:
        """Whether `wait_writable` would return at once."""
        return self._life.state is ConnectionState.OPEN and not self._writing_paused and not self._is_overdue

    @property
    def is_writing_paused(self) -> bool:
        """Whether more than the high-water mark (64 KiB) waits to be sent, so that `send` would wait."""
        return self._writing_paused

    async def wait_writable(self) -> None:
        """Wait until there is room to send.

        If more bytes than the high-water mark wait to be sent, wait until fewer do than the low-water mark. If 64 KiB
        have been sent since the loop last ran, let it run.

        Raises:
            ConnectionClosed: the connection is not open, or closes meanwhile.
            SendTimeout: it took longer than `send_timeout` seconds.
            WrongThread: another loop awaits it.
        """
        self._check_thread()
        await self._life.wait_writable()

    async def ping(self, payload: bytes | None = None) -> float:
        """Send a ping, wait for its pong, and return the round trip in seconds. A cancelled ping has been sent.

        Args:
            payload: up to 125 bytes; by default 8 unpredictable ones.

        Raises:
            ConnectionClosed: the connection is not open, or closes before the pong.
            LocalProtocolError: the payload is longer (RFC 6455 5.5).
            ValueError: a ping with this payload is under way.
        """
        return await self.ping_nowait(payload)

    def ping_nowait(self, payload: bytes | None = None) -> asyncio.Future[float]:
        """Send a ping. The future gets the round trip in seconds, or ConnectionClosed. Raise what `ping` raises."""
        self._check_thread()
        keepalive = self._life.keepalive
        if self._life.state is not ConnectionState.OPEN or keepalive is None:
            raise self._life.refusal()
        if payload is not None and not isinstance(payload, bytes):
            raise TypeError(f"payload is {type(payload).__name__}, must be bytes or None (payload)")
        if payload is not None and len(payload) > 125:
            raise LocalProtocolError(f"ping payload has {len(payload)} bytes, limit 125 (payload, RFC 6455 5.5)")
        waiter: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        keepalive.ping(payload, waiter)
        return waiter

    # Closing

    @property
    def close_info(self) -> Close | None:
        """How the connection ended; None while it is open."""
        return self._life.ending.close

    @property
    def close_code(self) -> int | None:
        """The close code (RFC 6455 7.1.5); None while the connection is open."""
        close = self._life.ending.close
        return None if close is None else close.code

    @property
    def close_reason(self) -> str | None:
        """The close reason; None while the connection is open."""
        close = self._life.ending.close
        return None if close is None else close.reason

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the connection and wait until the transport is gone, for `close_timeout` seconds at most.

        You can still take messages that were received before; those that come from now on are discarded and counted.
        Closing a connection that is closing or closed changes nothing. If this is cancelled, the closing goes on.

        Raises:
            LocalProtocolError: the code may not be sent (RFC 6455 7.4), or the reason is over 123 bytes.
        """
        self.start_closing(code, reason)
        await self.wait_closed()

    def start_closing(self, code: int = 1000, reason: str = "") -> None:
        """Do as `close` does, without waiting: for callbacks."""
        self._check_thread()
        self._life.start_closing(code, reason)

    async def wait_closed(self) -> None:
        """Wait until the transport is gone."""
        self._check_thread()
        await self._life.wait_closed()

    def abort(self) -> None:
        """Drop the transport at once: no closing handshake, and what waits to be sent is lost."""
        self._check_thread()
        self._life.abort()

    def fail(self, code: int, reason: str, *, told: str | None = None) -> None:
        """Fail the connection (RFC 6455 7.1.7): send a close frame, deliver nothing more, and let the peer close.

        What the peer still sends is thrown away unread: to close a socket with unread data would reset it, and the
        close frame with it.

        Args:
            code: the close code.
            reason: the reason that whoever uses the connection sees.
            told: the reason in the close frame, if it is another.
        """
        self._check_thread()
        self._life.fail(code, reason, told=told)

    # What the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the opening handshake: the transport is there."""
        self._life.begin(transport)  # type: ignore[arg-type]  # a connection's is one for both ways

    def eof_received(self) -> bool | None:
        """Note that the peer will send nothing more. Return true to keep the transport open, since we owe an answer."""
        return self._life.receive_eof()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the connection: the transport is gone."""
        self._life.lose(exc)


class BufferedWebSocket(WebSocket, asyncio.BufferedProtocol):
    """A WebSocket for loops that read into our buffer."""

    __slots__ = ()


class StreamedWebSocket(WebSocket, asyncio.Protocol):
    """A WebSocket for loops that hand us `bytes`."""

    __slots__ = ()


for _kind in (BufferedWebSocket, StreamedWebSocket):
    inherit_anext(_kind, Link)
    _kind.__name__ = _kind.__qualname__ = WebSocket.__name__  # programs need not know which of them it is


def websocket_class(loop: asyncio.AbstractEventLoop) -> type[WebSocket]:
    """Return the class whose reads suit the loop."""
    return BufferedWebSocket if state_of(loop).wants_buffers else StreamedWebSocket


def life_of(ws: WebSocket) -> Lifecycle:
    """Return the Lifecycle of a connection, for the other parts of this package."""
    return ws._life
