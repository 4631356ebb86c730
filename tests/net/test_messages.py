"""Messages between two real ends: what is sent is what is received, in order, and nothing is lost to a cancellation."""

import array
import asyncio
import os
from collections.abc import AsyncIterator, Iterator

import pytest

import trunkline
from rawpeer import BINARY, CONTINUATION, PING, TEXT, Frame
from trunkline import LocalProtocolError
from turns import until

pytestmark = pytest.mark.anyio

MESSAGES = {
    "text": "Grüße, 世界 🌍",
    "empty text": "",
    "binary": bytes(range(256)),
    "empty binary": b"",
    "as much text as max_size allows": "é" * 2**19,
    "as much binary as max_size allows": os.urandom(2**20),
    "a long message of short ones": "x" * 65_537,
}


class Text(str):
    """A str, but not exactly."""


BUFFERS = {
    "bytearray": (bytearray(b"ab"), b"ab"),
    "memoryview": (memoryview(b"xaby")[1:3], b"ab"),
    "array": (array.array("H", [0x6161, 0x6262]), b"aabb"),
    "subclass of str": (Text("ab"), "ab"),
}


@pytest.mark.parametrize("message", MESSAGES.values(), ids=MESSAGES)
async def test_what_is_sent_is_received(pair, message):
    async with pair() as (client, server):
        for sender, receiver in ((client, server), (server, client)):
            await sender.send(message)
            received = await receiver.recv()
            assert received == message
            assert type(received) is type(message)


@pytest.mark.parametrize(("given", "received"), BUFFERS.values(), ids=BUFFERS)
async def test_whatever_is_like_bytes_or_text_is_a_message(pair, given, received):
    async with pair() as (client, server):
        await client.send(given)
        client.send_nowait(given)
        client.send_many([given])
        assert [await server.recv() for _ in range(3)] == [received] * 3


async def test_a_buffer_may_change_once_it_is_sent(pair):
    async with pair() as (client, server):
        buffer = bytearray(b"before")
        client.send_nowait(buffer)
        buffer[:] = b"after!"
        assert await server.recv() == b"before"


async def test_messages_in_the_order_of_the_calls(line):
    async with line() as (ws, peer):
        await ws.send("1")
        ws.send_nowait("2")
        ws.send_many(["3", b"4"])
        ping = asyncio.ensure_future(ws.ping(b"5"))
        await asyncio.sleep(0)
        await ws.send(["6"])
        await ws.send("7" * 100_000)
        ws.send_nowait("8")
        frames = await peer.frames(9)
        assert [(frame.opcode, frame.payload[:1], frame.fin) for frame in frames] == [
            (TEXT, b"1", True),
            (TEXT, b"2", True),
            (TEXT, b"3", True),
            (BINARY, b"4", True),
            (PING, b"5", True),
            (TEXT, b"6", False),
            (CONTINUATION, b"", True),
            (TEXT, b"7", True),
            (TEXT, b"8", True),
        ]
        ping.cancel()


async def test_what_one_turn_sends_is_one_write(line):
    async with line() as (ws, peer):
        for index in range(50):
            await ws.send(f"{index}")
        ws.send_many(["a", "b"])
        assert len(await peer.frames(52)) == 52
        assert ws.stats().writes == 1


async def test_messages_are_taken_one_by_one_all_at_once_and_by_iteration(line):
    async with line() as (ws, peer):
        peer.writer.write(b"".join(peer.encode(TEXT, b"%d" % index) for index in range(8)))
        assert await ws.recv() == "0"
        async for message in ws:
            assert message == "1"
            break
        async for batch in ws.batches():
            assert batch == ["2", "3", "4", "5", "6", "7"]
            break
        peer.send(BINARY, b"8")
        assert await anext(ws.batches()) == [b"8"]
        peer.send(TEXT, b"9")
        peer.send_close(1000)
        assert [message async for message in ws] == ["9"]
        assert [batch async for batch in ws.batches()] == []


async def test_an_iteration_ends_with_the_error_of_an_unclean_end(line):
    async with line() as (ws, peer):
        peer.send(TEXT, b"last")
        peer.send_close(1011, "broken")
        assert await anext(ws) == "last"
        with pytest.raises(trunkline.ConnectionClosedError, match="received 1011"):
            await anext(ws)
        with pytest.raises(trunkline.ConnectionClosedError, match="received 1011"):
            await anext(ws.batches())


# Many at once


def spoiled(bad: object) -> Iterator[object]:
    yield "first"
    yield bad
    yield "third"


def breaking() -> Iterator[str]:
    yield "first"
    raise ZeroDivisionError


SPOILED = {
    "no Unicode": (lambda: ["first", "\udcff"], LocalProtocolError),
    "a number": (lambda: spoiled(5), TypeError),
    "None": (lambda: ["first", None], TypeError),
    "a buffer with gaps": (lambda: ["first", memoryview(b"abcd")[::2]], BufferError),
    "an iterator that breaks": (breaking, ZeroDivisionError),
    "nothing to iterate": (lambda: 7, TypeError),
}


@pytest.mark.parametrize(("messages", "error"), SPOILED.values(), ids=SPOILED)
async def test_send_many_sends_all_or_none(line, messages, error):
    async with line() as (ws, peer):
        ws.send_nowait("before")
        with pytest.raises(error):
            ws.send_many(messages())
        assert ws.stats().messages_sent == 1
        ws.send_nowait("after")
        assert await peer.frames(2) == [Frame(TEXT, b"before"), Frame(TEXT, b"after")]
        assert ws.stats().messages_sent == 2


