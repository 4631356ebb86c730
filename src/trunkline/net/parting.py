"""The last moments of a transport: what was written leaves, what was received is answered, and nobody holds us up.

Theory of operation. The kernel resets a connection whose socket is closed while bytes that came are unread, and a reset
may cost the peer what we wrote last. So on TCP and unix sockets we end our side, and throw away what still comes until
the peer ends its own. Over TLS neither loop can end one side alone: there the transport is closed once all is written
and nothing comes any more. Either way `close_timeout` bounds it.

A client may end its side first, having sent all it wants to send, and wait for the answers. TCP and unix sockets let us
write on, so a server does: until `process_request` has decided, and until the application comes back for a message
after it has taken the last one. Over TLS the loops end both sides at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import ssl
from typing import TYPE_CHECKING, Final

from wsproto.connection import ConnectionState

from trunkline.net.listener import Close
from trunkline.protocol.errors import ConnectionClosed, connection_closed
from trunkline.protocol.states import Happening

if TYPE_CHECKING:
    from trunkline.net.wire import Wire

__all__ = [
    "ABNORMAL",
    "after_opening",
    "empty_tls",
    "end_with_peer",
    "has_to_answer",
    "linger",
    "lost",
]

TLS_READ: Final = 64 * 1024  # bytes
QUIET: Final = 0.1  # seconds without a byte: the peer has stopped sending, and so has seen why

ABNORMAL: Final = Close(1006, "", clean=False, initiator=None)


def lost(cause: Exception | None) -> ConnectionClosed:
    """What whoever uses a connection gets whose transport has ended."""
    error = connection_closed(1006, "" if cause is None else str(cause), None)
    error.__cause__ = cause
    return error


def linger(wire: Wire, *, at_once: bool) -> None:
    """Send what is written, then nothing more. at_once: the peer is not thought to be sending."""
    wire._abort_later()
    wire._release_socket()
    transport = wire.transport
    if transport is None or transport.is_closing():
        return
    if wire._is_peer_done:
        transport.close()
    elif transport.can_write_eof():
        with contextlib.suppress(OSError):  # the peer has reset the line, and `connection_lost` is about to say so
            transport.write_eof()
    elif wire._abort_timer is not None:
        wire._take_heard()
        due = wire._abort_timer.when()
        wire._set_timer(0 if at_once else QUIET, functools.partial(_look, wire, due))


def _look(wire: Wire, due: float) -> None:
    """Close the transport if all is written and the peer is quiet."""
    transport = wire.transport
    if transport is None or transport.is_closing():
        return
    left = max(0.0, due - asyncio.get_running_loop().time())
    if left and (wire._take_heard() or transport.get_write_buffer_size()):
        wire._set_timer(min(QUIET, left), functools.partial(_look, wire, due))
        return
    wire._set_timer(left, wire.abort)
    transport.close()
    wire._give_place_back()  # all that is left is the peer's close_notify, for which nobody need wait


def has_to_answer(wire: Wire) -> bool:
    """Whether a peer that has ended its side is owed an answer, and can get it. If so, nothing more is received."""
    transport = wire.transport
    if transport is None or not transport.can_write_eof():
        return False
    if wire._opening is not None:
        return wire._opening.is_answering()
    if wire.state is not ConnectionState.OPEN or wire.is_client or not wire._is_answering:
        return False
    if wire._closed_waiter is not None and not wire._has_messages:
        return False  # whoever has taken the last message waits for the end
    _stop_receiving(wire)
    return True


def _stop_receiving(wire: Wire) -> None:
    """What has come is all there will be."""
    wire._catch_up()
    if wire.state is not ConnectionState.OPEN:
        return  # there was a close frame
    wire._make_error = functools.partial(lost, None)
    if wire._keepalive is not None:
        wire._keepalive.stop(wire._refusal)  # no pong can come
    wire._end()
    wire._abort_later()


def after_opening(wire: Wire) -> None:
    """The peer had ended its side before the opening handshake was done, and what it sent behind it has been read."""
    if wire.transport is not None and not wire.transport.is_closing() and not wire.eof_received():
        wire.transport.close()


def empty_tls(wire: Wire) -> None:
    """Receive what came over TLS while reading was paused: uvloop drops it if the line ends meanwhile."""
    tls = None if wire.transport is None else wire.transport.get_extra_info("ssl_object")
    if tls is None:
        return
    with contextlib.suppress(ssl.SSLError):  # nothing more is there, or its end is
        while wire._decoder_view is not None and wire.close_info is None and (data := tls.read(TLS_READ)):
            wire._feed(data)
            wire._catch_up()


def end_with_peer(wire: Wire) -> None:
    """All that a peer had sent before it ended its side is answered: so do we."""
    wire._flush()
    wire._conclude(ABNORMAL, functools.partial(lost, None))
    wire._move(Happening.LOST)
    wire._shut()
