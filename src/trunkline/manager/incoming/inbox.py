"""What a connection has received: messages that wait to be taken, and payloads that did not decode."""

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

# Beyond either, the link is not read until the program takes messages: the peer sees backpressure, nothing is lost.
INBOX_MESSAGES: Final = 1024
INBOX_SIZE: Final = 2 * 2**20  # bytes of the payloads in memory

# What a closed link still held may exceed these limits up to this factor. The rest is discarded and counted: if nobody
# takes messages, each lost link would add to it.
OVERFLOW: Final = 2

# Beyond either, the oldest goes.
QUARANTINE_MESSAGES: Final = 16
QUARANTINE_SIZE: Final = 2**20 + 4096  # bytes in memory: one payload of the default max_size and its reason

QUARANTINE_REASON: Final = 500  # characters: a decoder may quote the payload


class Received(NamedTuple, Generic[Receives]):
    """A message with the link that it came over."""

    message: Receives
    generation: int  # 1 for the connection's first link


class Inbox(Generic[Receives]):
    """Messages in order of arrival, across links."""

    def __init__(self, clock: Clock) -> None:
        self.changed = Signal(clock)  # a message came or went, or no more will come
        self.is_full = False  # stop reading for now
        self._messages: deque[tuple[Receives, int, int]] = deque()
        self._size = 0

    def __len__(self) -> int:
        return len(self._messages)

    def put(self, message: Receives, size: int, generation: int = 0) -> None:
        """Add a message. The caller stops reading when `is_full`.

        size: bytes of its payload in memory. generation: that of the link that it came over.
        """
        self._messages.append((message, size, generation))
        self._size += size
        self.is_full = len(self._messages) >= INBOX_MESSAGES or self._size >= INBOX_SIZE

    def take(self) -> Receives:
        """Take the oldest message. Raise IndexError if there is none."""
        message, size, _ = self._messages.popleft()
        self._size -= size
        if self.is_full:
            self.is_full = len(self._messages) >= INBOX_MESSAGES or self._size >= INBOX_SIZE
            if not self.is_full:
                self.changed.notify()
        return message

    def take_received(self) -> Received[Receives]:
        """Take the oldest message with the generation of its link."""
        generation = self._messages[0][2]
        return Received(self.take(), generation)

    @property
    def is_overflowing(self) -> bool:
        """Whether nothing more may be added."""
        return len(self._messages) >= OVERFLOW * INBOX_MESSAGES or self._size >= OVERFLOW * INBOX_SIZE


class Quarantine:
    """The latest payloads that could not be decoded, complete, each with the reason.

    It keeps a `DecodeError` of its own, with the payload and the reason, so that its size is known. The exception that
    was raised is not kept: its traceback would hold everything that was read in the same batch.
    """

    def __init__(self) -> None:
        self.count = 0  # all so far
        self.size = 0  # bytes of the kept payloads and reasons in memory
        self._errors: deque[DecodeError] = deque()

    def put(self, error: DecodeError) -> DecodeError:
        """Keep the payload and the reason, and return them as a new error. Drop the oldest beyond the limits."""
        self.count += 1
        payload = error.payload
        if not isinstance(payload, str):
            payload = bytes(payload)  # a view would keep the whole buffer
        kept = DecodeError(_cut(str(error.args[0])), payload)
        self._errors.append(kept)
        self.size += _size(kept)
        while len(self._errors) > QUARANTINE_MESSAGES or self.size > QUARANTINE_SIZE:
            self.size -= _size(self._errors.popleft())
        return kept

    def contents(self) -> tuple[DecodeError, ...]:
        """Return what is kept, oldest first."""
        return tuple(self._errors)


def _cut(reason: str) -> str:
    return reason if len(reason) <= QUARANTINE_REASON else f"{reason[:QUARANTINE_REASON]}…"


def _size(kept: DecodeError) -> int:
    return sys.getsizeof(kept.payload) + sys.getsizeof(kept.args[0])
