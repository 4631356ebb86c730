"""Requests that wait for their replies, matched by correlation id."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, Final, Generic, TypeVar

from trunkline.manager.codecs import Payload
from trunkline.manager.correlation import Correlation
from trunkline.manager.delivery import Delivery
from trunkline.manager.health import Meter
from trunkline.manager.states import DeliveryOutcome

__all__ = ["Pending", "Requests"]

Receives = TypeVar("Receives")

MAX_GIVEN_UP: Final = 1024  # ids of abandoned requests, kept so that a late reply is recognized


class Pending(Generic[Receives]):
    """One request that waits for its reply."""

    def __init__(self, *, is_idempotent: bool) -> None:
        self.may_repeat = is_idempotent  # only once: it may be what killed the link
        self.settled: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.reply: Receives | None = None
        self.error: Exception | None = None
        self.delivery: Delivery[Any] | None = None
        self.payload: Payload = b""

    def settle(self, reply: Receives | None, error: Exception | None = None) -> None:
        """Set the reply, or the error in its place. Does nothing the second time."""
        if not self.settled.done():
            self.reply, self.error = reply, error
            self.settled.set_result(True)

    @property
    def was_written(self) -> bool:
        """Whether the request was written to a link, so that the peer may be working on it."""
        return self.delivery is not None and self.delivery.outcome in (
            DeliveryOutcome.WRITTEN,
            DeliveryOutcome.CONFIRMED,
        )


class Requests(Generic[Receives]):
    """The requests of one connection that wait for a reply."""

    def __init__(self, correlation: Correlation | None, meter: Meter) -> None:
        self.correlation = correlation
        self._meter = meter
        self._pending: dict[Hashable, Pending[Receives]] = {}
        self._given_up: OrderedDict[Hashable, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._pending)

    def open(self, request_id: Hashable, *, is_idempotent: bool) -> Pending[Receives]:
        """Return a place for the reply. Raise ValueError if a request with this id is already waiting."""
        waiting = self._pending.get(request_id)
        if waiting is not None and not waiting.settled.done():
            raise ValueError(f"a request with the id {request_id!r} is already waiting for its reply")
        self._given_up.pop(request_id, None)
        pending = self._pending[request_id] = Pending(is_idempotent=is_idempotent)
        return pending

    def close(self, request_id: Hashable, pending: Pending[Receives]) -> None:
        """Stop waiting for a reply. One that comes later is counted and dropped."""
        if self._pending.get(request_id) is pending:
            del self._pending[request_id]
        if pending.reply is None and pending.error is None and pending.was_written:
            self._given_up[request_id] = None
            if len(self._given_up) > MAX_GIVEN_UP:
                self._given_up.popitem(last=False)

    def match(self, message: Receives) -> bool:
        """Give a reply to the request that waits for it. Return False if the message is not a reply."""
        if self.correlation is None:
            return False
        found = self.correlation.received_id(message)
        if found is None:
            return False
        pending = self._pending.get(found)
        if pending is not None and not pending.settled.done():
            pending.settle(message)
            return True
        if pending is not None or found in self._given_up:
            self._given_up.pop(found, None)
            self._meter.undelivered.late_replies += 1
            return True
        self._meter.undelivered.unknown_replies += 1
        return False

    def interrupt(self, make_error: Callable[[], Exception], *, repeat: bool) -> list[Delivery[Any]]:
        """Fail the requests that were written to the link that is gone.

        Return those that may be written again: the idempotent ones that have not been yet, if `repeat`.
        """
        again = []
        for pending in self._pending.values():
            if not pending.was_written or pending.settled.done():
                continue
            if not (pending.may_repeat and repeat):
                pending.settle(None, make_error())
            elif pending.delivery is not None:
                pending.may_repeat = False
                pending.delivery.payload = pending.payload
                again.append(pending.delivery)
        return again

    def drop(self, delivery: Delivery[Any], make_error: Callable[[], Exception]) -> None:
        """Fail the request of a message that was never written."""
        for pending in self._pending.values():
            if pending.delivery is delivery:
                pending.settle(None, make_error())

    def end(self, make_error: Callable[[], Exception]) -> None:
        """Fail all requests: no reply will come."""
        for pending in self._pending.values():
            pending.settle(None, make_error())
