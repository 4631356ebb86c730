"""Large messages on a connection with compression: a thread compresses and inflates them, so that the loop goes on.

The thread is from the loop's default executor. While it compresses, other calls of `send` wait their turn; while it
inflates, the connection is not read. A connection that ends meanwhile does not wait for the thread, whose result is
then discarded.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from wsproto.connection import ConnectionState

from trunkline._deflate import Deflater
from trunkline._frames import OPCODE_BINARY, OPCODE_TEXT
from trunkline._inflate import Inflater
from trunkline._link import Link
from trunkline.net.faults import Breakable, guarded
from trunkline.net.sendable import Sendable

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["inflate_apart", "send_large"]


class Inflating(Breakable, Protocol):
    """A connection that waits for a thread to inflate."""

    link: Link
    state: ConnectionState

    def on_broken(self, error: BaseException) -> None:
        """End the connection: the thread failed."""


async def send_large(life: Sendable, message: str | Buffer, compress: bool | None) -> bool:
    """Send a large message, compressed by a thread. Return False, and send nothing, if it is too small for that.

    Raise what `send` raises. If this is cancelled, nothing is sent.
    """
    deflater = life.link._deflater
    assert deflater is not None
    try:
        data = deflater.choose(message, compress)
    except UnicodeEncodeError as error:
        raise life.bad_text(error) from None
    if data is None or not 0 <= deflater.large <= len(data):
        return False
    await life.wait_writable()
    away = deflater.detach()
    sent: Deflater | None = None
    try:
        payload = await asyncio.get_running_loop().run_in_executor(None, away.compress, data)
        await life.wait_writable()
        opcode = OPCODE_TEXT if isinstance(message, str) else OPCODE_BINARY
        if payload is None:
            life.link.send_nowait(message, compress=False)
        else:
            life.link._send_payload(opcode, payload, len(data))
        sent = away
    finally:
        deflater.attach(sent)  # the peer does not know what was compressed but not sent
    return True


def inflate_apart(life: Inflating, inflater: Inflater) -> None:
    """Have a thread inflate what the connection is waiting for."""
    loop = asyncio.get_running_loop()
    working = loop.run_in_executor(None, inflater.work)
    link = life.link  # kept until the thread is done, though the connection may end meanwhile
    working.add_done_callback(lambda work: guarded(life, "inflating", _worked, life, link, work))


def _worked(life: Inflating, link: Link, work: asyncio.Future[None]) -> None:
    if work.cancelled():
        error: BaseException | None = asyncio.CancelledError("the executor was shut down")
    else:
        error = work.exception()
    if error is not None and life.state is not ConnectionState.CLOSED:
        life.on_broken(error)
    link._inflated()
