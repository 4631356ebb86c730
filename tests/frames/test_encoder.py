"""The encoder, against frames written out by hand and against the decoder."""

import array
import collections
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawframes import build, xor
from trunkline._batch import Encoder
from trunkline._frames import Decoder

SIZES = [0, 1, 125, 126, 127, 65535, 65536, 65537]


@pytest.mark.parametrize("size", SIZES)
def test_unmasked_frames_to_the_byte(size: int) -> None:
    payload = b"x" * size
    encoder = Encoder(False)
    assert encoder.messages([payload]) == build(2, payload, masked=False)
    assert encoder.messages([payload.decode()]) == build(1, payload, masked=False)
    assert (encoder.frames_sent, encoder.bytes_sent) == (2, 2 * len(build(1, payload, masked=False)))


@pytest.mark.parametrize("size", SIZES)
def test_masked_frames_to_the_byte_but_for_the_key(size: int) -> None:
    payload = bytes(index % 251 for index in range(size))
    wire = Encoder(True).messages([payload])
    bare = build(2, payload, masked=True)
    head = len(bare) - size - 4
    assert wire[:head] == bare[:head]
    assert xor(wire[head + 4 :], wire[head : head + 4]) == payload


def test_messages_are_joined() -> None:
    assert Encoder(False).messages(["a", b"b", bytearray(b"c"), memoryview(b"d")]) == b"".join(
        build(opcode, payload, masked=False) for opcode, payload in ((1, b"a"), (2, b"b"), (2, b"c"), (2, b"d"))
    )


@given(st.lists(st.one_of(st.text(max_size=300), st.binary(max_size=300)), max_size=20), st.booleans())
def test_what_is_encoded_is_decoded(messages: list[str | bytes], client: bool) -> None:
    decoder = Decoder(not client)
    assert decoder.feed(Encoder(client).messages(messages)) == messages
    assert decoder.fault is None


def test_a_bad_message_spoils_none_of_the_others() -> None:
    encoder = Encoder(False)
    for bad, error in (
        (5, TypeError),
        (None, TypeError),
        ("\ud800", UnicodeEncodeError),
        (memoryview(b"abcd")[::2], BufferError),
    ):
        with pytest.raises(error):
            encoder.messages(["good", bad])
    assert encoder.messages(["next"]) == build(1, b"next", masked=False)


def test_frames_as_they_are_asked_for() -> None:
    encoder = Encoder(False)
    assert encoder.frame(1, b"Hel", fin=False) + encoder.frame(0, b"lo") == bytes.fromhex("010348656c80026c6f")
    assert encoder.frame(9, b"Hello") == bytes.fromhex("890548656c6c6f")


@pytest.mark.parametrize(
    ("opcode", "payload", "words"), [(8, b"x" * 126, "126 bytes, limit 125"), (16, b"", "limit 15")]
)
def test_frames_that_cannot_be(opcode: int, payload: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Encoder(False).frame(opcode, payload)


def test_a_control_frame_is_measured_in_bytes() -> None:
    with pytest.raises(ValueError, match="126 bytes, limit 125"):
        Encoder(False).frame(9, array.array("H", [0] * 63))


def test_an_iterable_may_encode_on_its_own_account() -> None:
    encoder = Encoder(False)
    inner = []

    def messages():
        yield "a"
        inner.append(encoder.messages(["b"]))
        yield "c"

    assert encoder.messages(messages()) == build(1, b"a", masked=False) + build(1, b"c", masked=False)
    assert inner == [build(1, b"b", masked=False)]


def keys(encoder: Encoder, count: int) -> list[bytes]:
    return [encoder.messages([b""])[2:6] for _ in range(count)]


def test_no_masking_key_comes_twice() -> None:
    # 2,000 of 2**32 keys: two alike once in 2,000 runs, three alike once in a billion.
    assert collections.Counter(keys(Encoder(True), 2000)).most_common(1)[0][1] < 3


def test_masking_keys_use_every_bit() -> None:
    seen = [int.from_bytes(key) for key in keys(Encoder(True), 500)]
    for bit in range(32):
        assert 100 < sum(key >> bit & 1 for key in seen) < 400  # 250 and 13 standard deviations


# Threads of earlier tests may still wait for work: the child takes no lock that one of them could hold.
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
@pytest.mark.posix
def test_a_child_has_keys_of_its_own() -> None:
    encoder = Encoder(True)
    keys(encoder, 1)  # the pool is filled
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, b"".join(keys(encoder, 10)))
        os._exit(0)
    os.waitpid(child, 0)
    theirs = os.read(reader, 40)
    os.close(reader)
    os.close(writer)
    assert len(theirs) == 40
    assert theirs != b"".join(keys(encoder, 10))
