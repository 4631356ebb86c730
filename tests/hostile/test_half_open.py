"""Thousands of clients that never finish the opening handshake: gone by the deadline, and nobody else is affected."""

import asyncio
import contextlib
import resource
import socket

import pytest

import trunkline
from handlers import echo
from trunkline.testing import run_virtual
from turns import until

WANTED = 5000
BEGUN = [b"", b"G", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nX: "]


def how_many() -> int:
    """As many as descriptors allow: each takes one at both ends."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return min(WANTED, (hard - 1000) // 2)


async def talk(ws, over):
    """Echo until it is over, and return how many there were."""
    count = 0
    while not over.is_set():
        await ws.send(f"{count}")
        assert await ws.recv() == f"{count}"
        count += 1
        await asyncio.sleep(0)
    return count


async def connect_all(count, address):
    """Sockets that have begun a handshake, in four ways, and will not go on with it."""
    loop = asyncio.get_running_loop()
    sockets = []
    for index in range(count):
        sock = socket.socket()
        sock.setblocking(False)
        await loop.sock_connect(sock, address)
        if BEGUN[index % 4]:
            await loop.sock_sendall(sock, BEGUN[index % 4])
        sockets.append(sock)
    return sockets


@pytest.mark.anyio
async def test_half_open_handshakes_are_gone_by_the_deadline():
    count, over = how_many(), asyncio.Event()
    async with (
        asyncio.timeout(60),
        trunkline.serve(echo, "127.0.0.1", 0, open_timeout=2, backlog=4096) as server,
        trunkline.connect(f"ws://127.0.0.1:{server.port}/", proxy=None) as healthy,
    ):
        traffic = asyncio.create_task(talk(healthy, over))
        sockets = await connect_all(count, ("127.0.0.1", server.port))
        async with trunkline.connect(f"ws://127.0.0.1:{server.port}/", proxy=None) as another:  # there is room for it
            assert await another.ping() >= 0
        await until(lambda: server.health().expired == count)
        health = server.health()
        assert (health.pending_handshakes, health.expired, health.connections) == (0, count, 1)
        over.set()
        assert await traffic > 20
        for sock in sockets:
            sock.setblocking(True)
            sock.settimeout(10)
            with contextlib.suppress(ConnectionResetError):
                assert sock.recv(1) == b""
            sock.close()
        assert healthy.close_info is None


@pytest.mark.anyio
async def test_those_beyond_the_bound_are_turned_away_and_the_rest_go_on():
    over = asyncio.Event()
    async with (
        asyncio.timeout(60),
        trunkline.serve(echo, "127.0.0.1", 0, open_timeout=4, max_pending_handshakes=100) as server,
        trunkline.connect(f"ws://127.0.0.1:{server.port}/", proxy=None) as healthy,
    ):
        traffic = asyncio.create_task(talk(healthy, over))
        sockets = await connect_all(300, ("127.0.0.1", server.port))
        await until(lambda: server.turned_away >= 200)
        assert server.health().pending_handshakes <= 100
        await until(lambda: server.health().expired >= 100)
        async with trunkline.connect(f"ws://127.0.0.1:{server.port}/", proxy=None) as another:
            assert await another.ping() >= 0
        over.set()
        assert await traffic > 20
        for sock in sockets:
            sock.close()


HOST = "server.sim.invalid"


class Idler(asyncio.Protocol):
    """Begin a handshake, send one more byte each second, and record when it is dropped."""

    def __init__(self, left):
        self._left = left

    def connection_made(self, transport):
        self._transport, self._loop = transport, asyncio.get_running_loop()
        self._since = self._loop.time()
        transport.write(b"GET / HTTP/1.1\r\nX: ")
        self._say()

    def _say(self):
        if not self._transport.is_closing():
            self._transport.write(b"a")
            self._timer = self._loop.call_later(1, self._say)

    def connection_lost(self, exc):
        self._timer.cancel()
        self._left.append(self._loop.time() - self._since)


def test_the_deadline_is_that_of_each_however_busy_it_is():
    """1,000 on a virtual clock, who begin over three seconds and send a byte a second: each has 10 s, and no more."""

    async def main():
        left, loop = [], asyncio.get_running_loop()
        async with trunkline.serve(echo, HOST, 8000) as server:
            for _ in range(20):
                for _ in range(50):
                    await loop.create_connection(lambda: Idler(left), HOST, 8000)
                await asyncio.sleep(0.1)
            async with trunkline.connect(f"ws://{HOST}:8000/") as healthy:
                await asyncio.sleep(20)
                await healthy.send("still there")
                assert await healthy.recv() == "still there"
                assert server.health().expired == 1000
                assert server.health().pending_handshakes == 0
        return left

    left = run_virtual(main())
    assert len(left) == 1000
    assert max(left) < 10.1
    assert min(left) > 9.9
