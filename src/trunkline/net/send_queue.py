"""Where sends wait: for room, for a turn of the loop, and for the message before them.

Theory of operation. Most sends never come here: the compiled link sends at once. A send waits here if more than the
high-water mark is waiting for the peer, if a message in fragments is under way or, on a connection with compression, if
a thread is compressing a large message. The last kind waits in a queue, first come, first served, together with
broadcasts that come meanwhile.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Coroutine
from typing import Any, Final, NamedTuple

from wsproto.connection import ConnectionState

from trunkline._fanout import put_late
from trunkline.net.close import READS_TOO_SLOWLY
from trunkline.net.fragments import is_parts, send_fragments
from trunkline.net.large import send_large
from trunkline.net.sendable import Sendable
from trunkline.protocol.errors import SendTimeout

BURST: Final = 16  # times its limit: what broadcasts may wait behind a message that a thread compresses

__all__ = ["SendQueue"]


class SendQueue:
    """The sends of one connection that wait. While somebody has the turn, `send` queues up."""

    __slots__ = ("_bytes", "_is_taken", "_life", "_queue", "_waiters")

    def __init__(self, life: Sendable) -> None:
        self._life = life
        self._is_taken = False
        self._queue: deque[asyncio.Future[None] | _Behind] = deque()
        self._bytes = 0  # of the broadcasts in it
        self._waiters: deque[asyncio.Future[None]] | None = None  # for room, or for the end of a fragmented message

    # Waiting for room

    async def wait_writable(self) -> None:
        """Wait until there is room: see `WebSocket.wait_writable`."""
        life, link = self._life, self._life.link
        # Others that ask in the same turn must wait, too, to stay behind us. Waiting for room takes a turn anyway.
        if link._is_overdue and not link._writing_paused:
            await asyncio.sleep(0)
        if link._writing_paused and life.state is ConnectionState.OPEN:
            await self._in_time(self._wait_room())
        link._start_turn()
        if life.state is not ConnectionState.OPEN:
            raise life.refusal()

    async def _wait_room(self) -> None:
        while self._life.link._writing_paused and self._life.state is ConnectionState.OPEN:
            await self._wait_wakened()

    async def _wait_wakened(self) -> None:
        """Wait until `wake` is called."""
        if self._waiters is None:
            self._waiters = deque()
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        except BaseException:
            if self._waiters is not None and waiter in self._waiters:
                self._waiters.remove(waiter)  # else they would pile up as long as the peer does not read
            raise

    def wake(self) -> None:
        """Have those who wait for room check again."""
        waiters, self._waiters = self._waiters, None
        for waiter in waiters or ():
            if not waiter.done():
                waiter.set_result(None)

    async def _in_time(self, sending: Coroutine[Any, Any, None]) -> None:
        """Await `sending` for `send_timeout` seconds at most, then cancel it and raise SendTimeout."""
        limit = self._life.settings.send_timeout
        if limit is None:
            await sending
            return
        try:
            async with asyncio.timeout(limit) as deadline:
                await sending
        except TimeoutError as error:
            if isinstance(error, SendTimeout) or not deadline.expired():
                raise
            raise SendTimeout(self._life.link._waiting, limit) from None

    # Sending

    async def send(self, message: Any, compress: bool | None) -> None:
        """Send a message that cannot go at once, or that comes in parts: see `WebSocket.send`."""
        sending = self._send_in_turn(message, compress)
        # The parts of a message may come as slowly as they like: only the waits for room between them are timed.
        await (sending if is_parts(message) else self._in_time(sending))

    async def _send_in_turn(self, message: Any, compress: bool | None) -> None:
        if self._life.link._deflater is None:
            await self._send_later(message, None)
            return
        await self._take_turn()
        try:
            if is_parts(message) or not await send_large(self._life, message, compress):
                await self._send_later(message, compress)
        finally:
            self._pass_on()

    async def _send_later(self, message: Any, compress: bool | None) -> None:
        life, link = self._life, self._life.link
        await life.wait_writable()
        while link._is_unfinished and life.state is ConnectionState.OPEN:
            await self._wait_wakened()
            await life.wait_writable()
        if not is_parts(message):
            link.send_nowait(message, compress=compress)
            return
        link._set_unfinished(True)
        try:
            await send_fragments(life, message, compress)
        finally:
            link._set_unfinished(False)
            self.wake()

    # Taking turns

    async def _take_turn(self) -> None:
        if not self._is_taken:
            self._is_taken = True
            self._life.link._set_queueing(True)
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append(turn)
        try:
            await turn
        except BaseException:  # GeneratorExit, too, when our coroutine is closed: else nobody would end our turn
            if not turn.cancel() and not turn.cancelled():
                self._pass_on()  # it was our turn already
            raise

    def put(self, message: str | bytes, slow: tuple[int, float], *, closes: bool) -> bool:
        """Queue a broadcast behind the message that has the turn.

        Args:
            message: the broadcast.
            slow: its limit, in bytes (0: `write_limit`), and its patience, in seconds.
            closes: whether to close the connection if it is slow by then; otherwise it misses the message.

        Returns:
            False if more than 16 times the limit of broadcasts would wait; nothing is queued then.
        """
        behind = _Behind(message, slow, closes)
        if self._bytes + behind.size > BURST * (slow[0] or self._life.settings.write_limit):
            if not closes:
                self._life.link._count_dropped()
            return False
        self._queue.append(behind)
        self._bytes += behind.size
        return True

    def _pass_on(self) -> None:
        while self._queue:
            first = self._queue.popleft()
            if isinstance(first, _Behind):
                self._bytes -= first.size
                self._send_behind(first)
            elif not first.done():  # else it was cancelled
                first.set_result(None)
                return
        self._is_taken = False
        self._life.link._set_queueing(False)

    def _send_behind(self, behind: _Behind) -> None:
        if self._life.state is not ConnectionState.OPEN:
            return
        try:
            if put_late(self._life.link, behind.message, behind.slow):
                return
            self._life.link._count_dropped()
            if behind.closes:
                self._life.fail(*READS_TOO_SLOWLY)
        except Exception as error:  # the compressor raised: whoever passes the turn on must not fail, nor keep it
            self._life.on_broken(error)


class _Behind(NamedTuple):
    """A broadcast that waits behind a large message."""

    message: str | bytes
    slow: tuple[int, float]
    closes: bool

    @property
    def size(self) -> int:
        """Bytes in memory, overhead included."""
        if isinstance(self.message, str) and not self.message.isascii():
            return str.__sizeof__(self.message) + 8
        return len(self.message) + 64
