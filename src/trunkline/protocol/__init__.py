"""wsproto's surface on the compiled codec: sans-IO, no socket, no clock, no event loop.

Replace `from wsproto import WSConnection` by `from trunkline.protocol import WSConnection`; the events, exceptions,
close codes and states are wsproto's own classes.
"""

from wsproto.connection import CLIENT, SERVER, ConnectionState, ConnectionType
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Message,
    Ping,
    Pong,
    RejectConnection,
    RejectData,
    Request,
    TextMessage,
)
from wsproto.frame_protocol import CloseReason, Opcode
from wsproto.utilities import LocalProtocolError, ProtocolError, RemoteProtocolError

from trunkline.protocol.connection import Connection
from trunkline.protocol.deflate import PerMessageDeflate
from trunkline.protocol.wsconnection import WSConnection

__all__ = [
    "CLIENT",
    "SERVER",
    "AcceptConnection",
    "BytesMessage",
    "CloseConnection",
    "CloseReason",
    "Connection",
    "ConnectionState",
    "ConnectionType",
    "Event",
    "LocalProtocolError",
    "Message",
    "Opcode",
    "PerMessageDeflate",
    "Ping",
    "Pong",
    "ProtocolError",
    "RejectConnection",
    "RejectData",
    "RemoteProtocolError",
    "Request",
    "TextMessage",
    "WSConnection",
]
