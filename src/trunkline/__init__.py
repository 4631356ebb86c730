"""trunkline: the WebSocket line for high-volume Python services.

    async with trunkline.connect("wss://host/path") as ws:
        await ws.send("text")
        async for message in ws:
            ...

The floors, from below: the compiled core (`_frames`, `_link`, `_writer` and others), the sans-IO protocol
(`trunkline.protocol`), client and server (`trunkline.net`), managed connections (`trunkline.manager`). What
applications need of them is here. Beside it stand `trunkline.observe` (logs, metrics, the dashboard) and
`trunkline.testing`.
"""

import typing as _typing

from trunkline import _guard

_guard.check()

# For type checkers. At run time a name is imported when it is first asked for (PEP 562): who only connects does not
# load the manager.
if _typing.TYPE_CHECKING:
    from trunkline.manager import (
        BatchPolicy,
        BreakerPolicy,
        Codec,
        Connection,
        ConnectionHealth,
        ConnectionIssue,
        ConnectionManager,
        ConnectionStatus,
        CredentialsError,
        Delivery,
        DeliveryOutcome,
        EnvelopeCodec,
        GatePolicy,
        Hint,
        HookError,
        JsonCodec,
        MessageDropped,
        MessagePackCodec,
        NotConnected,
        OutboxFull,
        OutboxPolicy,
        PeerLimitExceeded,
        Pool,
        PoolPolicy,
        RawCodec,
        Received,
        ReplyTimeout,
        RetryBudget,
        RetryPolicy,
        Rule,
        SendInterrupted,
        Service,
        Session,
        StateChange,
        WaitTimeout,
        categorize,
    )
    from trunkline.net.broadcast import Broadcast, broadcast
    from trunkline.net.connect import connect
    from trunkline.net.http import Headers, Request, Response
    from trunkline.net.listener import Close, Listener
    from trunkline.net.serve import Server, serve
    from trunkline.net.settings import Settings
    from trunkline.net.stats import Stats
    from trunkline.net.websocket import WebSocket
    from trunkline.protocol.categories import ErrorCategory
    from trunkline.protocol.deflate import Deflate
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
    "BatchPolicy",
    "BreakerPolicy",
    "Broadcast",
    "Close",
    "Codec",
    "ConnectError",
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
    "EnvelopeCodec",
    "ErrorCategory",
    "GatePolicy",
    "HandshakeError",
    "Headers",
    "Hint",
    "HookError",
    "InvalidURI",
    "JsonCodec",
    "Listener",
    "LocalProtocolError",
    "MessageDropped",
    "MessagePackCodec",
    "MessageTooBig",
    "NotConnected",
    "OpenTimeout",
    "OutboxFull",
    "OutboxPolicy",
    "PeerLimitExceeded",
    "Pool",
    "PoolPolicy",
    "ProxyError",
    "RawCodec",
    "Received",
    "RemoteProtocolError",
    "ReplyTimeout",
    "Request",
    "Response",
    "RetryBudget",
    "RetryPolicy",
    "Rule",
    "SendInterrupted",
    "SendTimeout",
    "Server",
    "Service",
    "Session",
    "Settings",
    "SlowConsumer",
    "StateChange",
    "Stats",
    "TrunklineError",
    "WaitTimeout",
    "WebSocket",
    "WrongThread",
    "broadcast",
    "categorize",
    "connect",
    "serve",
]

# A module, and the names above that it holds.
_HOMES = {
    "trunkline.manager": """
        BatchPolicy BreakerPolicy Codec Connection ConnectionHealth ConnectionIssue ConnectionManager
        ConnectionStatus CredentialsError Delivery DeliveryOutcome EnvelopeCodec GatePolicy Hint HookError
        JsonCodec MessageDropped MessagePackCodec NotConnected OutboxFull OutboxPolicy PeerLimitExceeded
        Pool PoolPolicy RawCodec Received ReplyTimeout RetryBudget RetryPolicy Rule SendInterrupted Service
        Session StateChange WaitTimeout categorize
    """,
    "trunkline.net.broadcast": "Broadcast broadcast",
    "trunkline.net.connect": "connect",
    "trunkline.net.http": "Headers Request Response",
    "trunkline.net.listener": "Close Listener",
    "trunkline.net.serve": "Server serve",
    "trunkline.net.settings": "Settings",
    "trunkline.net.stats": "Stats",
    "trunkline.net.websocket": "WebSocket",
    "trunkline.protocol.categories": "ErrorCategory",
    "trunkline.protocol.deflate": "Deflate",
    "trunkline.protocol.errors": """
        ConnectError ConnectionClosed ConnectionClosedError ConnectionClosedOK DecodeError HandshakeError
        InvalidURI LocalProtocolError MessageTooBig OpenTimeout ProxyError RemoteProtocolError SendTimeout
        SlowConsumer TrunklineError WrongThread
    """,
}
_HOME = {name: module for module, names in _HOMES.items() for name in names.split()}
_PARTS = {"manager", "net", "protocol"}

if not _typing.TYPE_CHECKING:  # to a type checker it would say that every name is there

    def __getattr__(name: str) -> object:
        from importlib import import_module

        if name in _PARTS:
            return import_module(f"trunkline.{name}")
        if name not in _HOME:
            raise AttributeError(f"module 'trunkline' has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(_HOME[name]), name)
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__, *_PARTS})
