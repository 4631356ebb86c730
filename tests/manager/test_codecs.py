"""Codecs: there and back, what does not fit, and envelopes."""

from typing import Any

import msgspec
import pytest

from trunkline.manager.codecs import MAX_ENVELOPE, EnvelopeCodec, JsonCodec, MessagePackCodec, RawCodec
from trunkline.manager.policies import BatchPolicy, OutboxPolicy, PoolPolicy
from trunkline.manager.service import Service
from trunkline.protocol.errors import DecodeError, LocalProtocolError


class Say(msgspec.Struct, tag="say"):
    text: str


class Leave(msgspec.Struct, tag="leave"):
    pass


@pytest.mark.parametrize("make", [JsonCodec, MessagePackCodec])
@pytest.mark.parametrize("count", [0, 1, 3])
def test_an_envelope_there_and_back(make: Any, count: int) -> None:
    codec = make(Say | Leave, Say | Leave)
    messages = [Say(f'{number} "batch" é') for number in range(count)]
    envelope = codec.join([codec.encode(message) for message in messages], 1_700_000_000_000)
    assert [codec.decode(part) for part in codec.split(envelope)] == messages
    assert msgspec.json.decode(envelope)["timestamp"] == 1_700_000_000_000 if make is JsonCodec else True


@pytest.mark.parametrize(
    "payload",
    [
        "",
        '{"type":"batch"}',
        '{"type":"batch","messages":{},"timestamp":1}',
        '{"type":"batch","messages":[1,],"timestamp":1}',
        '{"type":"Batch","messages":[1],"timestamp":1}',
        '{"type":"say","text":"batch"}',
        '{"type":"batch","messages":[' + "0," * MAX_ENVELOPE + '0],"timestamp":1}',
        '{"type":"batch","messages":' + "[" * 100_000,
        b'{"type":"batch","messages":["\xff"],"timestamp":1}',
    ],
    ids=range(9),
)
def test_what_is_no_envelope(payload: str | bytes) -> None:
    assert JsonCodec(Say, Say).split(payload) is None


@pytest.mark.parametrize("payload", ["text", b"", b"\xa5batch", b"\xff" * 40 + b"batch"])
def test_what_is_no_envelope_of_messagepack(payload: str | bytes) -> None:
    assert MessagePackCodec(Say, Say).split(payload) is None


def test_messagepack_travels_in_binary_messages() -> None:
    packed = Service("s", "ws://h/", sends=Say, receives=Say, codec=MessagePackCodec)
    payload = packed.encode(Say("é"))
    assert isinstance(payload, bytes)
    assert packed.decode(payload) == Say("é")
    for bad in ("text", b"\xc1", payload[:-1]):
        with pytest.raises(DecodeError):
            packed.decode(bad)


def test_raw_messages_are_what_they_are() -> None:
    both = Service("s", "ws://h/", sends=str | bytes, receives=str | bytes, codec=RawCodec)
    assert [both.encode("é"), both.encode(b"\x00"), both.decode("t"), both.decode(b"b")] == ["é", b"\x00", "t", b"b"]
    with pytest.raises(LocalProtocolError, match="Unicode text"):
        both.encode("\ud800")


def test_raw_messages_of_another_type() -> None:
    text = Service("s", "ws://h/", sends=str, receives=str, codec=RawCodec)
    with pytest.raises(TypeError, match="sends str, but was given a bytes"):
        text.encode(b"b")  # type: ignore[arg-type]
    with pytest.raises(DecodeError, match="received a bytes, but the service receives"):
        text.decode(b"b")
    with pytest.raises(TypeError, match="RawCodec carries"):
        RawCodec(Say, str)


def test_an_envelope_wants_a_codec_that_knows_it() -> None:
    assert not isinstance(RawCodec(str, str), EnvelopeCodec)
    with pytest.raises(TypeError, match="does not support envelopes"):
        Service("s", "ws://h/", sends=str, receives=str, codec=RawCodec, batch=BatchPolicy(envelope=True))


@pytest.mark.parametrize(
    ("policy", "options"),
    [
        (BatchPolicy, {"max_messages": 0}),
        (BatchPolicy, {"max_bytes": 0}),
        (BatchPolicy, {"max_delay": -1}),
        (BatchPolicy, {"max_delay": float("nan")}),
        (OutboxPolicy, {"when_full": "wait"}),
        (OutboxPolicy, {"when_full": "conflate"}),
        (OutboxPolicy, {"key": len}),
        (OutboxPolicy, {"max_messages": 0}),
        (OutboxPolicy, {"max_age": 0}),
        (OutboxPolicy, {"confirm": -1}),
        (PoolPolicy, {"size": 0}),
        (PoolPolicy, {"strategy": "random"}),
        (PoolPolicy, {"idle_timeout": 0}),
    ],
    ids=str,
)
def test_policies_that_cannot_be(policy: Any, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"wanted|need each other"):
        policy(**options)
