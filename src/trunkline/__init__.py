"""trunkline: a WebSocket library for high-throughput Python services.

    async with trunkline.connect("wss://host/path") as ws:
        await ws.send("text")
        async for message in ws:
            ...

The floors, from below: the compiled core (`_frames`, `_link`, `_writer` and others), the sans-IO protocol
(`trunkline.protocol`), client and server (`trunkline.net`), managed connections (`trunkline.manager`). This package
gathers what most applications need; policies, codecs, hints and rules are in `trunkline.manager`. There are also
`trunkline.observe` (logs, metrics, the dashboard) and `trunkline.testing`.
"""

import typing as _typing

from trunkline import _guard

_guard.check()

# For type checkers. At run time a name is imported on first use (PEP 562), so a program that only connects does not
# load the manager.
if _typing.TYPE_CHECKING:
    from trunkline._metrics import Histogram
    from trunkline.manager import (
        Connection,
        ConnectionHealth,
        ConnectionIssue,
        ConnectionManager,
        ConnectionStatus,
        CredentialsError,
        Delivery,
        DeliveryOutcome,
        HookError,
        MessageDropped,
        NotConnected,
        OutboxFull,
        PeerLimitExceeded,
        Pool,
        Received,
        ReplyTimeout,
        SendInterrupted,
        Service,
        StateChange,
        WaitTimeout,
    )
    from trunkline.net.broadcast import Broadcast, broadcast
    from trunkline.net.connect import Connecting, connect
    from trunkline.net.health import ServerHealth
    from trunkline.net.http import Headers, Request, Response
    from trunkline.net.listener import Close, Listener
    from trunkline.net.serve import Server, Serving, serve
    from trunkline.net.settings import Settings
    from trunkline.net.stats import Stats
    from trunkline.net.websocket import WebSocket
    from trunkline.protocol.categories import ErrorCategory
    from trunkline.protocol.deflate import Agreement, Deflate
    from trunkline.protocol.errors import (
        ConnectError,
        ConnectionClosed,
        ConnectionClosedError,
        ConnectionClosedOK,
        DecodeError,
        HandshakeError,
        InvalidURI,
        LocalProtocolError,
        MessageTooBig,
        OpenTimeout,
        ProxyError,
        RemoteProtocolError,
        SendTimeout,
        SlowConsumer,
        TrunklineError,
        WrongThread,
    )

__version__ = "0.1.0"

__all__ = [
    "Agreement",
    "Broadcast",
    "Close",
    "ConnectError",
    "Connecting",
    "Connection",
    "ConnectionClosed",
    "ConnectionClosedError",
    "ConnectionClosedOK",
    "ConnectionHealth",
    "ConnectionIssue",
    "ConnectionManager",
    "ConnectionStatus",
    "CredentialsError",
    "DecodeError",
    "Deflate",
    "Delivery",
    "DeliveryOutcome",
    "ErrorCategory",
    "HandshakeError",
    "Headers",
    "Histogram",
    "HookError",
    "InvalidURI",
    "Listener",
    "LocalProtocolError",
    "MessageDropped",
    "MessageTooBig",
    "NotConnected",
    "OpenTimeout",
    "OutboxFull",
    "PeerLimitExceeded",
    "Pool",
    "ProxyError",
    "Received",
    "RemoteProtocolError",
    "ReplyTimeout",
    "Request",
    "Response",
    "SendInterrupted",
    "SendTimeout",
    "Server",
    "ServerHealth",
    "Service",
    "Serving",
    "Settings",
    "SlowConsumer",
    "StateChange",
    "Stats",
    "TrunklineError",
    "WaitTimeout",
    "WebSocket",
    "WrongThread",
    "broadcast",
    "connect",
    "serve",
]

# Each module with the names it provides.
_HOMES = {
    "trunkline.manager": """
        Connection ConnectionHealth ConnectionIssue ConnectionManager ConnectionStatus CredentialsError
        Delivery DeliveryOutcome HookError MessageDropped NotConnected OutboxFull PeerLimitExceeded Pool
        Received ReplyTimeout SendInterrupted Service StateChange WaitTimeout
    """,
    "trunkline._metrics": "Histogram",
    "trunkline.net.broadcast": "Broadcast broadcast",
    "trunkline.net.connect": "Connecting connect",
    "trunkline.net.http": "Headers Request Response",
    "trunkline.net.listener": "Close Listener",
    "trunkline.net.health": "ServerHealth",
    "trunkline.net.serve": "Server Serving serve",
    "trunkline.net.settings": "Settings",
    "trunkline.net.stats": "Stats",
    "trunkline.net.websocket": "WebSocket",
    "trunkline.protocol.categories": "ErrorCategory",
    "trunkline.protocol.deflate": "Agreement Deflate",
    "trunkline.protocol.errors": """
        ConnectError ConnectionClosed ConnectionClosedError ConnectionClosedOK DecodeError HandshakeError
        InvalidURI LocalProtocolError MessageTooBig OpenTimeout ProxyError RemoteProtocolError SendTimeout
        SlowConsumer TrunklineError WrongThread
    """,
}
_HOME = {name: module for module, names in _HOMES.items() for name in names.split()}
_PARTS = {"manager", "net", "protocol"}

# Only needed to configure a manager, so in `trunkline.manager`. These aliases are deprecated; type checkers do not see
# them, so that they report old uses.
_MOVED = frozenset(
    [
        "BatchPolicy",
        "BreakerPolicy",
        "Codec",
        "EnvelopeCodec",
        "GatePolicy",
        "Hint",
        "JsonCodec",
        "MessagePackCodec",
        "OutboxPolicy",
        "PoolPolicy",
        "RawCodec",
        "RetryBudget",
        "RetryPolicy",
        "Rule",
        "Session",
        "categorize",
    ]
)

if not _typing.TYPE_CHECKING:  # a type checker would take every name for valid

    def __getattr__(name: str) -> object:
        from importlib import import_module

        if name in _PARTS:
            return import_module(f"trunkline.{name}")
        if name in _MOVED:
            from warnings import warn

            warn(f"trunkline.{name} is now trunkline.manager.{name}", DeprecationWarning, stacklevel=2)
            return getattr(import_module("trunkline.manager"), name)
        if name not in _HOME:
            raise AttributeError(f"module 'trunkline' has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(_HOME[name]), name)
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__, *_PARTS})
