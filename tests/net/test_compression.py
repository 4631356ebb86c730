"""permessage-deflate between real connections: what is compressed, in which order it comes, and how it can go wrong."""

import asyncio
import os
import zlib

import pytest

import trunkline
from handlers import echo
from rawframes import deflate
from rawpeer import BINARY, CLOSE, CONTINUATION, PING, TEXT
from trunkline import Deflate

pytestmark = pytest.mark.anyio

KEEPING = {"server_no_context_takeover": False, "client_no_context_takeover": False}
WORDS = b"the same words again and again, "
LARGE = b"".join(b"%d, " % number for number in range(100_000))  # 690 KB that do not compress too well
WAYS = {
    "as it comes": {},
    "takeover": KEEPING,
    "narrow": {"server_max_window_bits": 9, "client_max_window_bits": 9},
    "wide": {"server_max_window_bits": 15, "client_max_window_bits": 15, "mem_level": 9, "level": 9, **KEEPING},
    "one way": {"server_no_context_takeover": True, "client_no_context_takeover": False},
    "everything": {"threshold": 0, **KEEPING},
    "off the thread": {"off_thread": 1000, "threshold": 0},
    "off the thread, takeover": {"off_thread": 1000, "threshold": 0, **KEEPING},
}
MESSAGES = [
    "",
    b"",
    "short",
    "é" * 700,
    WORDS * 40,
    os.urandom(5000),
    WORDS.decode() * 20_000,
    "€😀" * 50_000,
    LARGE,
    os.urandom(300_000),
    WORDS * 33,
]


def both(**settings):
    side = {"compression": Deflate(**settings), "max_size": None}
    return {"client": dict(side), "server": dict(side)}


def inflate(payload: bytes) -> bytes:
    return zlib.decompressobj(-15).decompress(payload + b"\0\0\xff\xff")


@pytest.mark.parametrize("backend", ["zlib", "isal"])
@pytest.mark.parametrize("way", WAYS)
async def test_messages_arrive_as_they_were(pair, way, backend):
    async with pair(**both(backend=backend, **WAYS[way])) as (client, server):
        for sender, receiver in ((client, server), (server, client)):
            for message in MESSAGES * 2:
                await sender.send(message)
                assert await receiver.recv() == message
            sender.send_many(MESSAGES[:6] * 3)
            assert [await receiver.recv() for _ in range(18)] == MESSAGES[:6] * 3
            for message in MESSAGES[:6]:
                sender.send_nowait(message)
            assert [await receiver.recv() for _ in range(6)] == MESSAGES[:6]


async def test_it_is_off_unless_both_sides_want_it(pair):
    for sides in ({}, {"client": {"compression": "deflate"}}, {"server": {"compression": "deflate"}}):
        async with pair(**sides) as (client, server):
            assert (client.agreement, server.agreement) == (None, None)
            await client.send(WORDS.decode() * 100)
            assert await server.recv() == WORDS.decode() * 100
            assert client.stats().deflated_bytes_sent == 0


async def test_a_server_keeps_no_context_unless_it_is_told_to(pair):
    async with pair(client={"compression": "deflate"}, server={"compression": "deflate"}) as (client, server):
        for ws in (client, server):
            assert (ws.agreement.server_keeps, ws.agreement.client_keeps) == (False, False)


async def test_context_takeover_makes_the_second_message_smaller(pair):
    async with pair(**both(**KEEPING)) as (client, server):
        sizes = []
        for _ in range(2):
            before = client.stats().deflated_bytes_sent
            await client.send(LARGE[:3000])
            assert await server.recv() == LARGE[:3000]
            sizes.append(client.stats().deflated_bytes_sent - before)
    assert sizes[1] < sizes[0] / 4


async def test_the_counters(pair):
    async with pair(**both()) as (client, server):
        await client.send(WORDS * 100)
        await client.send(b"short")
        await server.recv()
        await server.recv()
        sent, received = client.stats(), server.stats()
        assert sent.inflated_bytes_sent == received.inflated_bytes_received == 100 * len(WORDS)
        assert 0 < sent.deflated_bytes_sent == received.deflated_bytes_received < 200


async def first_byte_and_payload(peer):
    first, second = await peer.reader.readexactly(2)
    size = second & 0x7F
    if size > 125:
        size = int.from_bytes(await peer.reader.readexactly(2 if size == 126 else 8), "big")
    return first, await peer.reader.readexactly(size)


@pytest.mark.parametrize(
    ("message", "compress", "bits"),
    [
        (WORDS * 32, None, 0xC0 | BINARY),  # 1,024 bytes
        ((WORDS * 32)[:-1], None, 0x80 | BINARY),
        (WORDS.decode() * 32, None, 0xC0 | TEXT),
        ("é" * 512, None, 0xC0 | TEXT),
        ("é" * 511, None, 0x80 | TEXT),
        (WORDS * 32, False, 0x80 | BINARY),
        (WORDS * 2, True, 0xC0 | BINARY),
        (bytearray(WORDS * 32), None, 0xC0 | BINARY),
        (b"", True, 0x80 | BINARY),
        (os.urandom(2000), None, 0x80 | BINARY),  # it would be no smaller
        (os.urandom(2000), True, 0x80 | BINARY),
    ],
    ids=repr,
)
async def test_what_is_compressed(compressed, message, compress, bits):
    plain = message.encode() if isinstance(message, str) else bytes(message)
    async with compressed(Deflate()) as (ws, peer):
        await ws.send(message, compress=compress)
        ws.send_nowait(message, compress=compress)
        ws.send_many([message], compress=compress)
        for _ in range(3):
            first, payload = await first_byte_and_payload(peer)
            assert first == bits
            assert (inflate(payload) if first & 0x40 else payload) == plain


