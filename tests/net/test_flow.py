"""Flow control both ways: a slow end holds the other back, and what waits meanwhile is bounded."""

import asyncio
from typing import Any

import pytest

import trunkline
from rawpeer import BINARY, PING, PONG, TEXT, Frame
from trunkline import ErrorCategory, SlowConsumer
from trunkline.net.websocket import life_of
from turns import settle, until

pytestmark = pytest.mark.anyio

HIGH, LOW = 64 * 1024, 16 * 1024  # bytes: the high-water and low-water marks for sending
SMALL = 4096  # bytes of the kernel's buffers, where they are to fill up at once


# The way in


async def receive(ws: Any, peer: Any, payload: bytes, count: int) -> None:
    """Have the connection receive messages that nobody takes, each in a read of its own."""
    for _ in range(count):
        before = ws.stats().messages_received
        peer.send(BINARY, payload)
        await until(lambda before=before: ws.stats().messages_received > before)


@pytest.mark.parametrize(("max_queue", "high", "low"), [(16, 16, 4), (4, 4, 1), ((8, 6), 8, 6), (1, 1, 0), (0, 0, 0)])
async def test_reading_pauses_over_the_high_mark_and_goes_on_at_the_low_one(line, max_queue, high, low):
    async with line(max_queue=max_queue) as (ws, peer):
        await receive(ws, peer, b"x", high)
        assert not ws._reading_paused
        await receive(ws, peer, b"x", 1)
        assert ws._reading_paused
        for left in range(high, low, -1):
            await ws.recv()
            assert ws._reading_paused, f"{left} messages wait"
        await ws.recv()
        assert not ws._reading_paused
        peer.send(TEXT, b"after")
        assert [await ws.recv() for _ in range(low + 1)][-1] == "after"


async def test_reading_pauses_at_2_mib_and_goes_on_at_a_quarter_of_it(line):
    async with line(max_queue=1000) as (ws, peer):
        await receive(ws, peer, b"x" * (2**18 - 64), 8)  # each message counts for 64 bytes more
        assert not ws._reading_paused
        await receive(ws, peer, b"", 1)
        assert ws._reading_paused
        for _ in range(6):
            assert ws._reading_paused
            await ws.recv()
        assert ws._reading_paused, "512 KiB and 64 bytes wait"
        await ws.recv()
        assert not ws._reading_paused


async def test_a_slow_consumer_holds_its_peer_back(line):
    count, size = 256, 32 * 1024
    async with line(max_queue=4, buffers=SMALL) as (ws, peer):

        async def send_all() -> None:
            for index in range(count):
                peer.send(BINARY, bytes([index]) * size)
                await peer.writer.drain()

        sending = asyncio.create_task(send_all())
        await until(lambda: ws._reading_paused)
        await settle()
        seen = ws.stats().bytes_received
        assert seen < 2**20, "of 8 MiB, no more than is in the inbox and one read"
        await settle(500)
        assert ws.stats().bytes_received == seen
        assert not sending.done()
        for index in range(count):
            assert (await ws.recv())[0] == index
        await sending


async def test_without_a_bound_reading_never_pauses(line):
    async with line(max_queue=None) as (ws, peer):
        for _ in range(100):
            peer.send(BINARY, b"x" * 65_000)
        await until(lambda: ws.stats().messages_received == 100)
        assert not ws._reading_paused
        assert len(await anext(ws.batches())) == 100


async def test_a_batch_resumes_reading(line):
    async with line(max_queue=2) as (ws, peer):
        await receive(ws, peer, b"x", 3)
        assert ws._reading_paused
        assert await anext(ws.batches()) == [b"x"] * 3
        assert not ws._reading_paused


async def test_a_paused_connection_sends_and_its_peer_may_wait_for_a_pong(line):
    async with line(max_queue=0) as (ws, peer):
        await receive(ws, peer, b"x", 1)
        peer.send(PING, b"behind")
        await ws.send("heard")
        assert await peer.frame() == Frame(TEXT, b"heard")
        assert ws.stats().pings_received == 0
        await ws.recv()
        assert await peer.frame() == Frame(PONG, b"behind")


