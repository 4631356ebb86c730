"""The end of a transport: what was written leaves, what was received is answered, and no peer holds us up.

Theory of operation. If a socket is closed while received bytes are unread, the kernel resets the connection, and the
peer may lose what we wrote last. So on TCP and unix sockets we end our side, and discard what still comes until the
peer ends its own. Over TLS neither loop can end one side alone: there the transport is closed once everything is
written and nothing more comes. Either way `close_timeout` limits the wait.

A client may end its side first, when it has sent everything, and wait for the answers. TCP and unix sockets let us go
on writing, so a server does: until `process_request` has decided, and until the application asks for another message
after it has taken the last one. Over TLS the loops end both sides at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import ssl
from collections.abc import Callable
from typing import Final, Protocol

from wsproto.connection import ConnectionState

from trunkline._frames import Decoder
from trunkline._link import Link
from trunkline.net.close import ABNORMAL, Close, Ending, MakeError, lost
from trunkline.net.keepalive import Keepalive
from trunkline.protocol.states import Happening

__all__ = ["Departing", "after_opening", "empty_tls", "end_with_peer", "has_to_answer", "linger"]

TLS_READ: Final = 64 * 1024  # bytes
QUIET: Final = 0.1  # seconds without a byte: the peer has stopped sending, so it has seen why


class Answering(Protocol):
    """An opening handshake that is under way."""

    def is_answering(self) -> bool:
        """Return whether an answer is still to come."""


class Departing(Protocol):
    """The parts of a Lifecycle that its end needs."""

    link: Link
    ending: Ending
    state: ConnectionState
    decoder: Decoder | None
    keepalive: Keepalive | None
    is_peer_done: bool

    @property
    def opening(self) -> Answering | None:
        """The opening handshake; None when it is done."""

    @property
    def is_client(self) -> bool:
        """Whether we are the client."""

    def refusal(self) -> Exception:
        """Return the error for whoever uses the connection."""

    def receive_eof(self) -> bool | None:
        """Note that the peer will send nothing more."""

    def conclude(self, close: Close, error: MakeError | None = None) -> None:
        """Record how it ended."""

    def move(self, happening: Happening) -> None:
        """Change to the next state."""

    def abort(self) -> None:
        """Drop the transport."""

    def abort_later(self) -> None:
        """Drop it after close_timeout."""

    def set_timer(self, delay: float, callback: Callable[[], object]) -> None:
        """Call this later."""

    def shut(self) -> None:
        """Close the transport."""

    def give_place_back(self) -> None:
        """Tell whoever counts connections."""


def linger(life: Departing, *, at_once: bool = False) -> None:
    """Send what is written, then nothing more; discard what still comes until the peer closes, or close_timeout.

    With `at_once` the peer is not expected to be sending, so a TLS transport need not wait until it is quiet.
    """
    if life.ending.is_over:
        return
    life.abort_later()
    life.link._release_socket()
    transport = life.link.transport
    if transport is None or transport.is_closing():
        return
    if life.is_peer_done:
        transport.close()
    elif transport.can_write_eof():
        with contextlib.suppress(OSError):  # the peer has reset the connection: `connection_lost` is about to say so
            transport.write_eof()
    elif (due := life.ending.due) is not None:
        life.link._take_heard()
        life.set_timer(0 if at_once else QUIET, functools.partial(_look, life, due))


def _look(life: Departing, due: float) -> None:
    """Close the transport if all is written and the peer is quiet."""
    transport = life.link.transport
    if transport is None or transport.is_closing():
        return
    left = max(0.0, due - asyncio.get_running_loop().time())
    if left and (life.link._take_heard() or transport.get_write_buffer_size()):
        life.set_timer(min(QUIET, left), functools.partial(_look, life, due))
        return
    life.set_timer(left, life.abort)
    transport.close()
    life.give_place_back()  # only the peer's close_notify is missing, and nobody need wait for that


def has_to_answer(life: Departing) -> bool:
    """Return whether a peer that has ended its side is owed an answer, and can get it. If so, stop receiving."""
    transport = life.link.transport
    if transport is None or not transport.can_write_eof():
        return False
    if life.opening is not None:
        return life.opening.is_answering()
    if life.state is not ConnectionState.OPEN or life.is_client or not life.link._is_answering:
        return False
    if life.ending.is_awaited and not life.link._has_messages:
        return False  # whoever has taken the last message waits for the end
    _stop_receiving(life)
    return True


def _stop_receiving(life: Departing) -> None:
    """Receive what has come, and then nothing more."""
    life.link._catch_up()
    if life.state is not ConnectionState.OPEN:
        return  # there was a close frame
    life.ending.make_error = functools.partial(lost, None)
    if life.keepalive is not None:
        life.keepalive.stop(life.refusal)  # no pong can come
    life.link._end()
    life.abort_later()


def after_opening(life: Departing) -> None:
    """End with a peer that ended its side before the opening handshake was done. All it sent has been read."""
    transport = None if life.ending.is_over else life.link.transport
    if transport is not None and not transport.is_closing() and not life.receive_eof():
        transport.close()


def empty_tls(life: Departing) -> None:
    """Receive what came over TLS while reading was paused: uvloop drops it if the connection ends meanwhile."""
    tls = None if life.link.transport is None else life.link.transport.get_extra_info("ssl_object")
    if tls is None:
        return
    with contextlib.suppress(ssl.SSLError):  # nothing more is there, or the end of TLS is
        while life.decoder is not None and life.ending.close is None and (data := tls.read(TLS_READ)):
            life.link._feed(data)
            life.link._catch_up()


def end_with_peer(life: Departing) -> None:
    """End our side, as the peer has ended its own: all that it sent before is answered."""
    life.link._flush()
    life.conclude(ABNORMAL, functools.partial(lost, None))
    life.move(Happening.LOST)
    life.shut()
