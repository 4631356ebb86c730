"""Decode, encode, mask, check UTF-8, batch: by trunkline and by wsproto."""

import pytest
import wsproto.connection
from pytest_benchmark.fixture import BenchmarkFixture
from wsproto.connection import ConnectionType
from wsproto.events import BytesMessage, Message, TextMessage
from wsproto.frame_protocol import XorMaskerSimple

import trunkline.protocol
from trunkline._batch import Encoder
from trunkline._frames import Decoder
from trunkline._kernels import mask, utf8_fault

BURST = 100  # messages in one read
CODECS = {"trunkline": trunkline.protocol.Connection, "wsproto": wsproto.connection.Connection}
MESSAGES: dict[str, Message] = {
    "binary, 64 bytes": BytesMessage(data=bytes(range(64))),
    "binary, 4 KiB": BytesMessage(data=bytes(range(256)) * 16),
    "text, 64 bytes": TextMessage(data="Всё течёт, " * 3),
}
LONG_TEXT = "Ελληνικά, русский, English. " * 300


@pytest.mark.parametrize("message", MESSAGES)
@pytest.mark.parametrize("side", CODECS)
def test_decode(benchmark: BenchmarkFixture, side: str, message: str) -> None:
    client, server = CODECS[side](ConnectionType.CLIENT), CODECS[side](ConnectionType.SERVER)
    chunk = b"".join(client.send(MESSAGES[message]) for _ in range(BURST))

    def decode() -> int:
        server.receive_data(chunk)
        return len(list(server.events()))

    assert benchmark(decode) == BURST


@pytest.mark.parametrize("message", MESSAGES)
@pytest.mark.parametrize("side", CODECS)
def test_encode(benchmark: BenchmarkFixture, side: str, message: str) -> None:
    client = CODECS[side](ConnectionType.CLIENT)
    event = MESSAGES[message]

    def encode() -> int:
        return sum(len(client.send(event)) for _ in range(BURST))

    assert benchmark(encode) > BURST * 60


@pytest.mark.parametrize("size", [64, 1024])
def test_decode_frames(benchmark: BenchmarkFixture, size: int) -> None:
    chunk, decoder = Encoder(True).messages([bytes(size)] * BURST), Decoder(False)
    assert len(benchmark(decoder.feed, chunk)) == BURST


@pytest.mark.parametrize("role", ["client", "server"])
def test_batch(benchmark: BenchmarkFixture, role: str) -> None:
    encoder, messages = Encoder(role == "client"), [bytes(64)] * BURST
    assert len(benchmark(encoder.messages, messages)) == BURST * (64 + 2 + 4 * (role == "client"))


@pytest.mark.parametrize("side", CODECS)
def test_mask(benchmark: BenchmarkFixture, side: str) -> None:
    data, key = bytes(range(256)) * 16, b"\x01\x80\xfe\x37"
    if side == "trunkline":
        masked = benchmark(mask, data, key)
    else:
        masked = benchmark(lambda: XorMaskerSimple(key).process(data))
    assert len(masked) == len(data)


@pytest.mark.parametrize("side", CODECS)
def test_utf8(benchmark: BenchmarkFixture, side: str) -> None:
    data = LONG_TEXT.encode()
    if side == "trunkline":
        assert benchmark(utf8_fault, data) is None
    else:
        assert benchmark(data.decode) == LONG_TEXT  # wsproto calls this
