"""What each decoder makes of a stream, in one shape: wsproto's, trunkline's, and wsproto's frames on plain zlib.

A piece is what a wsproto frame is: opcode, payload, whether it ends its frame, whether it ends its message. An item is
a whole message (`str` or `bytes`) or a control frame: (opcode, payload), and for a close frame (CLOSE, (code, reason)).
"""

import zlib
from collections.abc import Iterable
from functools import partial
from typing import Any, NamedTuple

import wsproto.connection
import wsproto.extensions
import wsproto.frame_protocol
from wsproto.connection import ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, Pong, TextMessage
from wsproto.extensions import Extension
from wsproto.frame_protocol import CloseReason, Opcode, ParseFailed, RsvBits

from fuzz.streams import BINARY, CLOSE, NO_TAKEOVER, PING, PONG, TAKEOVER, TEXT, Stream
from trunkline import protocol
from trunkline._control import Control
from trunkline._frames import Decoder
from trunkline._inflate import Inflater, InflateStream
from trunkline.protocol import deflate
from trunkline.protocol.wsproto.frame_protocol import FrameProtocol

OPEN = ConnectionState.OPEN
ROLES = {True: ConnectionType.CLIENT, False: ConnectionType.SERVER}
TAIL, END = b"\0\0\xff\xff", b"\x03\0"
SETTINGS = deflate.Deflate(backend="zlib")


class Heard(NamedTuple):
    """Pieces, the close code of the fault, and the number of the chunk that brought it."""

    pieces: list[Any]
    fault: int | None
    chunk: int


class Decoded(NamedTuple):
    """Items, and the fault: its close code and words."""

    items: list[Any]
    fault: int | None
    words: str | None


# trunkline's Decoder


def decoder(stream: Stream, limited: bool, off_thread: int | None = None) -> Decoder:
    """One as the stream is set, with its limits or without any."""
    size, fragments = (stream.max_size, stream.max_fragments) if limited else (None, None)
    inflater = None
    if stream.deflate:
        inflating = InflateStream(partial(zlib.decompressobj, -15), zlib.error, stream.deflate == TAKEOVER)
        inflater = Inflater(inflating, max_size=size, off_thread=off_thread)
    return Decoder(stream.client, max_size=size, max_fragments=fragments, inflater=inflater)


def plain(item: Any) -> Any:
    """An item of a Decoder in the shape of all."""
    if type(item) is not Control:
        return item
    return (item.opcode, (item.code, item.reason) if item.opcode == CLOSE else item.payload)


def decode(stream: Stream, chunks: Iterable[bytes], limited: bool = False) -> Decoded:
    """What a Decoder gives for the chunks."""
    under_test = decoder(stream, limited)
    items = [plain(item) for chunk in chunks for item in under_test.feed(chunk)]
    fault = under_test.fault
    return Decoded(items, fault.code, fault.text) if fault else Decoded(items, None, None)


def decode_bytes(stream: Stream, limited: bool = False) -> tuple[Decoded, list[int], int]:
    """Byte by byte: what a Decoder gives, after how many bytes each item, and after how many the fault (0 for none)."""
    under_test = decoder(stream, limited)
    feed, data = under_test.feed, stream.data
    items: list[Any] = []
    places: list[int] = []
    for place in range(len(data)):
        got = feed(data[place : place + 1])
        if got:
            items += [plain(item) for item in got]
            places += [place + 1] * len(got)
        if under_test.errors:
            return Decoded(items, under_test.fault.code, under_test.fault.text), places, place + 1
    return Decoded(items, None, None), places, 0


# wsproto, and what has its shape


def frames(side: Any, chunks: list[bytes]) -> Heard:
    """What a FrameProtocol gives."""
    pieces: list[Any] = []
    for number, chunk in enumerate(chunks):
        side.receive_bytes(chunk)
        try:
            pieces += side.received_frames()
        except ParseFailed as error:
            return Heard(pieces, int(error.code), number)
    return Heard(pieces, None, len(chunks))


SHAPES = {
    TextMessage: lambda event: (TEXT, event.data, event.frame_finished, event.message_finished),
    BytesMessage: lambda event: (BINARY, event.data, event.frame_finished, event.message_finished),
    Ping: lambda event: (PING, event.payload, True, True),
    Pong: lambda event: (PONG, event.payload, True, True),
    CloseConnection: lambda event: (CLOSE, (event.code, event.reason), True, True),
}


def events(side: Any, chunks: list[bytes]) -> Heard:
    """What a Connection gives. A fault is a CloseConnection that moves no state."""
    pieces: list[Any] = []
    for number, chunk in enumerate(chunks):
        side.receive_data(chunk)
        for event in side.events():
            kind = type(event)
            if kind is CloseConnection and side.state is OPEN:
                return Heard(pieces, int(event.code), number)
            pieces.append(SHAPES[kind](event))
    return Heard(pieces, None, len(chunks))


