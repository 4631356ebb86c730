"""permessage-deflate in threads: large messages are compressed and inflated beside the loop, and order is kept."""

import asyncio
import contextlib
import threading
import zlib

import pytest

import trunkline
from rawframes import deflate
from rawpeer import BINARY, PING, PONG, TEXT
from trunkline import Deflate
from turns import settle, until

pytestmark = pytest.mark.anyio

KEEPING = {"server_no_context_takeover": False, "client_no_context_takeover": False}
WORDS = b"the same words again and again, "
LARGE = b"".join(b"%d, " % number for number in range(100_000))  # 690 KB that do not compress too well


class Gate:
    """A back end whose compressors and decompressors wait until it is open, in all threads but the loop's."""

    name, error = "gate", zlib.error

    def __init__(self):
        self.open = threading.Event()
        self.open.set()
        self.threads = set()
        self.broken = False  # in the loop's thread

    def __eq__(self, other):
        return self is other

    __hash__ = object.__hash__

    def pass_through(self):
        if threading.current_thread() is not threading.main_thread():
            self.threads.add(threading.get_ident())
            assert self.open.wait(20)
        elif self.broken:
            raise MemoryError

    def compressor(self, level, bits, mem_level):
        stream = zlib.compressobj(level, zlib.DEFLATED, -bits, mem_level)

        class Compressor:
            def compress(_, data):
                self.pass_through()
                return stream.compress(data)

            flush = stream.flush

        return Compressor()

    def decompressor(self, bits):
        stream = zlib.decompressobj(-bits)

        class Decompressor:
            eof = property(lambda _: stream.eof)
            unused_data = property(lambda _: stream.unused_data)
            unconsumed_tail = property(lambda _: stream.unconsumed_tail)

            def decompress(_, data, most):
                self.pass_through()
                return stream.decompress(data, most)

        return Decompressor()


@pytest.fixture
def gate():
    made = Gate()
    yield made
    made.open.set()


@pytest.fixture
def busy(pair, gate):
    """`async with busy(**settings) as (client, server, sending):` a thread compresses LARGE for the client until the
    gate opens; `sending` has the task that sends it, and room for more. `first` is sent before.
    """

    @contextlib.asynccontextmanager
    async def run(first=None, **settings):
        gated = {"compression": Deflate(backend=gate, off_thread=10_000, **settings), "max_size": None}
        plain = {"compression": Deflate(**settings), "max_size": None}
        async with pair(client=gated, server=plain) as (client, server):
            if first is not None:
                await client.send(first)
            gate.open.clear()
            sending = [asyncio.ensure_future(client.send(LARGE))]
            await until(lambda: gate.threads)
            yield client, server, sending

    return run


@pytest.mark.parametrize("settings", [{}, KEEPING], ids=["each by itself", "takeover"])
async def test_a_large_message_is_compressed_by_a_thread_and_later_ones_wait_for_it(busy, gate, settings):
    async with busy(**settings) as (client, server, sending):
        sending += [asyncio.ensure_future(client.send(message)) for message in ("small", LARGE[:5000])]
        await settle()
        assert not any(task.done() for task in sending)
        client.send_nowait("overtakes")
        assert await client.ping() > 0
        assert await server.recv() == "overtakes"
        gate.open.set()
        assert [await server.recv() for _ in range(3)] == [LARGE, "small", LARGE[:5000]]
        await asyncio.gather(*sending)
        await client.send("and on")
        assert await server.recv() == "and on"


@pytest.mark.parametrize("slow", ["close", "drop"])
@pytest.mark.parametrize("settings", [{}, KEEPING], ids=["each by itself", "takeover"])
async def test_a_broadcast_keeps_its_place_behind_what_a_thread_compresses(busy, gate, settings, slow):
    async with busy(**settings) as (client, server, sending):
        assert trunkline.broadcast([client], "first", slow=slow).sent == 1
        sending.append(asyncio.ensure_future(client.send("second")))
        await settle()
        assert trunkline.broadcast([client], bytearray(b"third"), slow=slow).sent == 1
        waiting = trunkline.broadcast([client], "fourth", slow="wait")
        assert waiting.waiting == 1
        sending.append(asyncio.ensure_future(waiting._finish()))
        await settle()
        gate.open.set()
        assert [await server.recv() for _ in range(5)] == [LARGE, "first", "second", b"third", "fourth"]
        await asyncio.gather(*sending)
        assert trunkline.broadcast([client], "and on", slow=slow).sent == 1
        assert await server.recv() == "and on"


async def test_a_broadcast_that_cannot_be_compressed_fails_its_connection_and_nobody_else(busy, gate):
    async with busy(threshold=0) as (client, server, sending):
        assert trunkline.broadcast([client], "first").sent == 1
        sending.append(asyncio.ensure_future(client.send("second")))
        await settle()
        gate.broken = True
        gate.open.set()
        await sending[0]
        with pytest.raises(trunkline.ConnectionClosed):
            await sending[1]
        assert await server.recv() == LARGE
        with pytest.raises(trunkline.ConnectionClosedError) as caught:
            await server.recv()
        assert caught.value.code == 1011


