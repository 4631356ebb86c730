"""Calls from other threads, and sends that are not awaited: what is not allowed changes nothing."""

import asyncio
import contextlib
import gc
import json
import sys
import threading
import warnings

import pytest

import trunkline
from threads import in_a_thread, in_another_loop
from turns import settle, until

pytestmark = pytest.mark.anyio

TAKEOVER = trunkline.Deflate(server_no_context_takeover=False, client_no_context_takeover=False)
COMPRESSION = {"plain": None, "deflate": TAKEOVER}
SIZES = {"small": 30, "large": 70_000}


@pytest.fixture(params=COMPRESSION)
def options(request):
    return {"compression": COMPRESSION[request.param]}


class Collect(trunkline.Listener):
    """A listener that keeps what it gets."""

    def __init__(self, got):
        self.got = got

    def on_message(self, ws, message):
        self.got.append(message)


@contextlib.asynccontextmanager
async def collecting(options):
    """A client, and the list of the messages that arrive from it."""
    got = []
    async with (
        asyncio.timeout(60),
        trunkline.serve(listener=lambda: Collect(got), host="127.0.0.1", port=0, **options) as server,
        trunkline.connect(f"ws://127.0.0.1:{server.port}/", **options) as ws,
    ):
        yield ws, got


# Other threads


@pytest.mark.parametrize("size", SIZES)
async def test_threads_that_send_through_the_loop_lose_nothing(options, size, hasty):
    """asyncio.run_coroutine_threadsafe(ws.send(message), loop), as every guide to asyncio says."""
    loop, threads, each = asyncio.get_running_loop(), 3, 60
    async with collecting(options) as (ws, got):

        def work(thread):
            for number in range(each):
                message = json.dumps([thread, number, "x" * SIZES[size]])
                asyncio.run_coroutine_threadsafe(ws.send(message), loop).result(30)

        workers = [asyncio.create_task(asyncio.to_thread(work, thread)) for thread in range(threads)]
        sent = 0
        while not all(worker.done() for worker in workers):
            await ws.send(json.dumps([threads, sent, "loop"]))
            sent += 1
            await asyncio.sleep(0)
        for worker in workers:
            await worker
        await until(lambda: len(got) == threads * each + sent)
    arrived = [tuple(json.loads(message)[:2]) for message in got]
    for thread in range(threads + 1):
        numbers = [number for by, number in arrived if by == thread]
        assert numbers == list(range(each if thread < threads else sent))


ACTS = {
    "send_nowait": lambda ws: ws.send_nowait("x"),
    "send_nowait bytes": lambda ws: ws.send_nowait(b"x" * 100_000),
    "send_nowait buffer": lambda ws: ws.send_nowait(bytearray(b"x")),
    "send_many": lambda ws: ws.send_many(["x", "y"]),
    "ping_nowait": lambda ws: ws.ping_nowait(),
    "start_closing": lambda ws: ws.start_closing(),
    "fail": lambda ws: ws.fail(1011, "x"),
    "abort": lambda ws: ws.abort(),
    "broadcast": lambda ws: trunkline.broadcast([ws], "x"),
}


@pytest.mark.parametrize("act", ACTS)
async def test_what_acts_at_once_is_refused_in_a_thread(options, act):
    async with collecting(options) as (ws, got):
        before = ws.stats()
        error = await in_a_thread(lambda: ACTS[act](ws))
        assert isinstance(error, trunkline.WrongThread)
        assert isinstance(error, RuntimeError)
        assert isinstance(error, trunkline.TrunklineError)
        await settle()
        assert ws.stats() == before
        await ws.send("goes on")
        await until(lambda: got)
        assert got == ["goes on"]


@pytest.mark.parametrize("act", set(ACTS) - {"broadcast"})
async def test_what_acts_at_once_is_refused_in_another_loop(options, act):
    async with collecting(options) as (ws, got):
        before = ws.stats()

        async def call():
            ACTS[act](ws)

        assert isinstance(await in_another_loop(call), trunkline.WrongThread)
        assert ws.stats() == before
        await ws.send("goes on")
        await until(lambda: got)
        assert got == ["goes on"]


