"""The decoder, by tables: each case is fed whole and in steps of 1 and of 3 bytes, alone and with frames behind it."""

import struct
import tracemalloc
from collections.abc import Iterator

import pytest

from rawframes import KEY, build, xor
from trunkline._control import Control
from trunkline._frames import Decoder

TEXT, BINARY, CONTINUATION, CLOSE, PING, PONG = 1, 2, 0, 8, 9, 10
LENGTHS = [
    0,
    1,
    2,
    3,
    4,
    7,
    8,
    15,
    16,
    31,
    32,
    33,
    63,
    64,
    124,
    125,
    126,
    127,
    128,
    255,
    256,
    4095,
    65535,
    65536,
    70001,
]


def cuts(data: bytes) -> Iterator[list[bytes]]:
    """The ways to cut a stream that every case must survive."""
    yield [data]
    for step in (1, 3):
        if len(data) <= 5000:
            yield [data[at : at + step] for at in range(0, len(data), step)]
    if len(data) > 5000:
        yield [data[at : at + 1009] for at in range(0, len(data), 1009)]


def plain(item: object) -> object:
    """What an item says, comparable."""
    if isinstance(item, Control):
        return (item.opcode, item.code, item.reason) if item.opcode == CLOSE else (item.opcode, item.payload)
    return item


def decode(chunks: list[bytes], *, client: bool = False, **limits: int | None) -> tuple[list[object], Decoder]:
    decoder = Decoder(client, **limits)
    return [plain(item) for chunk in chunks for item in decoder.feed(chunk)], decoder


def both_roles(*frames: tuple) -> Iterator[tuple[bool, bytes]]:
    for client in (False, True):
        yield client, b"".join(build(*args, **options, masked=not client) for args, options in frames)


def f(*args: object, **options: object) -> tuple:
    return args, options


VALID = {
    "hello of RFC 6455 5.7": ([f(TEXT, b"Hello")], ["Hello"]),
    "two fragments of RFC 6455 5.7": ([f(TEXT, b"Hel", fin=False), f(CONTINUATION, b"lo")], ["Hello"]),
    "empty text": ([f(TEXT)], [""]),
    "empty binary": ([f(BINARY)], [b""]),
    "empty fragments": ([f(TEXT, fin=False), f(CONTINUATION, fin=False), f(CONTINUATION)], [""]),
    "an empty fragment before the data": ([f(BINARY, fin=False), f(CONTINUATION, b"ab")], [b"ab"]),
    "an empty fragment behind the data": ([f(BINARY, b"ab", fin=False), f(CONTINUATION)], [b"ab"]),
    "one byte of each kind": ([f(TEXT, b"a"), f(BINARY, b"b")], ["a", b"b"]),
    "text beyond ASCII": ([f(TEXT, "žluťoučký kůň 🐎".encode())], ["žluťoučký kůň 🐎"]),
    "a character cut by fragments": (
        [f(TEXT, b"\xf0\x9f", fin=False), f(CONTINUATION, b"\x90", fin=False), f(CONTINUATION, b"\x8e")],
        ["🐎"],
    ),
    "a ping between fragments": (
        [f(TEXT, b"a", fin=False), f(PING, b"?"), f(CONTINUATION, b"b")],
        [(PING, b"?"), "ab"],
    ),
    "control frames of 0 and 125 bytes": ([f(PING), f(PONG, b"x" * 125)], [(PING, b""), (PONG, b"x" * 125)]),
    "close without a code": ([f(CLOSE)], [(CLOSE, 1005, "")]),
    "close with a code": ([f(CLOSE, b"\x03\xe8")], [(CLOSE, 1000, "")]),
    "close with a reason": ([f(CLOSE, b"\x0f\xa0" + "ahoj ✓".encode())], [(CLOSE, 4000, "ahoj ✓")]),
    "frames behind a close frame": ([f(CLOSE), f(TEXT, b"late"), f(3)], [(CLOSE, 1005, "")]),
    "messages of one read, in order": ([f(TEXT, b"%d" % n) for n in range(40)], [str(n) for n in range(40)]),
}


