"""The C kernels through their thin Python faces: every variant of this CPU, against definitions in plain Python."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawframes import is_text
from trunkline._kernels import mask, mask_variant, use_mask_variant, utf8_fault

KEY = bytes((0x01, 0x80, 0xFE, 0x5A))


def available() -> list[str]:
    chosen, found = mask_variant(), []
    for name in ("scalar", "sse2", "avx2", "neon"):
        try:
            use_mask_variant(name)
        except ValueError:
            continue
        found.append(name)
    use_mask_variant(chosen)
    return found


@pytest.fixture(params=available())
def variant(request: pytest.FixtureRequest):
    use_mask_variant(request.param)
    yield request.param
    use_mask_variant(None)


def expected(data: bytes, key: bytes, phase: int) -> bytes:
    return bytes(byte ^ key[(phase + index) % 4] for index, byte in enumerate(data))


def test_masks_of_every_length_alignment_and_phase(variant: str) -> None:
    assert mask_variant() == variant
    source = bytes(index * 7 % 256 for index in range(700))
    for size in [*range(300), 511, 512, 513, 640]:
        for start in (0, 1, 3):
            for phase in range(4):
                data = memoryview(source)[start : start + size]
                assert mask(data, KEY, phase) == expected(bytes(data), KEY, phase)


@given(data=st.binary(max_size=2000), key=st.binary(min_size=4, max_size=4), cut=st.integers(0, 2000))
def test_a_mask_in_two_pieces_is_the_mask_in_one(data: bytes, key: bytes, cut: int) -> None:
    assert mask(data[:cut], key) + mask(data[cut:], key, min(cut, len(data)) % 4) == mask(data, key)


def test_a_widest_variant_was_chosen() -> None:
    use_mask_variant(None)
    assert mask_variant() == available()[-1]


def test_variants_that_are_not_there() -> None:
    with pytest.raises(ValueError, match="'mmx'"):
        use_mask_variant("mmx")


@pytest.mark.parametrize("key", [b"", b"abc", b"abcde"])
def test_a_key_has_four_bytes(key: bytes) -> None:
    with pytest.raises(ValueError, match=f"{len(key)} bytes, must have 4"):
        mask(b"data", key)


@given(st.lists(st.one_of(st.text().map(str.encode), st.binary(max_size=6))).map(b"".join))
def test_utf8_agrees_with_python(data: bytes) -> None:
    fault = utf8_fault(data)
    try:
        data.decode()
    except UnicodeDecodeError:
        assert fault is not None
        # Nothing before the bad byte is wrong: it could all be the beginning of some text.
        good = data[:fault]
        assert any(is_text(good + tail) for tail in TAILS)
        assert fault == len(data) or not any(is_text(data[: fault + 1] + tail) for tail in TAILS)
    else:
        assert fault is None


# Whatever can follow a beginning of a character so that it becomes one.
TAILS = [
    b"",
    b"\x80",
    b"\xa0",
    b"\x90",
    b"\xbf",
    b"\x80\x80",
    b"\x90\x80",
    b"\xa0\x80",
    b"\x80\x80\x80",
    b"\x90\x80\x80",
]


@pytest.mark.parametrize("first", range(0x80, 0x100))
def test_utf8_of_every_first_and_second_byte(first: int) -> None:
    for second in range(0x100):
        for tail in (b"", b"\x80", b"\x80\x80"):
            data = bytes((first, second)) + tail
            assert (utf8_fault(data) is None) == is_text(data)
