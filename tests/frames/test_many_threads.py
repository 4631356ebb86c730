"""Kernels that several threads use at the same time, one of which changes the variant."""

from collections.abc import Iterator

import pytest

from loops import hastily, meanwhile
from trunkline._batch import Encoder
from trunkline._frames import Decoder
from trunkline._kernels import mask, mask_variant, use_mask_variant

VARIANTS = ("scalar", "sse2", "avx2", "neon")


@pytest.fixture
def variants() -> Iterator[list[str]]:
    """Those that this CPU and this build have."""
    before, found = mask_variant(), []
    for name in VARIANTS:
        try:
            use_mask_variant(name)
        except ValueError:
            continue
        found.append(name)
    yield found
    use_mask_variant(before)


def test_the_variant_may_change_while_threads_mask(variants: list[str]) -> None:
    key, payload = b"\x01\x80\xff\x37", bytes(range(256)) * 5
    masked = bytes(byte ^ key[index % 4] for index, byte in enumerate(payload))

    def look() -> None:
        assert mask(payload, key) == masked
        assert mask_variant() in variants
        (back,) = Decoder(False).feed(Encoder(True).messages([payload]))
        assert back == payload

    with hastily(), meanwhile(look, look):
        for turn in range(3_000):
            use_mask_variant(variants[turn % len(variants)])