@pytest.mark.parametrize(("frames", "expected"), VALID.values(), ids=VALID)
def test_valid_streams_give_their_messages(frames: list[tuple], expected: list[object]) -> None:
    for client, stream in both_roles(*frames):
        for chunks in cuts(stream):
            items, decoder = decode(chunks, client=client)
            assert (items, decoder.fault) == (expected, None)
            assert decoder.bytes_received == len(stream)


@pytest.mark.parametrize("size", LENGTHS)
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_every_length_comes_through(opcode: int, size: int) -> None:
    payload = bytes(65 + index % 26 for index in range(size))
    for client, stream in both_roles(f(opcode, payload), f(PONG)):
        for chunks in cuts(stream):
            items, _ = decode(chunks, client=client)
            assert items == [payload.decode() if opcode == TEXT else payload, (PONG, b"")]


def header(first: int, *rest: bytes) -> bytes:
    return bytes((first,)) + b"".join(rest)


# What a server gets; the words that the fault's text must hold; the bytes at which it can be known.
INVALID = {
    "RSV1": (build(TEXT, b"a", rsv=4), 1002, "reserved bits 100", 1),
    "RSV2": (build(BINARY, b"a", rsv=2), 1002, "reserved bits 010", 1),
    "RSV3 on a ping": (build(PING, rsv=1), 1002, "reserved bits 001", 1),
    **{f"opcode {n}": (build(n), 1002, f"opcode {n} is reserved", 1) for n in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)},
    "fragmented ping": (build(PING, fin=False), 1002, "without FIN", 1),
    "fragmented close": (build(CLOSE, fin=False), 1002, "without FIN", 1),
    "ping of 126 bytes": (build(PING, b"x" * 126), 1002, "over 125 bytes", 2),
    "close of 65536 bytes": (build(CLOSE, b"x" * 65536), 1002, "over 125 bytes", 2),
    "unmasked frame": (build(TEXT, b"a", masked=False), 1002, "unmasked frame from a client", 2),
    "125 in two bytes": (header(0x82, b"\xfe\x00\x7d"), 1002, "length 125 is not in its shortest form", 4),
    "0 in two bytes": (header(0x82, b"\xfe\x00\x00"), 1002, "length 0 is not", 4),
    "65535 in eight bytes": (header(0x82, b"\xff", struct.pack("!Q", 65535)), 1002, "length 65535 is not", 10),
    "2**63": (header(0x82, b"\xff", struct.pack("!Q", 2**63)), 1002, "most significant bit", 10),
    "2**64 - 1": (header(0x82, b"\xff", struct.pack("!Q", 2**64 - 1)), 1002, "most significant bit", 10),
    "continuation of nothing": (build(CONTINUATION, b"a"), 1002, "no message to continue", 6),
    "text inside a message": (build(TEXT, b"a", fin=False) + build(TEXT, b"b"), 1002, "inside a fragmented", 13),
    "continuation behind the end": (
        build(TEXT, b"a", fin=False) + build(CONTINUATION, b"b") + build(CONTINUATION, b"c"),
        1002,
        "no message to continue",
        20,
    ),
    "close with one byte": (build(CLOSE, b"\x03"), 1002, "1 byte of payload", 7),
    "close reason not UTF-8": (build(CLOSE, b"\x03\xe8\xff"), 1007, "not UTF-8 at byte 0", 9),
    "close reason cut off": (build(CLOSE, b"\x03\xe8ab\xe2\x82"), 1007, "not UTF-8 at byte 2", 12),
}


