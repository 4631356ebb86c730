"""One message to many connections."""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

from trunkline._batch import Encoder
from trunkline._fanout import fan_out
from trunkline.net.checks import check_whole
from trunkline.net.close import READS_TOO_SLOWLY
from trunkline.net.loops import state_of
from trunkline.net.websocket import WebSocket, life_of
from trunkline.protocol.errors import LocalProtocolError, WrongThread

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["Broadcast", "broadcast"]

PATIENCE: Final = 5.0  # seconds that a connection may be behind before it counts as slow

Slow = Literal["close", "drop", "wait"]


@dataclass(slots=True)
class Broadcast:
    """The result of a broadcast. With slow="wait", await it to send to the slow connections, too; otherwise it is done.

    Attributes:
        sent: connections that the message was sent to.
        dropped: connections that were skipped.
        closed: slow connections that were closed.
        waiting: slow connections that get it when you await this.

    Connections that were not open are not counted.
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
            # One task each, so that a peer that never reads does not hold up the others.
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
    """Send a message to every connection that is open. It is encoded once, and leaves with each connection's batch at
    the end of the turn. A message of 32 KiB or more is not even copied.

    A connection is slow when more than `limit` bytes are waiting for its peer, and more than its high-water mark
    (64 KiB) have been for `patience` seconds: a burst of large messages closes nobody who reads. A connection with more
    than 16 times the limit is slow at once, so that what waits stays bounded.

    A connection in the middle of a fragmented message misses this one, unless slow is "wait". If a thread is
    compressing a large message of `send`, this one is sent after it; a connection with more than 16 times the limit of
    such broadcasts waiting is slow, too.

    Args:
        connections: any iterable of this event loop's connections, for example `room - {sender}`.
        message: str is sent as text, bytes-like as binary.
        slow: what to do with slow connections. "close": close them with 1013. "drop": leave this message out, which
            their stats count as `messages_dropped`. "wait": send to those for which `send` would wait as soon as they
            have room, once you await the result; limit and patience do not matter then.
        limit: bytes; None for the `write_limit` of each connection.
        patience: seconds; 0 to go by the bytes alone.

    Raises:
        TypeError: the message is neither str nor bytes-like, or a connection is not a WebSocket.
        LocalProtocolError: the text has lone surrogates.
        ValueError: slow is another word, limit or patience is out of range, or a connection is another event loop's.
        WrongThread: no event loop is running here. It is a RuntimeError.

    If it raises, nothing has been sent.
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
    if limit is not None:
        check_whole("limit", limit, 1, "1 or more bytes, or None for each connection's write_limit")
    if not isinstance(patience, (int, float)) or isinstance(patience, bool) or not patience >= 0:  # NaN is not
        raise ValueError(f"patience is {patience!r}, must be 0 or more seconds")
