"""Both sides of the opening handshake, without I/O."""

import pytest
import wsproto.handshake
from pytest_benchmark.fixture import BenchmarkFixture
from wsproto.connection import ConnectionState, ConnectionType
from wsproto.events import AcceptConnection, Request

import trunkline.protocol

HANDSHAKES = {"trunkline": trunkline.protocol.H11Handshake, "wsproto": wsproto.handshake.H11Handshake}
FIELDS = [(b"user-agent", b"a browser of some kind"), (b"cookie", b"session=0123456789abcdef"), (b"accept", b"*/*")]


@pytest.mark.parametrize("side", HANDSHAKES)
def test_handshake(benchmark: BenchmarkFixture, side: str) -> None:
    kind = HANDSHAKES[side]

    def open_both() -> ConnectionState:
        client, server = kind(ConnectionType.CLIENT), kind(ConnectionType.SERVER)
        server.receive_data(client.send(Request(host="example.com", target="/feed", extra_headers=FIELDS)))
        list(server.events())
        client.receive_data(server.send(AcceptConnection()))
        list(client.events())
        return client.state

    assert benchmark(open_both) is ConnectionState.OPEN
