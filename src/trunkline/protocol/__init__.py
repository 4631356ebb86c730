"""wsproto's surface on the compiled codec: sans-IO, no socket, no clock, no event loop.

Replace `from wsproto import WSConnection` by `from trunkline.protocol import WSConnection`, and so with every module of
wsproto; the events, exceptions, close codes and states are wsproto's own classes. `PerMessageDeflate` is trunkline's,
with a bound on what it inflates; wsproto's stands in `trunkline.protocol.extensions`.
"""

from trunkline.protocol.connection import CLIENT, SERVER, Connection, ConnectionState, ConnectionType
from trunkline.protocol.deflate import PerMessageDeflate
from trunkline.protocol.events import (
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
from trunkline.protocol.extensions import Extension
from trunkline.protocol.frame_protocol import CloseReason, Opcode
from trunkline.protocol.handshake import H11Handshake
from trunkline.protocol.utilities import LocalProtocolError, ProtocolError, RemoteProtocolError
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
    "Extension",
    "H11Handshake",
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
