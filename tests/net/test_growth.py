"""Nothing grows: after a thousand repetitions of an operation there is as much memory in use as before.

We count the bytes of Python's allocators (tracemalloc), which include what the garbage collector does not know, such as
batches, masking keys and histograms; and references to shared objects, such as None. Each operation makes new
arguments, so that a reference that is never dropped shows.
"""

import asyncio
import contextlib
import gc
import itertools
import sys
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest
from wsproto.connection import ConnectionState
from wsproto.events import AcceptConnection, BytesMessage, CloseConnection, Ping, Request, TextMessage

import trunkline
from handlers import echo
from rawframes import build
from trunkline import _batch, _frames, _kernels, _metrics
from trunkline.protocol import CLIENT, SERVER, Connection, ConnectionType, WSConnection

ALLOWED = 16  # bytes, less than the smallest object has; the samples themselves take some
WINDOWS = 4  # each is measured; what a cache takes once is in one of them, a leak in all
SHARED = (None, True, False, b"", "", 0, ConnectionState.OPEN, ConnectionState.CLOSED)

numbers = itertools.count(10**9)  # numbers, texts and bytes that nobody else has


def held() -> tuple[int, list[int]]:
    """Bytes allocated, and references to shared objects."""
    gc.collect()
    return tracemalloc.get_traced_memory()[0], [sys.getrefcount(one) for one in SHARED]


@contextlib.contextmanager
def traced() -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
    finally:
        tracemalloc.stop()


def check(samples: list[tuple[int, list[int]]], times: int) -> None:
    """Fail if every window has left ALLOWED bytes, or half a reference, per operation."""
    steps = list(itertools.pairwise(samples))
    growth = min(after[0] - before[0] for before, after in steps)
    assert growth < ALLOWED * times, f"{growth / times:.1f} bytes are left of each time"
    for index, one in enumerate(SHARED):
        more = min(after[1][index] - before[1][index] for before, after in steps)
        assert more < times // 2, f"{more} references to {one!r} are left of {times} times"
        fewer = max(after[1][index] - before[1][index] for before, after in steps)
        assert fewer > -times // 2, f"{-fewer} references to {one!r} too many were dropped in {times} times"


# Without a loop

MEMORY: dict[str, Callable[[], object]] = {}


def counted(function: Callable[[], object]) -> Callable[[], object]:
    MEMORY[function.__name__.replace("_", " ")] = function
    return function


def fresh(size: int = 40) -> bytes:
    return b"%d" % next(numbers) + bytes(size)


@counted
def decode() -> None:
    for masked in (False, True):
        decoder = _frames.Decoder(not masked)
        frames = [build(opcode, fresh(), masked=masked) for opcode in (1, 2, 9, 10)]
        assert len(decoder.feed(b"".join(frames) + build(8, b"\x03\xe8bye", masked=masked))) == 5


@counted
def decode_in_pieces() -> None:
    decoder = _frames.Decoder(False)
    data = build(1, fresh(), fin=False) + build(9, fresh()) + build(0, fresh(300))
    for at in range(0, len(data), 50):
        decoder.feed(data[at : at + 50])
    decoder.feed(data[:20])  # and one that is never whole


@counted
def decode_a_fault() -> None:
    for bad in (build(3, fresh()), build(1, b"\xff" + fresh()), build(2, fresh(2000))):
        decoder = _frames.Decoder(False, max_size=1000)
        decoder.feed(build(1, fresh()) + bad)
        assert decoder.fault is not None
        assert repr(decoder.fault)


@counted
def encode() -> None:
    for client in (False, True):
        encoder = _batch.Encoder(client)
        encoder.messages([str(next(numbers)), fresh(), bytearray(fresh()), memoryview(fresh(70_000))])
        encoder.frame(9, fresh())


@counted
def encode_what_cannot_be() -> None:
    encoder = _batch.Encoder(True)
    for bad in (next(numbers), "\ud800", None):
        with contextlib.suppress(TypeError, ValueError, trunkline.LocalProtocolError):
            encoder.messages([fresh(), bad])  # type: ignore[list-item]


@counted
def mask_and_check() -> None:
    _kernels.mask(fresh(), b"\1\2\3\4", 3)
    _kernels.utf8_fault(fresh())
    _kernels.utf8_fault(fresh() + b"\xff")
    _batch.MaskingKeys()


@counted
def record() -> None:
    histogram = _metrics.Histogram()
    for seconds in (1e-6, 0.001, 1.5, 10_000.0):
        histogram.record(seconds)
    other = histogram.copy()
    other.merge(histogram)
    assert (other.count, other.count_within(1.0) > 0, len(other.buckets()) > 0) == (8, True, True)
    assert None not in (other.quantile(0.5), other.sum, other.minimum, other.maximum, other.mean)
    other.clear()
    assert other.minimum is None


@counted
def rate() -> None:
    rates, window = _metrics.Rates(float(next(numbers))), _metrics.Window(1.0, 0.0)
    rates.add(float(next(numbers)), next(numbers))
    assert len(rates.per_second(float(next(numbers)))) == len(rates.totals(1.0)) == 3
    assert (rates.total > 0, window.total(5.0), window.rate(5.0)) == (True, 0, 0.0)
    average, suspicion = _metrics.Average(), _metrics.Suspicion()
    for _ in range(3):
        average.record(float(next(numbers)))
        suspicion.record(float(next(numbers)))
    assert suspicion.phi(1e12) >= 0
    suspicion.forget()


@counted
def events() -> None:
    client, server = Connection(ConnectionType.CLIENT), Connection(ConnectionType.SERVER)
    sent = [TextMessage(str(next(numbers))), BytesMessage(fresh()), BytesMessage(fresh(), message_finished=False)]
    for event in [*sent, Ping(fresh()), CloseConnection(1000, str(next(numbers)))]:
        server.receive_data(client.send(event))
    assert len(list(server.events())) == 5


