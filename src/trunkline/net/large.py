"""Large messages on a connection with compression: compressed and inflated by a thread, so that the loop runs on.

The thread is one of the loop's default executor. While it compresses, what is sent with `send` waits its turn; while it
inflates, the connection is not read. A connection that ends meanwhile does not wait for the thread, which comes to its
end by itself, and whose work then is thrown away.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

from wsproto.connection import ConnectionState

from trunkline._fanout import put_late
from trunkline._frames import OPCODE_BINARY, OPCODE_TEXT
from trunkline.net.faults import guarded

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from trunkline._deflate import Deflater
    from trunkline._inflate import Inflater
    from trunkline.net.websocket import WebSocket
    from trunkline.net.wire import Wire

BURST: Final = 16  # times the limit of a broadcast: as much may wait behind a message that a thread compresses
READS_TOO_SLOWLY: Final = (1013, "reads too slowly")

__all__ = ["READS_TOO_SLOWLY", "Turns", "run_work", "send_large"]


class Turns:
    """The line in which `send` waits while a large message is compressed: first come, first served. A broadcast that
    comes meanwhile stands in it as well.

    As long as somebody has the turn, `send` queues up.
    """

    __slots__ = ("_bytes", "_is_taken", "_line", "_ws")

    def __init__(self, ws: WebSocket) -> None:
        self._ws = ws
        self._is_taken = False
        self._line: deque[asyncio.Future[None] | _Behind] = deque()
        self._bytes = 0  # of the broadcasts in it

    async def __aenter__(self) -> None:
        if not self._is_taken:
            self._is_taken = True
            self._ws._set_queueing(True)
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._line.append(turn)
        try:
            await turn
        except BaseException:  # a coroutine that is closed gets GeneratorExit, and its turn would be nobody's
            if not turn.cancel() and not turn.cancelled():
                self._pass_on()  # it was our turn already
            raise

    async def __aexit__(self, *error: object) -> None:
        self._pass_on()

    def put(self, message: str | bytes, slow: tuple[int, float], *, closes: bool) -> bool:
        """Has a broadcast sent when those before it are; False if more than 16 times the limit of them would wait.

        slow: the limit, in bytes (0: `write_limit`), and the patience of the broadcast. closes: what becomes of the
        connection if it is slow by then: closed, or it loses the message.
        """
        behind = _Behind(message, slow, closes)
        if self._bytes + behind.size > BURST * (slow[0] or self._ws._settings.write_limit):
            if not closes:
                self._ws._count_dropped()
            return False
        self._line.append(behind)
        self._bytes += behind.size
        return True

    def _pass_on(self) -> None:
        while self._line:
            first = self._line.popleft()
            if isinstance(first, _Behind):
                self._bytes -= first.size
                self._send(first)
            elif not first.done():  # else it was cancelled
                first.set_result(None)
                return
        self._is_taken = False
        self._ws._set_queueing(False)

    def _send(self, behind: _Behind) -> None:
        if self._ws.state is not ConnectionState.OPEN:
            return
        try:
            if put_late(self._ws, behind.message, behind.slow):
                return
            self._ws._count_dropped()
            if behind.closes:
                self._ws.fail(*READS_TOO_SLOWLY)
        except Exception as error:  # the compressor raised: no matter of whoever passes the turn on, nor to keep it for
            self._ws._on_broken(error)


class _Behind(NamedTuple):
    """A broadcast that waits behind a large message."""

    message: str | bytes
    slow: tuple[int, float]
    closes: bool

    @property
    def size(self) -> int:
        """Bytes as they lie in memory, and what it takes to keep them."""
        if isinstance(self.message, str) and not self.message.isascii():
            return str.__sizeof__(self.message) + 8
        return len(self.message) + 64


async def send_large(ws: WebSocket, message: str | Buffer, compress: bool | None) -> bool:
    """Sends a large message, compressed by a thread; False if it is not for one, and nothing is sent.

    Raises as `send`. If it is cancelled, nothing is sent.
    """
    deflater = ws._deflater
    assert deflater is not None
    try:
        data = deflater.choose(message, compress)
    except UnicodeEncodeError as error:
        raise ws._bad_text(error) from None
    if data is None or not 0 <= deflater.large <= len(data):
        return False
    await ws.wait_writable()
    away = deflater.detach()
    sent: Deflater | None = None
    try:
        payload = await asyncio.get_running_loop().run_in_executor(None, away.compress, data)
        await ws.wait_writable()
        opcode = OPCODE_TEXT if isinstance(message, str) else OPCODE_BINARY
        if payload is None:
            ws.send_nowait(message, compress=False)
        else:
            ws._send_payload(opcode, payload, len(data))
        sent = away
    finally:
        deflater.attach(sent)  # what was compressed and not sent, the peer does not know
    return True


def run_work(ws: Wire, inflater: Inflater) -> None:
    """Has a thread inflate what the connection waits for."""
    loop = asyncio.get_running_loop()
    working = loop.run_in_executor(None, inflater.work)
    working.add_done_callback(lambda work: guarded(ws, "inflating", _worked, ws, work))


def _worked(ws: Wire, work: asyncio.Future[None]) -> None:
    if work.cancelled():
        error: BaseException | None = asyncio.CancelledError("the executor was shut down")
    else:
        error = work.exception()
    if error is not None and ws.state is not ConnectionState.CLOSED:
        ws._on_broken(error)
    ws._inflated()
