"""Several event loops in threads of one process: servers on one port, clients that come and go, and observers.

Each loop has its own state, so nothing may be lost, mixed up, counted twice or left behind, with and without the GIL.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator

import pytest

import trunkline
from loops import RunningLoop, has_lock, is_free_threaded, meanwhile, running
from turns import until

SERVERS, CLIENTS, LINES, ROUNDS, BROADCASTS = 3, 2, 9, 3, 60
HANDED_ON = trunkline.Deflate(off_thread=20_000)  # bytes from which a thread inflates and compresses
MESSAGES: list[str | bytes] = [
    "short",
    "Ж" * 300,
    b"\x00\xff" * 2_000,
    "long " * 4_000,
    bytes(range(256)) * 300,  # received straight into its body
    b"",
    "x" * 60_000,
]

pytestmark = pytest.mark.posix  # servers on one port


@pytest.fixture(autouse=True)
def gil(hasty: None) -> Iterator[None]:
    yield
    assert has_lock() is not is_free_threaded(), "something has turned the GIL on"


async def echo(ws: trunkline.WebSocket) -> None:
    ws.data.seen = 0
    async for message in ws:
        ws.data.seen += 1
        await ws.send(message)


async def start(handler: object, port: int, **options: object) -> trunkline.Server:
    return await trunkline.serve(handler, "127.0.0.1", port, reuse_port=True, ping_interval=0.01, **options)


@contextlib.contextmanager
def serving(loops: list[RunningLoop], handler: object, **options: object) -> Iterator[list[trunkline.Server]]:
    """A server in each loop, all on one port."""
    servers: list[trunkline.Server] = []
    try:
        for loop in loops:
            servers.append(loop.do(start(handler, servers[0].port if servers else 0, **options)))
        yield servers
    finally:
        for loop, server in zip(loops, servers, strict=False):
            loop.do(close(server))


async def close(server: trunkline.Server) -> None:
    await server.close()


class Onlooker:
    """Ask for everything that any thread may ask for, and compare it with the last answer."""

    def __init__(self, servers: list[trunkline.Server]) -> None:
        self._servers = servers
        self._before = [server.health() for server in servers]

    def __call__(self) -> None:
        for index, server in enumerate(self._servers):
            before, now = self._before[index], server.health()
            assert now.opened >= before.opened
            for name in ("messages_received", "messages_sent", "bytes_received", "inflated_bytes_received"):
                assert getattr(now.stats, name) >= getattr(before.stats, name), name
            assert now.latencies.count == sum(count for _, count in now.latencies.buckets())
            self._before[index] = now
            for ws in server.connections:
                assert ws.stats().messages_received >= ws.data.__dict__.get("seen", 0) - len(MESSAGES)
                assert repr(ws)
                assert ws.remote_address is None or ws.remote_address[0] == "127.0.0.1"
                assert ws.state, ws.latency or ws.close_code or ws.is_writable or ws.transport


async def talk(port: int, number: int, **options: object) -> int:
    """Send messages and check the echoes, then leave as politely as the number says. Return how many were sent."""
    said = 0
    for turn in range(ROUNDS):
        async with asyncio.timeout(60):
            ws = await trunkline.connect(f"ws://127.0.0.1:{port}/", ping_interval=0.01, **options)
            for message in MESSAGES:
                await ws.send(message)
                assert await ws.recv() == message
                said += 1
            await ws.ping()
            if (number + turn) % 3:
                await ws.close()
            else:
                ws.abort()
            await ws.wait_closed()
    return said


async def talk_all(port: int, **options: object) -> int:
    return sum(await asyncio.gather(*(talk(port, number, **options) for number in range(LINES))))


@pytest.mark.parametrize("compression", [None, HANDED_ON], ids=["plain", "deflate"])
def test_loops_that_share_a_port_lose_nothing(
    factory: Callable[[], asyncio.AbstractEventLoop], compression: trunkline.Deflate | None
) -> None:
    threads = threading.active_count()
    with running(SERVERS + CLIENTS, factory) as loops, serving(loops[:SERVERS], echo, compression=compression) as them:
        with meanwhile(Onlooker(them), Onlooker(them)):
            talking = [loop.begin(talk_all(them[0].port, compression=compression)) for loop in loops[SERVERS:]]
            said = sum(one.result(120) for one in talking)
            for loop, server in zip(loops, them, strict=False):
                loop.do(until(lambda server=server: not server.connections))
        assert said == CLIENTS * LINES * ROUNDS * len(MESSAGES)
        reports = [server.health() for server in them]
        assert all(report.opened for report in reports)
        assert sum(report.opened for report in reports) == CLIENTS * LINES * ROUNDS
        assert sum(report.stats.messages_received for report in reports) == said
        assert sum(report.stats.messages_sent for report in reports) == said
        assert sum(report.stats.pings_received for report in reports) >= CLIENTS * LINES * ROUNDS
        assert sum(report.stats.errors for report in reports) == 0
    assert threading.active_count() == threads


class Collect(trunkline.Listener):
    def __init__(self) -> None:
        self.got: list[str | bytes] = []

    def on_message(self, ws: trunkline.WebSocket, message: str | bytes) -> None:
        self.got.append(message)


async def wait_greeted(ws: trunkline.WebSocket) -> None:
    await ws.wait_closed()


async def listen(port: int) -> list[Collect]:
    made = [Collect() for _ in range(LINES)]
    for one in made:
        await trunkline.connect(f"ws://127.0.0.1:{port}/", listener=one)
    return made


async def broadcast_all(server: trunkline.Server, number: int) -> tuple[int, int]:
    """Return how many of the connections that are named "kept" it was sent to, and how many there are."""
    sent = 0
    kept = [ws for ws in server.connections if ws.request.path == "/"]
    for index in range(BROADCASTS):
        sent += trunkline.broadcast(kept, f"{number} {index}").sent
        trunkline.broadcast([ws for ws in server.connections if ws.request.path != "/"], b"!" * 40_000)
        await asyncio.sleep(0)
    return sent, len(kept)


async def come_and_go(port: int) -> None:
    for number in range(LINES * ROUNDS):
        ws = await trunkline.connect(f"ws://127.0.0.1:{port}/passing")
        await ws.recv() if number % 2 else ws.abort()
        await ws.close()


def test_broadcasts_reach_whoever_is_connected_while_others_come_and_go(
    factory: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    with running(SERVERS + CLIENTS, factory) as loops, serving(loops[:SERVERS], wait_greeted) as servers:
        port = servers[0].port
        listeners = [loop.do(listen(port)) for loop in loops[SERVERS:]]
        wanted = CLIENTS * LINES
        for loop in loops[:SERVERS]:
            loop.do(until(lambda: sum(len(server.connections) for server in servers) == wanted))
        with meanwhile(Onlooker(servers)):
            passing = [loop.begin(come_and_go(port)) for loop in loops[SERVERS:]]
            pairs = list(zip(loops, servers, strict=False))
            telling = [loop.begin(broadcast_all(server, number)) for number, (loop, server) in enumerate(pairs)]
            told = [one.result(120) for one in telling]
            while not all(one.done() for one in passing):  # they wait for a broadcast
                for loop, server in pairs:
                    loop.do(broadcast_passing(server))
            for one in passing:
                one.result(120)
        assert sum(kept for _, kept in told) == wanted
        assert [sent for sent, _ in told] == [BROADCASTS * kept for _, kept in told]
        for loop, made in zip(loops[SERVERS:], listeners, strict=True):
            loop.do(until(lambda made=made: all(len(one.got) == BROADCASTS for one in made)))
            for one in made:
                assert one.got == [f"{str(one.got[0]).split()[0]} {index}" for index in range(BROADCASTS)]


async def broadcast_passing(server: trunkline.Server) -> None:
    trunkline.broadcast([ws for ws in server.connections if ws.request.path != "/"], "go")


def test_a_thread_that_is_not_the_loop_s_is_told_so_however_busy_the_loop_is(
    factory: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    refused = 0

    async def dial(port: int) -> trunkline.WebSocket:
        return await trunkline.connect(f"ws://127.0.0.1:{port}/")

    async def send_all(ws: trunkline.WebSocket) -> None:
        for number in range(3_000):
            await ws.send(str(number))
            assert await ws.recv() == str(number)
        await ws.close()

    with running(2, factory) as (serving_loop, calling_loop), serving([serving_loop], echo) as (server,):
        ws = calling_loop.do(dial(server.port))

        acts = [lambda: ws.send_nowait("x"), lambda: ws.send_many(["x"]), lambda: trunkline.broadcast([ws], "x")]

        def intrude() -> None:
            nonlocal refused
            for act in acts:
                with pytest.raises(trunkline.WrongThread):
                    act()
                refused += 1

        with meanwhile(intrude):
            calling_loop.do(send_all(ws))
        assert refused
        assert ws.stats().messages_sent == 3_000
        assert server.health().stats.messages_received == 3_000
