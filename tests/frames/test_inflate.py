"""Compressed messages through the decoder, by tables: each case is fed whole and in steps, on every back end.

The compressed bytes come from zlib itself or are written by hand from RFC 1951 and RFC 7692; the code under test is not
asked what they should be.
"""

import os
import zlib
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from rawframes import build, deflate
from trunkline._control import Control
from trunkline._frames import Decoder
from trunkline._inflate import END, TAIL, Inflater, InflateStream
from trunkline.protocol.backends import Backend, find_backend

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
RSV1 = 4
HELLO = bytes.fromhex("f248cdc9c90700")  # RFC 7692 7.2.3.1: "Hello"
JSON = b'{"id": 17, "text": "the same words, and the same words again"}'


class Case(NamedTuple):
    """Frames, and what they become."""

    name: str
    frames: list[bytes]
    messages: list[object]
    code: int | None = None


def sequence(*messages: bytes, bits: int = 15) -> list[bytes]:
    """The payloads of messages that refer to those before them."""
    stream = zlib.compressobj(6, zlib.DEFLATED, -bits)
    return [(stream.compress(message) + stream.flush(zlib.Z_SYNC_FLUSH))[:-4] for message in messages]


def squeezed(opcode: int, payload: bytes, **bits: object) -> bytes:
    return build(opcode, payload, rsv=RSV1, **bits)


def fragments(opcode: int, payload: bytes, *at: int) -> list[bytes]:
    """A compressed message cut into frames."""
    parts = [payload[start:end] for start, end in zip((0, *at), (*at, None), strict=True)]
    return [
        build(CONTINUATION if index else opcode, part, rsv=0 if index else RSV1, fin=index == len(parts) - 1)
        for index, part in enumerate(parts)
    ]


def stored(data: bytes, more: int, *, final: bool = False) -> bytes:
    """A stored block (RFC 1951 3.2.4) that announces so many bytes more than there are."""
    size = len(data) + more
    return bytes([final]) + size.to_bytes(2, "little") + (size ^ 0xFFFF).to_bytes(2, "little") + data


def taker() -> bytes:
    """A block (RFC 1951 3.2.7) that has not ended, to whose codes the tail is "aaaaaaaab" and the end of the block.

    The codes: a 00, b 01, c 10, d 110, and so on to p, 14 ones and a zero; 15 ones end the block. It breaks off behind
    a single 0; what follows is 16 zeros and 16 ones.
    """
    lengths = [0] * 258
    lengths[ord("a") : ord("p") + 1] = [2, 2, *range(2, 16)]
    lengths[256] = 15
    bits = "0" + "01" + "00000" + "00000" + "1111"  # not the last one; own codes; 257 of them, one distance, 19 lengths
    bits += "000" * 3 + "001" * 16  # a length from 0 to 15 takes four bits
    bits += "".join(f"{length:04b}" for length in lengths)
    bits += "110" * (-(len(bits) + 1) % 8 * 3 % 8) + "0"
    return bytes(int(bits[at : at + 8][::-1], 2) for at in range(0, len(bits), 8))


RANDOM = os.urandom(3000)
EVERY_CHARACTER = "aé€😀" * 500