@pytest.mark.parametrize("end", ["abort", "fail", "start_closing"])
async def test_messages_are_taken_from_a_paused_connection_that_ends(line, end):
    async with line(max_queue=2) as (ws, peer):
        await receive(ws, peer, b"x", 3)
        assert ws._reading_paused
        getattr(ws, end)(*{"abort": (), "fail": (1008, "no"), "start_closing": (1000,)}[end])
        assert [await ws.recv() for _ in range(3)] == [b"x"] * 3
        peer.writer.transport.abort()
        with pytest.raises(trunkline.ConnectionClosed):
            await ws.recv()


# The way out


def waiting_bytes(ws: Any) -> int:
    return ws._waiting


async def fill(ws: Any, size: int = 10_000) -> int:
    """Send until send would wait, and return how many messages that took."""
    count = 0
    while not ws._writing_paused:
        await ws.send(b"x" * size)
        count += 1
    return count


@pytest.mark.parametrize("turns", [0, 1], ids=["one turn", "turns"])
@pytest.mark.parametrize("size", [100, 3000, 10_000, 60_000, 100_000])
async def test_send_waits_as_soon_as_more_than_the_high_mark_waits(line, size, turns):
    """Both what the turn has not written yet and what the transport holds counts."""
    async with line(buffers=SMALL) as (ws, _):
        while not ws.is_writing_paused:
            assert waiting_bytes(ws) <= HIGH
            await ws.send(b"x" * size)
            await settle(turns)
        assert HIGH < waiting_bytes(ws) <= HIGH + size + 14


async def test_send_waits_over_the_high_mark_and_goes_on_below_the_low_one(line):
    async with line(buffers=SMALL) as (ws, peer):
        count = await fill(ws)
        assert HIGH < waiting_bytes(ws) <= HIGH + 10_014
        at_resumption = []

        async def send() -> None:
            await ws.send("waited")
            at_resumption.append(waiting_bytes(ws))

        sending = asyncio.create_task(send())
        await settle(200)
        assert not sending.done()
        await peer.frames(count)
        assert await peer.frame() == Frame(TEXT, b"waited")
        await sending
        assert at_resumption[0] <= LOW


async def test_a_slow_peer_gets_everything_in_order(line):
    async with line(buffers=SMALL) as (ws, peer):

        async def send_all() -> None:
            for index in range(300):
                await ws.send(b"%d" % index + b" " * 5000)

        sending = asyncio.create_task(send_all())
        assert [int(frame.payload) for frame in await peer.frames(300)] == list(range(300))
        await sending
        assert ws.stats().messages_sent == 300


async def test_tasks_that_wait_go_on_in_their_order_and_are_held_back_again(line):
    async with line(buffers=SMALL) as (ws, peer):
        count = await fill(ws)
        tasks = [asyncio.create_task(ws.send(b"%03d" % index + b" " * 20_000)) for index in range(50)]
        await settle()
        assert not any(task.done() for task in tasks)
        await peer.frames(count - 1)
        most = 0
        for index in range(51):
            frame = await peer.frame()
            most = max(most, waiting_bytes(ws))
            assert index == 0 or int(frame.payload) == index - 1
        assert most <= HIGH + 20_014
        await asyncio.gather(*tasks)


async def test_a_task_whose_turn_is_over_is_not_overtaken(line):
    async with line() as (ws, peer):
        large = b"x" * 40_000
        for _ in range(2):
            await ws.send(large)
        tasks = [asyncio.create_task(ws.send(b"%d" % index)) for index in range(3)]
        assert [(await peer.frame()).payload for _ in range(5)] == [large, large, b"0", b"1", b"2"]
        await asyncio.gather(*tasks)


async def test_a_cancelled_send_has_sent_nothing_and_leaves_nothing(line):
    async with line(buffers=SMALL) as (ws, peer):
        count = await fill(ws)
        before = ws.stats()
        for message in ("cancelled", b"cancelled", ["cancelled"]):
            for _ in range(5):
                sending = asyncio.create_task(ws.send(message))
                await settle(3)
                sending.cancel()
                await asyncio.wait([sending])
                assert sending.cancelled()
        assert ws.stats() == before
        assert not life_of(ws).queue._waiters, "no future is left of those that were cancelled"
        await peer.frames(count)
        await ws.send("next")
        assert await peer.frame() == Frame(TEXT, b"next")


