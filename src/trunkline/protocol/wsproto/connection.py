"""wsproto's connection on the compiled codec, for a connection whose opening handshake is done.

Theory of operation. Bytes go in with `receive_data`, events come out of `events()`, and `send` gives the bytes that an
event is on the wire. The event classes and the states are wsproto's own. As there, a message comes in as many events as
it came in pieces, parsing waits until `events()` is iterated, and a fault is a `CloseConnection` event that carries the
close code to send.
"""

from __future__ import annotations

from wsproto.connection import CLIENT, SERVER, ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Message, Ping, Pong, TextMessage

from trunkline._connection import BaseConnection
from trunkline.protocol.errors import LocalProtocolError

__all__ = [
    "CLIENT",
    "SERVER",
    "BytesMessage",
    "CloseConnection",
    "Connection",
    "ConnectionState",
    "ConnectionType",
    "Event",
    "Message",
    "Ping",
    "Pong",
    "TextMessage",
]


class Connection(BaseConnection):
    """One end of a connection whose opening handshake is done.

    `Connection(connection_type, extensions=None, trailing_data=b"", *, max_size=None)`. `extensions`: wsproto's; those
    that are enabled see every frame. `trailing_data`: what was received after the handshake. `max_size`: bytes a
    message may have over its pieces and after inflation; one more is a fault with close code 1009. None, the default,
    is wsproto's way: a piece is given as it comes, nothing is kept, and who assembles a message counts it.

    `send(event)`, `receive_data(data)`, `events()` and `state` are wsproto's.
    """

    _error = LocalProtocolError
