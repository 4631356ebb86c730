"""One input through every decoder, and what must be the same.

- A `Decoder` gives the same items and the same fault for a stream whole, split, and byte by byte.
- wsproto, split the same way, gives the same items and the same close code, and knows of no fault before the byte at
  which we do. For compressed messages that is wsproto's frames on zlib.
- `Connection` and `FrameProtocol` give the same pieces as wsproto's, with wsproto's own extension.
- With limits: what came before the header that breaks one, and then 1009 or 1008 at that header's last byte.

What differs must be one of the divergences that `divergences.toml` explains, and is recognised here by its own test;
anything else raises `Unexplained`.
"""

import zlib
from collections.abc import Iterator
from typing import Any

from fuzz import sides
from fuzz.sides import Decoded, Heard
from fuzz.streams import BINARY, CLOSE, CONTINUATION, TAKEOVER, TEXT, Stream

HUGE = 2**63 - 1025  # bytes: what a Decoder without limits takes for a message less than one
FILLER = bytes(4 + 125)  # completes a header and what of its payload wsproto waits for


class Unexplained(AssertionError):
    """Decoders disagree, and nothing says that they may."""

    def __init__(self, claim: str, **seen: object) -> None:
        super().__init__("\n".join([claim, *(f"  {name}: {what!r}" for name, what in seen.items())]))
        self.claim = claim


def check(stream: Stream) -> list[str]:
    """The names of the divergences that an input shows; raises Unexplained."""
    exact, places, place = sides.decode_bytes(stream)
    same_however_split(stream, exact, limited=False)
    # wsproto gets all before the byte of the fault in a chunk that ends there.
    cuts = stream.cuts if place < 2 else tuple(sorted({*stream.cuts, place - 1}))
    chunks = stream._replace(cuts=cuts).chunks()
    names, theirs = drop_in(stream, chunks, place)
    if stream.deflate:
        side = sides.wsproto_on_zlib(stream)
        theirs = sides.frames(side, chunks)
        expected = sides.items(theirs.pieces)
        if exact.items != expected or exact.fault != theirs.fault:
            names.append(explain(stream, side, theirs, expected, exact, place))
    elif not names and (exact.items != sides.items(theirs.pieces) or exact.fault != theirs.fault):
        side = sides.wsproto_frames(stream)
        sides.frames(side, chunks)
        names.append(explain(stream, side, theirs, sides.items(theirs.pieces), exact, place))
    if place:
        if place > 1 and theirs.chunk <= cuts.index(place - 1):
            raise Unexplained("wsproto knows of a fault before we do", exact=exact, theirs=theirs, place=place)
        if zlib.crc32(stream.data) & 31 == 0:
            names += same_place(stream, place)
    if stream.max_size is not None or stream.max_fragments is not None:
        names += limits(stream, exact, places, place)
    return names


def same_however_split(stream: Stream, exact: Decoded, *, limited: bool) -> list[str]:
    whole = sides.decode(stream, [stream.data], limited)
    split = sides.decode(stream, stream.chunks(), limited) if stream.cuts else whole
    if stream.deflate:  # the words are zlib's, and say how far it had come
        exact, whole, split = (one._replace(words=None) for one in (exact, whole, split))
    codes = {exact.fault, whole.fault, split.fault}
    if limited and stream.deflate and exact.items == whole.items == split.items and codes == {1007, 1009}:
        return ["corrupt and too big"]
    if not exact == whole == split:
        raise Unexplained("a Decoder depends on the split", exact=exact, whole=whole, split=split, limited=limited)
    return []


def same_place(stream: Stream, place: int) -> list[str]:
    """wsproto byte by byte: the fault in the same frame, if not at the same byte."""
    singles = [stream.data[at : at + 1] for at in range(len(stream.data))]
    theirs = sides.frames(sides.wsproto_on_zlib(stream), singles).chunk + 1
    if theirs == place:
        return []
    ends = [end for _, _, end, _, _ in headers(stream.data) if end >= place]
    if place < theirs and (theirs > len(singles) or not ends or theirs <= ends[0]):
        return ["a fault at the byte that shows it"]
    if place < theirs and is_half_surrogate(stream, place):
        return ["half of a surrogate"]
    raise Unexplained("faults at different places", ours=place, theirs=theirs)


