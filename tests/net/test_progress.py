"""How far bytes have come on real sockets, and what the keepalive makes of it: long uploads, and dead connections."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

import trunkline
from lines import LIMIT, connected_socket, listening_socket
from trunkline.net.progress import look_at
from trunkline.net.websocket import life_of
from trunkline.testing import FaultProxy
from turns import until

pytestmark = pytest.mark.anyio

SOON = {"ping_interval": 0.2, "ping_timeout": 0.2}
NEVER = {"ping_interval": None}


# What the kernel tells


@contextlib.asynccontextmanager
async def sockets() -> AsyncIterator[tuple[socket.socket, socket.socket]]:
    """Two ends of a connection on which each has said something, as after an opening handshake."""
    with listening_socket(8192) as listening, connected_socket(listening.getsockname()[1], 8192) as one:
        other, _ = listening.accept()
        with other:
            for sock, peer in ((one, other), (other, one)):
                sock.sendall(b"hello")
                assert peer.recv(5) == b"hello"
            one.setblocking(False)
            await until(lambda: look_at(one, 0, 0, 0).queued == 0)
            yield one, other


def fill(sock: socket.socket) -> int:
    sent = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            sent += sock.send(bytes(4096))
    return sent


async def test_what_only_the_kernel_has_taken_has_not_left() -> None:
    async with sockets() as (one, other):
        before = look_at(one, 0, 0, 0)
        sent = fill(one)
        full = look_at(one, 0, sent, 0)
        assert before.left <= full.left < before.left + sent
        assert full.is_pressed
        assert full.queued > 0
        left = sent
        while left:
            left -= len(other.recv(left))
        await until(lambda: look_at(one, 0, sent, 0).queued == 0)
        empty = look_at(one, 0, sent, 0)
        assert (empty.is_pressed, empty.left - before.left) == (False, sent)


async def test_what_is_received_and_not_read_is_counted() -> None:
    async with sockets() as (one, other):
        before = look_at(one, 0, 0, 0)
        other.send(b"pong")
        await until(lambda: look_at(one, 0, 0, 0).received > before.received)
        assert look_at(one, 0, 0, 0).received == before.received + 4
        assert not look_at(one, 0, 0, 0).is_choked
        other.setblocking(False)
        fill(other)
        await until(lambda: look_at(one, 0, 0, 0).is_choked)


async def test_what_waits_before_the_socket_presses() -> None:
    async with sockets() as (one, _):
        look = look_at(one, 0, 100, 100)
        assert (look.queued, look.is_pressed) == (100, True)


async def test_bytes_that_the_transport_does_not_report_wait_too() -> None:
    async with sockets() as (one, _):
        look = look_at(one, 0, 100_000, 0)
        assert look.queued > 99_000
        assert look.is_pressed


@pytest.mark.parametrize("kind", ["none", "unix", "closed"])
async def test_where_the_kernel_says_nothing_the_socket_does(kind: str) -> None:
    one, other = socket.socketpair()
    if kind == "closed":
        one.close()
        one = socket.socket()
        one.close()
    look = look_at(None if kind == "none" else one, 7, 100, 30)
    assert look == (7, 70, 30, True, True)
    assert not look_at(None, 7, 100, 0).is_pressed
    one.close()
    other.close()


# Uploads


@pytest.fixture(params=["tcp", "tls"])
def security(request: pytest.FixtureRequest, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext) -> dict[str, Any]:
    """Options of `serve` and of `connect`."""
    if request.param == "tcp":
        return {"serve": {}, "connect": {}}
    return {"serve": {"ssl": server_tls}, "connect": {"ssl": client_tls, "server_hostname": "localhost"}}


def uri_of(security: dict[str, Any], port: int) -> str:
    return f"{'wss' if security['serve'] else 'ws'}://127.0.0.1:{port}/"


@contextlib.asynccontextmanager
async def slow_way(port: int) -> AsyncIterator[int]:
    """A relay that passes on 8 KiB every 10 ms, both ways, and holds little more. Yield its port."""

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(sock=connected_socket(port, 8192), limit=8192)
        ways = {asyncio.ensure_future(pass_on(there, writer)), asyncio.ensure_future(pass_on(reader, back))}
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
        back.transport.abort()
        writer.transport.abort()

    sock = listening_socket(8192)
    server = await asyncio.start_server(relay, sock=sock, limit=8192)
    try:
        yield sock.getsockname()[1]
    finally:
        server.close()


async def pass_on(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await source.read(8192):
            sink.write(data)
            await sink.drain()
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("who", ["client", "server"])
async def test_all_of_an_upload_is_queued_until_the_peer_has_it(who: str, security: dict[str, Any]) -> None:
    seen: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def upload(ws: trunkline.WebSocket) -> None:
        await ws.send(bytes(900_000))
        seen.set_result(life_of(ws).look().queued)

    async def download(ws: trunkline.WebSocket) -> None:
        assert await seen > 800_000

    here, there = (upload, download) if who == "client" else (download, upload)
    async with (
        asyncio.timeout(LIMIT),
        trunkline.serve(there, sock=listening_socket(8192), close_timeout=0.1, **NEVER, **security["serve"]) as server,
        slow_way(server.port) as port,
        trunkline.connect(
            uri_of(security, port),
            sock=connected_socket(port, 8192),
            close_timeout=0.1,
            **NEVER,
            **security["connect"],
        ) as ws,
    ):
        await here(ws)
        assert await seen > 800_000


STEADY = {"ping_interval": 0.4, "ping_timeout": 0.4}
SIZES = {"ws": 900_000, "wss": 2_000_000}  # bytes: they take more than two seconds over the slow way


@pytest.mark.parametrize("who", ["client", "server"])
async def test_an_upload_that_takes_many_timeouts_is_not_killed(who: str, security: dict[str, Any]) -> None:
    """The peer reads throughout and sends nothing; its pongs have to wait until it has read the pings."""
    got: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    size = SIZES[uri_of(security, 1).partition(":")[0]]

    async def upload(ws: trunkline.WebSocket) -> None:
        await ws.send(bytes(size))
        await asyncio.wait([got])
        # It says why we gave up, which the other side does not know. The other side may have said goodbye by now.
        assert ws.close_info is None or ws.close_info.clean
        assert ws.stats().pings_sent >= 2

    async def download(ws: trunkline.WebSocket) -> None:
        try:
            got.set_result(len(await ws.recv()))
        except trunkline.ConnectionClosed as error:
            got.set_exception(error)

    here, there = (upload, download) if who == "client" else (download, upload)
    ours, theirs = (STEADY, NEVER) if who == "client" else (NEVER, STEADY)
    async with (
        asyncio.timeout(LIMIT),
        trunkline.serve(there, sock=listening_socket(8192), max_size=None, **theirs, **security["serve"]) as server,
        slow_way(server.port) as port,
        trunkline.connect(
            uri_of(security, port), max_size=None, sock=connected_socket(port, 8192), **ours, **security["connect"]
        ) as ws,
    ):
        await here(ws)
        assert await got == size


# Connections that die


async def send_until_it_ends(ws: trunkline.WebSocket) -> trunkline.ConnectionClosedError:
    try:
        while True:
            await ws.send(bytes(50_000))
    except trunkline.ConnectionClosedError as error:
        return error


FAULTS = {
    "nothing passes": lambda proxy: proxy.stall(),
    "half open": lambda proxy: proxy.half_open(),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
@pytest.mark.parametrize("inbox", ["empty", "full"])
async def test_a_program_that_only_sends_learns_that_its_line_is_dead(
    inbox: str, fault: Callable[[FaultProxy], None], security: dict[str, Any]
) -> None:
    """The same if it never takes what the other side sends, so that reading is paused."""

    async def talk(ws: trunkline.WebSocket) -> None:
        for _ in range(100 if inbox == "full" else 0):
            await ws.send("so there")
        async for _ in ws:
            pass

    async with (
        asyncio.timeout(LIMIT),
        trunkline.serve(talk, "127.0.0.1", 0, **NEVER, **security["serve"]) as server,
        FaultProxy("127.0.0.1", server.port) as proxy,
        trunkline.connect(
            uri_of(security, proxy.port), proxy=None, close_timeout=LIMIT, **SOON, **security["connect"]
        ) as ws,
    ):
        if inbox == "full":
            await until(lambda: life_of(ws).is_deaf())
        fault(proxy)
        error = await send_until_it_ends(ws)
        assert (error.code, error.initiator) == (1011, "local")
        assert error.category is trunkline.ErrorCategory.TIMEOUT
        await ws.close()  # what is dead does not answer: this does not take close_timeout, which is all we have
        assert ws.transport is None


@pytest.mark.parametrize("who", ["client", "server"])
async def test_an_idle_line_whose_inbox_is_full_is_judged_too(who: str) -> None:
    """It swallows our pings and answers none."""

    async def talk(ws: trunkline.WebSocket) -> None:
        for _ in range(100):
            await ws.send("so there")
        await ws.wait_closed()

    ours, theirs = (SOON, NEVER) if who == "client" else (NEVER, SOON)
    async with (
        asyncio.timeout(LIMIT),
        trunkline.serve(talk, "127.0.0.1", 0, close_timeout=LIMIT, **theirs) as server,
        FaultProxy("127.0.0.1", server.port) as proxy,
        trunkline.connect(f"ws://127.0.0.1:{proxy.port}/", proxy=None, close_timeout=LIMIT, **ours) as here,
    ):
        (there,) = server.connections
        if who == "server":
            for _ in range(100):
                await here.send("so there")
        ws = here if who == "client" else there
        await until(lambda: life_of(ws).is_deaf())
        proxy.lines[0].half_open("both")
        await ws.wait_closed()
        assert ws.close_info is not None
        assert (ws.close_info.code, ws.close_info.initiator) == (1011, "local")
        here.abort()
        there.abort()


async def test_a_line_whose_inbox_is_full_and_whose_peer_answers_is_left_alone() -> None:
    async def talk(ws: trunkline.WebSocket) -> None:
        for _ in range(100):
            await ws.send("so there")
        await ws.wait_closed()

    often = {"ping_interval": 0.05, "ping_timeout": 0.05}
    async with (
        asyncio.timeout(LIMIT),
        trunkline.serve(talk, "127.0.0.1", 0, **NEVER) as server,
        trunkline.connect(f"ws://127.0.0.1:{server.port}/", proxy=None, **often) as ws,
    ):
        (there,) = server.connections
        await until(lambda: life_of(ws).is_deaf())
        await until(lambda: there.stats().pings_received > 30)  # more time than a verdict takes
        assert ws.close_info is None
        assert await ws.recv() == "so there"
