"""wsproto's connection on the compiled codec, for after the opening handshake.

Theory of operation. Feed bytes to `receive_data`, take events from `events()`, and write the bytes that `send` returns
for an event. The event classes and the states are wsproto's own. As in wsproto, a message arrives as one event per
piece, parsing happens while `events()` is iterated, and an error is a `CloseConnection` event with the close code to
send.
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
    """One end of a connection, after the opening handshake.

    `send(event)`, `receive_data(data)`, `events()` and `state` are as in wsproto.

    Args:
        connection_type: which end this is.
        extensions: wsproto's; those that are enabled see every frame.
        trailing_data: bytes that were received after the handshake.
        max_size: the most bytes in a message, all pieces together and inflated; a larger one gives close code 1009.
            None, the default, is wsproto's behaviour: each piece is passed on as it arrives and none is kept, so your
            program must limit what it joins.
    """

    _error = LocalProtocolError
