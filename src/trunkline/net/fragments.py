"""Sending a message in fragments (RFC 6455 5.4), from an iterable of its parts."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable
from typing import TYPE_CHECKING

from wsproto.connection import ConnectionState

from trunkline._deflate import FINAL, Deflater
from trunkline._frames import FIN, OPCODE_BINARY, OPCODE_CONTINUATION, OPCODE_TEXT, RSV1
from trunkline.net.close import INTERNAL_ERROR
from trunkline.net.sendable import Sendable

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["Parts", "is_parts", "send_fragments"]

if TYPE_CHECKING:
    Parts = Iterable[str | Buffer] | AsyncIterable[str | Buffer]


def is_parts(message: object) -> bool:
    """Return whether a message is given in parts: as an iterable that is neither text nor bytes nor a mapping."""
    if isinstance(message, (str, bytes, bytearray, memoryview)) or hasattr(message, "keys"):
        return False
    try:
        memoryview(message)  # type: ignore[arg-type]
    except TypeError:
        return isinstance(message, (Iterable, AsyncIterable))
    return False


async def _each(parts: Parts) -> AsyncIterator[str | Buffer]:
    if isinstance(parts, AsyncIterable):
        async for part in parts:
            yield part
    else:
        for part in parts:
            yield part


def _encode(life: Sendable, part: str | Buffer) -> tuple[int, bytes]:
    """Return the opcode and the payload of a part."""
    if isinstance(part, str):
        try:
            return OPCODE_TEXT, part.encode()
        except UnicodeEncodeError as error:
            raise life.bad_text(error) from None
    try:
        return OPCODE_BINARY, bytes(memoryview(part))  # bytes(5) alone would be five zeros
    except TypeError:
        raise TypeError(f"a part of a message must be str or bytes-like, not {type(part).__name__}") from None


async def send_fragments(life: Sendable, parts: Parts, compress: bool | None = None) -> None:
    """Send the parts as the fragments of one message. If there are no parts, send nothing.

    If an error or a cancellation ends this after a fragment was sent, the connection is failed with 1011: nothing could
    follow an unfinished message.

    Args:
        life: the connection.
        parts: all str or all bytes-like.
        compress: as in `send`; with None, the size of the first part decides.

    Raises:
        TypeError: the parts are not all text or all binary.
        LocalProtocolError: a text has lone surrogates.
        ConnectionClosed, SendTimeout: as in `wait_writable`.
    """
    opcode: int | None = None
    deflater: Deflater | None = None
    try:
        async for part in _each(parts):
            kind, data = _encode(life, part)
            if opcode is not None and kind != opcode:
                raise TypeError("the parts of a message must be all str or all bytes-like, not both (RFC 6455 5.4)")
            await life.wait_writable()
            if opcode is None:
                deflater = _deflater_for(life, data, compress)
                opcode, first = kind, kind | (RSV1 if deflater else 0)
            else:
                first = OPCODE_CONTINUATION
            if deflater is None or not data:
                life.link._send_frame(first, data)
            else:
                life.link._send_frame(first, deflater.part(data), len(data))
        if opcode is not None:
            await life.wait_writable()  # 5.5.1: if we have closed meanwhile, nothing may follow the close frame
            life.link._send_frame(FIN | OPCODE_CONTINUATION, b"" if deflater is None else FINAL)
        if deflater is not None and life.link._deflater is not None:
            life.link._deflater.attach(deflater)
    except BaseException:
        if opcode is not None and life.state is ConnectionState.OPEN:
            life.fail(1011, "a fragmented message was not finished", told=INTERNAL_ERROR)
        raise


def _deflater_for(life: Sendable, data: bytes, compress: bool | None) -> Deflater | None:
    """Return a compressor for only the message whose first part is `data`; None not to compress it."""
    if life.link._deflater is None or life.link._deflater.choose(data, compress) is None:
        return None
    return life.link._deflater.detach()
