"""A drop-in for wsproto, on the compiled codec: sans-IO, no socket, no clock, no event loop.

Replace `from wsproto import WSConnection` with `from trunkline.protocol import WSConnection`, and wsproto's modules
with those of this package. Events, exceptions, close codes and states are wsproto's own classes. `PerMessageDeflate` is
trunkline's, which limits the size of inflated messages; wsproto's is in `extensions`.

trunkline's own client and server do not use this package.
"""

from trunkline.protocol.deflate import PerMessageDeflate
from trunkline.protocol.wsproto.connection import CLIENT, SERVER, Connection, ConnectionState, ConnectionType
from trunkline.protocol.wsproto.events import (
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
from trunkline.protocol.wsproto.extensions import Extension
from trunkline.protocol.wsproto.frame_protocol import CloseReason, Opcode
from trunkline.protocol.wsproto.handshake import H11Handshake
from trunkline.protocol.wsproto.utilities import LocalProtocolError, ProtocolError, RemoteProtocolError
from trunkline.protocol.wsproto.wsconnection import WSConnection

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
