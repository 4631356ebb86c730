"""From messages to payloads and back: JSON, MessagePack, raw text and bytes, and the protocol for others.

A codec is made for the two types of a service: `JsonCodec(Say, Said)`. One that can also join several payloads into an
envelope, `{"type": "batch", "messages": [...], "timestamp": ms}`, and take one apart, is an `EnvelopeCodec`.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import UnionType
from typing import Annotated, Any, Final, Generic, Literal, Protocol, TypeVar, cast, runtime_checkable

import msgspec

from trunkline.protocol.errors import DecodeError, LocalProtocolError

__all__ = ["Codec", "EnvelopeCodec", "JsonCodec", "MessagePackCodec", "Payload", "RawCodec", "memory_of"]

Payload = str | bytes  # of a text message, of a binary one

# Two bytes of an envelope may become a message: without a bound, a peer could make us hold half a million for 1 MiB.
MAX_ENVELOPE: Final = 16384

Sends = TypeVar("Sends")
Receives = TypeVar("Receives")
Sends_contra = TypeVar("Sends_contra", contravariant=True)
Receives_co = TypeVar("Receives_co", covariant=True)


def memory_of(payload: Payload) -> int:
    """Return how many bytes a payload takes in memory, its object's header aside where it holds ASCII or bytes."""
    if isinstance(payload, bytes) or payload.isascii():
        return len(payload)
    return str.__sizeof__(payload)  # up to four bytes a character


class Codec(Protocol[Sends_contra, Receives_co]):
    """What turns messages into payloads and back, for the two types of one service."""

    def encode(self, message: Sends_contra) -> Payload:
        """The payload for a message: str goes as a text message, bytes as a binary one."""

    def decode(self, payload: Payload) -> Receives_co:
        """The message in a payload. Whatever it raises means that the payload does not fit."""


@runtime_checkable
class EnvelopeCodec(Protocol):
    """What a codec has besides, if several messages may travel in one envelope."""

    def join(self, payloads: Sequence[Any], timestamp: int) -> Payload:
        """One payload for several that `encode` gave; `timestamp` is in milliseconds since 1970."""

    def split(self, payload: Payload) -> list[Payload] | None:
        """The payloads in an envelope, in order; None if this is not one."""


class _Envelope(msgspec.Struct):
    """The envelope as it is read."""

    type: Literal["batch"]
    messages: Annotated[list[msgspec.Raw], msgspec.Meta(max_length=MAX_ENVELOPE)]
    timestamp: float


class JsonCodec(Generic[Sends, Receives]):
    """JSON in text messages, by msgspec: for every type that it knows. The codec of a service that names none."""

    def __init__(self, sends: type[Sends] | UnionType, receives: type[Receives] | UnionType) -> None:
        self._encoder = msgspec.json.Encoder()
        self._decoder: msgspec.json.Decoder[Receives] = msgspec.json.Decoder(receives)
        self._envelopes = msgspec.json.Decoder(_Envelope)

    def encode(self, message: Sends) -> str:
        """The text for a message. Raises TypeError if it holds what JSON cannot carry."""
        return self._encoder.encode(message).decode()

    def decode(self, payload: Payload) -> Receives:
        """The message in JSON text. Raises DecodeError if it does not fit; what found that out is the `__cause__`."""
        try:
            return self._decoder.decode(payload)
        except Exception as error:  # msgspec's, a type's own check, bytes that are not UTF-8, too deep a nesting
            raise DecodeError(str(error), payload) from error

    def join(self, payloads: Sequence[str], timestamp: int) -> str:
        """An envelope around JSON texts."""
        return f'{{"type":"batch","messages":[{",".join(payloads)}],"timestamp":{timestamp}}}'

    def split(self, payload: Payload) -> list[Payload] | None:
        """The JSON texts in an envelope, None if it is none."""
        # The search is much cheaper than a decode, and every envelope has the word.
        if ('"batch"' if isinstance(payload, str) else b'"batch"') not in payload:  # type: ignore[operator]
            return None
        try:
            return [bytes(raw).decode() for raw in self._envelopes.decode(payload).messages]
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None


class MessagePackCodec(Generic[Sends, Receives]):
    """MessagePack in binary messages, by msgspec."""

    def __init__(self, sends: type[Sends] | UnionType, receives: type[Receives] | UnionType) -> None:
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder: msgspec.msgpack.Decoder[Receives] = msgspec.msgpack.Decoder(receives)
        self._envelopes = msgspec.msgpack.Decoder(_Envelope)

    def encode(self, message: Sends) -> bytes:
        """The bytes for a message. Raises TypeError if it holds what MessagePack cannot carry."""
        return self._encoder.encode(message)

    def decode(self, payload: Payload) -> Receives:
        """The message in MessagePack. Raises DecodeError if it does not fit, as text never does."""
        if isinstance(payload, str):
            raise DecodeError("a text message came, MessagePack travels in binary ones", payload)
        try:
            return self._decoder.decode(payload)
        except Exception as error:
            raise DecodeError(str(error), payload) from error

    def join(self, payloads: Sequence[bytes], timestamp: int) -> bytes:
        """An envelope around encoded messages."""
        raws = [msgspec.Raw(payload) for payload in payloads]
        return self._encoder.encode({"type": "batch", "messages": raws, "timestamp": timestamp})

    def split(self, payload: Payload) -> list[Payload] | None:
        """The encoded messages in an envelope, None if it is none."""
        if isinstance(payload, str) or b"batch" not in payload:
            return None
        try:
            return [bytes(raw) for raw in self._envelopes.decode(payload).messages]
        except (msgspec.DecodeError, RecursionError):
            return None


class RawCodec(Generic[Sends, Receives]):
    """No encoding: str as text messages, bytes as binary ones. Its types are `str`, `bytes` or `str | bytes`."""

    def __init__(self, sends: type[Sends] | UnionType, receives: type[Receives] | UnionType) -> None:
        for name, kind in (("sends", sends), ("receives", receives)):
            if kind not in (str, bytes, Payload):
                raise TypeError(f"{name} is {kind!r}; RawCodec carries str, bytes or str | bytes")
        self._sends, self._receives = sends, receives

    def encode(self, message: Sends) -> Payload:
        """The message itself. Raises TypeError for another type, LocalProtocolError for str that is no Unicode text."""
        if not isinstance(message, self._sends):
            raise TypeError(f"a message is a {type(message).__name__}, the service sends {self._sends}")
        if isinstance(message, str) and not message.isascii():
            try:
                message.encode()
            except UnicodeEncodeError as error:
                raise LocalProtocolError(f"a text message must be Unicode text (RFC 6455 5.6): {error}") from None
        return cast(Payload, message)

    def decode(self, payload: Payload) -> Receives:
        """The payload itself. Raises DecodeError for text where bytes are received, and the other way round."""
        if not isinstance(payload, self._receives):
            raise DecodeError(f"a {type(payload).__name__} came, the service receives {self._receives}", payload)
        return payload
