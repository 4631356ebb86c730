"""What a connection has received: messages that wait to be taken, and payloads that fitted no type."""

from __future__ import annotations

import sys
from collections import deque
from typing import Final, Generic, NamedTuple, TypeVar

from trunkline.manager.clock import Clock, Signal
from trunkline.protocol.errors import DecodeError

__all__ = [
    "INBOX_MESSAGES",
    "INBOX_SIZE",
    "QUARANTINE_MESSAGES",
    "QUARANTINE_REASON",
    "QUARANTINE_SIZE",
    "Inbox",
    "Quarantine",
    "Received",
]

Receives = TypeVar("Receives")

# Past either, the line is not read until the program has taken some: backpressure reaches the peer, nothing is dropped.
INBOX_MESSAGES: Final = 1024
INBOX_SIZE: Final = 2 * 2**20  # bytes of the payloads as they lay in memory

# What a link that is closed still held is let in over these bounds, up to so many times as much. The rest is discarded,
# and counted: nobody takes anything, and each link that is lost would add to it.
OVERFLOW: Final = 2

# Past either, the oldest goes.
QUARANTINE_MESSAGES: Final = 16
QUARANTINE_SIZE: Final = 2**20 + 4096  # bytes in memory: one payload of the default max_size, and its reason

QUARANTINE_REASON: Final = 500  # characters: a decoder's words may quote the payload


class Received(NamedTuple, Generic[Receives]):
    """A message with the link that it came over."""

    message: Receives
    generation: int  # 1 for the connection's first link


class Inbox(Generic[Receives]):
    """Messages in the order of their arrival, across links."""

    def __init__(self, clock: Clock) -> None:
        self.changed = Signal(clock)  # a message came or went, or none will come
        self.is_full = False  # no more should be read for now
        self._messages: deque[tuple[Receives, int, int]] = deque()
        self._size = 0

    def __len__(self) -> int:
        return len(self._messages)

    def put(self, message: Receives, size: int, generation: int = 0) -> None:
        """One more; size: bytes of its payload in memory; generation: of the link that it came over.

        It is for the caller to stop when `is_full`.
        """
        self._messages.append((message, size, generation))
        self._size += size
        self.is_full = len(self._messages) >= INBOX_MESSAGES or self._size >= INBOX_SIZE

    def take(self) -> Receives:
        """The oldest message. Raises IndexError if there is none."""
        message, size, _ = self._messages.popleft()
        self._size -= size
        if self.is_full:
            self.is_full = len(self._messages) >= INBOX_MESSAGES or self._size >= INBOX_SIZE
            if not self.is_full:
                self.changed.notify()
        return message

    def take_received(self) -> Received[Receives]:
        """The same, with the link that it came over."""
        generation = self._messages[0][2]
        return Received(self.take(), generation)

    @property
    def is_overflowing(self) -> bool:
        """Whether nothing more is let in."""
        return len(self._messages) >= OVERFLOW * INBOX_MESSAGES or self._size >= OVERFLOW * INBOX_SIZE


class Quarantine:
    """The latest payloads that could not be decoded, whole, for whoever wants to know why.

    What is kept is what is counted: a `DecodeError` made here, with the payload and the reason in words. The exception
    that was raised is not kept: it holds what it came from, and through its traceback all that was read together.
    """

    def __init__(self) -> None:
        self.count = 0  # all that ever came
        self.size = 0  # bytes that the payloads and reasons kept take in memory
        self._errors: deque[DecodeError] = deque()

    def put(self, error: DecodeError) -> DecodeError:
        """Keep what it says, and give that; the oldest go when there are too many or they are too large."""
        self.count += 1
        payload = error.payload
        if not isinstance(payload, str):
            payload = bytes(payload)  # a view would hold the whole of what it is a part of
        kept = DecodeError(_cut(str(error.args[0])), payload)
        self._errors.append(kept)
        self.size += _size(kept)
        while len(self._errors) > QUARANTINE_MESSAGES or self.size > QUARANTINE_SIZE:
            self.size -= _size(self._errors.popleft())
        return kept

    def contents(self) -> tuple[DecodeError, ...]:
        """What is kept, oldest first."""
        return tuple(self._errors)


def _cut(reason: str) -> str:
    return reason if len(reason) <= QUARANTINE_REASON else f"{reason[:QUARANTINE_REASON]}…"


def _size(kept: DecodeError) -> int:
    return sys.getsizeof(kept.payload) + sys.getsizeof(kept.args[0])
