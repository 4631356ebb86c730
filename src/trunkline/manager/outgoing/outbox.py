"""Messages that wait until a link can take them, limited by count, bytes and age."""

from __future__ import annotations

import asyncio
import itertools
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import Final, Generic, TypeVar

from trunkline.manager.clock import Clock, wait_future
from trunkline.manager.delivery import Delivery
from trunkline.manager.policies import OutboxPolicy

__all__ = ["Outbox"]

Sends = TypeVar("Sends")

ADMITTED: Final = 16  # senders woken at once; each one that enters wakes as many, so more would wake in vain


class Outbox(Generic[Sends]):
    """The messages that wait, in the order in which they were sent, and the senders that wait for room.

    Attributes:
        waiting: the messages, exposed for a fast check whether there are any.
        size: the sum of their sizes in bytes.
        senders: those that wait for room, in order. No message overtakes them.
    """

    def __init__(self, policy: OutboxPolicy, clock: Clock) -> None:
        self.policy = policy
        self.size = 0
        self._clock = clock
        self.waiting: OrderedDict[Delivery[Sends], None] = OrderedDict()
        self._by_key: dict[Hashable, Delivery[Sends]] = {}
        self.senders: deque[_Turn] = deque()

    def __len__(self) -> int:
        return len(self.waiting)

    def __iter__(self) -> Iterator[Delivery[Sends]]:
        return iter(tuple(self.waiting))

    @property
    def oldest(self) -> Delivery[Sends] | None:
        """The message that has waited longest, None if there is none."""
        return next(iter(self.waiting), None)

    def has_room(self, size: int) -> bool:
        """Return whether a message of `size` bytes may wait here; the first one always may."""
        if not self.waiting:
            return True
        return len(self.waiting) < self.policy.max_messages and self.size + size <= self.policy.max_bytes

    def find(self, key: Hashable | None) -> Delivery[Sends] | None:
        """Return the waiting message with this key, None if there is none."""
        return None if key is None else self._by_key.get(key)

    def put(self, delivery: Delivery[Sends]) -> None:
        """Add a message at the end. The caller checks for room, and for a message with the same key."""
        self.waiting[delivery] = None
        self.size += delivery.size
        if delivery.key is not None:
            self._by_key[delivery.key] = delivery

    def put_back(self, deliveries: Iterable[Delivery[Sends]]) -> None:
        """Put messages back at the front, in order."""
        for delivery in reversed(tuple(deliveries)):
            self.waiting[delivery] = None
            self.waiting.move_to_end(delivery, last=False)
            self.size += delivery.size
            if delivery.key is not None:
                self._by_key.setdefault(delivery.key, delivery)

    def take(self, max_messages: int, max_bytes: int) -> list[Delivery[Sends]]:
        """Take the oldest messages: at least one, if any waits, and no more than the limits allow."""
        taken: list[Delivery[Sends]] = []
        size = 0
        while self.waiting and len(taken) < max_messages:
            delivery = next(iter(self.waiting))
            size += delivery.size
            if taken and size > max_bytes:
                break
            self._take_out(delivery)
            taken.append(delivery)
        self.admit()
        return taken

    def remove(self, delivery: Delivery[Sends]) -> bool:
        """Remove one message. Return False if it is not here."""
        if delivery not in self.waiting:
            return False
        self._take_out(delivery)
        self.admit()
        return True

    def _take_out(self, delivery: Delivery[Sends]) -> None:
        del self.waiting[delivery]
        self.size -= delivery.size
        if delivery.key is not None and self._by_key.get(delivery.key) is delivery:
            del self._by_key[delivery.key]

    async def wait_turn(self, size: int, until: float | None, check: Callable[[], None]) -> bool:
        """Wait for room for a message of `size` bytes, in order of arrival. Return False if the clock reached `until`.

        When it returns True, the caller puts its message here without awaiting anything, which lets in the next sender.
        `check` is called whenever something has changed; if it raises, the wait ends.
        """
        turn = _Turn()
        self.senders.append(turn)
        try:
            while self.senders[0] is not turn or not self.has_room(size):
                if not await turn.wait(self._clock, until):
                    return False
                check()
            return True
        finally:
            self.senders.remove(turn)
            self.admit()

    def admit(self) -> None:
        """Wake the first waiting senders, if there is room. Each keeps its place until it has entered."""
        if self.senders and self.has_room(1):
            room = self.policy.max_messages - len(self.waiting)
            for turn in itertools.islice(self.senders, max(1, min(room, ADMITTED))):
                turn.wake()

    def release(self) -> None:
        """Wake all senders, as something has changed for each of them."""
        for turn in self.senders:
            turn.wake()


class _Turn:
    """One sender that waits for room."""

    def __init__(self) -> None:
        self._woken: asyncio.Future[bool] | None = None

    def wake(self) -> None:
        if self._woken is not None and not self._woken.done():
            self._woken.set_result(True)

    async def wait(self, clock: Clock, until: float | None) -> bool:
        self._woken = asyncio.get_running_loop().create_future()
        return await wait_future(clock, self._woken, until)
