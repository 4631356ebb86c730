"""Large messages on a connection with compression: compressed and inflated by a thread, so that the loop runs on.

The thread is one of the loop's default executor. While it compresses, what is sent with `send` waits its turn; while it
inflates, the connection is not read. A connection that ends meanwhile does not wait for the thread, which comes to its
end by itself, and whose work then is thrown away.
"""

from __future__ import annotations

import asyncio
import functools
from typing import TYPE_CHECKING

from wsproto.connection import ConnectionState

from trunkline._frames import OPCODE_BINARY, OPCODE_TEXT

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from trunkline._deflate import Deflater
    from trunkline._inflate import Inflater
    from trunkline.net.websocket import WebSocket
    from trunkline.net.wire import Wire

__all__ = ["Turns", "run_work", "send_large"]


class Turns:
    """The line in which `send` waits while a large message is compressed: first come, first served.

    As long as somebody stands in it, `send` queues up.
    """

    __slots__ = ("_count", "_lock", "_ws")

    def __init__(self, ws: Wire) -> None:
        self._ws = ws
        self._lock = asyncio.Lock()
        self._count = 0

    async def __aenter__(self) -> None:
        self._count += 1
        self._ws._set_queueing(True)
        try:
            await self._lock.acquire()
        except BaseException:
            self._leave()
            raise

    async def __aexit__(self, *error: object) -> None:
        self._lock.release()
        self._leave()

    def _leave(self) -> None:
        self._count -= 1
        self._ws._set_queueing(self._count > 0)


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
    loop.run_in_executor(None, inflater.work).add_done_callback(functools.partial(_worked, ws))


def _worked(ws: Wire, work: asyncio.Future[None]) -> None:
    if work.cancelled():
        error: BaseException | None = asyncio.CancelledError("the executor was shut down")
    else:
        error = work.exception()
    if error is not None and ws.state is not ConnectionState.CLOSED:
        ws._on_broken(error)
    ws._inflated()
