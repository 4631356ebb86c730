"""The life of one connection, from its transport to its close record.

Theory of operation. The compiled `Link` under it moves messages, `Standing` answers whoever asks; a `Wire` decides. It
lives by the table of `trunkline.protocol.states`: each of its moves is looked up there. A connection ends in one of
three ways: by the closing handshake (RFC 6455 7.1.2), by our failing it (7.1.7), or by the loss of its transport.
Whatever the way, the first to happen is kept as the `Close` record, receiving ends once the inbox is empty, and a timer
of `close_timeout` seconds sees to it that the socket goes even if the peer never answers.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from types import SimpleNamespace
from typing import TYPE_CHECKING, Final, cast

from wsproto.connection import ConnectionState

from trunkline._control import Fault
from trunkline._frames import OPCODE_CLOSE, OPCODE_PING, Decoder
from trunkline._inbox import Inbox
from trunkline.net import parting
from trunkline.net.faults import guarded
from trunkline.net.http import Request, Response
from trunkline.net.keepalive import Keepalive
from trunkline.net.large import Turns, run_work
from trunkline.net.listener import Close, Listener
from trunkline.net.logs import log_fields
from trunkline.net.loops import shared_by
from trunkline.net.progress import Look, look_at
from trunkline.net.settings import Settings
from trunkline.net.standing import Standing
from trunkline.protocol.categories import Initiator
from trunkline.protocol.connection import check_close, close_payload
from trunkline.protocol.errors import ConnectionClosed, MessageTooBig, RemoteProtocolError, connection_closed
from trunkline.protocol.states import Happening, after
from trunkline.protocol.traces import forget_frames

if TYPE_CHECKING:
    from trunkline._inflate import Inflater
    from trunkline.net.openings import Opening
    from trunkline.net.websocket import WebSocket
    from trunkline.protocol.deflate import Agreement

__all__ = ["INTERNAL_ERROR", "Wire", "check_close"]

# RFC 6455 7.1.7: the peer is told which rule it broke, in words that hold nothing of what it sent or of our limits.
FIXED_REASONS: Final = {
    1002: "protocol error",
    1007: "invalid data",
    1008: "too many fragments",
    1009: "message too big",
}
INTERNAL_ERROR: Final = "internal error"  # what a peer is told of a fault of the application


class Wire(Standing, asyncio.BaseProtocol):
    """What becomes of a connection. `WebSocket`, its only subclass, adds what applications call."""

    __slots__ = (
        "_abort_timer",
        "_closed_waiter",
        "_data",
        "_forget",
        "_is_peer_done",
        "_keepalive",
        "_on_latency",
        "_opening",
        "_plain",
        "_turns",
        "agreement",
        "close_info",
        "request",
        "response",
        "subprotocol",
    )

    def __init__(self, settings: Settings, opening: Opening, *, plain: bool) -> None:
        """`plain`: the transport will be TCP or a unix socket without TLS, and may be written to directly."""
        super().__init__(settings)
        shared = shared_by(asyncio.get_running_loop())
        self._join(shared.flusher)
        self._adapt(shared.adapts)
        self._opening: Opening | None = opening
        self._plain = plain
        self._keepalive: Keepalive | None = None
        self._turns: Turns | None = None
        self._abort_timer: asyncio.TimerHandle | None = None
        self._closed_waiter: asyncio.Future[None] | None = None
        self._is_peer_done = False  # it has ended its side of the transport: nothing more will come
        self._forget: Callable[[WebSocket], None] | None = None  # a server's, told when it has ended
        self._on_latency: Callable[[float], object] | None = None  # whoever keeps a histogram
        self._data: SimpleNamespace | None = None  # made when the program first asks for it
        self.close_info: Close | None = None
        self.request: Request | None = None
        self.response: Response | None = None
        self.subprotocol: str | None = None
        self.agreement: Agreement | None = None  # on compression

    # What it is

    @property
    def _ws(self) -> WebSocket:
        return cast("WebSocket", self)

    # Closing

    def start_closing(self, code: int = 1000, reason: str = "") -> None:
        """As `close`, without waiting: for callbacks."""
        self._check_thread()
        check_close(code, reason)
        if self._state is ConnectionState.CONNECTING:
            self.abort()
        elif self._state is ConnectionState.OPEN:
            self._send_control(OPCODE_CLOSE, close_payload(code, reason))
            self._move(Happening.SENT_CLOSE)
            self._make_error = functools.partial(connection_closed, code, reason, "local")
            self._resume_reading()  # the peer's close frame stands behind what we have not read
            self._abort_later()
            if self._is_peer_done:
                self._flush()
                self._shut()

    async def wait_closed(self) -> None:
        """Waits until the transport is gone."""
        self._check_thread()
        if self.transport is None and self._state is ConnectionState.CLOSED:
            return
        if self._closed_waiter is None:
            self._closed_waiter = asyncio.get_running_loop().create_future()
        await asyncio.shield(self._closed_waiter)

    def abort(self) -> None:
        """Drops the transport at once: no closing handshake, what waits to be sent is lost."""
        self._check_thread()
        if self.transport is not None:
            self._drop_socket()
            self.transport.abort()
        if self.transport is not None or self._state is ConnectionState.CONNECTING:
            self._conclude(parting.ABNORMAL)
            self._move(Happening.LOST)

    def fail(
        self, code: int, reason: str, error: Callable[[], ConnectionClosed] | None = None, *, told: str | None = None
    ) -> None:
        """Fails the connection (RFC 6455 7.1.7): sends a close frame, delivers nothing more, and lets the peer close.

        What the peer still sends is thrown away unread: to close a socket with unread data would reset it, and the
        close frame with it.
        `error`: makes the exception that whoever uses the connection gets; by default ConnectionClosed with this code
        and reason. `told`: the reason in the close frame, if it is another.
        """
        self._check_thread()
        if self._state not in (ConnectionState.OPEN, ConnectionState.LOCAL_CLOSING):
            return
        if self._state is ConnectionState.OPEN:
            self._send_control(OPCODE_CLOSE, close_payload(code, reason if told is None else told))
        self._conclude(Close(code, reason, clean=False, initiator="local"), error)
        self._move(Happening.FAILED)
        self._flush()
        self._resume_reading()
        self.linger()

    def _conclude(self, close: Close, error: Callable[[], ConnectionClosed] | None = None) -> None:
        """Keeps how the connection ended; only the first time counts."""
        if self.close_info is not None:
            return
        self.close_info = close
        self._make_error = error or functools.partial(connection_closed, close.code, close.reason, close.initiator)
        if self._keepalive is not None:
            self._keepalive.stop(self._refusal)
        self._end()
        self._on_writable()

    def linger(self, *, at_once: bool = False) -> None:
        """Sends what is written, then nothing more; what the peer still sends is thrown away until it closes, or
        close_timeout.

        at_once: the peer is not thought to be sending, so that a TLS transport need not wait until it is quiet.
        """
        self._check_thread()
        parting.linger(self, at_once=at_once)

    def _move(self, happening: Happening) -> None:
        self._state = after(self._state, happening)
        self._set_state(self._state.value)

    def _abort_later(self) -> None:
        if self._abort_timer is None:
            self._set_timer(self._settings.close_timeout, self.abort)

    def _set_timer(self, delay: float, callback: Callable[[], object]) -> None:
        if self._abort_timer is not None:
            self._abort_timer.cancel()
        self._abort_timer = asyncio.get_running_loop().call_later(delay, guarded, self, "a timer", callback)

    # What the event loop tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The transport is there: the opening handshake begins, unless it was given up while TLS took its time."""
        if self._state is ConnectionState.CLOSED:
            transport.abort()  # type: ignore[attr-defined]
            return
        sock = transport.get_extra_info("socket")
        direct = self._plain and sock is not None and transport.get_extra_info("sslcontext") is None
        self._attach(transport, sock.fileno() if direct else -1, self._settings.write_marks)  # type: ignore[arg-type]
        if not direct:
            self._keep_extra()  # TLS no longer tells the addresses when it says connection_lost
        if self._opening is not None:
            self._opening.begin(self._ws)

    def eof_received(self) -> bool | None:
        """The peer will send nothing more: true if it is owed an answer, else the transport closes itself, and
        `connection_lost` follows.
        """
        self._is_peer_done = True
        if parting.has_to_answer(self):
            return True
        self._flush()  # what was sent in this turn
        self._release_socket()
        self._abort_later()  # the transport would wait for ever for a peer that does not read what we have sent
        return None

    def _conclusion(self, iterating: bool) -> Exception:
        if self._is_peer_done and self._state is ConnectionState.OPEN:
            parting.end_with_peer(self)
        return super()._conclusion(iterating)

    def connection_lost(self, exc: Exception | None) -> None:
        """The transport is gone."""
        # The descriptor first: whatever raises below, its number is somebody else's in a moment.
        self._drop_socket()
        try:
            self._catch_up()
            parting.empty_tls(self)
        finally:
            self._end_for_good(exc)
        if self._keepalive is not None and self._listener is not None and self.close_info is not None:
            self._guard(self._listener.on_close, self.close_info)

    def _end_for_good(self, exc: Exception | None) -> None:
        opening, self._opening = self._opening, None
        self._keep_extra()
        self._detach()
        if self._abort_timer is not None:
            self._abort_timer.cancel()
            self._abort_timer = None
        self._conclude(parting.ABNORMAL, functools.partial(parting.lost, exc and forget_frames(exc)))
        self._move(Happening.LOST)
        if self._closed_waiter is not None and not self._closed_waiter.done():
            self._closed_waiter.set_result(None)
        if opening is not None:
            opening.lose(self._ws, exc)
        self._give_place_back()

    def _give_place_back(self) -> None:
        forget, self._forget = self._forget, None
        if forget is not None:
            forget(self._ws)

    # What the opening handshake tells

    def open(
        self,
        *,
        client: bool,
        request: Request,
        response: Response,
        subprotocol: str | None,
        agreement: Agreement | None,
        listener: Listener | None,
    ) -> None:
        """The opening handshake is done: messages flow from now on. Called by the two openings.

        agreement: on compression; None for none.
        """
        loop = asyncio.get_running_loop()
        self._opening = None
        self.request, self.response, self.subprotocol = request, response, subprotocol
        self.agreement = agreement
        limits, shared = self._settings, shared_by(loop)
        inflater = None if agreement is None else agreement.inflater(limits.max_size)
        decoder = self._decoder_view = Decoder(
            client, max_size=limits.max_size, max_fragments=limits.max_fragments, inflater=inflater
        )
        if agreement is not None:
            self._deflate(agreement.deflater(shared.flusher))
        inbox = None if listener else Inbox(self, loop, *self._settings.queue_marks)
        self._open(decoder, inbox, write_limit=limits.write_limit, control_rate=limits.max_control_rate or 0)
        self._move(Happening.ACCEPTED)
        self._keepalive = Keepalive(self, self._settings, shared.timers)
        self._keepalive.start()
        if listener is not None:
            self._listener = listener
            self._listen(getattr(listener, "on_message", None), getattr(listener, "on_batch", None))
        if self._is_peer_done:
            loop.call_soon(guarded, self, "ending with the peer", parting.after_opening, self)
        if listener is not None:
            self._guard(listener.on_open)

    def _guard(self, callback: Callable[..., object], *arguments: object) -> None:
        """Calls a listener; what it raises ends the connection and not the loop."""
        try:
            callback(self, *arguments)
        except BaseException as error:
            self._on_broken(error)
            if not isinstance(error, (Exception, asyncio.CancelledError)):  # the latter from a future it looked at
                raise

    # What the keepalive asks

    def send_ping(self, payload: bytes) -> None:
        """Sends a ping frame, unless we have closed already; `ping` also waits for the pong."""
        self._check_thread()
        if self._state is ConnectionState.OPEN:
            self._send_control(OPCODE_PING, payload)

    def bytes_seen(self) -> int:
        """How many bytes have been received."""
        return self._decoder_view.bytes_received if self._decoder_view else 0

    def is_deaf(self) -> bool:
        """Whether reading is paused, since messages wait to be taken or too much came at once."""
        return self._reading_paused or self._is_held

    def look(self) -> Look:
        """How far the connection's bytes have come, each way."""
        sock = None if self.transport is None else self.transport.get_extra_info("socket")
        return look_at(sock, self.bytes_seen(), self.bytes_sent, self._waiting)

    def note_latency(self, seconds: float) -> None:
        """A ping was answered."""
        if self._on_latency is not None:
            self._on_latency(seconds)

    def declare_dead(self) -> None:
        """Nothing moved in time after a keepalive ping. The close frame goes as far as the socket takes it at once: a
        peer that is dead will not answer, so there is no wait for that.
        """
        seconds = self._settings.ping_timeout
        told = "keepalive ping timeout"
        self.fail(1011, f"{told}: no byte for {seconds} s (ping_timeout)", told=told)
        asyncio.get_running_loop().call_soon(guarded, self, "the keepalive", self.abort)  # uvloop writes late

    # What the link asks

    def _inflate(self, inflater: Inflater) -> None:
        run_work(self, inflater)

    def _on_opening(self, data: bytes) -> None:
        if self._opening is not None:
            self._opening.receive(self._ws, data)

    def _on_pong(self, payload: bytes) -> None:
        if self._keepalive is not None:
            self._keepalive.pong(payload)

    def _on_close_frame(self, code: int, reason: str) -> None:
        initiator: Initiator = "local" if self._state is ConnectionState.LOCAL_CLOSING else "remote"
        self._move(Happening.GOT_CLOSE)
        if self._state is ConnectionState.REMOTE_CLOSING:
            # 5.5.1: the answer echoes the code.
            self._send_control(OPCODE_CLOSE, close_payload(code))
            self._move(Happening.SENT_CLOSE)
        self._conclude(Close(code, reason, clean=True, initiator=initiator))
        self._abort_later()
        if not self.is_client:
            # 7.1.1: the server closes TCP first, so that the TIME_WAIT is its own.
            self._flush()
            self._shut()

    def on_gone(self, forget: Callable[[WebSocket], None]) -> None:
        """`forget` is called once, with this connection, when it has ended: a server's register. Its transport is gone
        by then or, over TLS, on its way.
        """
        self._forget = forget

    def watch_latency(self, record: Callable[[float], object]) -> None:
        """`record` is called with the seconds of every round trip of a ping, in place of whatever was before."""
        self._on_latency = record

    def _shut(self) -> None:
        self._release_socket()
        if self.transport is not None and not self.transport.is_closing():
            self.transport.close()  # once: after a second call asyncio's TLS transport cannot be aborted any more

    def _on_fault(self, fault: Fault) -> None:
        error: Callable[[], ConnectionClosed] = functools.partial(MessageTooBig, fault.text)
        if fault.code != 1009:
            error = functools.partial(RemoteProtocolError, fault.text, code=fault.code)
        self.fail(fault.code, fault.text, error, told=FIXED_REASONS[fault.code])

    def _on_broken(self, error: BaseException) -> None:
        try:
            extra = log_fields("callback.failed", remote=self.remote_address)
            self.logger.error("a callback of %r failed", self, exc_info=error, extra=extra)
        finally:
            self.fail(1011, f"a callback raised {type(error).__name__}", told=INTERNAL_ERROR)
