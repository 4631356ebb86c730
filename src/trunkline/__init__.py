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

try:
    from trunkline import (
        _backlog,
        _batch,
        _control,
        _deflate,
        _fanout,
        _frames,
        _inbox,
        _inflate,
        _link,
        _outlet,
        _shelf,
        _writer,
    )
except ImportError as error:
    raise ImportError(
        f"trunkline's compiled core is missing or does not load ({error}); build it with a C compiler: "
        "pip install --force-reinstall --no-binary trunkline trunkline, or in a checkout: pip install -e ."
    ) from error

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

del _backlog, _batch, _control, _deflate, _fanout, _frames, _inbox, _inflate, _link, _outlet, _shelf, _writer