async def broadcast_late(broadcast):
    await broadcast


WAITS = {
    "send": lambda ws: ws.send("x"),
    "send parts": lambda ws: ws.send(["x", "y"]),
    "recv": lambda ws: ws.recv(),
    "anext": lambda ws: anext(ws),
    "batches": lambda ws: anext(ws.batches()),
    "ping": lambda ws: ws.ping(),
    "close": lambda ws: ws.close(),
    "wait_closed": lambda ws: ws.wait_closed(),
    "wait_writable": lambda ws: ws.wait_writable(),
}


@pytest.mark.parametrize("wait", WAITS)
async def test_what_is_awaited_is_refused_in_another_loop(options, wait):
    async with collecting(options) as (ws, got):
        before = ws.stats()
        assert isinstance(await in_another_loop(lambda: WAITS[wait](ws)), trunkline.WrongThread)
        assert ws.stats() == before
        waiting = asyncio.create_task(ws.recv())
        await settle(3)
        assert isinstance(await in_another_loop(lambda: WAITS[wait](ws)), trunkline.WrongThread)
        assert not waiting.done()
        waiting.cancel()
        await ws.send("goes on")
        await until(lambda: got)
        assert got == ["goes on"]


@pytest.mark.parametrize("wait", WAITS)
async def test_what_is_awaited_may_be_called_anywhere_and_awaited_in_its_loop(options, wait):
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(20), trunkline.serve(greet, "127.0.0.1", 0, **options) as server:
        ws = await trunkline.connect(f"ws://127.0.0.1:{server.port}/", **options)

        async def start(made):
            return await made

        def call():
            if wait == "wait_closed":
                loop.call_soon_threadsafe(ws.start_closing)
            made = WAITS[wait](ws)
            asyncio.run_coroutine_threadsafe(start(made), loop).result(10)

        assert await in_a_thread(call) is None
        await ws.close()


async def greet(ws):
    await ws.send("hello")
    async for _ in ws:
        pass


async def test_a_broadcast_is_awaited_in_its_own_loop():
    async with collecting({"compression": None}) as (ws, _):
        ws._set_unfinished(True)  # so that a broadcast must wait
        result = trunkline.broadcast([ws], "x", slow="wait")
        assert isinstance(await in_another_loop(lambda: broadcast_late(result)), trunkline.WrongThread)
        assert result.waiting == 1
        ws._set_unfinished(False)
        assert (await result).sent == 1


SERVERS = {
    "close": lambda server: server.close(),
    "wait_closed": lambda server: server.wait_closed(),
    "serve_forever": lambda server: server.serve_forever(),
}


@pytest.mark.parametrize("wait", SERVERS)
async def test_a_server_belongs_to_its_loop(wait):
    async with asyncio.timeout(20), trunkline.serve(greet, "127.0.0.1", 0) as server:
        assert isinstance(await in_another_loop(lambda: SERVERS[wait](server)), trunkline.WrongThread)
        if wait == "close":
            assert isinstance(await in_a_thread(server.close), trunkline.WrongThread)
        assert len(server.sockets) == 1
        async with trunkline.connect(f"ws://127.0.0.1:{server.port}/") as ws:
            assert await ws.recv() == "hello"


async def test_what_only_tells_may_be_asked_in_any_thread(hasty):
    async with asyncio.timeout(20), trunkline.serve(greet, "127.0.0.1", 0) as server:
        done = threading.Event()

        def ask():
            while not done.is_set():
                server.health()
                for ws in server.connections:
                    ws.stats(), ws.state, ws.remote_address, repr(ws)

        asking = asyncio.create_task(asyncio.to_thread(ask))
        try:
            for _ in range(20):
                async with trunkline.connect(f"ws://127.0.0.1:{server.port}/") as ws:
                    await ws.recv()
        finally:
            done.set()
        await asking


# A loop that moves


