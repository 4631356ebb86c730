"""Masking keys as a peer sees them: every frame has a key of its own that cannot be predicted (RFC 6455 5.3, 10.3)."""

import collections
import itertools
import os

import pytest

import trunkline
from rawpeer import TEXT
from trunkline._batch import Encoder

COUNT = 40_000  # keys


def keys_of(stream: bytes, payload: int) -> list[bytes]:
    """The keys of masked frames that each have so many bytes of payload, 125 at most."""
    size = 6 + payload
    return [stream[at + 2 : at + 6] for at in range(0, len(stream), size)]


def chi_square(counts: list[int]) -> float:
    """How far counts are from being alike."""
    mean = sum(counts) / len(counts)
    return sum((count - mean) ** 2 for count in counts) / mean


def assert_random(keys: list[bytes]) -> None:
    """For each byte of the key, and for its first half as a number: chi-square of 256 cells within 255 +- 10 standard
    deviations (of 22.6 each). That a good source is outside is less likely than that the machine fails.
    """
    parts = [[key[place] for key in keys] for place in range(4)]
    parts.append([key[0] ^ key[1] ^ key[2] ^ key[3] for key in keys])
    parts.append([after[0] ^ before[0] for before, after in itertools.pairwise(keys)])
    for part in parts:
        seen = collections.Counter(part)
        assert 29 < chi_square([seen[value] for value in range(256)]) < 481
    # Of 40,000 keys in 2**32 two are alike 0.2 times, and ten such pairs once in 10**13 runs.
    assert len(keys) - len(set(keys)) < 10


def test_the_keys_of_an_encoder() -> None:
    assert_random(keys_of(Encoder(True).messages([b"x"] * COUNT), 1))


@pytest.mark.anyio
async def test_the_keys_on_the_wire(raw_server):
    """Of messages one by one, joined, in fragments, and of pings and closes."""
    seen: list[bytes] = []

    async def script(peer):
        while (await peer.reader.readexactly(1))[0] & 15 != 8:
            size = (await peer.reader.readexactly(1))[0] & 127
            seen.append(await peer.reader.readexactly(4))
            await peer.reader.readexactly(size)

    async with raw_server(script) as uri:
        ws = await trunkline.connect(uri)
        for _ in range(2000):
            await ws.send("one")
        ws.send_many(["joined"] * 2000)
        for _ in range(60):
            ws.ping_nowait()
        await ws.send("part" for _ in range(1000))
        ws.start_closing()
        await ws.wait_closed()
    assert len(seen) == 5061  # the iterable's end is a frame of its own
    assert len(seen) - len(set(seen)) < 5
    for bit in range(32):
        ones = sum(int.from_bytes(key) >> bit & 1 for key in seen)
        assert abs(ones - 2530) < 360  # ten standard deviations


@pytest.mark.anyio
async def test_a_server_masks_nothing(raw_client):
    async def handle(ws):
        await ws.send("plain")

    async with trunkline.serve(handle, "127.0.0.1", 0) as server, raw_client(server) as peer:
        assert (await peer.frame()).payload == b"plain"  # the peer by hand asserts that there is no mask
        assert peer.encode(TEXT)[1] & 0x80


# Threads of earlier tests may still wait for work: the children take no lock that one of them could hold.
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_after_a_fork_no_key_is_used_by_both() -> None:
    """A parent and several children, all starting with the same half-used pool of keys."""
    encoder = Encoder(True)
    encoder.messages([b""] * 100)
    children = []
    for _ in range(4):
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.write(writer, b"".join(keys_of(encoder.messages([b""] * 2000), 0)))
            os._exit(0)
        os.close(writer)
        children.append((child, reader))
    all_keys = keys_of(encoder.messages([b""] * 2000), 0)
    for child, reader in children:
        with os.fdopen(reader, "rb") as pipe:
            stream = pipe.read()
        os.waitpid(child, 0)
        assert len(stream) == 8000
        all_keys += [stream[at : at + 4] for at in range(0, len(stream), 4)]
    assert len(all_keys) - len(set(all_keys)) < 10
