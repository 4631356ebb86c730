"""Managed, typed connections: services, their connections across reconnects, and what is known of their health."""

from trunkline.manager.breaker import BreakerPolicy
from trunkline.manager.budget import RetryBudget
from trunkline.manager.connection import Connection
from trunkline.manager.errors import NotConnected, SendInterrupted, WaitTimeout
from trunkline.manager.events import EventStream, StateChange
from trunkline.manager.gate import GatePolicy
from trunkline.manager.health import ConnectionHealth
from trunkline.manager.hints import Hint
from trunkline.manager.manager import ConnectionManager
from trunkline.manager.retry import RetryPolicy
from trunkline.manager.rules import Rule
from trunkline.manager.service import Service
from trunkline.manager.states import ConnectionStatus
from trunkline.manager.taxonomy import ConnectionIssue, CredentialsError, categorize

__all__ = [
    "BreakerPolicy",
    "Connection",
    "ConnectionHealth",
    "ConnectionIssue",
    "ConnectionManager",
    "ConnectionStatus",
    "CredentialsError",
    "EventStream",
    "GatePolicy",
    "Hint",
    "NotConnected",
    "RetryBudget",
    "RetryPolicy",
    "Rule",
    "SendInterrupted",
    "Service",
    "StateChange",
    "WaitTimeout",
    "categorize",
]
