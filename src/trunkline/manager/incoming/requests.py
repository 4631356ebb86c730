"""Questions that wait for their answers, told apart by a correlation id."""

from __future__ import annotations

import asyncio
import itertools
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, Final, Generic, TypeVar

import msgspec

from trunkline.manager.codecs import Payload
from trunkline.manager.delivery import Delivery
from trunkline.manager.health import Meter
from trunkline.manager.states import DeliveryOutcome

__all__ = ["Correlate", "Correlation", "Pending", "Requests", "field_getter"]

Receives = TypeVar("Receives")

# A field's name, or a callable that takes the message and gives its id: None for a message that has none.
Correlate = tuple[str | Callable[[Any], Hashable | None], str | Callable[[Any], Hashable | None]]

MAX_GIVEN_UP: Final = 1024  # ids of requests that nobody waits for any more, kept to know late replies


def field_getter(field: str | Callable[[Any], Any]) -> Callable[[Any], Any]:
    """What takes the field out of a message, an object or a dict; None where it is not."""
    if callable(field):
        return field

    def get(message: Any) -> Any:
        return message.get(field) if isinstance(message, dict) else getattr(message, field, None)

    return get


class Correlation:
    """How the ids of a service's requests and replies are found."""

    def __init__(self, correlate: Correlate) -> None:
        sent, received = correlate
        self.sent_id = field_getter(sent)
        self.received_id = field_getter(received)
        self._field = sent if isinstance(sent, str) else None
        self._numbers = itertools.count(1)

    def identify(self, message: Any) -> tuple[Any, Hashable]:
        """The request with an id, and the id: its own, or a new number if its field holds None."""
        found = self.sent_id(message)
        if found is None and self._field is not None:
            found = next(self._numbers)
            if isinstance(message, dict):
                message = {**message, self._field: found}
            else:
                message = msgspec.structs.replace(message, **{self._field: found})
        if found is None:
            raise ValueError("the request has no correlation id")
        return message, found


class Pending(Generic[Receives]):
    """One request that waits for its reply."""

    def __init__(self, *, is_idempotent: bool) -> None:
        self.may_repeat = is_idempotent  # once: the link may have died of it
        self.settled: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.reply: Receives | None = None
        self.error: Exception | None = None
        self.delivery: Delivery[Any] | None = None
        self.payload: Payload = b""

    def settle(self, reply: Receives | None, error: Exception | None = None) -> None:
        """The reply has come, or will not."""
        if not self.settled.done():
            self.reply, self.error = reply, error
            self.settled.set_result(True)

    @property
    def was_written(self) -> bool:
        """Whether the request went to a link: the peer may be at work on it."""
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
        """A place for the reply. ValueError if a request with this id waits already."""
        waiting = self._pending.get(request_id)
        if waiting is not None and not waiting.settled.done():
            raise ValueError(f"a request with the id {request_id!r} waits for its reply already")
        self._given_up.pop(request_id, None)
        pending = self._pending[request_id] = Pending(is_idempotent=is_idempotent)
        return pending

    def close(self, request_id: Hashable, pending: Pending[Receives]) -> None:
        """Nobody waits for it any more."""
        if self._pending.get(request_id) is pending:
            del self._pending[request_id]
        if pending.reply is None and pending.error is None and pending.was_written:
            self._given_up[request_id] = None
            if len(self._given_up) > MAX_GIVEN_UP:
                self._given_up.popitem(last=False)

    def match(self, message: Receives) -> bool:
        """Give a message to whoever waits for it. False: it is for everybody."""
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
        """The link is gone: requests that it had been given fail. Gives those that may be written once more: the
        idempotent ones that have not been, if `repeat`.
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
        """This was never written, so nothing will answer it."""
        for pending in self._pending.values():
            if pending.delivery is delivery:
                pending.settle(None, make_error())

    def end(self, make_error: Callable[[], Exception]) -> None:
        """No reply will come."""
        for pending in self._pending.values():
            pending.settle(None, make_error())
