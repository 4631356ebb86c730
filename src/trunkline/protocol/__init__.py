"""The protocol without I/O: no socket, no clock, no event loop.

The client and the server are built on these modules: errors and their categories, the opening handshake, compression,
connection states, close codes. `trunkline.protocol.wsproto` is a drop-in for wsproto on the same core. Its names can be
imported from here too: `from trunkline.protocol import WSConnection`. It is loaded on first use.
"""

import importlib
import typing

if typing.TYPE_CHECKING:
    from trunkline.protocol.wsproto import (
        CLIENT,
        SERVER,
        AcceptConnection,
        BytesMessage,
        CloseConnection,
        CloseReason,
        Connection,
        ConnectionState,
        ConnectionType,
        Event,
        Extension,
        H11Handshake,
        LocalProtocolError,
        Message,
        Opcode,
        PerMessageDeflate,
        Ping,
        Pong,
        ProtocolError,
        RejectConnection,
        RejectData,
        RemoteProtocolError,
        Request,
        TextMessage,
        WSConnection,
    )

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


def __getattr__(name: str) -> typing.Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module("trunkline.protocol.wsproto"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
