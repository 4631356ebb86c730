"""wsproto's surface on the compiled codec: sans-IO, no socket, no clock, no event loop.

Replace `from wsproto import WSConnection` by `from trunkline.protocol import WSConnection`; the events, exceptions,
close codes and states are wsproto's own classes.
"""

from wsproto.connection import CLIENT, SERVER, ConnectionState, ConnectionType
from wsproto.frame_protocol import CloseReason, Opcode
from wsproto.utilities import LocalProtocolError, ProtocolError, RemoteProtocolError

from trunkline.protocol.connection import Connection, WSConnection

__all__ = [
    "CLIENT",
    "SERVER",
    "CloseReason",
    "Connection",
    "ConnectionState",
    "ConnectionType",
    "LocalProtocolError",
    "Opcode",
    "ProtocolError",
    "RemoteProtocolError",
    "WSConnection",
]