def drop_in(stream: Stream, chunks: list[bytes], place: int) -> tuple[list[str], Heard]:
    """Connection or FrameProtocol beside wsproto's, on the same chunks; gives what wsproto's made of them, too."""
    if len(stream.data) & 3:
        side, our_side, hear = sides.wsproto_events(stream), sides.our_events(stream), sides.events
    else:
        side, our_side, hear = sides.wsproto_frames(stream), sides.our_frames(stream), sides.frames
    theirs, ours = hear(side, chunks), hear(our_side, chunks)
    if theirs.pieces == ours.pieces and theirs.fault == ours.fault:
        return [], theirs
    if stream.deflate and theirs.pieces == ours.pieces and (theirs.fault, ours.fault) == (1002, None):
        later = hear(our_side, [FILLER])
        if not later.pieces and later.fault == 1002:
            return ["an extension's fault before the masking key"], theirs
    is_prefix = ours.fault == 1007 and theirs.pieces[: len(ours.pieces)] == ours.pieces
    if is_prefix and holds_half_surrogate(stream, chunks[: ours.chunk + 1]):
        return ["half of a surrogate"], theirs
    got = Decoded(ours.pieces, ours.fault, None)
    return [explain(stream, side, theirs, theirs.pieces, got, place)], theirs


def explain(stream: Stream, side: Any, theirs: Heard, expected: list[Any], ours: Decoded, place: int) -> str:
    """The name of a divergence from wsproto; raises Unexplained."""
    got, fault, their_fault = ours.items, ours.fault, theirs.fault
    if (
        got[:-1] == expected
        and (fault, their_fault) == (None, 1002)
        and 1014 in [close_code(item) for item in got[-1:]]
    ):
        return "close code 1014"
    if got == expected and (fault, their_fault) == (1007, 1002) and b"\x03\xf6" in close_payloads(stream):
        return "close code 1014"
    if fault == 1007 and expected[: len(got)] == got and is_half_surrogate(stream, place):
        return "half of a surrogate"
    if got == expected and fault == 1009 and max(length for *_, length in headers(stream.data)) >= HUGE:
        return "more bytes than memory can have"
    if got == expected and fault is not None and their_fault is None:
        hear = sides.events if hasattr(side, "receive_data") else sides.frames
        later = hear(side, [FILLER])
        if not later.pieces and later.fault == fault:
            return "a fault at the byte that shows it"
        their_fault = later.fault
    if got == expected and stream.deflate and (fault, their_fault) == (1002, 1007):
        return "two faults in one frame"
    raise Unexplained("wsproto sees something else", expected=expected, got=got, fault=fault, theirs=theirs)


def close_code(item: Any) -> int:
    """Of a close frame, as an item or a piece; 0 for anything else."""
    return item[1][0] if type(item) is not str and len(item) > 1 and item[0] == CLOSE and type(item) is not bytes else 0


def is_half_surrogate(stream: Stream, place: int) -> bool:
    """Whether the byte at which we tell a fault is the second of a surrogate: Python's decoder waits for the third."""
    text, _ = message_at(stream, place)
    return text[-2:-1] == b"\xed" and text[-1] >= 0xA0


def holds_half_surrogate(stream: Stream, chunks: list[bytes]) -> bool:
    """Whether wsproto's text decoder waits for the rest of a surrogate behind these chunks."""
    side = sides.wsproto_frames(stream)
    sides.frames(side, chunks)
    decoder = side._message_decoder.decoder
    held = decoder.getstate()[0] if decoder else b""
    return held[:1] == b"\xed" and held[1:] >= b"\xa0"


def close_payloads(stream: Stream) -> list[bytes]:
    """The close codes in a stream, as they are written."""
    return [payload(stream, body, end)[:2] for _, body, end, first, _ in headers(stream.data) if first & 15 == CLOSE]


def payload(stream: Stream, body: int, end: int) -> bytes:
    """A frame's payload, unmasked."""
    if stream.client:
        return stream.data[body:end]
    key = stream.data[body - 4 : body]
    return bytes(byte ^ key[index & 3] for index, byte in enumerate(stream.data[body:end]))


# Limits


