"""When file descriptors run out, live traffic goes on, what waits is served later, and nothing spins.

On real sockets, with the limit of this process set to what is in use.
"""

import asyncio
import contextlib
import logging
import os
import resource
import socket
import time

import pytest

import trunkline
from handlers import echo

pytestmark = pytest.mark.anyio

WAITING = 8
TRAFFIC = 0.3  # seconds of it while nothing can be opened


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request):
    """The real clock: the kernel is what is tested."""
    return "asyncio", {"use_uvloop": request.param}


@contextlib.contextmanager
def no_descriptors():
    """Within the block, this process cannot open anything."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(0)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def talk(ws):
    """Live traffic for a while; what share of the time it took of the processor."""
    started, burnt = time.perf_counter(), time.process_time()
    while time.perf_counter() - started < TRAFFIC:
        await ws.send("still there")
        assert await ws.recv() == "still there"
        await asyncio.sleep(0.02)
    return (time.process_time() - burnt) / (time.perf_counter() - started)


async def test_accepting(caplog):
    told = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    with caplog.at_level(logging.WARNING, "trunkline"):
        async with asyncio.timeout(20), trunkline.serve(echo, "127.0.0.1", 0) as server:
            uri = f"ws://127.0.0.1:{server.port}/"
            async with trunkline.connect(uri) as ws:
                socks = [socket.socket() for _ in range(WAITING)]
                with no_descriptors():
                    for sock in socks:
                        sock.connect(("127.0.0.1", server.port))
                    assert await talk(ws) < 0.7, "it spins"
                    assert len(server.connections) == 1
                for sock in socks:  # asyncio: they have waited; uvloop: they were dropped
                    with contextlib.suppress(trunkline.ConnectError):
                        async with trunkline.connect(uri, sock=sock) as late:
                            await late.send("at last")
                            assert await late.recv() == "at last"
                async with trunkline.connect(uri) as new:
                    await new.send("as ever")
                    assert await new.recv() == "as ever"
    assert told == [], "hostile load does not reach the loop's exception handler"
    assert len([record for record in caplog.records if "cannot accept" in record.message]) <= 1


async def test_connecting():
    async with asyncio.timeout(20), trunkline.serve(echo, "127.0.0.1", 0) as server:
        uri = f"ws://127.0.0.1:{server.port}/"
        async with trunkline.connect(uri) as ws:
            with no_descriptors():
                for _ in range(10):
                    with pytest.raises(trunkline.ConnectError, match="Too many open files") as caught:
                        await trunkline.connect(uri)
                    assert caught.value.recoverable
                assert await talk(ws) < 0.7
            async with trunkline.connect(uri):
                pass


async def test_a_managed_connection_waits_and_comes_back():
    async with asyncio.timeout(20), trunkline.serve(echo, "127.0.0.1", 0) as server:
        uri = f"ws://127.0.0.1:{server.port}/"
        feed = trunkline.Service(
            "feed", uri, sends=str, receives=str, retry=trunkline.manager.RetryPolicy(base=0.05, cap=0.2)
        )
        async with trunkline.connect(uri) as ws, trunkline.ConnectionManager([feed]) as manager:
            with no_descriptors():
                connection = await manager.connect(feed, wait=False)
                assert await talk(ws) < 0.7
                assert connection.status is not trunkline.ConnectionStatus.FAILED
                assert 1 <= connection.attempts < 30
            await connection.wait_connected()
