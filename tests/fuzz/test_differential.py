"""A fixed share of what `make fuzz` runs, and every input that ever showed something."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from fuzz import sides
from fuzz.__main__ import one_block
from fuzz.check import Unexplained, check
from fuzz.sides import Decoded
from fuzz.streams import BINARY, PONG, Stream, block
from rawframes import build

HERE = Path(__file__).parent
FOUND = [json.loads(line) for line in (HERE / "corpus" / "found.jsonl").read_text().splitlines()]
EXPLAINED = tomllib.loads((HERE / "divergences.toml").read_text())


@pytest.mark.parametrize("number", range(8))
def test_a_share_of_the_streams(number: int) -> None:
    count, names, found, _ = one_block((20260101, number, 2500, float("inf")))
    assert found == []
    assert count == 2500
    assert set(names) <= set(EXPLAINED)


@pytest.mark.parametrize("number", range(len(FOUND)))
def test_what_was_found(number: int) -> None:
    fields = dict(FOUND[number])
    why, names = fields.pop("why"), fields.pop("divergences")
    assert sorted(set(check(Stream.from_json(fields)))) == names, why


def test_every_divergence_has_its_reason_and_its_case() -> None:
    source = (HERE / "check.py").read_text()
    for name, text in EXPLAINED.items():
        assert text.keys() == {"what", "why"}
        assert f'"{name}"' in source
    assert {name for fields in FOUND for name in fields["divergences"]} == set(EXPLAINED)


def test_the_same_seed_gives_the_same_streams() -> None:
    first, again, other = (list(block(seed, 3, 200)) for seed in (7, 7, 8))
    assert first == again != other
    assert {stream.client for stream in first} == {False, True}
    assert {stream.deflate for stream in first} == {"", "takeover", "no takeover"}


def test_streams_are_for_the_most_part_valid() -> None:
    faults = [sides.decode(stream, [stream.data]).fault for stream in block(1, 0, 2000)]
    assert 0.4 < faults.count(None) / len(faults) < 0.8
    assert {1002, 1007, 1009} <= set(faults)


# A check that finds nothing must be one that would.

MESSAGES = Stream(build(BINARY, b"abc") + build(PONG, b"!") + build(BINARY, b"de"), False, "", (5, 12))


def loses_the_last(stream: Stream, chunks: Any, limited: bool = False) -> Decoded:
    got = DECODE(stream, chunks, limited)
    return got._replace(items=got.items[:-1])


def says_another_code(stream: Stream, chunks: Any, limited: bool = False) -> Decoded:
    return DECODE(stream, chunks, limited)._replace(fault=1011)


DECODE = sides.decode


@pytest.mark.parametrize("broken", [loses_the_last, says_another_code])
def test_a_decoder_that_depends_on_the_split_is_found(broken: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert check(MESSAGES) == []
    monkeypatch.setattr(sides, "decode", broken)
    with pytest.raises(Unexplained, match="depends on the split"):
        check(MESSAGES)


def test_a_connection_that_differs_from_wsproto_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    other = MESSAGES._replace(client=True)
    monkeypatch.setattr(sides, "our_events", lambda stream: sides.protocol.Connection(sides.ROLES[True]))
    monkeypatch.setattr(sides, "our_frames", lambda stream: sides.FrameProtocol(True))
    assert check(other) == []
    with pytest.raises(Unexplained, match="wsproto sees something else"):
        check(MESSAGES)


def test_a_fault_that_is_told_late_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Stream(build(BINARY, b"abc") + build(3, b"abcdef"), False, "", ())
    decode_bytes = sides.decode_bytes

    def late(stream: Stream, limited: bool = False) -> tuple[Decoded, list[int], int]:
        exact, places, place = decode_bytes(stream, limited)
        return exact, places, place + 8

    assert check(stream) == []
    monkeypatch.setattr(sides, "decode_bytes", late)
    with pytest.raises(Unexplained, match="before we do"):
        check(stream)
