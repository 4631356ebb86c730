"""Every length a header can announce that lies at an edge, for every opcode, in both roles, in every split.

What must happen is worked out here from RFC 6455 5.2, 5.4 and 5.5, not asked of the code under test.
"""

import itertools
import tracemalloc
from collections.abc import Iterator

import pytest
from wsproto.connection import ConnectionType

from rawframes import KEY, build, xor
from trunkline import protocol
from trunkline._frames import Decoder
from trunkline.protocol.deflate import Deflate, PerMessageDeflate, agreement_of, inflater_for

LENGTHS = [
    *(0, 1, 124, 125, 126, 127, 128, 65_534, 65_535, 65_536, 65_537),
    *(edge + step for edge in (2**31, 2**32) for step in (-1, 0, 1)),
    *(2**63 - 1, 2**63, 2**63 + 1, 2**64 - 1),
]
OPCODES = range(16)
FORMS = {7: 0, 16: 126, 64: 127}  # bits of the length, and what announces them
LIMITS = [None, 2**32, 65_535]


def header(opcode: int, length: int, bits: int, *, masked: bool) -> bytes:
    """A header that gives its length in so many bits, whether or not that is the shortest form."""
    long = b"" if bits == 7 else length.to_bytes(bits // 8, "big")
    return bytes((0x80 | opcode, masked << 7 | (FORMS[bits] or length))) + long + (KEY if masked else b"")


def forms(length: int) -> Iterator[int]:
    """The forms that can hold the length."""
    return (bits for bits in FORMS if length < (126 if bits == 7 else 2**bits))


def shortest(length: int) -> int:
    return next(forms(length))


def expected(opcode: int, length: int, bits: int, limit: int | None, *, inside: bool) -> int | None:
    """The close code for such a header, inside a fragmented message or not; None if more may follow."""
    if opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15):
        return 1002
    if opcode >= 8 and bits != 7:
        return 1002
    if length >= 2**63 or bits != shortest(length):
        return 1002
    if opcode < 8 and (opcode == 0) is not inside:
        return 1002
    # Without a limit of ours there is still that of what memory can be asked for.
    most = 2**63 - 2048 if limit is None else limit
    return 1009 if opcode < 8 and length + inside > most else None


def splits(head: bytes) -> Iterator[list[bytes]]:
    """Whole, byte by byte, and cut in two and in three at every place."""
    yield [head]
    yield [head[at : at + 1] for at in range(len(head))]
    for one in range(1, len(head)):
        yield [head[:one], head[one:]]
    for one, two in itertools.combinations(range(1, len(head)), 2):
        yield [head[:one], head[one:two], head[two:]]


@pytest.mark.parametrize("client", [True, False], ids=["client", "server"])
@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("opcode", OPCODES)
def test_a_length_at_an_edge(opcode: int, limit: int | None, client: bool) -> None:
    for length in LENGTHS:
        for bits in forms(length):
            head = header(opcode, length, bits, masked=not client)
            for inside in (False, True):
                code = expected(opcode, length, bits, limit, inside=inside)
                for chunks in splits(head):
                    decoder = Decoder(client, max_size=limit)
                    if inside:
                        decoder.feed(build(2, b"x", fin=False, masked=not client))
                    for chunk in chunks:
                        decoder.feed(chunk)
                    fault = decoder.fault
                    assert (fault.code if fault else None) == code, (length, bits, inside, chunks)
                    if code == 1009:
                        assert f"message of {length + inside} bytes or more, max_size {limit} " in fault.text


@pytest.mark.parametrize("kind", [ConnectionType.CLIENT, ConnectionType.SERVER])
@pytest.mark.parametrize("opcode", OPCODES)
def test_the_same_without_a_loop(opcode: int, kind: ConnectionType) -> None:
    """`trunkline.protocol` has a decoder of its own."""
    masked = kind is ConnectionType.SERVER
    for length in LENGTHS:
        for bits in forms(length):
            code = expected(opcode, length, bits, 2**32, inside=False)
            head = header(opcode, length, bits, masked=masked)
            for chunks in ([head], [head[at : at + 1] for at in range(len(head))]):
                end = protocol.Connection(kind, max_size=2**32)
                events = []
                for chunk in chunks:
                    end.receive_data(chunk)
                    events += end.events()
                    if events:
                        break
                seen = [event.code for event in events if isinstance(event, protocol.CloseConnection)]
                if opcode == 8 and length == 0 and bits == 7:
                    code = 1005  # the frame is whole
                assert seen[:1] == ([] if code is None else [code]), (length, bits)


@pytest.mark.parametrize("client", [True, False], ids=["client", "server"])
def test_what_is_announced_costs_nothing_until_it_comes(client: bool) -> None:
    tracemalloc.start()
    try:
        for length in (2**31 + 1, 2**32 + 1, 2**62):
            for opcode in (1, 2):
                decoder = Decoder(client, max_size=None)
                body = b"a" * 1000
                decoder.feed(header(opcode, length, 64, masked=not client) + (body if client else xor(body)))
                assert decoder.fault is None
        assert tracemalloc.get_traced_memory()[1] < 16 * 2**20  # what one body begins with is 4 MiB
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("client", [True, False], ids=["client", "server"])
@pytest.mark.parametrize("length", [2**31, 2**32 + 1, 2**63 - 1])
def test_the_length_of_a_compressed_frame_is_no_reason_to_trust_it(length: int, client: bool) -> None:
    """What counts of it is what it inflates to; and a payload of any length may be announced."""
    extension = PerMessageDeflate(Deflate())
    extension.accept("permessage-deflate") if not client else extension.finalize("permessage-deflate")
    agreement = agreement_of([extension])
    assert agreement is not None
    decoder = Decoder(client, max_size=1000, inflater=inflater_for(agreement, 1000))
    head = bytearray(header(2, length, 64, masked=False))
    head[0] |= 0x40
    if not client:
        head[1] |= 0x80
        head += bytes(4)
    assert decoder.feed(bytes(head)) == []
    assert decoder.fault is None
    stored = b"\x00\xe8\x03\x17\xfc" + bytes(1000)  # 1,000 bytes as they are (RFC 1951 3.2.4)
    decoder.feed(stored)
    assert decoder.fault is None
    decoder.feed(stored)
    assert decoder.fault is not None
    assert decoder.fault.code == 1009