@pytest.mark.parametrize(
    "parts", [[WORDS * 40, b"", b"x", WORDS], ["a" * 2000, "b"], [LARGE] * 3], ids=["bytes", "text", "large"]
)
@pytest.mark.parametrize("settings", [{}, KEEPING], ids=["each by itself", "takeover"])
async def test_a_message_in_fragments(pair, parts, settings):
    async with pair(**both(**settings)) as (client, server):
        for _ in range(2):
            await client.send(parts)
            assert await server.recv() == type(parts[0])().join(parts)
            await client.send(WORDS * 50)
            assert await server.recv() == WORDS * 50
        assert client.stats().inflated_bytes_sent >= 2 * sum(map(len, parts))


async def test_the_frames_of_a_message_in_fragments(compressed):
    async with compressed(Deflate()) as (ws, peer):
        await ws.send([WORDS * 40, b"", WORDS])
        frames = [await first_byte_and_payload(peer) for _ in range(4)]
        assert [first for first, _ in frames] == [0x40 | BINARY, 0, 0, 0x80]
        assert inflate(b"".join(payload for _, payload in frames)) == WORDS * 41
        await ws.send([b"short", WORDS * 40])
        assert [first for first, _ in [await first_byte_and_payload(peer) for _ in range(3)]] == [BINARY, 0, 0x80]


async def test_control_frames_come_between_compressed_fragments(compressed):
    payload = deflate(LARGE)
    async with compressed(Deflate(off_thread=1000)) as (ws, peer):
        got = asyncio.ensure_future(ws.recv())
        peer.send(BINARY, payload[:50_000], rsv=4, fin=False)
        peer.send(PING, b"1")
        peer.send(CONTINUATION, payload[50_000:100_000], fin=False)
        peer.send(PING, b"2")
        peer.send(CONTINUATION, payload[100_000:])
        peer.send(PING, b"3")
        assert [(await peer.frame()).payload for _ in range(3)] == [b"1", b"2", b"3"]
        assert await got == LARGE


@pytest.mark.parametrize(
    ("frames", "code", "kind"),
    [
        ([(TEXT, b"\x07\xff", {"rsv": 4})], 1007, trunkline.RemoteProtocolError),
        ([(BINARY, deflate(LARGE)[:1000], {"rsv": 4})], 1007, trunkline.RemoteProtocolError),
        ([(TEXT, deflate(b"\xff" * 2000), {"rsv": 4})], 1007, trunkline.RemoteProtocolError),
        ([(BINARY, deflate(bytes(1_000_001)), {"rsv": 4})], 1009, trunkline.MessageTooBig),
        ([(PING, b"", {"rsv": 4})], 1002, trunkline.RemoteProtocolError),
        ([(TEXT, b"x", {"fin": False}), (CONTINUATION, b"y", {"rsv": 4})], 1002, trunkline.RemoteProtocolError),
    ],
)
@pytest.mark.parametrize("off_thread", [None, 1000])
async def test_a_fault_ends_the_connection(compressed, frames, code, kind, off_thread):
    async with compressed(Deflate(off_thread=off_thread), max_size=1_000_000) as (ws, peer):
        peer.send(TEXT, b"good")
        for opcode, payload, bits in frames:
            peer.send(opcode, payload, **bits)
        peer.send(TEXT, b"late")
        assert await ws.recv() == "good"
        with pytest.raises(kind):
            await ws.recv()
        assert (await peer.frame()).close[0] == code


async def test_send_many_whose_iterable_sends_too(pair):
    async with pair(**both(threshold=0, **KEEPING)) as (client, server):

        def messages():
            yield WORDS
            client.send_nowait(WORDS * 2)
            yield WORDS * 3

        client.send_many(messages())
        assert [await server.recv() for _ in range(3)] == [WORDS * 2, WORDS, WORDS * 3]


async def test_send_many_that_raises_has_sent_nothing(pair):
    async with pair(**both(threshold=0, **KEEPING)) as (client, server):
        for bad, error in ((17, TypeError), ("\ud800", trunkline.LocalProtocolError)):
            with pytest.raises(error):
                client.send_many([WORDS, bad])
        for text in ("\ud800", "\ud800" * 200_000):
            with pytest.raises(trunkline.LocalProtocolError):
                await client.send(text)
        await client.send(WORDS)
        assert await server.recv() == WORDS


async def test_a_broadcast_reaches_connections_with_compression(pair):
    async with pair(**both(threshold=0)) as (client, server), pair() as (plain, other):
        trunkline.broadcast([server, client, plain, other], WORDS.decode() * 100)
        for ws in (client, server, plain, other):
            assert await ws.recv() == WORDS.decode() * 100


async def test_over_tls(server_tls, client_tls):
    side = {"compression": Deflate(off_thread=10_000), "max_size": None}
    async with (
        trunkline.serve(echo, "127.0.0.1", 0, ssl=server_tls, **side) as server,
        trunkline.connect(f"wss://localhost:{server.port}/", ssl=client_tls, **side) as ws,
    ):
        for message in MESSAGES:
            await ws.send(message)
            assert await ws.recv() == message


async def test_close_frames_are_not_compressed(compressed):
    async with compressed(Deflate(threshold=0)) as (ws, peer):
        ws.start_closing(1000, "x" * 100)
        first, _ = await first_byte_and_payload(peer)
        assert first == 0x80 | CLOSE