@pytest.mark.parametrize(("stream", "code", "words", "known_at"), INVALID.values(), ids=INVALID)
def test_a_fault_kills_the_decoder_at_the_first_byte_that_shows_it(
    stream: bytes, code: int, words: str, known_at: int
) -> None:
    decoder = Decoder(False)
    for index in range(known_at):
        assert decoder.fault is None, f"failed before byte {index + 1}"
        decoder.feed(stream[index : index + 1])
    assert decoder.fault is not None
    assert (decoder.fault.code, decoder.errors) == (code, 1)
    assert words in decoder.fault.text
    assert "RFC 6455" in decoder.fault.text
    for chunks in cuts(stream + build(TEXT, b"more")):
        items, dead = decode(chunks)
        assert dead.fault is not None
        assert dead.fault.text == decoder.fault.text
        assert "more" not in items


def test_a_client_refuses_masked_frames() -> None:
    _, decoder = decode([build(TEXT, b"a")], client=True)
    assert decoder.fault is not None
    assert "masked frame from a server" in decoder.fault.text


@pytest.mark.parametrize("code", [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535])
def test_close_codes_that_may_not_be_sent(code: int) -> None:
    _, decoder = decode([build(CLOSE, struct.pack("!H", code))])
    assert decoder.fault is not None
    assert str(code) in decoder.fault.text


@pytest.mark.parametrize("code", [*range(1000, 1004), *range(1007, 1015), 3000, 3999, 4000, 4999])
def test_close_codes_that_may_be_sent(code: int) -> None:
    items, decoder = decode([build(CLOSE, struct.pack("!H", code) + b"x")])
    assert (items, decoder.closed) == ([(CLOSE, code, "x")], True)


BAD_TEXTS = {
    "continuation byte first": (b"ab\x80", 2),
    "overlong two bytes": (b"\xc0\xaf", 0),
    "overlong three bytes": (b"a\xe0\x80\xaf", 2),
    "overlong four bytes": (b"\xf0\x80\x80\xaf", 1),
    "surrogate": (b"x\xed\xa0\x80", 2),
    "beyond U+10FFFF": (b"\xf4\x90\x80\x80", 1),
    "five-byte form": (b"\xf8\x88\x80\x80\x80", 0),
    "0xFF": (b"\xff", 0),
    "a character broken off": (b"\xe2\x82a", 2),
    "far behind ASCII": (b"a" * 100 + b"\xff", 100),
}


@pytest.mark.parametrize(("payload", "at"), BAD_TEXTS.values(), ids=BAD_TEXTS)
def test_text_fails_in_the_chunk_that_brings_the_bad_byte(payload: bytes, at: int) -> None:
    for client, stream in both_roles(f(TEXT, payload + b"tail")):
        head = len(stream) - len(payload) - 4
        decoder = Decoder(client)
        decoder.feed(stream[: head + at])
        assert decoder.fault is None
        decoder.feed(stream[head + at : head + at + 1])
        assert decoder.fault is not None
        assert (decoder.fault.code, f"at byte {at}" in decoder.fault.text) == (1007, True)
        whole, dead = decode([build(TEXT, b"good", masked=not client) + stream], client=client)
        assert whole == ["good"]  # what was complete before the fault is given
        assert dead.fault is not None
        assert f"at byte {at} " in dead.fault.text


def test_text_that_ends_inside_a_character() -> None:
    for stream in (build(TEXT, b"ab\xe2\x82"), build(TEXT, b"ab\xe2", fin=False) + build(CONTINUATION, b"\x82")):
        for chunks in cuts(stream):
            items, decoder = decode(chunks)
            assert items == []
            assert decoder.fault is not None
            assert decoder.fault.code == 1007
            assert "ends inside a character" in decoder.fault.text  # whether it lay whole in a chunk or not


