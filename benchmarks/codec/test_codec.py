"""The codec through the sans-IO interface that trunkline and wsproto share: `receive_data`, `events` and `send`.

Decoding takes a burst of masked frames as one chunk, as a server gets them from a busy client, and looks at every
event. Encoding makes the same frames as a client, with a fresh masking key each. Both are told in time a message.
"""

from collections.abc import Callable

import pytest
import wsproto.connection
from wsproto.connection import ConnectionType
from wsproto.events import BytesMessage

import trunkline.protocol

CODECS = {"wsproto": wsproto.connection.Connection, "trunkline": trunkline.protocol.Connection}
SIZES = {64: 100, 4096: 100, 65536: 10}  # payload bytes: messages a burst

Codec = Callable[[ConnectionType], wsproto.connection.Connection]


@pytest.fixture(params=CODECS)
def codec(request: pytest.FixtureRequest) -> Codec:
    return CODECS[request.param]


@pytest.fixture(params=SIZES)
def message(request: pytest.FixtureRequest) -> BytesMessage:
    return BytesMessage(data=bytes(i % 251 for i in range(request.param)))


def test_decode(benchmark, codec: Codec, message: BytesMessage) -> None:
    """A server takes a burst of masked frames and gives an event for each message."""
    count = SIZES[len(message.data)]
    client, server = codec(ConnectionType.CLIENT), codec(ConnectionType.SERVER)
    chunk = b"".join(client.send(message) for _ in range(count))

    def decode() -> int:
        server.receive_data(chunk)
        return sum(len(event.data) for event in server.events())

    benchmark.extra_info.update(messages=count, size=len(message.data))
    assert benchmark(decode) == count * len(message.data)


def test_encode(benchmark, codec: Codec, message: BytesMessage) -> None:
    """A client makes masked frames, one message at a time."""
    count = SIZES[len(message.data)]
    client = codec(ConnectionType.CLIENT)

    def encode() -> int:
        return sum(len(client.send(message)) for _ in range(count))

    benchmark.extra_info.update(messages=count, size=len(message.data))
    assert benchmark(encode) > count * len(message.data)
