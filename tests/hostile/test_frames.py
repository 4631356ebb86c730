"""Reserved bits, fragments and text from a hostile peer: both roles, every split, against a model."""

import itertools
from collections.abc import Iterator

import pytest

from rawframes import build, is_text
from rawpeer import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, Frame
from trunkline import MessageTooBig, RemoteProtocolError
from trunkline._control import Control
from trunkline._frames import Decoder
from trunkline.protocol.deflate import Deflate, PerMessageDeflate, agreement_of, inflater_for
from turns import until

ROLES = pytest.mark.parametrize("client", [True, False], ids=["client", "server"])


def plain(item: object) -> object:
    return (item.opcode, item.payload) if isinstance(item, Control) else item


def decode(chunks: list[bytes], client: bool, **limits: int | None) -> tuple[list[object], int | None]:
    """What the chunks decode to, and the code of the fault."""
    decoder = Decoder(client, **limits)
    items = [plain(item) for chunk in chunks for item in decoder.feed(chunk)]
    return items, decoder.fault.code if decoder.fault else None


# Reserved bits

HELLO = bytes.fromhex("f248cdc9c90700")  # RFC 7692 7.2.3.1


@ROLES
@pytest.mark.parametrize("agreed", [False, True], ids=["no extension", "permessage-deflate"])
@pytest.mark.parametrize("inside", [False, True], ids=["first", "inside a message"])
def test_reserved_bits(client: bool, agreed: bool, inside: bool) -> None:
    """RSV1 is set on the first frame of a compressed message and nowhere else; no other bit is ever set."""
    for opcode, rsv in itertools.product(range(16), range(8)):
        extension = PerMessageDeflate(Deflate(threshold=0))
        extension.finalize("permessage-deflate") if client else extension.accept("permessage-deflate")
        agreement = agreement_of([extension])
        assert agreement is not None
        decoder = Decoder(client, inflater=inflater_for(agreement, 2**20) if agreed else None)
        if inside:
            decoder.feed(build(TEXT, b"a", fin=False, masked=not client))
        payload = b"" if opcode == CLOSE else HELLO
        decoder.feed(build(opcode, payload, rsv=rsv, masked=not client))
        known = opcode in ((CONTINUATION, CLOSE, PING, PONG) if inside else (TEXT, BINARY, CLOSE, PING, PONG))
        allowed = (0, 4) if agreed and opcode in (TEXT, BINARY) and not inside else (0,)
        if known and rsv in allowed and not (opcode == CONTINUATION or (opcode == TEXT and rsv == 0)):
            assert decoder.fault is None, (opcode, rsv)
        elif not (known and rsv in allowed):
            assert decoder.fault is not None, (opcode, rsv)
            assert decoder.fault.code == 1002


@pytest.mark.anyio
@pytest.mark.parametrize("rsv", range(1, 8))
async def test_reserved_bits_on_the_wire(line, rsv):
    async with line() as (ws, peer):
        peer.send(TEXT, b"a", rsv=rsv)
        peer.send(TEXT, b"late")
        assert (await peer.frame()).close == (1002, "protocol error")
        with pytest.raises(RemoteProtocolError, match=f"reserved bits {rsv:03b}"):
            await ws.recv()


# Fragments

KINDS = {
    "T": (TEXT, True), "t": (TEXT, False), "B": (BINARY, True), "b": (BINARY, False),
    "C": (CONTINUATION, True), "c": (CONTINUATION, False), "p": (PING, True), "q": (PONG, True),
}  # fmt: skip


def model(kinds: tuple[str, ...]) -> tuple[list[object], int | None]:
    """What RFC 6455 5.4 makes of frames of these kinds, each with one byte of payload: "a", "b" and so on."""
    given: list[object] = []
    under_way: list[bytes] | None = None
    opcode = 0
    for index, kind in enumerate(kinds):
        payload = b"%c" % (97 + index)
        code, fin = KINDS[kind]
        if code >= CLOSE:
            given.append((code, payload))
            continue
        if (code == CONTINUATION) is (under_way is None):
            return given, 1002
        opcode = code or opcode
        under_way = [*(under_way or []), payload]
        if fin:
            whole = b"".join(under_way)
            given.append(whole.decode() if opcode == TEXT else whole)
            under_way = None
    return given, None


@ROLES
@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_frames_in_any_order(count: int, client: bool) -> None:
    """Every sequence of up to four frames of every kind, whole and byte by byte."""
    for kinds in itertools.product(KINDS, repeat=count):
        frames = [
            build(code, b"%c" % (97 + index), fin=fin, masked=not client)
            for index, (code, fin) in enumerate(KINDS[kind] for kind in kinds)
        ]
        stream = b"".join(frames)
        for chunks in ([stream], frames, [stream[at : at + 1] for at in range(len(stream))]):
            assert decode(chunks, client) == model(kinds), kinds