def limits(stream: Stream, exact: Decoded, places: list[int], place: int) -> list[str]:
    """What the limits of a stream must make of what a Decoder gives without them."""
    got, _, where = sides.decode_bytes(stream, limited=True)
    names = same_however_split(stream, got, limited=True)
    most = stream.max_size
    if most is not None and any(size(item) > most for item in got.items):
        raise Unexplained("a message over max_size", got=got)
    end = place or next((at for item, at in zip(exact.items, places, strict=True) if close_code(item)), 0) or 1 << 62
    breach, code = breached(stream)
    if breach > end or (breach == end and exact.fault == 1002):  # a header's own faults stand before its limits
        breach, code = 0, 0
    if stream.deflate and got.fault == 1009 and (where, 1009) not in ((breach, code), (place, exact.fault)):
        if (place and where > place) or (breach and where > breach) or inflated(stream, where) <= (most or 0):
            raise Unexplained("1009 for a message within max_size", got=got, where=where)
        breach, code = where, 1009
    elif (
        stream.deflate
        and got.fault != 1007
        and most is not None
        and inflated(stream, breach - 1 if breach else end) > most
    ):
        raise Unexplained("no 1009 for a compressed message over max_size", got=got)
    items = exact.items
    if breach:
        items = [item for item, at in zip(exact.items, places, strict=True) if at < breach]
    if (got.items, got.fault, where) != (items, code or exact.fault, breach or place):
        raise Unexplained("limits", got=got, where=where, items=items, breach=breach, code=code, exact=exact)
    if stream.max_fragments is None:
        names += limited_drop_in(stream, got)
    return names


def limited_drop_in(stream: Stream, got: Decoded) -> list[str]:
    """Connection with max_size and trunkline's own extension, beside a Decoder."""
    side = sides.our_limited_events(stream)
    ours = sides.events(side, stream.chunks())
    if sides.items(ours.pieces) == got.items:
        if ours.fault == got.fault:
            return []
        if stream.deflate and {ours.fault, got.fault} == {1007, 1009}:
            return ["corrupt and too big"]
        if stream.deflate and (ours.fault, got.fault) == (None, 1009):
            return ["a header that announces too much"]
        if stream.deflate and (ours.fault, got.fault) == (None, 1002) and sides.events(side, [FILLER]).fault == 1002:
            return ["an extension's fault before the masking key"]
    raise Unexplained("Connection and Decoder have different limits", connection=ours, decoder=got)


def size(item: Any) -> int:
    return 0 if type(item) is tuple else len(item.encode() if type(item) is str else item)


def headers(data: bytes) -> Iterator[tuple[int, int, int, int, int]]:
    """Of each frame whose header is whole: where it starts, its payload starts and ends, its first byte, its length."""
    at = 0
    while len(data) - at >= 2:
        first, second = data[at], data[at + 1]
        start, at, length = at, at + 2, second & 127
        if length > 125:
            form = 2 if length == 126 else 8
            if len(data) - at < form:
                return
            length = int.from_bytes(data[at : at + form], "big")
            at += form
        at += 4 * (second >> 7)
        if at > len(data):
            return
        yield start, at, at + length, first, length
        at += length


def breached(stream: Stream) -> tuple[int, int]:
    """After how many bytes a header breaks a limit, and the close code for it; zeros if none does."""
    total = fragments = 0
    compressed = False
    for _, body, _, first, length in headers(stream.data):
        opcode = first & 15
        if opcode >= CLOSE:
            continue
        if opcode != CONTINUATION:
            total, fragments, compressed = 0, 0, bool(stream.deflate) and bool(first & 0x40)
        fragments += 1
        total += length
        if stream.max_fragments is not None and fragments > stream.max_fragments:
            return body, 1008
        if stream.max_size is not None and total > stream.max_size and not compressed:
            return body, 1009
    return 0, 0


def inflated(stream: Stream, place: int) -> int:
    """Bytes of the compressed message under way at `place`, or just ended; 0 if it is not compressed."""
    text, compressed = message_at(stream, place)
    return len(text) if compressed else 0


def message_at(stream: Stream, place: int) -> tuple[bytes, bool]:
    """The message under way, or just ended, after `place` bytes of a stream; whether it is compressed."""
    oracle = sides.Zlib(stream.deflate == TAKEOVER)
    out, compressed, place = bytearray(), False, min(place, len(stream.data))
    for _, body, end, first, _ in headers(stream.data[:place]):
        if first & 15 >= CLOSE:
            continue
        if first & 15 in (TEXT, BINARY):
            compressed = bool(stream.deflate and first & 0x40)
            out.clear()
        if not compressed:
            out += payload(stream, body, min(end, place))
            continue
        try:
            for byte in payload(stream, body, min(end, place)):  # one by one: an error loses what came before it
                out += oracle.inflate(bytes((byte,)))
            if first & 0x80 and end <= place:
                oracle.end()
        except zlib.error:
            break
    return bytes(out), compressed