def items(pieces: list[Any]) -> list[Any]:
    """The items that pieces make."""
    out: list[Any] = []
    parts: list[Any] = []
    for opcode, data, _, whole in pieces:
        if opcode >= CLOSE:
            out.append((int(opcode), data))
            continue
        parts.append(data)
        if whole:
            out.append(data if len(parts) == 1 else ("" if opcode == TEXT else b"").join(parts))
            parts = []
    return out


def theirs_deflate(stream: Stream) -> list[Extension]:
    """wsproto's extension, agreed on."""
    if not stream.deflate:
        return []
    bare = stream.deflate == NO_TAKEOVER
    extension = wsproto.extensions.PerMessageDeflate(client_no_context_takeover=bare, server_no_context_takeover=bare)
    extension.finalize("permessage-deflate")
    return [extension]


def our_deflate(stream: Stream) -> list[Extension]:
    """trunkline's extension, agreed on."""
    if not stream.deflate:
        return []
    keeps = stream.deflate == TAKEOVER
    extension = deflate.PerMessageDeflate(SETTINGS, max_size=stream.max_size)
    extension.agreement = deflate.Agreement(stream.client, keeps, keeps, 15, 15, SETTINGS)
    return [extension]


class Zlib(Extension):
    """RFC 7692 as it is written, on zlib: the oracle for compressed messages."""

    name = "oracle"

    def __init__(self, keeps: bool) -> None:
        self.keeps = keeps
        self.stream: Any = None
        self.compressed = False  # the message under way
        self.begun = False  # some of it has come: wsproto reads a header again until its masking key is there
        self.refused = False  # the frame may not stand here, or not with RSV1
        self.is_data = False

    def enabled(self) -> bool:
        return True

    def offer(self) -> bool:
        return True

    def frame_inbound_header(self, proto: Any, opcode: Opcode, rsv: RsvBits, payload_length: int) -> Any:
        self.is_data = not opcode.iscontrol()
        first = self.is_data and opcode is not Opcode.CONTINUATION
        self.refused = (rsv.rsv1 and not first) or (first and self.begun)
        if first and not self.refused:
            self.compressed = rsv.rsv1
        return RsvBits(True, False, False)

    def frame_inbound_payload_data(self, proto: Any, data: bytes) -> Any:
        if self.refused:
            return CloseReason.PROTOCOL_ERROR  # before its payload touches the window
        self.begun |= self.is_data
        if not (self.is_data and self.compressed):
            return data
        try:
            return self.inflate(data)
        except zlib.error:
            return CloseReason.INVALID_FRAME_PAYLOAD_DATA

    def frame_inbound_complete(self, proto: Any, fin: bool) -> Any:
        if not (self.is_data and fin):
            return None
        compressed, self.compressed, self.begun = self.compressed, False, False
        if not compressed:
            return None
        try:
            clean = self.end()
        except zlib.error:
            clean = False
        return None if clean else CloseReason.INVALID_FRAME_PAYLOAD_DATA

    def inflate(self, data: bytes) -> bytes:
        """What data becomes. After a final block a new stream begins (7.2.3.4)."""
        out = b""
        while data:
            self.stream = self.stream or zlib.decompressobj(-15)
            out += self.stream.decompress(data)
            if not self.stream.eof:
                break
            data, self.stream = self.stream.unused_data, None
        return out

    def end(self) -> bool:
        """Whether a message can end here: what its sender left out is an empty block, and no content of another."""
        clean = not self.inflate(TAIL) and (self.stream is None or self.probe())
        if not self.keeps:
            self.stream = None
        return clean

    def probe(self) -> bool:
        """Whether the stream stands between two blocks: it can end there."""
        copy = self.stream.copy()
        return not copy.decompress(END) and copy.eof


def wsproto_frames(stream: Stream) -> Any:
    return wsproto.frame_protocol.FrameProtocol(stream.client, theirs_deflate(stream))


def wsproto_events(stream: Stream) -> Any:
    return wsproto.connection.Connection(ROLES[stream.client], theirs_deflate(stream))


def wsproto_on_zlib(stream: Stream) -> Any:
    extensions = [Zlib(stream.deflate == TAKEOVER)] if stream.deflate else []
    return wsproto.frame_protocol.FrameProtocol(stream.client, extensions)


def our_frames(stream: Stream) -> Any:
    return FrameProtocol(stream.client, theirs_deflate(stream))


def our_events(stream: Stream) -> Any:
    return protocol.Connection(ROLES[stream.client], theirs_deflate(stream))


def our_limited_events(stream: Stream) -> Any:
    return protocol.Connection(ROLES[stream.client], our_deflate(stream), max_size=stream.max_size)
