"""Messages that were written to a link and not confirmed yet.

The peer answers a ping after it has read everything before it, so a pong confirms all of that. There is one ping at a
time, at most one every `OutboxPolicy.confirm` seconds, or as soon as half of the unconfirmed messages allowed are
written. A busy connection pays a few bytes for thousands of messages, and an idle one nothing.
"""

from __future__ import annotations

import asyncio
import functools
from collections import deque
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from trunkline.manager.clock import Timer
from trunkline.manager.codecs import Payload
from trunkline.manager.delivery import Delivery
from trunkline.manager.guard import Guard
from trunkline.manager.policies import OutboxPolicy
from trunkline.manager.states import DeliveryOutcome
from trunkline.net.websocket import WebSocket
from trunkline.protocol.errors import TrunklineError

__all__ = ["Unconfirmed"]

CONFIRMED: Final = DeliveryOutcome.CONFIRMED

Sends = TypeVar("Sends")


class Unconfirmed(Generic[Sends]):
    """The unconfirmed messages of one link, in the order in which they were written."""

    def __init__(self, link: WebSocket, policy: OutboxPolicy, guard: Guard, confirmed: Callable[[], None]) -> None:
        """confirmed: called when a pong has made room for more."""
        self.size = 0
        self.is_full = False  # no more may be written until some are confirmed
        self._half = max(1, policy.max_unconfirmed // 2), max(1, policy.max_unconfirmed_bytes // 2)
        self._link = link
        self._policy = policy
        self._clock = guard
        self._answered = functools.partial(guard.run, self._on_pong)  # type: ignore[call-arg]  # the future comes last
        self._confirmed = confirmed
        self._deliveries: deque[Delivery[Sends]] = deque()
        self._ping: asyncio.Future[float] | None = None
        self._covered = 0  # how many of the oldest messages the present ping follows
        self._timer: Timer | None = None
        self._is_urgent = False

    def __len__(self) -> int:
        return len(self._deliveries)

    @property
    def room(self) -> int:
        """Number of messages that may still be written."""
        return self._policy.max_unconfirmed - len(self._deliveries)

    @property
    def is_kept(self) -> bool:
        """Whether messages are kept until confirmed: not with `OutboxPolicy(confirm=None)`."""
        return self._policy.confirm is not None

    def payloads(self) -> list[Payload]:
        """Return the unconfirmed payloads, as they were written."""
        return [delivery.payload for delivery in self._deliveries]

    def add(self, delivery: Delivery[Sends]) -> None:
        """Add a message that was written."""
        confirm = self._policy.confirm
        if confirm is None:
            return
        self._deliveries.append(delivery)
        self.size += delivery.size
        if len(self._deliveries) >= self._half[0] or self.size >= self._half[1]:
            self._judge()
            self.ask()
        elif self._timer is None and self._ping is None:
            self._timer = self._clock.call_later(confirm, self._tick)

    def ask(self) -> None:
        """Have everything written so far confirmed as soon as possible."""
        if self._ping is not None:
            self._is_urgent = True
        elif self._deliveries:
            self._send_ping()

    def take_rest(self) -> list[Delivery[Sends]]:
        """Stop pinging, as the link is gone. Return the messages that stay unconfirmed."""
        ping, self._ping = self._ping, None
        if ping is not None:
            ping.remove_done_callback(self._answered)
            self._take_answer(ping)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        rest = list(self._deliveries)
        self._deliveries.clear()
        return rest

    def _judge(self) -> None:
        count, policy = len(self._deliveries), self._policy
        self.is_full = count >= policy.max_unconfirmed or self.size >= policy.max_unconfirmed_bytes

    def _tick(self) -> None:
        self._timer = None
        self.ask()

    def _send_ping(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._is_urgent = False
        try:
            self._ping = self._link.ping_nowait()
        except TrunklineError:
            return  # the link is closing, which its reader is about to report
        self._covered = len(self._deliveries)
        self._ping.add_done_callback(self._answered)

    def _on_pong(self, ping: asyncio.Future[float]) -> None:
        if ping is not self._ping:
            return  # it came in the turn in which the link was lost, and counted then
        self._ping = None
        is_answered = self._take_answer(ping)
        if self._deliveries and self._timer is None:
            if self._is_urgent or len(self._deliveries) >= self._half[0] or self.size >= self._half[1]:
                self._send_ping()
            elif self._policy.confirm is not None:
                self._timer = self._clock.call_later(self._policy.confirm, self._tick)
        if is_answered:
            self._confirmed()

    def _take_answer(self, ping: asyncio.Future[float]) -> bool:
        if not ping.done():
            ping.cancel()
            return False
        if ping.cancelled() or ping.exception() is not None:
            return False
        for _ in range(self._covered):
            delivery = self._deliveries.popleft()
            self.size -= delivery.size
            delivery.settle(CONFIRMED)
        self._judge()
        return True