def test_a_loop_may_be_run_by_one_thread_after_another():
    """A loop that is set up in the main thread, and from then on run by another."""
    loop = asyncio.new_event_loop()
    got = []

    async def begin():
        server = await trunkline.serve(listener=lambda: Collect(got), host="127.0.0.1", port=0)
        return server, await trunkline.connect(f"ws://127.0.0.1:{server.port}/")

    server, ws = loop.run_until_complete(begin())
    ws.send_nowait("between two runs")
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    started = threading.Event()
    loop.call_soon_threadsafe(started.set)
    started.wait()
    with pytest.raises(trunkline.WrongThread):
        ws.send_nowait("while another runs it")
    asyncio.run_coroutine_threadsafe(ws.send("by way of the loop"), loop).result(10)
    loop.call_soon_threadsafe(ws.send_nowait, "and at once")

    async def end():
        await until(lambda: len(got) == 3)
        await ws.close()
        await server.close()

    asyncio.run_coroutine_threadsafe(end(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()
    assert got == ["between two runs", "by way of the loop", "and at once"]


# Sends that do not begin

MESSAGES = {"text": "never", "bytes": b"never", "large": b"never" * 20_000, "parts": ["never"], "buffer": bytearray(9)}


@pytest.fixture(params=MESSAGES)
def message(request):
    return MESSAGES[request.param]


async def time_out(ws, message):
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(ws.send(message), 0)


async def cancel_the_task(ws, message):
    task = asyncio.create_task(ws.send(message))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def cancel_the_group(ws, message):
    with contextlib.suppress(asyncio.CancelledError):
        group = asyncio.gather(ws.send(message), ws.send(message))
        group.cancel()
        await group


async def close_it(ws, message):
    sending = ws.send(message)
    sending.close()
    with pytest.raises(RuntimeError, match="twice"):
        await sending


async def throw_into_it(ws, message):
    with pytest.raises(KeyError):
        ws.send(message).throw(KeyError("k"))
    with pytest.raises(KeyError):
        ws.send(message).throw(KeyError)


async def drop_it(ws, message):
    with pytest.warns(RuntimeWarning, match="a send was never awaited: nothing was sent"):
        ws.send(message)


NEVER = [time_out, cancel_the_task, cancel_the_group, close_it, throw_into_it, drop_it]


@pytest.mark.parametrize("give_up", NEVER)
async def test_a_send_that_did_not_begin_sends_nothing(options, message, give_up):
    async with collecting(options) as (ws, got):
        before = ws.stats()
        await give_up(ws, message)
        await settle()
        assert ws.stats() == before
        await ws.send("behind it")
        await until(lambda: got)
        assert got == ["behind it"]


async def test_sends_go_in_the_order_in_which_they_are_awaited(options):
    async with collecting(options) as (ws, got):
        task = asyncio.create_task(ws.send("3"))
        first, second = ws.send("2"), ws.send("1")
        await second
        await first
        await task
        await asyncio.gather(ws.send("4"), ws.send(["5", "5"]), ws.send(b"6" * 100_000), ws.send("7"))
        await until(lambda: len(got) == 7)
    assert got == ["1", "2", "3", "4", "55", b"6" * 100_000, "7"]


async def test_a_send_is_awaited_once(options):
    async with collecting(options) as (ws, got):
        for message in ("once", ["on", "ce"]):
            sending = ws.send(message)
            await sending
            with pytest.raises(RuntimeError):
                await sending
        await until(lambda: len(got) == 2)
        await settle()
        assert got == ["once", "once"]


async def test_a_send_by_hand(options):
    """What asyncio's C code does to a coroutine, and what Python code does."""
    async with collecting(options) as (ws, got):
        with pytest.raises(StopIteration):
            ws.send("by send").send(None)
        with pytest.raises(StopIteration):
            next(iter(ws.send("by next")))
        await until(lambda: len(got) == 2)
        assert got == ["by send", "by next"]
        sending = ws.send("x")
        assert asyncio.iscoroutine(sending)
        sending.close()


async def test_what_a_send_held_is_let_go():
    async with collecting({"compression": None}) as (ws, _):
        message = bytearray(9)
        count = sys.getrefcount(message)
        for _ in range(3):
            await ws.send(message)
            ws.send(message).close()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                ws.send(message)
        gc.collect()
        assert sys.getrefcount(message) == count
