"""One message to many connections."""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

from trunkline._batch import Encoder
from trunkline._fanout import fan_out
from trunkline.net.close import READS_TOO_SLOWLY
from trunkline.net.loops import state_of
from trunkline.net.websocket import WebSocket, life_of
from trunkline.protocol.errors import LocalProtocolError, WrongThread

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["Broadcast", "broadcast"]

PATIENCE: Final = 5.0  # seconds that a connection may be behind before a broadcast finds it slow

Slow = Literal["close", "drop", "wait"]


@dataclass(slots=True)
class Broadcast:
    """What became of a broadcast. Awaiting it sends to the slow ones, with slow="wait"; otherwise it is done already.

    sent: connections that the message was sent to. dropped: those that lost it. closed: slow ones that were closed.
    waiting: slow ones that get it when this is awaited. Connections that were not open are not counted.
    """

    sent: int = 0
    dropped: int = 0
    closed: int = 0
    waiting: int = 0
    _behind: list[WebSocket] = field(default_factory=list, repr=False)
    _message: str | bytes = field(default=b"", repr=False)

    def __await__(self) -> Generator[Any, None, Broadcast]:
        return self._finish().__await__()

    async def _finish(self) -> Broadcast:
        for ws in self._behind:
            ws._check_thread()
        behind, self._behind, self.waiting = self._behind, [], 0
        if behind:
            # A task each, so that one that never reads holds up no other.
            results = await asyncio.gather(*[ws.send(self._message) for ws in behind], return_exceptions=True)
            self.sent += sum(not isinstance(result, BaseException) for result in results)
        return self


def broadcast(
    connections: Iterable[WebSocket],
    message: str | Buffer,
    slow: Slow = "close",
    *,
    limit: int | None = None,
    patience: float = PATIENCE,
) -> Broadcast:
    """Send a message to every connection that is open, encoded once; it leaves with each one's batch, at the end of
    the turn. A message of 32 KiB or more is not even copied.

    A connection is slow when more than `limit` bytes wait for its peer, and more than its high-water mark (64 KiB) have
    for `patience` seconds. So a burst of large messages closes nobody who reads. Past 16 times the limit a connection
    is slow at once, so that what waits stays bounded.

    A connection that is in the middle of a fragmented message loses this one, unless slow is "wait". Where a thread
    compresses a large message of `send`, this one is sent behind it; a connection that has more than 16 times the limit
    of such broadcasts waiting is slow too.

    Args:
        connections: any iterable, `room - {sender}` for instance; all of this event loop.
        message: str goes as text, bytes-like as binary.
        slow: what to do with a slow connection. "close": close it with 1013; "drop": leave this message out. What is
            left out is counted in the connection's stats as `messages_dropped`. "wait": send it to those for which
            `send` would wait when they have room, once the result is awaited; limit and patience play no part.
        limit: bytes; None for the `write_limit` of each connection.
        patience: seconds; 0 to go by the bytes alone.

    Raises:
        TypeError: the message is neither str nor bytes-like, or something is no WebSocket. Nothing is sent then, nor
            with the other errors.
        LocalProtocolError: text with lone surrogates.
        ValueError: another word in slow, a limit or a patience that cannot be, or a connection of another event loop.
        WrongThread: no event loop runs here; a RuntimeError.
    """
    _check(slow, limit, patience)
    loop = asyncio._get_running_loop()
    if loop is None:
        raise WrongThread("broadcast")
    loop_state = state_of(loop)
    try:
        frame = Encoder(False).messages([message])
    except UnicodeEncodeError as error:
        raise LocalProtocolError(f"text is not Unicode at index {error.start}: {error.reason} (RFC 6455 8.1)") from None
    result = Broadcast()
    bounds = None if slow == "wait" else (limit or 0, patience)
    result.sent, behind, busy, late = fan_out(list(connections), loop_state, frame, message, bounds)
    if bounds is None:
        result._behind = behind + busy + late
        result.waiting = len(result._behind)
        if result._behind:
            result._message = message if isinstance(message, str) else bytes(message)
        return result
    if late:
        kept = message if isinstance(message, str) else bytes(message)
        refused = [ws for ws in late if not life_of(ws).queue.put(kept, bounds, closes=slow == "close")]
        result.sent += len(late) - len(refused)
        behind += refused
    result.dropped = len(busy) + (len(behind) if slow == "drop" else 0)
    if slow == "close":
        result.closed = len(behind)
        for ws in behind:
            ws.fail(*READS_TOO_SLOWLY)
    return result


def _check(slow: Slow, limit: int | None, patience: float) -> None:
    if slow not in ("close", "drop", "wait"):
        raise ValueError(f'slow is {slow!r}, must be "close", "drop" or "wait"')
    if limit is not None and limit < 1:
        raise ValueError(f"limit is {limit}, must be 1 or more bytes, or None for each connection's write_limit")
    if not patience >= 0:
        raise ValueError(f"patience is {patience}, must be 0 or more seconds")