@pytest.mark.parametrize("limit", [0, 1, 125, 126, 65536])
def test_max_size_counts_the_whole_message(limit: int) -> None:
    body = b"x" * limit
    for stream in (build(BINARY, body), build(BINARY, body[:-1], fin=False) + build(CONTINUATION, body[-1:])):
        for chunks in cuts(stream):
            items, decoder = decode(chunks, max_size=limit)
            assert (items, decoder.fault) == ([body], None)
    over = build(BINARY, body + b"x")
    announced = len(over) - len(body) - 1  # the header says it all
    _, decoder = decode([over[:announced]], max_size=limit)
    assert decoder.fault is not None
    assert decoder.fault.code == 1009
    assert f"{limit + 1} bytes" in decoder.fault.text
    assert f"max_size {limit}" in decoder.fault.text
    _, decoder = decode([build(BINARY, body, fin=False) + build(CONTINUATION, b"x")], max_size=limit)
    assert decoder.fault is not None
    assert decoder.fault.code == 1009


def test_no_size_limit_still_refuses_what_no_memory_can_hold() -> None:
    stream = header(0x82, b"\xff", struct.pack("!Q", 2**63 - 1), KEY)
    _, decoder = decode([stream], max_size=None)
    assert decoder.fault is not None
    assert decoder.fault.code == 1009


def test_a_header_costs_no_memory_until_its_bytes_come() -> None:
    decoder = Decoder(False, max_size=2**40)
    decoder.feed(header(0x82, b"\xff", struct.pack("!Q", 2**40), KEY) + b"x" * 100)
    assert decoder.fault is None  # a terabyte was announced, and is not there


@pytest.mark.parametrize("parts", range(2, 20))
def test_a_message_in_fragments_holds_what_it_is_and_no_more(parts: int) -> None:
    stream = b"".join(build(CONTINUATION if at else BINARY, b"x" * 50_000, fin=at == parts - 1) for at in range(parts))
    decoder = Decoder(False)
    tracemalloc.start()
    try:
        items = decoder.feed(stream)
        held, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert items == [b"x" * 50_000 * parts]
    assert held <= 50_000 * parts + 1000
    assert peak <= min(2 * 50_000 * parts, 2**20) + 1000


def test_max_fragments() -> None:
    start = build(BINARY, fin=False)
    two = start + build(CONTINUATION, b"b")
    assert decode([two], max_fragments=2)[0] == [b"b"]
    _, decoder = decode([start + build(CONTINUATION, fin=False) * 2], max_fragments=2)
    assert decoder.fault is not None
    assert (decoder.fault.code, "max_fragments 2" in decoder.fault.text) == (1008, True)
    assert decode([start + build(CONTINUATION, fin=False) * 5000 + build(CONTINUATION)], max_fragments=None)[0] == [b""]


def test_counters() -> None:
    stream = build(TEXT, b"a", fin=False) + build(PING) + build(CONTINUATION) + build(PONG) + build(BINARY)
    decoder = Decoder(False)
    decoder.feed(stream)
    assert (decoder.frames_received, decoder.messages_received) == (5, 2)
    assert (decoder.pings_received, decoder.pongs_received, decoder.errors) == (1, 1, 0)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_buffer_is_taken_and_none_is_kept(kind: type) -> None:
    chunk = bytearray(build(BINARY, b"abc"))
    given = kind(chunk)
    decoder = Decoder(False)
    items = decoder.feed(given[:8])
    items += decoder.feed(given[8:])
    chunk[:] = bytes(len(chunk))
    assert items == [b"abc"]


@pytest.mark.parametrize("wrong", ["text", 5, None, [1]])
def test_what_is_no_buffer_is_refused(wrong: object) -> None:
    with pytest.raises(TypeError):
        Decoder(False).feed(wrong)


@pytest.mark.parametrize("limits", [{"max_size": -1}, {"max_fragments": 0}])
def test_limits_that_make_no_sense(limits: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(limits))):
        Decoder(False, **limits)


def test_masked_example_of_the_rfc() -> None:
    assert xor(b"Hello") == bytes((0x7F, 0x9F, 0x4D, 0x51, 0x58))
    assert decode([bytes((0x81, 0x85, 0x37, 0xFA, 0x21, 0x3D, 0x7F, 0x9F, 0x4D, 0x51, 0x58))])[0] == ["Hello"]