async def test_a_broadcast_goes_on_if_what_it_stands_behind_is_cancelled(busy, gate):
    async with busy() as (client, server, sending):
        sending.append(asyncio.ensure_future(client.send("cancelled")))
        trunkline.broadcast([client], "first")
        sending.append(asyncio.ensure_future(client.send("second")))
        await settle()
        sending[1].cancel()
        await settle()
        sending[0].cancel()
        assert [await server.recv() for _ in range(2)] == ["first", "second"]
        gate.open.set()
        await asyncio.gather(*sending, return_exceptions=True)
        assert [task.cancelled() for task in sending] == [True, True, False]


async def test_broadcasts_that_wait_for_a_thread_are_bounded(busy, gate):
    bound = {"limit": 125}  # bytes; 16 times as many may wait behind the thread
    async with busy() as (client, _, sending):
        assert trunkline.broadcast([client], "x" * 936, slow="drop", **bound).sent == 1
        assert trunkline.broadcast([client], "y" * 936, slow="drop", **bound).sent == 1
        assert trunkline.broadcast([client], "", slow="drop", **bound).dropped == 1
        assert client.stats().messages_dropped == 1
        assert trunkline.broadcast([client], "", slow="close", **bound).closed == 1
        assert client.close_code == 1013
        gate.open.set()
        await asyncio.gather(*sending, return_exceptions=True)


async def test_a_send_that_is_cancelled_in_the_thread_has_sent_nothing(busy, gate):
    async with busy(WORDS * 100, **KEEPING) as (client, server, sending):
        behind = asyncio.ensure_future(client.send(WORDS * 50))
        await settle()
        sending[0].cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending[0]
        gate.open.set()
        await behind
        assert [await server.recv() for _ in range(2)] == [WORDS * 100, WORDS * 50]
        await client.send(LARGE)
        assert await server.recv() == LARGE


async def test_a_connection_that_closes_meanwhile_tells_the_sender(busy, gate):
    async with busy() as (client, server, sending):
        sending.append(asyncio.ensure_future(client.send("behind")))
        await client.close()
        gate.open.set()
        for task in sending:
            with pytest.raises(trunkline.ConnectionClosedOK):
                await task
        with pytest.raises(trunkline.ConnectionClosedOK):
            await server.recv()


async def test_what_comes_behind_a_large_message_waits_while_a_thread_inflates_it(compressed, gate):
    async with compressed(Deflate(backend=gate, off_thread=10_000), max_size=None) as (ws, peer):
        gate.open.clear()
        peer.send(BINARY, deflate(LARGE), rsv=4)
        peer.send(TEXT, b"behind")
        peer.send(PING, b"?")
        peer.send_close(1000, "done")
        await until(lambda: gate.threads)
        ws.send_nowait("the loop runs on")
        assert (await peer.frame()).payload == b"the loop runs on"
        gate.open.set()
        assert [await ws.recv(), await ws.recv()] == [LARGE, "behind"]
        assert (await peer.frame()).opcode == PONG
        assert (await peer.frame()).close == (1000, "")


@pytest.mark.parametrize("end", ["abort", "reset", "fail", "close"])
async def test_a_connection_that_ends_while_a_thread_inflates(compressed, gate, end):
    async with compressed(Deflate(backend=gate, off_thread=10_000), max_size=None, close_timeout=0.1) as (ws, peer):
        gate.open.clear()
        peer.send(BINARY, deflate(LARGE), rsv=4)
        receiving = asyncio.ensure_future(ws.recv())
        await until(lambda: gate.threads)
        if end == "close":
            ws.start_closing()
        elif end == "reset":
            peer.reset()
            ws.abort()
        else:
            getattr(ws, end)(*((1011, "enough") if end == "fail" else ()))
        gate.open.set()
        with pytest.raises(trunkline.ConnectionClosed):
            await receiving
        await ws.wait_closed()
        assert ws.stats().messages_received in (0, 1)


async def test_an_inbox_that_is_full_stays_paused_behind_a_large_message(compressed):
    async with compressed(Deflate(off_thread=1000), max_queue=2) as (ws, peer):
        payload = deflate(LARGE)
        for _ in range(20):
            peer.send(BINARY, payload, rsv=4)
        await until(lambda: ws._reading_paused and ws.stats().messages_received >= 3)
        await settle(200)
        assert ws.stats().messages_received < 10
        for _ in range(20):
            assert await ws.recv() == LARGE


async def test_a_listener_gets_large_messages_in_order(pair):
    got = []

    class Keep(trunkline.Listener):
        def on_batch(self, ws, messages):
            got.extend(messages)

    side = {"compression": Deflate(off_thread=1000), "max_size": None}
    sent = [LARGE, b"a", b"b", LARGE[:2000], LARGE, b"c"] * 3
    async with pair(client=side, server={**side, "listener": Keep}) as (client, _):
        for message in sent:
            await client.send(message)
        await until(lambda: len(got) == len(sent))
    assert got == sent