CASES = [
    Case("RFC 7692 7.2.3.1, one block", [squeezed(TEXT, HELLO)], ["Hello"]),
    Case("7.2.3.1, in two frames", fragments(TEXT, HELLO, 3), ["Hello"]),
    Case(
        "7.2.3.2, sharing the window",
        [squeezed(TEXT, HELLO), squeezed(TEXT, bytes.fromhex("f200110000"))],
        ["Hello"] * 2,
    ),
    Case("7.2.3.3, no compression", [squeezed(TEXT, bytes.fromhex("000500faff48656c6c6f00"))], ["Hello"]),
    Case("7.2.3.4, a final block", [squeezed(TEXT, bytes.fromhex("f348cdc9c9070000"))], ["Hello"]),
    Case(
        "7.2.3.5, two blocks",
        [squeezed(TEXT, bytes.fromhex("f248050000 00ffff cac9c9070 0".replace(" ", "")))],
        ["Hello"],
    ),
    Case("7.2.3.6, an empty message", [squeezed(TEXT, b"\0"), squeezed(BINARY, b"\0")], ["", b""]),
    Case(
        "a final block, and then another message",
        [squeezed(TEXT, bytes.fromhex("f348cdc9c9070000")), squeezed(TEXT, HELLO)],
        ["Hello"] * 2,
    ),
    Case("several final blocks", [squeezed(BINARY, bytes.fromhex("f348cdc9c90700") * 3 + b"\0")], [b"Hello" * 3]),
    Case(
        "not compressed, between those that are",
        [squeezed(TEXT, HELLO), build(TEXT, b"plain"), squeezed(TEXT, HELLO)],
        ["Hello", "plain", "Hello"],
    ),
    Case("binary", [squeezed(BINARY, deflate(JSON * 30))], [JSON * 30]),
    Case("incompressible", [squeezed(BINARY, deflate(RANDOM))], [RANDOM]),
    Case("stored", [squeezed(BINARY, deflate(RANDOM, level=0))], [RANDOM]),
    Case("characters of every length", [squeezed(TEXT, deflate(EVERY_CHARACTER.encode()))], [EVERY_CHARACTER]),
    Case("a thousandfold", [squeezed(BINARY, deflate(bytes(400_000)))], [bytes(400_000)]),
    Case("a thousandfold, as text", [squeezed(TEXT, deflate(b"x" * 400_000))], ["x" * 400_000]),
    Case("one byte a frame", fragments(TEXT, HELLO, *range(1, len(HELLO))), ["Hello"]),
    Case("empty frames", fragments(TEXT, HELLO, 0, 0, 4, 4, len(HELLO)), ["Hello"]),
    Case(
        "control frames between fragments",
        [(parts := fragments(TEXT, HELLO, 2, 5))[0], build(PING, b"?"), parts[1], build(PONG, b"!"), parts[2]],
        [(PING, b"?"), (PONG, b"!"), "Hello"],
    ),
    Case("RSV1 on a continuation", [squeezed(TEXT, HELLO[:3], fin=False), squeezed(CONTINUATION, HELLO[3:])], [], 1002),
    Case("RSV1 on a continuation alone", [build(TEXT, b"x", fin=False), squeezed(CONTINUATION, b"y")], [], 1002),
    Case("RSV1 on a ping", [squeezed(PING, b"?")], [], 1002),
    Case("RSV1 on a pong", [squeezed(PONG, b"?")], [], 1002),
    Case("RSV1 on a close frame", [squeezed(CLOSE, b"\x03\xe8")], [], 1002),
    Case("RSV2", [build(TEXT, HELLO, rsv=RSV1 | 2)], [], 1002),
    Case("RSV3", [build(TEXT, b"x", rsv=1)], [], 1002),
    Case("a new message inside another", [squeezed(TEXT, HELLO, fin=False), squeezed(TEXT, HELLO)], [], 1002),
    Case("a block of type 3", [squeezed(TEXT, b"\x07\xff")], [], 1007),
    Case("lengths that contradict", [squeezed(TEXT, b"\x00\x05\x00\x05\x00Hello\x00")], [], 1007),
    Case("too far back", [squeezed(TEXT, bytes.fromhex("f200110000"))], [], 1007),
    Case("a good message first", [squeezed(TEXT, HELLO), squeezed(TEXT, b"\x07\xff")], ["Hello"], 1007),
    Case("no payload at all", [squeezed(TEXT, b"")], [], 1007),
    Case("cut short", [squeezed(BINARY, deflate(RANDOM)[:-1000])], [], 1007),
    Case("cut in the middle of a block", [squeezed(TEXT, HELLO[:4])], [], 1007),
    Case("a final block without what must follow it", [squeezed(TEXT, bytes.fromhex("f348cdc9c90700"))], [], 1007),
    Case("a stored block that takes the tail", [squeezed(BINARY, stored(b"Hello", 4))], [], 1007),
    Case("a final one that takes it", [squeezed(BINARY, stored(b"Hello", 4, final=True))], [], 1007),
    Case("a final one that takes what follows it, too", [squeezed(BINARY, stored(b"Hello", 6, final=True))], [], 1007),
    Case("one that takes it, far behind", [squeezed(BINARY, stored(RANDOM * 20, 4))], [], 1007),
    Case("one that takes it, in frames", fragments(BINARY, stored(b"Hello", 4), 1, 5, 7), [], 1007),
    Case(
        "one that takes it, with a good message first",
        [squeezed(TEXT, HELLO), squeezed(BINARY, stored(b"x", 4))],
        ["Hello"],
        1007,
    ),
    Case("codes that take the tail", [squeezed(TEXT, taker())], [], 1007),
    Case("one whose last bytes are those of a tail", [squeezed(BINARY, deflate(TAIL + END))], [TAIL + END]),
    Case("the same, stored", [squeezed(BINARY, deflate(TAIL, level=0))], [TAIL]),
    Case("the same, and a final block", [squeezed(BINARY, stored(TAIL + END, 0, final=True) + b"\0")], [TAIL + END]),
    Case("no UTF-8", [squeezed(TEXT, deflate(b"good \xff bad"))], [], 1007),
    Case("no UTF-8, far behind", [squeezed(TEXT, deflate(b"x" * 300_000 + b"\xed\xa0\x80"))], [], 1007),
    Case("a character cut off", [squeezed(TEXT, deflate("é".encode()[:1]))], [], 1007),
    Case("a character cut off, far behind", [squeezed(TEXT, deflate(b"x" * 300_000 + b"\xe2\x82"))], [], 1007),
    Case("more than max_size", [squeezed(BINARY, deflate(bytes(500_001)))], [], 1009),
    Case("more than max_size, in fragments", fragments(BINARY, deflate(bytes(500_001)), 100, 200, 300), [], 1009),
    Case("exactly max_size", [squeezed(BINARY, deflate(bytes(500_000)))], [bytes(500_000)]),
    Case("exactly max_size, as text", [squeezed(TEXT, deflate(b"y" * 500_000))], ["y" * 500_000]),
    Case("a thousand final blocks too many", [squeezed(BINARY, b"\x03\x00" * 3000 + b"\0")], [], 1007),
]

