"""Managed, typed connections that come back by themselves: services, connections, pools and their health."""

from trunkline.manager.codecs import Codec, EnvelopeCodec, JsonCodec, MessagePackCodec, RawCodec
from trunkline.manager.connection import Connection
from trunkline.manager.delivery import Delivery
from trunkline.manager.dialing.budget import RetryBudget
from trunkline.manager.dialing.endpoints import Endpoint
from trunkline.manager.errors import (
    MessageDropped,
    NotConnected,
    OutboxFull,
    PeerLimitExceeded,
    ReplyTimeout,
    SendInterrupted,
    WaitTimeout,
)
from trunkline.manager.events import EventStream, StateChange
from trunkline.manager.failure.hints import Hint
from trunkline.manager.failure.issues import ConnectionIssue, CredentialsError, categorize
from trunkline.manager.failure.retry import RetryPolicy
from trunkline.manager.failure.rules import Rule
from trunkline.manager.greeting import HookError
from trunkline.manager.health import ConnectionHealth, Rate
from trunkline.manager.incoming.inbox import Received
from trunkline.manager.manager import ConnectionManager
from trunkline.manager.policies import BatchPolicy, BreakerPolicy, GatePolicy, OutboxPolicy, PoolPolicy
from trunkline.manager.pool import Pool
from trunkline.manager.service import Service
from trunkline.manager.session import Session
from trunkline.manager.states import ConnectionStatus, DeliveryOutcome
from trunkline.manager.totals import ServiceHealth

__all__ = [
    "BatchPolicy",
    "BreakerPolicy",
    "Codec",
    "Connection",
    "ConnectionHealth",
    "ConnectionIssue",
    "ConnectionManager",
    "ConnectionStatus",
    "CredentialsError",
    "Delivery",
    "DeliveryOutcome",
    "Endpoint",
    "EnvelopeCodec",
    "EventStream",
    "GatePolicy",
    "Hint",
    "HookError",
    "JsonCodec",
    "MessageDropped",
    "MessagePackCodec",
    "NotConnected",
    "OutboxFull",
    "OutboxPolicy",
    "PeerLimitExceeded",
    "Pool",
    "PoolPolicy",
    "Rate",
    "RawCodec",
    "Received",
    "ReplyTimeout",
    "RetryBudget",
    "RetryPolicy",
    "Rule",
    "SendInterrupted",
    "Service",
    "ServiceHealth",
    "Session",
    "StateChange",
    "WaitTimeout",
    "categorize",
]