async def test_send_nowait_raises_slow_consumer_and_the_connection_goes_on(line):
    limit = 200_000
    async with line(buffers=SMALL, write_limit=limit) as (ws, peer):
        error: SlowConsumer | None = None
        count = 0
        while error is None:
            try:
                ws.send_nowait(b"x" * 10_000)
                count += 1
            except SlowConsumer as raised:
                error = raised
        assert limit < error.pending <= limit + 10_100
        assert error.limit == limit
        assert str(error) == f"{error.pending} bytes are waiting to be sent, limit {limit} (write_limit)"
        assert (error.category, error.recoverable) == (ErrorCategory.OVERLOADED, True)
        for refused in (lambda: ws.send_nowait("x"), lambda: ws.send_many(["x"]), lambda: ws.send_nowait(bytearray(1))):
            with pytest.raises(SlowConsumer):
                refused()
        assert ws.stats().messages_sent == count
        assert [frame.payload for frame in await peer.frames(count)] == [b"x" * 10_000] * count
        await until(lambda: not ws._writing_paused)
        ws.send_nowait("next")
        assert await peer.frame() == Frame(TEXT, b"next")


@pytest.mark.parametrize("write_limit", [1, 1000, 2**17, 2**20])
async def test_send_waits_where_send_nowait_raises(line, write_limit):
    async with line(buffers=SMALL, write_limit=write_limit) as (ws, peer):

        async def send_all() -> None:
            for _ in range(200):
                await ws.send(b"x" * 3000)

        sending = asyncio.create_task(send_all())
        assert len(await peer.frames(200)) == 200
        await sending


async def test_one_slow_connection_does_not_hold_others_back(pair):
    async with pair(buffers=SMALL, server={"max_queue": 1}) as (slow, _), pair() as (quick, server):
        await fill(slow)
        waiting = asyncio.create_task(slow.send("x"))
        for index in range(100):
            await quick.send(f"{index}")
            assert await server.recv() == f"{index}"
        assert not waiting.done()
        waiting.cancel()


# A turn for everybody


@pytest.mark.parametrize("kind", ["messages", "buffers", "fragments", "large"])
async def test_a_task_that_only_sends_lets_the_others_run(pair, kind):
    """The socket takes all of 320 KiB at once: only the sender's own fairness makes room for others."""
    async with pair(buffers=2**22, server={"max_queue": None, "max_fragments": None}) as (ws, _):
        turns = 0

        async def count_turns() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        counting = asyncio.create_task(count_turns())
        if kind == "fragments":
            await ws.send(b"x" * 1024 for _ in range(320))
        for _ in range(0 if kind == "fragments" else 320 if kind != "large" else 8):
            await ws.send({"messages": b"x" * 1024, "buffers": bytearray(1024), "large": b"x" * 40_960}[kind])
        assert waiting_bytes(ws) == 0
        assert 3 <= turns <= 20
        counting.cancel()


# Pings that nobody wants


async def test_a_flood_of_pings_from_a_peer_that_does_not_read_costs_one_pong(line):
    async with line(buffers=SMALL) as (ws, peer):
        count = 20_000
        last = b"%0125d" % (count - 1)
        for index in range(count):
            peer.send(PING, b"%0125d" % index)
        await until(lambda: ws.stats().pings_received == count)
        assert waiting_bytes(ws) <= 3 * HIGH
        pongs = 0
        while (frame := await peer.frame()).payload != last:
            assert frame.opcode == PONG
            pongs += 1
        assert ws.stats().pongs_sent == pongs + 1 < count / 2
        await ws.send("next")
        assert await peer.frame() == Frame(TEXT, b"next")


async def test_pings_of_a_peer_that_reads_are_all_answered(line):
    async with line() as (_, peer):
        for index in range(100):
            peer.send(PING, b"%d" % index)
            assert await peer.frame() == Frame(PONG, b"%d" % index)