async def test_send_many_takes_any_iterable(line):
    async with line() as (ws, peer):
        ws.send_many(f"{index}" for index in range(3))
        ws.send_many([])
        ws.send_many({"3": None})
        assert [frame.payload for frame in await peer.frames(4)] == [b"0", b"1", b"2", b"3"]


# What is no message


@pytest.mark.parametrize(
    "message", [None, 5, 1.5, object(), {"a": 1}, memoryview(b"abcd")[::2]], ids=lambda value: type(value).__name__
)
async def test_what_is_no_message_is_refused_and_nothing_is_sent(line, message):
    async with line() as (ws, peer):
        error = BufferError if isinstance(message, memoryview) else TypeError
        with pytest.raises(error):
            await ws.send(message)
        with pytest.raises(error):
            ws.send_nowait(message)
        await ws.send("next")
        assert await peer.frame() == Frame(TEXT, b"next")


@pytest.mark.parametrize("text", ["\ud800", "half of \udfff a pair", Text("\ud800")])
async def test_text_with_lone_surrogates_is_refused_and_nothing_is_sent(line, text):
    async with line() as (ws, peer):
        index = next(index for index, char in enumerate(text) if "\ud800" <= char <= "\udfff")
        for send in (ws.send, lambda text: ws.send([text])):
            with pytest.raises(LocalProtocolError, match=rf"text is not Unicode at index {index}: .*RFC 6455 8\.1"):
                await send(text)
        for send in (ws.send_nowait, lambda text: ws.send_many([text])):
            with pytest.raises(LocalProtocolError, match="text is not Unicode"):
                send(text)
        await ws.send("next")
        assert await peer.frame() == Frame(TEXT, b"next")


# Fragments


async def asynchronously(parts: list[object]) -> AsyncIterator[object]:
    for part in parts:
        await asyncio.sleep(0)
        yield part


@pytest.mark.parametrize("source", [list, tuple, iter, asynchronously])
async def test_a_message_in_parts_is_one_message(line, source):
    async with line() as (ws, peer):
        await ws.send(source(["Grü", "", "ße"]))
        await ws.send(source([bytearray(b"ab"), memoryview(b"cd")]))
        await ws.send(source([]))
        await ws.send("next")
        assert await peer.frames(8) == [
            Frame(TEXT, "Grü".encode(), fin=False),
            Frame(CONTINUATION, b"", fin=False),
            Frame(CONTINUATION, "ße".encode(), fin=False),
            Frame(CONTINUATION, b""),
            Frame(BINARY, b"ab", fin=False),
            Frame(CONTINUATION, b"cd", fin=False),
            Frame(CONTINUATION, b""),
            Frame(TEXT, b"next"),
        ]


async def test_parts_are_joined_at_the_other_end(pair):
    async with pair(server={"max_fragments": None}) as (client, server):
        await client.send(str(index) for index in range(2000))
        assert await server.recv() == "".join(map(str, range(2000)))


BAD_PARTS = {
    "text and binary": (["a", b"b"], TypeError),
    "numbers": ([b"a", 5], TypeError),
    "a list in the list": (["a", ["b"]], TypeError),
    "no Unicode": (["a", "\ud800"], LocalProtocolError),
}


@pytest.mark.parametrize("source", [iter, asynchronously])
@pytest.mark.parametrize(("parts", "error"), BAD_PARTS.values(), ids=BAD_PARTS)
async def test_a_message_broken_off_midway_ends_the_connection(line, source, parts, error):
    async with line() as (ws, peer):
        with pytest.raises(error):
            await ws.send(source(parts))
        assert (await peer.frame()).fin is False
        assert (await peer.frame()).close == (1011, "internal error")
        assert ws.close_info == trunkline.Close(1011, "a fragmented message was not finished", False, "local")
        with pytest.raises(trunkline.ConnectionClosedError, match="a fragmented message was not finished"):
            await ws.send("next")


@pytest.mark.parametrize("source", [iter, asynchronously])
@pytest.mark.parametrize("bad", [5, None, ["a"], "\ud800"], ids=repr)
async def test_a_message_broken_off_before_its_first_fragment_was_none(line, source, bad):
    async with line() as (ws, peer):
        with pytest.raises((TypeError, LocalProtocolError)):
            await ws.send(source([bad, "b"]))
        await ws.send("next")
        assert await peer.frame() == Frame(TEXT, b"next")


async def test_a_cancelled_fragmented_message_ends_the_connection(line):
    async def endless() -> AsyncIterator[str]:
        yield "a"
        await asyncio.get_running_loop().create_future()

    async with line() as (ws, peer):
        sending = asyncio.create_task(ws.send(endless()))
        assert await peer.frame() == Frame(TEXT, b"a", fin=False)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        assert (await peer.frame()).close == (1011, "internal error")


async def test_nothing_follows_a_close_that_came_between_the_fragments(line):
    closed = asyncio.Event()

    async def closing() -> AsyncIterator[str]:
        yield "a"
        await closed.wait()

    async with line() as (ws, peer):
        sending = asyncio.create_task(ws.send(closing()))
        assert await peer.frame() == Frame(TEXT, b"a", fin=False)
        ws.start_closing(4000, "enough")
        assert (await peer.frame()).close == (4000, "enough")
        closed.set()
        with pytest.raises(trunkline.ConnectionClosedError, match="sent 4000"):
            await sending
        peer.send_close(4000)
        await until(lambda: ws.close_info)
        assert ws.close_info == trunkline.Close(4000, "", True, "local")
        assert ws.stats().frames_sent == 2