@counted
def shake_hands() -> None:
    client, server = WSConnection(CLIENT), WSConnection(SERVER)
    server.receive_data(client.send(Request(host="h.example", target=f"/{next(numbers)}")))
    assert isinstance(next(iter(server.events())), Request)
    client.receive_data(server.send(AcceptConnection()))
    assert isinstance(next(iter(client.events())), AcceptConnection)


@pytest.mark.parametrize("operation", MEMORY.values(), ids=MEMORY)
def test_without_a_loop(operation: Callable[[], object]) -> None:
    times = 200
    with traced():
        samples = []
        for window in range(WINDOWS + 1):
            for _ in range(times if window else 50):
                operation()
            samples.append(held())
    check(samples, times)


# On a connection

LINE: dict[str, Callable[[trunkline.WebSocket, trunkline.WebSocket], Awaitable[object]]] = {}


def on_a_line(function: Any) -> Any:
    LINE[function.__name__.replace("_", " ")] = function
    return function


@on_a_line
async def send_and_recv(client: trunkline.WebSocket, server: trunkline.WebSocket) -> None:
    sent = [str(next(numbers)), fresh(), bytearray(fresh()), [fresh(), fresh()], fresh(70_000)]
    for here, there in ((client, server), (server, client)):
        for message in sent:
            await here.send(message)
            assert await there.recv()
        here.send_nowait(fresh())
        here.send_many([fresh(), str(next(numbers))])
        for _ in range(3):
            await anext(there)


@on_a_line
async def take_batches(client: trunkline.WebSocket, server: trunkline.WebSocket) -> None:
    client.send_many([fresh() for _ in range(5)])
    got = 0
    while got < 5:
        got += len(await anext(server.batches()))


@on_a_line
async def ping(client: trunkline.WebSocket, server: trunkline.WebSocket) -> None:
    await asyncio.gather(client.ping(), server.ping(fresh()), client.ping(b""))


@on_a_line
async def broadcast(client: trunkline.WebSocket, server: trunkline.WebSocket) -> None:
    for message in (fresh(), str(next(numbers)), fresh(70_000)):
        assert trunkline.broadcast([client, server], message).sent == 2
        await asyncio.gather(client.recv(), server.recv())


@on_a_line
async def cancel(client: trunkline.WebSocket, server: trunkline.WebSocket) -> None:
    tasks = [asyncio.create_task(wait(ws.recv())) for ws in (client, server)]
    tasks += [asyncio.create_task(wait(ws.ping(fresh()))) for ws in (client, server)]
    await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    await client.ping()


async def wait(awaitable: Awaitable[object]) -> object:
    return await awaitable


@on_a_line
async def refuse(client: trunkline.WebSocket, server: trunkline.WebSocket) -> None:
    for bad in ("\ud800", next(numbers), [fresh(), next(numbers)]):
        with contextlib.suppress(TypeError, trunkline.LocalProtocolError):
            client.send_many([fresh(), bad])  # type: ignore[list-item]
    with contextlib.suppress(trunkline.LocalProtocolError):
        await client.ping(fresh(200))


@on_a_line
async def look(client: trunkline.WebSocket, server: trunkline.WebSocket) -> None:
    assert client.stats().bytes_sent >= 0
    assert repr(server)
    assert server.moved()


async def measure(operation: Callable[[], Awaitable[object]], times: int) -> None:
    with traced():
        samples = []
        for window in range(WINDOWS + 1):
            for _ in range(times if window else 10):
                await operation()
            for _ in range(20):
                await asyncio.sleep(0)  # what was closed last goes in these turns
            samples.append(held())
    check(samples, times)


def uri(server: trunkline.Server) -> str:
    return f"ws://127.0.0.1:{server.port}/"


@contextlib.asynccontextmanager
async def ends(**options: Any) -> AsyncIterator[tuple[trunkline.WebSocket, trunkline.WebSocket]]:
    """A client and its server's end."""
    serving = trunkline.serve(trunkline.WebSocket.wait_closed, "127.0.0.1", 0, **options)
    async with asyncio.timeout(120), serving as server, trunkline.connect(uri(server), **options) as client:
        (there,) = server.connections
        yield client, there


@pytest.mark.anyio
@pytest.mark.parametrize("compression", [None, "deflate", "threads"])
@pytest.mark.parametrize("operation", LINE.values(), ids=LINE)
async def test_on_a_line(operation: Any, compression: str | None) -> None:
    settings = trunkline.Deflate(threshold=0, off_thread=10_000) if compression == "threads" else compression
    async with ends(compression=settings, ping_interval=None) as (client, server):
        await measure(lambda: operation(client, server), 200)


@pytest.mark.anyio
async def test_a_managed_line() -> None:
    async with asyncio.timeout(60), trunkline.serve(echo, "127.0.0.1", 0) as server:
        outbox = trunkline.manager.OutboxPolicy(confirm=0.001)
        service: Any = trunkline.Service(
            "echo", uri(server), sends=dict, receives=dict, correlate=("id", "id"), outbox=outbox
        )
        async with trunkline.ConnectionManager([service]) as manager:
            line = await manager.connect(service)

            async def act() -> None:
                assert await line.request({"id": None, "text": str(next(numbers))})
                async with manager.lease(service) as leased:
                    await leased.send({"text": str(next(numbers))}, confirm=True)
                    assert await anext(leased)
                with contextlib.suppress(trunkline.TrunklineError, TypeError):
                    await line.send({"text": object()})  # cannot be encoded
                assert len(manager.health()) == 1

            await measure(act, 600)  # asyncio drops timers that were cancelled when most of its timers were