@pytest.mark.anyio
@pytest.mark.parametrize("size", [0, 1])
@pytest.mark.parametrize("kind", [TEXT, BINARY])
async def test_fragments_without_end(line, kind, size):
    """Of one byte each or of none, with pings in between: the 1,025th ends it, and the pings were answered."""
    async with line() as (ws, peer):
        for index in range(3000):
            peer.send(kind if index == 0 else CONTINUATION, b"x" * size, fin=False)
            if index % 100 == 0:
                peer.send(PING, b"%d" % index)
        frames = [await peer.frame() for _ in range(12)]
        assert frames[:11] == [Frame(PONG, b"%d" % index) for index in range(0, 1100, 100)]
        assert frames[11].close == (1008, "too many fragments")
        with pytest.raises(RemoteProtocolError, match="1025 fragments, max_fragments 1024"):
            await ws.recv()
        assert ws.stats().frames_received == 1025 + 11
        assert ws.stats().errors == 1


@pytest.mark.anyio
async def test_fragments_that_are_together_too_much(line):
    async with line(max_size=100, max_fragments=None) as (ws, peer):
        for index in range(3000):
            peer.send(BINARY if index == 0 else CONTINUATION, b"x", fin=False)
        assert (await peer.frame()).close == (1009, "message too big")
        with pytest.raises(MessageTooBig, match="message of 101 bytes or more, max_size 100"):
            await ws.recv()


# Text

EDGES = [
    0,
    0x7F,
    0x80,
    0x7FF,
    0x800,
    0xFFF,
    0x1000,
    0xD7FF,
    0xE000,
    0xFFFD,
    0xFFFF,
    0x10000,
    0x3FFFF,
    0x40000,
    0x10FFFF,
]
BAD = [
    *(b"\x80", b"\xbf", b"\xc0\x80", b"\xc1\xbf", b"\xc2\x7f", b"\xc2\xc0", b"\xdf\x00"),
    *(
        b"\xe0\x80\x80",
        b"\xe0\x9f\xbf",
        b"\xe1\x80\x7f",
        b"\xed\xa0\x80",
        b"\xed\xbf\xbf",
        b"\xef\xbf\x41",
        b"\xe2\x28",
    ),
    *(b"\xf0\x80\x80\x80", b"\xf0\x8f\xbf\xbf", b"\xf1\x80\x80\x00", b"\xf4\x90\x80\x80", b"\xf5\x80\x80\x80"),
    *(b"\xf8\x88\x80\x80\x80", b"\xfc\x84\x80\x80\x80\x80", b"\xfe", b"\xff", b"\xf0\x28\x8c\xbc", b"\xf0\x90\x28"),
]
BEFORE = [0, 1, 3, 7, 8, 15, 16, 17, 31, 32, 33, 63, 64, 65]  # bytes: around the widths that kernels work in


TAILS = [b"", *(bytes(tail) for n in (1, 2, 3) for tail in itertools.product(b"\x80\x90\xa0", repeat=n))]


def first_bad(data: bytes) -> int:
    """The index of the first byte after which it cannot become UTF-8 any more, by Python's own decoder."""

    return next(at for at in range(len(data)) if not any(is_text(data[: at + 1] + tail) for tail in TAILS))


def cut(stream: bytes, at: int) -> Iterator[list[bytes]]:
    """A stream whole, in two at a place, and byte by byte."""
    yield [stream]
    yield [stream[:at], stream[at:]]
    yield [stream[index : index + 1] for index in range(len(stream))]


@ROLES
@pytest.mark.parametrize("before", BEFORE)
def test_text_at_every_edge(before: int, client: bool) -> None:
    """Cut at every byte of the character, into fragments and into chunks."""
    for point in EDGES:
        text = "a" * before + chr(point) + "z"
        data = text.encode()
        for at in range(before, len(data) + 1):
            frames = [(TEXT, data[:at], False), (PING, b"", True), (CONTINUATION, data[at:], True)]
            stream = b"".join(build(code, part, fin=fin, masked=not client) for code, part, fin in frames)
            for chunks in cut(stream, len(stream) - len(data) + at):
                assert decode(chunks, client) == ([(PING, b""), text], None)


@ROLES
@pytest.mark.parametrize("before", BEFORE)
def test_text_fails_at_the_first_bad_byte(before: int, client: bool) -> None:
    for bad in BAD:
        data = b"a" * before + bad
        at = first_bad(data)
        stream = build(TEXT, data + b"tail", masked=not client)
        head = len(stream) - len(data) - 4
        decoder = Decoder(client)
        assert decoder.feed(stream[: head + at]) == []
        assert decoder.fault is None, bad
        decoder.feed(stream[head + at : head + at + 1])
        assert decoder.fault is not None, bad
        assert decoder.fault.code == 1007
        assert f"at byte {at} " in decoder.fault.text
        assert decode([stream], client) == ([], 1007)


@pytest.mark.anyio
async def test_text_fails_before_its_end_has_come(line):
    """A megabyte is announced, and the second byte is bad: the peer learns it with that byte."""
    async with line() as (ws, peer):
        peer.writer.write(peer.encode(TEXT, b"a\xff".ljust(2**20, b"x"))[:20])
        assert (await peer.frame()).close == (1007, "invalid data")
        with pytest.raises(RemoteProtocolError, match="not UTF-8 at byte 1 "):
            await ws.recv()
        await until(lambda: ws.stats().errors == 1)
