"""Large messages go another way than small ones: received straight into their bytes, sent from where they are."""

import asyncio
import os
import sys

import pytest

import trunkline
from rawpeer import BINARY, CONTINUATION, TEXT
from turns import settle, until

pytestmark = pytest.mark.anyio

EDGES = [2**15 - 1, 2**15, 2**15 + 1, 2**16, 2**18, 2**20, 2**22 + 3, 9 * 2**20]
UNBOUNDED = {"client": {"max_size": None}, "server": {"max_size": None}}


@pytest.mark.parametrize("size", EDGES)
async def test_large_and_small_in_turn(pair, size):
    large = os.urandom(size)
    text = "é" * (size // 2)
    sent = [large, b"small", text, "ü", large[:-1], b"", large]
    async with pair(**UNBOUNDED) as (client, server):
        for sender, receiver in ((client, server), (server, client)):
            for message in sent:
                await sender.send(message)
                assert await receiver.recv() == message


async def test_large_messages_behind_each_other(pair):
    sent = [os.urandom(70_000 + n) for n in range(40)]
    async with pair(**UNBOUNDED) as (client, server):
        for sender, receiver in ((client, server), (server, client)):
            for message in sent:
                sender.send_nowait(message)
            assert [await receiver.recv() for _ in sent] == sent


async def test_a_listener_gets_them_too(pair):
    got = []

    class Keep(trunkline.Listener):
        def on_message(self, ws, message):
            got.append(message)
            ws.send_nowait(message)

    sent = [os.urandom(300_000), "x" * 300_000, b"small"]
    async with pair(client={"max_size": None}, server={"max_size": None, "listener": Keep}) as (client, _):
        for message in sent:
            await client.send(message)
            assert await client.recv() == message
    assert got == sent


@pytest.mark.parametrize("kind", [BINARY, TEXT])
async def test_a_large_message_that_comes_in_dribs(line, kind):
    payload = b"y" * 200_000
    async with line() as (ws, peer):
        frame = peer.encode(kind, payload)
        for at in range(0, len(frame), 33_333):
            seen = ws.stats().bytes_received
            peer.writer.write(frame[at : at + 33_333])
            await until(lambda seen=seen: ws.stats().bytes_received > seen)
        assert await ws.recv() == (payload if kind == BINARY else payload.decode())


@pytest.mark.parametrize("kind", [BINARY, TEXT])
@pytest.mark.parametrize("count", range(2, 8))
async def test_large_fragments_with_control_frames_between(line, kind, count):
    parts = [os.urandom(50_000).hex().encode() for _ in range(count)]
    async with line() as (ws, peer):
        for index, part in enumerate(parts):
            peer.send(CONTINUATION if index else kind, part, fin=index == count - 1)
            peer.send(9, b"?")
        whole = b"".join(parts)
        assert await ws.recv() == (whole if kind == BINARY else whole.decode())
        assert [(await peer.frame()).payload for _ in range(count)] == [b"?"] * count


async def test_a_large_text_with_its_last_byte_wrong(line):
    async with line() as (ws, peer):
        peer.send(TEXT, b"good")
        peer.send(TEXT, b"a" * 500_000 + b"\xff")
        assert await ws.recv() == "good"
        with pytest.raises(trunkline.RemoteProtocolError, match="not UTF-8 at byte 500000"):
            await ws.recv()
        assert (await peer.frame()).close[0] == 1007


async def test_a_large_message_cut_off_is_never_delivered(line):
    async with line() as (ws, peer):
        peer.writer.write(peer.encode(BINARY, b"z" * 500_000)[:-1])
        await until(lambda: ws.stats().bytes_received > 400_000)
        peer.writer.close()
        with pytest.raises(trunkline.ConnectionClosedError) as caught:
            await ws.recv()
        assert caught.value.code == 1006


async def test_what_the_socket_does_not_take_is_kept_and_stays_in_order(line):
    large = os.urandom(2**21)
    buffer = bytearray(large)
    async with line(buffers=65_536, write_limit=2**24) as (ws, peer):
        ws.send_nowait("before")
        ws.send_nowait(large)
        ws.send_nowait(buffer)
        ws.send_nowait("x" * 100_000)
        ws.send_nowait("after")
        buffer[:] = bytes(len(buffer))  # it was copied
        got = [(await peer.frame()).payload for _ in range(5)]
        assert got == [b"before", large, large, b"x" * 100_000, b"after"]


async def test_messages_outlive_their_connection(pair):
    sent = [os.urandom(100_000 + n) for n in range(10)]
    kept = []
    async with pair(**UNBOUNDED) as (client, server):
        for message in sent:
            await client.send(message)
            kept.append(await server.recv())
    assert kept == sent


async def test_send_many_of_large_and_small_keeps_their_order(pair):
    large = os.urandom(2**20)
    sent = ["before", large, b"between", large, large, "x" * 40_000, bytearray(large), "after"]
    got = []

    async def take(receiver):
        got.extend([await receiver.recv() for _ in range(len(sent) + 1)])

    async with pair(client={"max_size": None}, server={"max_size": None, "write_limit": 2**26}) as (client, server):
        taking = asyncio.create_task(take(client))
        server.send_nowait("first")
        server.send_many(sent)
        await taking
        assert server.stats().messages_sent == len(sent) + 1
    assert got == ["first", *sent]


async def test_send_many_that_raises_has_sent_no_large_message(line):
    async with line() as (ws, peer):
        with pytest.raises(TypeError):
            ws.send_many([bytes(100_000), b"small", 5])
        await ws.send("next")
        assert (await peer.frame()).payload == b"next"


async def test_bytes_that_wait_belong_to_nobody_else(line):
    """A slow peer costs what waits for it, but no copy; what is lost with the connection is freed."""
    large = os.urandom(2**21)
    before = sys.getrefcount(large)
    async with line(buffers=65_536, write_limit=2**24) as (ws, _):
        ws.send_nowait(large)
        ws.send_nowait("x" * 10)
        await settle(20)
        assert 0 < ws._waiting < 2**21 + 100
        if not ws.is_client:  # a client's message is masked, and so a copy
            assert sys.getrefcount(large) == before + 1
        ws.abort()
        assert sys.getrefcount(large) == before
        await ws.wait_closed()


async def test_many_small_messages_wait_without_costing_more_than_their_bytes(line):
    async with line(buffers=65_536, write_limit=2**24) as (ws, peer):
        ws.send_nowait(bytes(2**21))
        for n in range(2_000):
            ws.send_nowait(str(n))
            if n % 10 == 0:
                await asyncio.sleep(0)
        assert len((await peer.frame()).payload) == 2**21
        assert [(await peer.frame()).payload for _ in range(2_000)] == [str(n).encode() for n in range(2_000)]
        await until(lambda: ws._waiting == 0)


async def test_a_close_leaves_behind_all_that_waits(line):
    large = os.urandom(2**21)
    async with line(buffers=65_536, write_limit=2**24) as (ws, peer):
        ws.send_nowait(large)
        ws.send_nowait(large)
        closing = asyncio.create_task(ws.close(1000, "done"))
        assert [(await peer.frame()).payload for _ in range(2)] == [large, large]
        assert (await peer.frame()).close == (1000, "done")
        peer.send_close(1000)
        peer.writer.close()
        await closing


async def test_a_connection_that_fails_sends_what_waits_first(line):
    large = os.urandom(2**21)
    async with line(buffers=65_536, write_limit=2**24) as (ws, peer):
        ws.send_nowait(large)
        ws.fail(1011, "no more")
        assert (await peer.frame()).payload == large
        assert (await peer.frame()).close == (1011, "no more")


async def test_a_message_in_fragments_counts_as_one(pair):
    async with pair() as (client, server):
        await client.send(["a", "b", "c"])
        assert await server.recv() == "abc"
        assert (client.stats().messages_sent, client.stats().frames_sent) == (1, 4)


@pytest.mark.parametrize("size", [2**15, 2**16, 2**20])
async def test_memory_that_is_received_into_again_is_nobody_elses(pair, size):
    async with pair(**UNBOUNDED) as (client, server):
        kept, sent = [], []
        for n in range(24):
            message = os.urandom(size)
            await client.send(message)
            got = await server.recv()
            assert got == message
            assert hash(got) == hash(message)  # a bytes object remembers its hash
            view = memoryview(got)
            if n % 3 == 0:
                kept.append(got)
                sent.append(message)
            elif n % 3 == 1:
                kept.append(view[1:])  # a view alone keeps it too
                sent.append(message[1:])
            del got, view
        assert kept == sent
