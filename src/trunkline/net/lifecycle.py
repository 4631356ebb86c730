"""The life of one connection, from its transport to its close record.

Theory of operation. A `WebSocket` is a compiled `Link`, which moves messages and decides nothing; it owns a
`Lifecycle`, which decides. The link calls it through the methods that `_writer.pxd` lists (the Protocol `Upcalls`); the
WebSocket passes on the calls of applications and of the event loop.

Each change of state is looked up in the table of `trunkline.protocol.states`. A connection ends in one of three ways:
by the closing handshake (RFC 6455 7.1.2), because we fail it (7.1.7), or because its transport is lost. Whichever comes
first is kept as the `Close` record, receiving ends once the inbox is empty, and a timer of `close_timeout` seconds
makes sure that the socket goes even if the peer never answers.

While the connection lives, its link and its Lifecycle refer to each other. When the transport is gone the Lifecycle
lets go, so that no connection waits for the garbage collector.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import weakref
from collections.abc import Callable, Coroutine
from typing import Any

from wsproto.connection import ConnectionState

from trunkline._control import Fault
from trunkline._frames import OPCODE_CLOSE, Decoder
from trunkline._inbox import Inbox
from trunkline._link import Link
from trunkline.net import errors, parting, pulse
from trunkline.net.close import ABNORMAL, FIXED_REASONS, INTERNAL_ERROR, Close, Ending, MakeError, lost
from trunkline.net.faults import guarded
from trunkline.net.http import Request, Response
from trunkline.net.keepalive import Keepalive
from trunkline.net.large import inflate_apart
from trunkline.net.logs import log_fields
from trunkline.net.loops import state_of
from trunkline.net.openings import Listening, Opening
from trunkline.net.send_queue import SendQueue
from trunkline.net.settings import Settings
from trunkline.net.streams import attach
from trunkline.protocol.categories import Initiator
from trunkline.protocol.close import check_close, close_payload
from trunkline.protocol.deflate import Agreement, deflater_for, inflater_for
from trunkline.protocol.errors import MessageTooBig, RemoteProtocolError, connection_closed
from trunkline.protocol.states import Happening, after
from trunkline.protocol.traces import forget_frames

__all__ = ["Lifecycle"]


class Lifecycle:
    """Controls one connection: opens, closes and times it, and says why it cannot do what it is asked to."""

    __slots__ = (
        "_plain",
        "_queue",
        "agreement",
        "decoder",
        "ending",
        "is_peer_done",
        "keepalive",
        "link",
        "listener",
        "on_gone",
        "on_latency",
        "opening",
        "request",
        "response",
        "settings",
        "state",
        "subprotocol",
    )

    def __init__(self, link: Link, settings: Settings, opening: Opening[Lifecycle], *, plain: bool) -> None:
        """Set up the life of a connection whose transport is still to come; the arguments are WebSocket's."""
        self.link = link
        self.settings = settings
        self.state = ConnectionState.CONNECTING
        self.decoder: Decoder | None = None
        self.is_peer_done = False  # it has ended its side of the transport: nothing more will come
        self.ending = Ending()
        self.request: Request | None = None
        self.response: Response | None = None
        self.subprotocol: str | None = None
        self.agreement: Agreement | None = None  # on compression
        self.opening: Opening[Lifecycle] | None = opening
        self._plain = plain
        self.listener: Listening | None = None
        self.keepalive: Keepalive | None = None
        self._queue: SendQueue | None = None  # made when a send first has to wait
        self.on_gone: Callable[[Any], None] | None = None  # called once it has ended; over TLS the transport may linger
        self.on_latency: Callable[[float], object] | None = None  # called with the seconds of each round trip

    # Properties

    @property
    def remote_address(self) -> Any:
        """The peer's socket address; None before the transport is there."""
        return self.link.get_extra_info("peername")

    @property
    def is_client(self) -> bool:
        """Whether we are the client."""
        return self.decoder is not None and self.decoder.client

    @property
    def logger(self) -> logging.Logger:
        """Where this connection logs."""
        return self.settings.logger

    @property
    def queue(self) -> SendQueue:
        """Where sends wait for room and for their turn."""
        if self._queue is not None:
            return self._queue
        queue = SendQueue(self)
        if self.link.transport is not None:  # else it would keep us alive when all is over
            self._queue = queue
        return queue

    # Opening

    def begin(self, transport: asyncio.Transport) -> None:
        """Start the opening handshake on this transport, unless it was given up while TLS took its time."""
        if self.state is ConnectionState.CLOSED:
            transport.abort()
            return
        attach(self.link, transport, self.settings.write_marks, plain=self._plain)
        if self.opening is not None:
            self.opening.begin(self)

    def open(
        self,
        *,
        client: bool,
        request: Request,
        response: Response,
        subprotocol: str | None,
        agreement: Agreement | None,
        listener: Listening | None,
    ) -> None:
        """Let messages flow: the opening handshake is done.

        Args:
            client: whether we are the client.
            request, response: the messages of the handshake.
            subprotocol: the chosen one; None for none.
            agreement: what was agreed on compression; None for no compression.
            listener: gets the messages; None if they go to the inbox.
        """
        loop, limits, link = asyncio.get_running_loop(), self.settings, self.link
        self.opening = None
        self.request, self.response, self.subprotocol = request, response, subprotocol
        self.agreement = agreement
        shared = state_of(loop)
        inflater = None if agreement is None else inflater_for(agreement, limits.max_size)
        decoder = self.decoder = Decoder(
            client, max_size=limits.max_size, max_fragments=limits.max_fragments, inflater=inflater
        )
        if agreement is not None:
            link._deflate(deflater_for(agreement, shared))
        inbox = None if listener else Inbox(self, loop, *limits.queue_marks)
        link._open(decoder, inbox, write_limit=limits.write_limit, control_rate=limits.max_control_rate or 0)
        self.move(Happening.ACCEPTED)
        self.keepalive = Keepalive(self, limits, shared.timers)
        self.keepalive.start()
        if listener is not None:
            self.listener = listener
            link._listen(getattr(listener, "on_message", None), getattr(listener, "on_batch", None))
        if self.is_peer_done:
            loop.call_soon(guarded, self, "ending with the peer", parting.after_opening, self)
        if listener is not None:
            self._call(listener.on_open)

    def _call(self, callback: Callable[..., object], *arguments: object) -> None:
        """Call a listener. What it raises ends the connection, not the loop."""
        try:
            callback(self.link, *arguments)
        except BaseException as error:
            self.on_broken(error)
            if not isinstance(error, (Exception, asyncio.CancelledError)):  # the latter from a future it looked at
                raise

    # Closing

    def start_closing(self, code: int = 1000, reason: str = "") -> None:
        """Start the closing handshake, if the connection is open."""
        check_close(code, reason)
        if self.state is ConnectionState.CONNECTING:
            self.abort()
        elif self.state is ConnectionState.OPEN:
            self.link._send_control(OPCODE_CLOSE, close_payload(code, reason))
            self.move(Happening.SENT_CLOSE)
            self.ending.make_error = functools.partial(connection_closed, code, reason, "local")
            self.link._resume_reading()  # the peer's close frame comes after what we have not read
            self.abort_later()
            if self.is_peer_done:
                self.link._flush()
                self.shut()

    async def wait_writable(self) -> None:
        """Wait until there is room to send: see `WebSocket.wait_writable`."""
        if self.link._writing_paused or self.link._is_overdue:
            await self.queue.wait_writable()
        elif self.state is not ConnectionState.OPEN:
            raise self.refusal()

    async def wait_closed(self) -> None:
        """Wait until the transport is gone."""
        if self.state is ConnectionState.CLOSED and self.link.transport is None:
            return
        await self.ending.wait()

    def abort(self) -> None:
        """Drop the transport at once: no closing handshake, and what waits to be sent is lost."""
        if self.ending.is_over:
            return
        link = self.link
        if link.transport is not None:
            link._drop_socket()
            link.transport.abort()
        if link.transport is not None or self.state is ConnectionState.CONNECTING:
            self.conclude(ABNORMAL)
            self.move(Happening.LOST)

    def fail(self, code: int, reason: str, error: MakeError | None = None, *, told: str | None = None) -> None:
        """Fail the connection (RFC 6455 7.1.7), if it is open: see `WebSocket.fail`."""
        if self.state not in (ConnectionState.OPEN, ConnectionState.LOCAL_CLOSING):
            return
        if self.state is ConnectionState.OPEN:
            self.link._send_control(OPCODE_CLOSE, close_payload(code, reason if told is None else told))
        self.conclude(Close(code, reason, clean=False, initiator="local"), error)
        self.move(Happening.FAILED)
        self.link._flush()
        self.link._resume_reading()
        self.linger()

    linger = parting.linger

    def conclude(self, close: Close, error: MakeError | None = None) -> None:
        """Record how the connection ended; only the first call counts."""
        if not self.ending.record(close, error):
            return
        if self.keepalive is not None:
            self.keepalive.stop(self.refusal)
        self.link._end()
        self.on_writable()

    def move(self, happening: Happening) -> None:
        """Change to the state that follows (`trunkline.protocol.states`)."""
        self.state = after(self.state, happening)
        self.link._set_open(self.state is ConnectionState.OPEN)

    def abort_later(self) -> None:
        """Drop the transport after close_timeout, unless a timer is set already."""
        if self.ending.due is None:
            self.set_timer(self.settings.close_timeout, self.abort)

    def set_timer(self, delay: float, callback: Callable[[], object]) -> None:
        """Have the timer of the end call this, in place of what it was going to call."""
        self.ending.set_timer(self, delay, callback)

    def shut(self) -> None:
        """Close the transport, which sends what it holds first."""
        self.link._release_socket()
        if self.link.transport is not None and not self.link.transport.is_closing():
            self.link.transport.close()  # once: after a second call asyncio's TLS transport cannot be aborted any more

    # The peer's end, and the transport's

    def receive_eof(self) -> bool | None:
        """Note that the peer will send nothing more. Return true to keep the transport open, since we owe an answer."""
        self.is_peer_done = True
        if parting.has_to_answer(self):
            return True
        self.link._flush()  # what was sent in this turn
        self.link._release_socket()
        self.abort_later()  # else it would wait for ever for a peer that does not read what we have sent
        return None

    def lose(self, exc: Exception | None) -> None:
        """End the connection: the transport is gone."""
        try:
            self._lose(exc)
        finally:  # from here on the link refers to us, but nothing of ours refers to it
            if self.ending.whose is None:
                self.ending.whose, self.link = weakref.ref(self.link), weakref.proxy(self.link)

    def _lose(self, exc: Exception | None) -> None:
        # The descriptor first, whatever raises below: its number will soon be another file's.
        self.link._drop_socket()
        try:
            self.link._catch_up()
            parting.empty_tls(self)
        finally:
            self._end_for_good(exc)
        if self.keepalive is not None and self.listener is not None and self.ending.close is not None:
            self._call(self.listener.on_close, self.ending.close)

    def _end_for_good(self, exc: Exception | None) -> None:
        opening, self.opening = self.opening, None
        self.link._detach()
        self.ending.cancel_timer()
        self.conclude(ABNORMAL, functools.partial(lost, exc and forget_frames(exc)))
        self.move(Happening.LOST)
        self._queue = None  # whoever waits there has a reference
        self.ending.finish()
        if opening is not None:
            opening.lose(self, exc)
        self.give_place_back()

    def give_place_back(self) -> None:
        """Tell whoever counts connections that this one has ended."""
        on_gone, self.on_gone = self.on_gone, None
        if on_gone is not None:
            on_gone(self.link)

    # What the keepalive asks (see Pinged)

    send_ping = pulse.send_ping
    bytes_seen = pulse.bytes_seen
    is_deaf = pulse.is_deaf
    look = pulse.look
    declare_dead = pulse.declare_dead

    def note_latency(self, seconds: float) -> None:
        """Pass on the round trip of a ping."""
        if self.on_latency is not None:
            self.on_latency(seconds)

    # What the link tells (see Upcalls)

    def on_opening(self, data: bytes) -> None:
        """Process bytes of the opening handshake."""
        if self.opening is not None:
            self.opening.receive(self, data)

    def on_pong(self, payload: bytes) -> None:
        """Process a pong."""
        if self.keepalive is not None:
            self.keepalive.pong(payload)

    def on_close_frame(self, code: int, reason: str) -> None:
        """Answer the peer's close frame, or end the closing handshake that we began."""
        initiator: Initiator = "local" if self.state is ConnectionState.LOCAL_CLOSING else "remote"
        self.move(Happening.GOT_CLOSE)
        if self.state is ConnectionState.REMOTE_CLOSING:
            # 5.5.1: the answer echoes the code.
            self.link._send_control(OPCODE_CLOSE, close_payload(code))
            self.move(Happening.SENT_CLOSE)
        self.conclude(Close(code, reason, clean=True, initiator=initiator))
        self.abort_later()
        if not self.is_client:
            # 7.1.1: the server closes TCP first, so that the TIME_WAIT is its own.
            self.link._flush()
            self.shut()

    def on_fault(self, fault: Fault) -> None:
        """Fail the connection: the peer broke the protocol."""
        error: MakeError = functools.partial(MessageTooBig, fault.text)
        if fault.code != 1009:
            error = functools.partial(RemoteProtocolError, fault.text, code=fault.code)
        self.fail(fault.code, fault.text, error, told=FIXED_REASONS[fault.code])

    def on_broken(self, error: BaseException) -> None:
        """Log that a callback, or code of ours, raised, and fail the connection with 1011."""
        try:
            extra = log_fields("callback.failed", remote=self.remote_address)
            self.logger.error("a callback of %s failed", self.link.__repr__(), exc_info=error, extra=extra)
        finally:
            self.fail(1011, f"a callback raised {type(error).__name__}", told=INTERNAL_ERROR)

    def on_writable(self) -> None:
        """Wake whoever waits to send: there is room again."""
        if self._queue is not None:
            self._queue.wake()

    # What the link asks for (see Upcalls)

    def send_slowly(self, message: Any, compress: bool | None) -> Coroutine[Any, Any, None]:
        """Return a coroutine that sends a message which cannot be sent at once."""
        return self.queue.send(message, compress)

    inflate = inflate_apart

    def resume_reading(self) -> None:
        """Read again: the inbox has drained."""
        self.link._resume_reading()

    refusal = errors.refusal
    slow_consumer = errors.slow_consumer
    bad_text = errors.bad_text
    conclusion = errors.conclusion
    busy = errors.busy
    no_inbox = errors.no_inbox
    wrong_thread = errors.wrong_thread
