"""What libFuzzer's inputs stand for, and that what judges them would find something. `make fuzz` runs libFuzzer."""

from typing import Any

import pytest

from fuzz import guided, links, sides
from fuzz.check import Unexplained
from fuzz.sides import Decoded
from fuzz.streams import BINARY, NO_TAKEOVER, PING, PLAIN, PONG, TAKEOVER, TEXT, Stream
from rawframes import build, deflate
from trunkline._frames import Decoder

PLAINS = build(BINARY, b"abc", masked=False) + build(PING, b"?", masked=False) + build(TEXT, b"de", masked=False)


@pytest.mark.parametrize("deflate", [PLAIN, TAKEOVER, NO_TAKEOVER])
@pytest.mark.parametrize("client", [False, True])
@pytest.mark.parametrize("limits", [(None, None), (16, None), (64, 3)])
def test_an_input_gives_its_stream_back(client: bool, deflate: str, limits: tuple[int | None, int | None]) -> None:
    for size in (0, 1, 7, 200, 300):
        for cuts in ((), (0,), (size // 2, size), (0, size // 3, size)):
            stream = Stream(bytes(range(256)) * 2, client, deflate, cuts, *limits)._replace(data=bytes(size))
            again = guided.stream_of(guided.input_of(stream))
            assert again._replace(cuts=()) == stream._replace(cuts=())
            near = [abs(got - cut) for got, cut in zip(again.cuts, stream.cuts, strict=True)]
            assert max(near, default=0) <= (size > 255) * 2


def test_any_bytes_are_an_input() -> None:
    for size in range(12):
        guided.one_input(bytes(range(size)))
        guided.one_input(b"\xff" * size)


def test_what_has_no_mask_gets_one() -> None:
    masked = guided.masked(PLAINS)
    assert masked != PLAINS
    assert sides.decode(Stream(masked, False, PLAIN, ()), [masked]) == sides.decode(
        Stream(PLAINS, True, PLAIN, ()), [PLAINS]
    )
    assert guided.masked(masked) == masked
    assert guided.masked(PLAINS + b"\x81") == masked + b"\x81"


def test_messages_are_stretched() -> None:
    large, small = build(BINARY, bytes(range(64)), masked=False), build(BINARY, b"abc", masked=False)
    data = small + large + build(PING, bytes(64), masked=False) + large[:-1]
    flags = guided.CLIENT | guided.STRETCHED
    stream = guided.stream_of(bytes((flags,)) + bytes(4) + data)
    assert sides.decode(stream, [stream.data]).items == [b"abc", bytes(range(64)) * 1024, (PING, bytes(64))]
    assert stream.data.endswith(large[:-1])
    guided.one_input(guided.input_of(stream._replace(data=data, cuts=(90, 170)), guided.STRETCHED))


def test_what_was_reached() -> None:
    for data in guided.reached():
        guided.one_input(data)


def test_a_share_of_the_seeds() -> None:
    for number, seed in enumerate(guided.seeds()):
        if number % 4 == 0:
            guided.one_input(seed)


# A judge that finds nothing must be one that would.

KILLED = Stream(PLAINS + build(3, masked=False) + PLAINS, True, PLAIN, ())


def test_a_decoder_that_comes_back_to_life_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    class Risen:
        def __init__(self, stream: Stream, limited: bool) -> None:
            self.decoder = sides_decoder(stream, limited)
            self.fault, self.closed, self.messages_received = None, False, 0

        def feed(self, data: bytes) -> list[Any]:
            out = self.decoder.feed(data)
            self.fault, self.messages_received = self.decoder.fault, self.decoder.messages_received
            if self.fault:
                self.decoder = Decoder(True)
            return out

    sides_decoder = sides.decoder
    guided.stays_dead(KILLED)
    monkeypatch.setattr(sides, "decoder", Risen)
    with pytest.raises(Unexplained, match="back to life"):
        guided.stays_dead(KILLED)


def test_a_link_that_gives_something_else_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def loses_the_last(stream: Stream) -> Decoded:
        got = decode(stream)
        return got._replace(items=got.items[:-1])

    decode = links.decode
    guided.same_on_a_link(KILLED)
    monkeypatch.setattr(links, "decode", loses_the_last)
    with pytest.raises(Unexplained, match="a Link and its Decoder"):
        guided.same_on_a_link(KILLED)


@pytest.mark.parametrize("cuts", [(), (3,), (3, 30), (2, 20, 40)])
def test_a_link_goes_on_where_it_has_stalled(cuts: tuple[int, ...]) -> None:
    text = bytes(range(100, 120)) * 50
    data = b"".join(build(TEXT, deflate(text), rsv=4) + build(PONG, b"!") for _ in range(2))
    stream = Stream(data, False, TAKEOVER, cuts)
    assert links.decode(stream) == ([text.decode(), (PONG, b"!")] * 2, None, None)


def test_a_link_receives_into_its_message() -> None:
    data = build(BINARY, bytes(70_000), masked=False)
    stream = Stream(data, True, PLAIN, (20, 40_000))
    assert links.decode(stream) == ([bytes(70_000)], None, None)


def test_seeds_are_of_every_kind() -> None:
    streams = [guided.stream_of(seed) for seed in guided.seeds()]
    assert {(stream.client, stream.deflate) for stream in streams} == {
        (client, deflate) for client in (False, True) for deflate in (PLAIN, TAKEOVER, NO_TAKEOVER)
    }
