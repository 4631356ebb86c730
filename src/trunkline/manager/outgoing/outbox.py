"""What a connection holds until a link can take it: bounded by count, bytes and age."""

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

ADMITTED: Final = (
    16  # senders that are woken at once; each that comes in wakes as many, so more would only look in vain
)


class Outbox(Generic[Sends]):
    """The messages that wait, in the order in which they were sent, and the senders that wait for room.

    waiting: the messages, for whoever only asks whether there are any. size: the sum of their sizes.
    senders: those that wait for room, in their order. Nothing goes past them.
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
        """What has waited longest."""
        return next(iter(self.waiting), None)

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
            self._take_out(delivery)
            taken.append(delivery)
        self.admit()
        return taken

    def remove(self, delivery: Delivery[Sends]) -> bool:
        """Take out one message; False if it does not wait here."""
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
        """Wait for room for a message of `size`, behind those who came before; False if the clock reached `until`.

        When it returns True the message is to be put here in the same step: the next sender's turn comes by that. What
        `check` raises, which is called whenever something has changed, ends the wait.
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
        """Let the first senders that wait look, if there is room. Each keeps its place until it is in."""
        if self.senders and self.has_room(1):
            room = self.policy.max_messages - len(self.waiting)
            for turn in itertools.islice(self.senders, max(1, min(room, ADMITTED))):
                turn.wake()

    def release(self) -> None:
        """Wake all senders: something has changed for each of them."""
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