KEEPING = {"7.2.3.2, sharing the window"}  # cases that refer to a message before them
# Where the window is kept, isal cannot say whether a block has only begun; the message after it would show it.
BLIND = {"no payload at all", "a final block without what must follow it"}


def cuts(data: bytes) -> Iterator[list[bytes]]:
    yield [data]
    for step in (1, 3, 4096):
        if len(data) // step <= 5000:
            yield [data[at : at + step] for at in range(0, len(data), step)]


def plain(item: object) -> object:
    return (item.opcode, item.payload) if isinstance(item, Control) else item


def decode(chunks: list[bytes], backend: Backend, *, keeps: bool, max_size: int | None = 500_000, bits: int = 15):
    stream = InflateStream(lambda: backend.decompressor(bits), backend.error, keeps)
    decoder = Decoder(False, inflater=Inflater(stream, max_size=max_size), max_size=max_size)
    return [plain(item) for chunk in chunks for item in decoder.feed(chunk)], decoder


@pytest.fixture(params=["zlib", "isal"])
def backend(request: pytest.FixtureRequest) -> Backend:
    return find_backend(request.param)


@pytest.mark.parametrize("keeps", [False, True], ids=["no-takeover", "takeover"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_case_cut_every_way(case: Case, backend: Backend, keeps: bool) -> None:
    if (keeps and backend.name == "isal" and case.name in BLIND) or (case.name in KEEPING and not keeps):
        case = case._replace(code=1007 if case.name in KEEPING else None, messages=case.messages[:1])
    for chunks in cuts(b"".join(case.frames)):
        got, decoder = decode(chunks, backend, keeps=keeps)
        assert (decoder.fault.code if decoder.fault else None) == case.code, decoder.fault
        if case.name not in BLIND or case.code:
            assert got == case.messages


@pytest.mark.parametrize("case", [case for case in CASES if case.code], ids=lambda case: case.name)
def test_nothing_follows_a_fault(case: Case, backend: Backend) -> None:
    wire = b"".join(case.frames) + squeezed(TEXT, HELLO) + build(PING, b"late")
    got, decoder = decode([wire, wire], backend, keeps=False)
    assert (got, decoder.fault.code) == (case.messages, case.code)


@pytest.mark.parametrize("bits", range(8, 16))
def test_a_window_of_every_size_is_read(bits: int, backend: Backend) -> None:
    # zlib compresses with 9 bits at least; what it makes of them refers back no further than 250 bytes.
    messages = [JSON * 20, RANDOM[:900], JSON * 100]
    wire = b"".join(squeezed(BINARY, payload) for payload in sequence(*messages, bits=max(bits, 9)))
    got, decoder = decode([wire], backend, keeps=True, bits=bits)
    assert (got, decoder.fault) == (messages, None)


def test_what_was_cut_short_may_show_with_the_next_message_only() -> None:
    wire = squeezed(TEXT, b"") + squeezed(TEXT, bytes.fromhex("ffffff"))
    got, decoder = decode([wire], find_backend("isal"), keeps=True)
    assert (got, decoder.fault.code) == ([""], 1007)


@pytest.mark.parametrize(("size", "limit"), [(0, 0), (1, 1), (1, 0), (2, 1), (100_000, 100_000), (100_001, 100_000)])
def test_the_last_byte_of_what_is_allowed(size: int, limit: int, backend: Backend) -> None:
    for kind, message in ((BINARY, bytes(size)), (TEXT, "\0" * size)):
        got, decoder = decode([squeezed(kind, deflate(bytes(size)))], backend, keeps=True, max_size=limit)
        if size <= limit:
            assert (got, decoder.fault) == ([message], None)
        else:
            assert (got, decoder.fault.code) == ([], 1009)
            assert f"max_size {limit}" in decoder.fault.text


@pytest.mark.parametrize("spent", [99_999, 100_000], ids=["1 left", "0 left"])
def test_a_bomb_behind_what_has_filled_the_budget(spent: int, backend: Backend) -> None:
    stream = zlib.compressobj(6, zlib.DEFLATED, -15)
    first = stream.compress(os.urandom(spent)) + stream.flush(zlib.Z_SYNC_FLUSH)
    bomb = stream.compress(bytes(50_000_000)) + stream.flush(zlib.Z_SYNC_FLUSH)
    assert len(bomb) < 100_000
    frames = [squeezed(BINARY, first, fin=False), build(CONTINUATION, bomb[:-4])]
    got, decoder = decode(frames, backend, keeps=False, max_size=100_000)
    assert (got, decoder.fault.code) == ([], 1009)


def test_a_decoder_without_an_inflater_takes_no_compressed_message() -> None:
    decoder = Decoder(False)
    assert decoder.feed(squeezed(TEXT, HELLO)) == []
    assert "no extension was granted" in decoder.fault.text


class Greedy:
    """A decompressor that gives more than was asked."""

    eof, unconsumed_tail, unused_data = False, b"", b""

    def decompress(self, data: bytes, most: int) -> bytes:
        return bytes(most + 1)


class Idle(Greedy):
    """One that neither takes nor gives."""

    def decompress(self, data: bytes, most: int) -> bytes:
        self.unconsumed_tail = data
        return b""


@pytest.mark.parametrize("kind", [Greedy, Idle])
def test_a_back_end_that_breaks_its_promise_is_found_out(kind: type[Greedy]) -> None:
    decoder = Decoder(False, inflater=Inflater(InflateStream(kind, zlib.error, False), max_size=1000))
    with pytest.raises(RuntimeError, match="decompressor"):
        decoder.feed(squeezed(TEXT, HELLO))
    assert decoder.feed(build(TEXT, b"dead now")) == []


def test_the_counters() -> None:
    _, decoder = decode(
        [squeezed(TEXT, HELLO), *fragments(TEXT, HELLO, 3), build(TEXT, b"x")], find_backend("zlib"), keeps=False
    )
    inflater = decoder.inflater
    assert (inflater.messages, inflater.deflated_bytes, inflater.inflated_bytes) == (2, 14, 10)
    assert decoder.messages_received == 3
