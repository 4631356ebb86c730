"""What a connection holds until a link can take it: bounded by count, bytes and age."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from trunkline.manager.clock import Clock, wait_future
from trunkline.manager.delivery import Delivery

__all__ = ["Outbox", "OutboxPolicy"]

Sends = TypeVar("Sends")


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxPolicy:
    """What becomes of messages that cannot be written at once, and when a written one counts as delivered.

    when_full: "block": `send` waits for room, and `send_nowait` raises OutboxFull. "reject": both raise it.
        "drop_oldest": the oldest make room. "conflate": as that, and a message takes the place of an older one with the
        same `key`, whether the outbox is full or not.
    key: for "conflate": a callable that takes the message and gives its key; None for a message that has none.
    max_messages, max_bytes: bounds of what waits; of a text its characters count. A message larger than `max_bytes`
    waits alone.
    max_age: seconds that a message may wait; None: for ever.
    confirm: seconds after which what was written is confirmed by a ping, if it was not by then. None: never, and
        what a lost link had been given is then not known to be unknown: `written` is its last word.
    max_unconfirmed, max_unconfirmed_bytes: what may be on its way without confirmation; past that, messages wait.
    """

    when_full: Literal["block", "reject", "drop_oldest", "conflate"] = "block"
    key: Callable[[Any], Hashable | None] | None = None
    max_messages: int = 1024
    max_bytes: int = 2**20
    max_age: float | None = 60.0
    confirm: float | None = 1.0
    max_unconfirmed: int = 8192
    max_unconfirmed_bytes: int = 4 * 2**20

    def __post_init__(self) -> None:
        if self.when_full not in ("block", "reject", "drop_oldest", "conflate"):
            raise ValueError(f"when_full is {self.when_full!r}; wanted block, reject, drop_oldest or conflate")
        if (self.key is not None) is not (self.when_full == "conflate"):
            raise ValueError('a key goes with when_full="conflate", and that with a key')
        for name in ("max_messages", "max_bytes", "max_unconfirmed", "max_unconfirmed_bytes"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, wanted 1 or more")
        for name in ("max_age", "confirm"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name} is {value}, wanted more than 0 seconds, or None")


class Outbox(Generic[Sends]):
    """The messages that wait, in the order in which they were sent, and the senders that wait for room.

    waiting: the messages, for whoever only asks whether there are any. size: the sum of their sizes.
    """

    def __init__(self, policy: OutboxPolicy, clock: Clock) -> None:
        self.policy = policy
        self.size = 0
        self._clock = clock
        self.waiting: OrderedDict[Delivery[Sends], None] = OrderedDict()
        self._by_key: dict[Hashable, Delivery[Sends]] = {}
        self._senders: deque[asyncio.Future[bool]] = deque()

    def __len__(self) -> int:
        return len(self.waiting)

    def __iter__(self) -> Iterator[Delivery[Sends]]:
        return iter(tuple(self.waiting))

    @property
    def oldest(self) -> Delivery[Sends] | None:
        """What has waited longest."""
        return next(iter(self.waiting), None)

    @property
    def has_senders(self) -> bool:
        """Whether somebody waits for room."""
        return bool(self._senders)

    def has_room(self, size: int) -> bool:
        """Whether a message of `size` may wait here; the first one always may."""
        if not self.waiting:
            return True
        return len(self.waiting) < self.policy.max_messages and self.size + size <= self.policy.max_bytes

    def find(self, key: Hashable | None) -> Delivery[Sends] | None:
        """The message with this key that waits, if one does."""
        return None if key is None else self._by_key.get(key)

    def put(self, delivery: Delivery[Sends]) -> None:
        """Let a message wait at the end. It is the caller who looks for room, and for one with its key."""
        self.waiting[delivery] = None
        self.size += delivery.size
        if delivery.key is not None:
            self._by_key[delivery.key] = delivery

    def put_back(self, deliveries: Iterable[Delivery[Sends]]) -> None:
        """Let messages wait at the front again, in their order."""
        for delivery in reversed(tuple(deliveries)):
            self.waiting[delivery] = None
            self.waiting.move_to_end(delivery, last=False)
            self.size += delivery.size
            if delivery.key is not None:
                self._by_key.setdefault(delivery.key, delivery)

    def take(self, max_messages: int, max_bytes: int) -> list[Delivery[Sends]]:
        """The oldest messages: one at least, and no more than the bounds allow. Empty only if none waits."""
        taken: list[Delivery[Sends]] = []
        size = 0
        while self.waiting and len(taken) < max_messages:
            delivery = next(iter(self.waiting))
            size += delivery.size
            if taken and size > max_bytes:
                break
            self.remove(delivery)
            taken.append(delivery)
        return taken

    def remove(self, delivery: Delivery[Sends]) -> bool:
        """Take out one message; False if it does not wait here."""
        if delivery not in self.waiting:
            return False
        del self.waiting[delivery]
        self.size -= delivery.size
        if delivery.key is not None and self._by_key.get(delivery.key) is delivery:
            del self._by_key[delivery.key]
        self.admit()
        return True

    async def wait_turn(self, until: float | None, *, first: bool = False) -> bool:
        """Wait for room, behind those who came before; False if the clock reached `until` first.

        Whoever has waited looks at the room again: if there is none, it waits once more, as the first; otherwise it
        calls `admit` when it is done, so that the next one's turn comes.
        """
        turn: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        if first:
            self._senders.appendleft(turn)
        else:
            self._senders.append(turn)
        try:
            return await wait_future(self._clock, turn, until)
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.admit()
            raise
        finally:
            if turn in self._senders:
                self._senders.remove(turn)

    def admit(self) -> None:
        """Let the first sender that waits come in, if there is room for a small message."""
        while self._senders and self.has_room(1):
            turn = self._senders.popleft()
            if not turn.done():
                turn.set_result(True)
                return

    def release(self) -> None:
        """Wake all senders: there is nothing to wait for any more."""
        senders, self._senders = self._senders, deque()
        for turn in senders:
            if not turn.done():
                turn.set_result(True)
