"""A manager and its connections belong to one event loop: from anywhere else nothing is touched."""

import asyncio
import contextlib
import threading

import pytest

import trunkline
from handlers import echo
from threads import in_a_thread, in_another_loop
from turns import until

pytestmark = pytest.mark.anyio


@contextlib.asynccontextmanager
async def managed(path="", **options):
    """A server that echoes, a manager, and its service there."""
    async with asyncio.timeout(60), trunkline.serve(echo, "127.0.0.1", 0) as server:
        url = f"ws://127.0.0.1:{server.port}/{path}"
        service = trunkline.Service("echo", url, sends=str, receives=str, **options)
        async with trunkline.ConnectionManager([service]) as manager:
            yield server, manager, service


ACTS = {
    "send_nowait": lambda manager, line: line.send_nowait("x"),
    "release": lambda manager, line: line.release(),
    "reconnect": lambda manager, line: line.reconnect(),
    "forget_peer_limit": lambda manager, line: line.forget_peer_limit(),
    "network_changed": lambda manager, line: manager.network_changed(),
    "pause": lambda manager, line: manager.pause(line.service),
    "resume": lambda manager, line: manager.resume(line.service),
}

WAITS = {
    "send": lambda manager, line: line.send("x"),
    "request": lambda manager, line: line.request("x"),
    "anext": lambda manager, line: anext(line),
    "wait_connected": lambda manager, line: line.wait_connected(),
    "drain": lambda manager, line: line.drain(),
    "close": lambda manager, line: line.close(),
    "connect": lambda manager, line: manager.connect(line.service),
    "lease": lambda manager, line: manager.lease(line.service).__aenter__(),
    "events": lambda manager, line: anext(manager.events()),
    "close all": lambda manager, line: manager.close(),
}


async def goes_on(line):
    await line.send("goes on")
    assert await anext(line) == "goes on"


@pytest.mark.parametrize("act", ACTS)
async def test_what_acts_at_once_is_refused(act):
    async with managed() as (_, manager, service):
        line = await manager.connect(service)

        async def call():
            ACTS[act](manager, line)

        assert isinstance(await in_a_thread(lambda: ACTS[act](manager, line)), trunkline.WrongThread)
        assert isinstance(await in_another_loop(call), trunkline.WrongThread)
        assert (line.leases, line.generation, line.status) == (1, 1, "connected")
        await goes_on(line)


@pytest.mark.parametrize("wait", WAITS)
async def test_what_is_awaited_is_refused_in_another_loop(wait):
    async with managed() as (_, manager, service):
        line = await manager.connect(service)
        error = await in_another_loop(lambda: WAITS[wait](manager, line))
        assert isinstance(error, trunkline.WrongThread)
        assert (line.leases, line.generation, line.status) == (1, 1, "connected")
        await goes_on(line)


async def test_what_is_awaited_may_be_handed_to_the_loop():
    loop = asyncio.get_running_loop()
    async with managed() as (_, manager, service):

        def work():
            line = asyncio.run_coroutine_threadsafe(manager.connect(service), loop).result(10)
            for number in range(50):
                asyncio.run_coroutine_threadsafe(line.send(str(number)), loop).result(10)
            manager.health()
            manager.service_health()

        assert await in_a_thread(work) is None
        (line,) = manager.connections()
        assert [await anext(line) for _ in range(50)] == [str(number) for number in range(50)]


async def test_a_pool_is_refused_in_another_thread():
    async with managed(pool=trunkline.manager.PoolPolicy(size=2)) as (_, manager, service):
        pool = manager.pool(service)
        for act in (lambda: pool.send_nowait("x"), pool.pick, lambda: manager.pool(service)):
            assert isinstance(await in_a_thread(act), trunkline.WrongThread)
        for wait in (lambda: pool.send("x"), lambda: anext(pool), lambda: pool.lease().__aenter__()):
            assert isinstance(await in_another_loop(wait), trunkline.WrongThread)
        assert pool.members == []
        await pool.send("goes on")
        assert await anext(pool) == "goes on"


async def test_health_may_be_asked_for_in_another_thread_while_lines_come_and_go(hasty):
    """A scraper has a thread of its own."""
    async with managed("{room}") as (server, manager, service):
        kept = await manager.connect(service, room="kept")
        done = threading.Event()

        def scrape():
            while not done.is_set():
                manager.health(), manager.service_health(), manager.connections(), server.health()

        scrapers = [asyncio.create_task(asyncio.to_thread(scrape)) for _ in range(2)]
        try:
            for number in range(40):
                line = await manager.connect(service, room=number)
                await goes_on(line)
                await goes_on(kept)
                await line.close()
        finally:
            done.set()
        await asyncio.gather(*scrapers)
        await until(lambda: len(server.connections) == 1)
        await kept.websocket.ping()  # the server has read all that was sent
        (report,) = manager.service_health()
        assert report.counters["messages_sent"] == 80
        assert report.counters["bytes_sent"] == server.health().stats.bytes_received
        health = kept.health()
        assert (health.bytes_received, health.bytes_sent) == kept.websocket.moved()
