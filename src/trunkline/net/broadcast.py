"""One message to many connections."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

from trunkline._batch import Encoder
from trunkline._outlet import fan_out

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from trunkline.net.websocket import WebSocket

__all__ = ["Broadcast", "broadcast"]

Slow = Literal["close", "drop", "wait"]
SLOW_CLOSE: Final = (1013, "reads too slowly")


@dataclass(slots=True)
class Broadcast:
    """What became of a broadcast. Awaiting it waits for the slow ones, with slow="wait"; otherwise it is done already.

    sent: connections that the message was sent to. dropped: slow ones that it was not sent to. closed: slow ones that
    were closed. Connections that were not open are not counted.
    """

    sent: int = 0
    dropped: int = 0
    closed: int = 0
    _waiting: list[asyncio.Task[None]] = field(default_factory=list, repr=False)

    def __await__(self) -> Generator[Any, None, Broadcast]:
        return self._finish().__await__()

    async def _finish(self) -> Broadcast:
        waiting, self._waiting = self._waiting, []
        if waiting:
            results = await asyncio.gather(*waiting, return_exceptions=True)
            self.sent += sum(not isinstance(result, BaseException) for result in results)
        return self


def broadcast(connections: Iterable[WebSocket], message: str | Buffer, slow: Slow = "close") -> Broadcast:
    """Sends a message to every connection that is open, encoded once; it leaves with each one's batch, at the end of
    the turn.

    slow: what to do with a connection that has more than 64 KiB waiting (its high-water mark). "close": close it with
    1013; "drop": leave this message out; "wait": send when it has room, for which the result must be awaited.
    Raises TypeError for a message that is neither str nor bytes-like, ValueError for another word in slow; nothing is
    sent then.
    """
    if slow not in ("close", "drop", "wait"):
        raise ValueError(f'slow is {slow!r}, must be "close", "drop" or "wait"')
    frame = Encoder(False).messages([message])
    result = Broadcast()
    result.sent, behind = fan_out(connections, frame, message)
    if slow == "drop":
        result.dropped = len(behind)
    elif slow == "close":
        result.closed = len(behind)
        for ws in behind:
            ws.fail(*SLOW_CLOSE)
    else:
        result._waiting = [_send_later(ws.send(message)) for ws in behind]
    return result


def _send_later(sending: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    return asyncio.get_running_loop().create_task(sending)
