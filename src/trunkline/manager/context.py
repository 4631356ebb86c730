"""What a manager shares with its connections."""

from __future__ import annotations

import logging
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from trunkline.manager.clock import Clock
from trunkline.manager.delivery import Delivery
from trunkline.manager.dialing.budget import RetryBudget
from trunkline.manager.dialing.endpoints import Endpoints
from trunkline.manager.events import StateChange
from trunkline.net.loops import Home
from trunkline.net.websocket import WebSocket

__all__ = ["Context", "Dial"]


class Dial(Protocol):
    """`trunkline.connect`, or a test's substitute."""

    def __call__(
        self, uri: str, /, *, additional_headers: Mapping[str, str], **options: Any
    ) -> Awaitable[WebSocket]: ...


@dataclass(frozen=True, slots=True)
class Context:
    """What all connections of a manager share."""

    dial: Dial
    clock: Clock
    rng: random.Random
    budget: RetryBudget
    endpoints: Endpoints
    publish: Callable[[StateChange], int]  # returns how many subscribers raised
    undelivered: Callable[[Delivery[Any]], int]  # called with every undelivered message; returns the same
    logger: logging.Logger
    home: Home
    paused: set[str] = field(default_factory=set)  # names of services whose connections do not dial
