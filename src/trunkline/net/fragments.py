"""Sending a message in fragments (RFC 6455 5.4), from an iterable whose items are its parts."""

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
    """Whether a message is given in parts: iterable, and neither text nor bytes nor a mapping."""
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
    """The opcode and the payload of a part."""
    if isinstance(part, str):
        try:
            return OPCODE_TEXT, part.encode()
        except UnicodeEncodeError as error:
            raise life.bad_text(error) from None
    try:
        return OPCODE_BINARY, bytes(memoryview(part))  # bytes(5) alone would be five zeros
    except TypeError:
        raise TypeError(f"a part of a message is str or bytes-like, not {type(part).__name__}") from None


async def send_fragments(life: Sendable, parts: Parts, compress: bool | None = None) -> None:
    """Sends the parts as the fragments of one message; no parts, no message.

    compress: as of `send`; where it is None, the size of the first part decides.
    TypeError if they are not all text or all binary, LocalProtocolError for text with lone surrogates. If it ends
    early, by an error or a cancellation, with a fragment sent, the connection is failed with 1011: nothing else could
    follow an open message.
    """
    opcode: int | None = None
    deflater: Deflater | None = None
    try:
        async for part in _each(parts):
            kind, data = _encode(life, part)
            if opcode is not None and kind != opcode:
                raise TypeError("the parts of a message are all str or all bytes-like, not both (RFC 6455 5.4)")
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
            await life.wait_writable()  # 5.5.1: if the connection has closed meanwhile, nothing follows its close frame
            life.link._send_frame(FIN | OPCODE_CONTINUATION, b"" if deflater is None else FINAL)
        if deflater is not None and life.link._deflater is not None:
            life.link._deflater.attach(deflater)
    except BaseException:
        if opcode is not None and life.state is ConnectionState.OPEN:
            life.fail(1011, "a fragmented message was not finished", told=INTERNAL_ERROR)
        raise


def _deflater_for(life: Sendable, data: bytes, compress: bool | None) -> Deflater | None:
    """What compresses a message whose first part this is, whatever else is sent meanwhile; None to send it as it is."""
    if life.link._deflater is None or life.link._deflater.choose(data, compress) is None:
        return None
    return life.link._deflater.detach()
