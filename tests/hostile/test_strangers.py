"""Requests and answers damaged at random, from a seed: one class of error, an answer in HTTP, a quiet log."""

import asyncio
import contextlib
import random
from typing import Any

import pytest
from wsproto.events import Request

import trunkline
from livehandshakes import LiveHandshake
from rawhttp import answer, request
from trunkline.protocol import CLIENT, SERVER
from trunkline.protocol.errors import RemoteProtocolError
from trunkline.protocol.handshake import Handshake
from trunkline.protocol.wsproto.handshake import H11Handshake

SAMPLES = [
    request(),
    request({"Origin": b"http://localhost", "Sec-WebSocket-Protocol": b"a, b", "Content-Length": b"0"}),
    request({"Sec-WebSocket-Extensions": b"permessage-deflate; client_max_window_bits=10"}),
    request({"Host": b"xn--bcher-kva.example:8080"}, line=b"GET http://[::1]:80/a?b HTTP/1.1"),
    b"HEAD /healthz HTTP/1.0\r\n\r\n",
    b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(40),
    b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n" + request(),
]
ANSWERS = [
    answer(),
    answer({"Sec-WebSocket-Protocol": b"a", "Sec-WebSocket-Extensions": b"x", "Connection": [b"a", b"Upgrade"]}),
    b"HTTP/1.1 100 Continue\r\n\r\n" + answer(),
    b"HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n",
    b"HTTP/1.0 301 There\r\nLocation: http://a/\r\nContent-Length: 2\r\n\r\nno",
]
PIECES = [
    b"\r\n",
    b"\n",
    b"\r",
    b"\0",
    b" ",
    b"\t",
    b":",
    b",",
    b";",
    b"#",
    b"?",
    b"*",
    b"/",
    b"\xff",
    b"xn--",
    b"%",
    b"[",
    b"]",
    b"1" * 30,
]


def damaged(source: random.Random, samples: list[bytes]) -> bytes:
    """A sample with up to five places changed: something put in, taken out, doubled, or swapped for another's part."""
    data = source.choice(samples)
    for _ in range(source.randint(1, 5)):
        at = source.randrange(len(data) + 1)
        end = min(len(data), at + source.choice([0, 1, 1, 8, 40]))
        other = source.choice(samples)
        cut = source.randrange(len(other))
        between = source.choice(
            [b"", source.choice(PIECES), data[at:end] * 2, other[cut : cut + 20], source.randbytes(3)]
        )
        data = data[:at] + between + data[end:]
    return data


@pytest.mark.parametrize("kind", [Handshake, H11Handshake, LiveHandshake])
@pytest.mark.parametrize("seed", range(4))
def test_a_handshake_raises_one_class_of_error(kind: type[Any], seed: int) -> None:
    source = random.Random(f"handshake {seed}")
    for _ in range(500):
        for role, samples in ((SERVER, SAMPLES), (CLIENT, ANSWERS)):
            end = kind(role)
            if role is CLIENT:
                end.send(Request("localhost", "/", subprotocols=["a"]))
            data, step = damaged(source, samples), source.choice([1, 7, 10_000])
            with contextlib.suppress(RemoteProtocolError):
                for at in range(0, len(data), step):
                    end.receive_data(data[at : at + step])
                end.receive_data(None)


@pytest.mark.anyio
@pytest.mark.parametrize("process", [None, lambda ws, request: ws.respond(200, "fine")], ids=["nobody", "somebody"])
async def test_a_server_answers_in_http_and_logs_no_more_than_info(caplog, process) -> None:
    caplog.set_level("DEBUG")
    source = random.Random(f"server {process is None}")

    async def knock(port: int, data: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(data)
            writer.write_eof()
            return await reader.read(20_000)
        except ConnectionError:
            return b""  # it was let go before it had read the answer
        finally:
            writer.transport.abort()

    statuses = set()
    async with (
        asyncio.timeout(60),
        trunkline.serve(
            trunkline.WebSocket.wait_closed, "127.0.0.1", 0, process_request=process, origins="*", close_timeout=0.5
        ) as server,
    ):
        for _ in range(300):
            said = await knock(server.port, damaged(source, SAMPLES))
            assert said == b"" or said.startswith(b"HTTP/1.1 ")
            statuses.add(said[9:12])
    assert statuses >= ({b"400", b"101", b"405", b"426"} if process is None else {b"400", b"200"})
    assert [
        record for record in caplog.records if record.name.startswith("trunkline") and record.levelname != "INFO"
    ] == []
