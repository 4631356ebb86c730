"""Codecs turn messages into payloads and back: JSON, MessagePack, raw text and bytes, or your own.

A codec is made for the two types of a service: `JsonCodec(Say, Said)`. An `EnvelopeCodec` can also join several
payloads into an envelope, `{"type": "batch", "messages": [...], "timestamp": ms}`, and split one.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import UnionType
from typing import Annotated, Any, Final, Generic, Literal, Protocol, TypeVar, cast, runtime_checkable

import msgspec

from trunkline.protocol.errors import DecodeError, LocalProtocolError

__all__ = ["Codec", "EnvelopeCodec", "JsonCodec", "MessagePackCodec", "Payload", "RawCodec", "memory_of"]

Payload = str | bytes  # of a text message, of a binary message

# Two bytes of an envelope can become a message: without a limit, 1 MiB could become half a million of them.
MAX_ENVELOPE: Final = 16384

Sends = TypeVar("Sends")
Receives = TypeVar("Receives")
Sends_contra = TypeVar("Sends_contra", contravariant=True)
Receives_co = TypeVar("Receives_co", covariant=True)


def memory_of(payload: Payload) -> int:
    """Return the bytes that a payload takes in memory (for ASCII and bytes, without the object's header)."""
    if isinstance(payload, bytes) or payload.isascii():
        return len(payload)
    return str.__sizeof__(payload)  # up to four bytes a character


class Codec(Protocol[Sends_contra, Receives_co]):
    """Turns messages into payloads and back, for the two types of one service."""

    def encode(self, message: Sends_contra) -> Payload:
        """Return the payload of a message: str for a text message, bytes for a binary one."""

    def decode(self, payload: Payload) -> Receives_co:
        """Return the message in a payload. Any exception means that the payload does not fit."""


@runtime_checkable
class EnvelopeCodec(Protocol):
    """A codec that can also put several messages into one envelope."""

    def join(self, payloads: Sequence[Any], timestamp: int) -> Payload:
        """Return one payload for several that `encode` returned. timestamp: milliseconds since 1970."""

    def split(self, payload: Payload) -> list[Payload] | None:
        """Return the payloads in an envelope, in order; None if it is not an envelope."""


class _Envelope(msgspec.Struct):
    """An envelope, as it is decoded."""

    type: Literal["batch"]
    messages: Annotated[list[msgspec.Raw], msgspec.Meta(max_length=MAX_ENVELOPE)]
    timestamp: float


class JsonCodec(Generic[Sends, Receives]):
    """JSON in text messages, with msgspec, for every type that msgspec supports. The default codec."""

    def __init__(self, sends: type[Sends] | UnionType, receives: type[Receives] | UnionType) -> None:
        self._encoder = msgspec.json.Encoder()
        self._decoder: msgspec.json.Decoder[Receives] = msgspec.json.Decoder(receives)
        self._envelopes = msgspec.json.Decoder(_Envelope)

    def encode(self, message: Sends) -> str:
        """Return the JSON text. Raise TypeError if JSON cannot represent the message."""
        return self._encoder.encode(message).decode()

    def decode(self, payload: Payload) -> Receives:
        """Return the message. Raise DecodeError if the JSON does not fit the type; the `__cause__` says why."""
        try:
            return self._decoder.decode(payload)
        except Exception as error:  # by msgspec, a type's own check, invalid UTF-8 or too deep nesting
            raise DecodeError(str(error), payload) from error

    def join(self, payloads: Sequence[str], timestamp: int) -> str:
        """Return an envelope around JSON texts."""
        return f'{{"type":"batch","messages":[{",".join(payloads)}],"timestamp":{timestamp}}}'

    def split(self, payload: Payload) -> list[Payload] | None:
        """Return the JSON texts in an envelope; None if it is not an envelope."""
        # A search is much cheaper than decoding, and every envelope contains the word.
        if ('"batch"' if isinstance(payload, str) else b'"batch"') not in payload:  # type: ignore[operator]
            return None
        try:
            return [bytes(raw).decode() for raw in self._envelopes.decode(payload).messages]
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None


class MessagePackCodec(Generic[Sends, Receives]):
    """MessagePack in binary messages, with msgspec."""

    def __init__(self, sends: type[Sends] | UnionType, receives: type[Receives] | UnionType) -> None:
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder: msgspec.msgpack.Decoder[Receives] = msgspec.msgpack.Decoder(receives)
        self._envelopes = msgspec.msgpack.Decoder(_Envelope)

    def encode(self, message: Sends) -> bytes:
        """Return the bytes. Raise TypeError if MessagePack cannot represent the message."""
        return self._encoder.encode(message)

    def decode(self, payload: Payload) -> Receives:
        """Return the message. Raise DecodeError if the payload does not fit the type, or is text."""
        if isinstance(payload, str):
            raise DecodeError("received a text message, but MessagePack needs a binary one", payload)
        try:
            return self._decoder.decode(payload)
        except Exception as error:
            raise DecodeError(str(error), payload) from error

    def join(self, payloads: Sequence[bytes], timestamp: int) -> bytes:
        """Return an envelope around encoded messages."""
        raws = [msgspec.Raw(payload) for payload in payloads]
        return self._encoder.encode({"type": "batch", "messages": raws, "timestamp": timestamp})

    def split(self, payload: Payload) -> list[Payload] | None:
        """Return the encoded messages in an envelope; None if it is not an envelope."""
        if isinstance(payload, str) or b"batch" not in payload:
            return None
        try:
            return [bytes(raw) for raw in self._envelopes.decode(payload).messages]
        except (msgspec.DecodeError, RecursionError):
            return None


class RawCodec(Generic[Sends, Receives]):
    """No encoding: str in text messages, bytes in binary ones. The types are `str`, `bytes` or `str | bytes`."""

    def __init__(self, sends: type[Sends] | UnionType, receives: type[Receives] | UnionType) -> None:
        for name, kind in (("sends", sends), ("receives", receives)):
            if kind not in (str, bytes, Payload):
                raise TypeError(f"{name} is {kind!r}; RawCodec carries str, bytes or str | bytes")
        self._sends, self._receives = sends, receives

    def encode(self, message: Sends) -> Payload:
        """Return the message. Raise TypeError for another type, LocalProtocolError for str with surrogates."""
        if not isinstance(message, self._sends):
            raise TypeError(f"the message is a {type(message).__name__}, but the service sends {self._sends}")
        if isinstance(message, str) and not message.isascii():
            try:
                message.encode()
            except UnicodeEncodeError as error:
                raise LocalProtocolError(f"a text message must be Unicode text (RFC 6455 5.6): {error}") from None
        return cast(Payload, message)

    def decode(self, payload: Payload) -> Receives:
        """Return the payload. Raise DecodeError for text if the service receives bytes, and the other way round."""
        if not isinstance(payload, self._receives):
            raise DecodeError(
                f"received a {type(payload).__name__}, but the service receives {self._receives}", payload
            )
        return payload
