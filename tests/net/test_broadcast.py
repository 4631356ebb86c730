"""One message to many connections, some of which do not read."""

import array
import asyncio
import contextlib
import os
import socket
import tracemalloc
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

import rawpeer
import trunkline
from rawpeer import BINARY, CLOSE, TEXT, Frame, Peer
from trunkline.net.websocket import life_of
from turns import settle, until

pytestmark = pytest.mark.anyio

SMALL = 8192  # bytes of the kernel's buffers, so that a peer that does not read is soon a slow one
LARGE = 2**20
LIMIT = 20  # seconds


def small_socket() -> socket.socket:
    sock = socket.socket()
    for buffer in (socket.SO_SNDBUF, socket.SO_RCVBUF):
        sock.setsockopt(socket.SOL_SOCKET, buffer, SMALL)
    return sock


@contextlib.asynccontextmanager
async def audience(count: int, **options: Any) -> AsyncIterator[tuple[list[trunkline.WebSocket], list[Peer]]]:
    """A server's connections, and the peers at the other ends, which read only when told to."""
    there: list[trunkline.WebSocket] = []

    class Hall(trunkline.Listener):
        def on_open(self, ws: trunkline.WebSocket) -> None:
            there.append(ws)

    sock = small_socket()
    sock.bind(("127.0.0.1", 0))
    sock.listen()
    async with asyncio.timeout(LIMIT), trunkline.serve(listener=Hall, sock=sock, close_timeout=0.2, **options):
        peers = []
        for number in range(count):
            own = small_socket()
            own.connect(sock.getsockname())
            reader, writer = await asyncio.open_connection(sock=own, limit=SMALL)
            peers.append(await rawpeer.request(reader, writer))
            await until(lambda: len(there) > number)  # noqa: B023  # called before the next round
        try:
            yield there, peers
        finally:
            for peer in peers:
                peer.writer.transport.abort()


AT_ONCE: dict[str, Any] = {"limit": 64 * 1024, "patience": 0}  # slow: more than 64 KiB are waiting


async def fill(ws: trunkline.WebSocket) -> None:
    """Send until the connection is slow."""
    while not ws._writing_paused:
        ws.send_nowait(bytes(16384))
        await asyncio.sleep(0)


MESSAGES: dict[str, tuple[Any, Frame]] = {
    "text": ("grüße", Frame(TEXT, "grüße".encode())),
    "bytes": (b"\0\xff", Frame(BINARY, b"\0\xff")),
    "nothing": ("", Frame(TEXT, b"")),
    "a bytearray": (bytearray(b"ab"), Frame(BINARY, b"ab")),
    "a memoryview": (memoryview(b"abcd")[1:3], Frame(BINARY, b"bc")),
    "an array": (array.array("H", [1]), Frame(BINARY, array.array("H", [1]).tobytes())),
    "text that the socket does not take at once": ("é" * 15_000, Frame(TEXT, "é".encode() * 15_000)),
    "large text": ("é" * 30_000, Frame(TEXT, "é".encode() * 30_000)),
}


@pytest.mark.parametrize(("message", "frame"), MESSAGES.values(), ids=MESSAGES)
async def test_every_kind_of_message(message: Any, frame: Frame) -> None:
    async with audience(3) as (there, peers):
        result = trunkline.broadcast(there, message)
        assert [await peer.frame() for peer in peers] == [frame] * 3
        assert (result.sent, result.dropped, result.closed, result.waiting) == (3, 0, 0, 0)
        assert await result is result
        assert [ws.stats().messages_sent for ws in there] == [1] * 3


async def test_what_one_turn_broadcasts_leaves_in_one_write() -> None:
    async with audience(3) as (there, peers):
        for number in range(10):
            trunkline.broadcast(there, f"{number}")
        there[0].send_nowait("own")
        wanted = [Frame(TEXT, b"%d" % number) for number in range(10)]
        assert await peers[0].frames(11) == [*wanted, Frame(TEXT, b"own")]
        assert await peers[1].frames(10) == wanted
        assert [ws.stats().writes for ws in there] == [1] * 3


NEXT: dict[str, tuple[Callable[[trunkline.WebSocket], object], Frame]] = {
    "a message": (lambda ws: ws.send_nowait("own"), Frame(TEXT, b"own")),
    "several messages": (lambda ws: ws.send_many(["own"]), Frame(TEXT, b"own")),
    "a large message": (lambda ws: ws.send_nowait(bytes(LARGE)), Frame(BINARY, bytes(LARGE))),
    "a large broadcast": (lambda ws: trunkline.broadcast([ws], bytes(LARGE)), Frame(BINARY, bytes(LARGE))),
    "the close frame": (lambda ws: ws.start_closing(1000), Frame(CLOSE, b"\x03\xe8")),
}


@pytest.mark.parametrize(("send", "frame"), NEXT.values(), ids=NEXT)
@pytest.mark.parametrize("first", [True, False], ids=["first", "after a message"])
async def test_what_is_sent_after_a_broadcast_follows_it(
    first: bool, send: Callable[[trunkline.WebSocket], object], frame: Frame
) -> None:
    async with audience(1) as (there, [peer]):
        wanted = [Frame(TEXT, b"news"), frame]
        if not first:
            there[0].send_nowait("before")
            wanted.insert(0, Frame(TEXT, b"before"))
        trunkline.broadcast(there, "news")
        send(there[0])
        assert await peer.frames(len(wanted)) == wanted


async def test_any_iterable_and_only_what_is_open() -> None:
    async with audience(4) as (there, peers):
        there[2].start_closing()
        there[3].abort()
        assert trunkline.broadcast((ws for ws in there if ws is not there[0]), "x").sent == 1
        assert trunkline.broadcast(set(there) - {there[1]}, "y").sent == 1
        assert await peers[1].frame() == Frame(TEXT, b"x")
        assert await peers[0].frame() == Frame(TEXT, b"y")
        assert (await peers[2].frame()).opcode == CLOSE


async def test_clients_mask_each_with_keys_of_its_own(raw_server: Callable[..., Any]) -> None:
    got: list[list[Frame]] = []

    async def script(peer: Peer) -> None:
        got.append(await peer.frames(2))  # a Peer checks that what it reads is masked

    async with raw_server(script) as uri:
        clients = [await trunkline.connect(uri) for _ in range(2)]
        for message in ("small", bytes(40_000)):
            assert trunkline.broadcast(clients, message).sent == 2
        await until(lambda: len(got) == 2)
        for ws in clients:
            ws.abort()
    assert got == [[Frame(TEXT, b"small"), Frame(BINARY, bytes(40_000))]] * 2


# Slow ones


async def test_a_slow_one_is_closed_and_the_others_notice_nothing() -> None:
    async with audience(3) as (there, peers):
        await fill(there[1])
        result = trunkline.broadcast(there, "news", **AT_ONCE)
        assert (result.sent, result.closed, result.dropped) == (2, 1, 0)
        assert there[1].close_info == trunkline.Close(1013, "reads too slowly", False, "local")
        assert [ws.stats().messages_dropped for ws in there] == [0, 1, 0]
        assert [await peer.frame() for peer in (peers[0], peers[2])] == [Frame(TEXT, b"news")] * 2
        await there[1].wait_closed()  # by close_timeout, since the peer reads nothing
        assert trunkline.broadcast(there, "more").sent == 2


async def test_a_slow_one_loses_messages_and_the_count_says_so() -> None:
    async with audience(2) as (there, peers):
        await fill(there[1])
        results = [trunkline.broadcast(there, f"{number}", slow="drop", **AT_ONCE) for number in range(3)]
        assert [(result.sent, result.dropped) for result in results] == [(1, 1)] * 3
        assert [ws.stats().messages_dropped for ws in there] == [0, 3]
        assert await peers[0].frames(3) == [Frame(TEXT, b"%d" % number) for number in range(3)]
        while there[1]._writing_paused:
            await peers[1].frame()
        trunkline.broadcast(there, "end", slow="drop", **AT_ONCE)
        while await peers[1].frame() != Frame(TEXT, b"end"):
            pass


async def test_a_slow_one_is_waited_for_and_the_others_are_not() -> None:
    async with audience(2) as (there, peers):
        await fill(there[1])
        message = bytearray(b"news")
        result = trunkline.broadcast(there, message, slow="wait")
        message[:] = b"else"
        assert (result.sent, result.waiting) == (1, 1)
        waiting = asyncio.ensure_future(result._finish())
        assert await peers[0].frame() == Frame(BINARY, b"news")
        assert not waiting.done()
        while await peers[1].frame() != Frame(BINARY, b"news"):
            pass
        assert (await waiting, result.sent, result.waiting) == (result, 2, 0)
        assert [ws.stats().messages_dropped for ws in there] == [0, 0]


async def test_whoever_does_not_wait_keeps_nothing_waiting() -> None:
    async with audience(1) as (there, _):
        await fill(there[0])
        tasks = len(asyncio.all_tasks())
        waiting = there[0]._waiting
        for _ in range(1000):
            assert trunkline.broadcast(there, bytes(1000), slow="wait").waiting == 1
        await settle()
        assert len(asyncio.all_tasks()) == tasks
        assert there[0]._waiting <= waiting  # the kernel may have taken some meanwhile


async def test_one_that_goes_while_it_is_waited_for() -> None:
    async with audience(1) as (there, _):
        await fill(there[0])
        waiting = asyncio.ensure_future(trunkline.broadcast(there, "news", slow="wait")._finish())
        await settle()
        there[0].abort()
        assert (await waiting).sent == 0


@pytest.mark.parametrize("slow", ["close", "drop"])
@pytest.mark.parametrize(
    ("options", "limit", "most"),
    [
        ({"write_limit": 200_000}, {"patience": 0}, 200_000),
        ({"write_limit": 200_000}, {"limit": 100_000, "patience": 0}, 100_000),
        ({"write_limit": 100_000}, {"limit": 300_000, "patience": 0}, 300_000),
        ({"write_limit": 30_000}, {"limit": 20_000}, 16 * 20_000),  # whatever the patience
        ({"write_limit": 20_000}, {}, 16 * 20_000),
    ],
    ids=["the write_limit", "less", "more", "a burst", "a burst by the write_limit"],
)
async def test_what_waits_for_slow_ones_is_bounded(slow: Any, options: Any, limit: Any, most: int) -> None:
    """It is closed, or misses messages, once more than that is waiting, and not before."""
    async with audience(3, **options) as (there, _):
        seen = 0
        while not all(ws.stats().messages_dropped for ws in there):
            assert seen <= most + 3 * 10_000
            trunkline.broadcast(there, bytes(10_000), slow=slow, **limit)
            seen = max(seen, *(ws._waiting for ws in there))
            await asyncio.sleep(0)
        assert most - 10_000 < seen <= most + 3 * 10_000


async def test_a_burst_closes_nobody_who_reads() -> None:
    """Eight messages of 1 MB in one turn: nobody could have read them by then."""
    got: list[int] = []

    async def read(uri: str) -> None:
        async with trunkline.connect(uri, proxy=None, max_size=None) as ws:
            got.append(sum([len(await ws.recv()) for _ in range(8)]))

    async with asyncio.timeout(LIMIT), trunkline.serve(trunkline.WebSocket.wait_closed, "127.0.0.1", 0) as server:
        reading = [asyncio.ensure_future(read(f"ws://127.0.0.1:{server.port}/")) for _ in range(4)]
        await until(lambda: len(server.connections) == 4)
        results = [trunkline.broadcast(server.connections, bytes(1_000_000)) for _ in range(8)]
        assert [(result.sent, result.closed) for result in results] == [(4, 0)] * 8
        await asyncio.gather(*reading)
    assert got == [8_000_000] * 4


async def test_a_burst_behind_a_message_that_a_thread_compresses_closes_nobody() -> None:
    message = os.urandom(600_000) + bytes(400_000)
    async with (
        asyncio.timeout(LIMIT),
        trunkline.serve(trunkline.WebSocket.wait_closed, "127.0.0.1", 0, compression="deflate") as server,
        trunkline.connect(
            f"ws://127.0.0.1:{server.port}/", proxy=None, compression="deflate", max_size=None, max_queue=None
        ) as ws,
    ):
        (there,) = server.connections
        sending = asyncio.ensure_future(life_of(there).send_slowly(message, None))
        await until(lambda: life_of(there).queue._is_taken)
        results = [trunkline.broadcast([there], message) for _ in range(8)]
        assert [(result.sent, result.closed) for result in results] == [(1, 0)] * 8
        await sending
        assert [await ws.recv() == message for _ in range(9)] == [True] * 9
        assert there.close_info is None


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"limit": 0}, "limit is 0, must be 1 or more"),
        ({"limit": 1.5}, r"limit is 1\.5, must be a whole number"),
        ({"limit": True}, "limit is True, must be a whole number"),
        ({"limit": "5"}, "limit is '5', must be a whole number"),
        ({"patience": -1}, "patience is -1, must"),
        ({"patience": float("nan")}, "patience is nan, must"),
        ({"patience": "1"}, "patience is '1', must"),
        ({"patience": None}, "patience is None, must"),
        ({"patience": True}, "patience is True, must"),
    ],
    ids=repr,
)
async def test_a_limit_and_a_patience_that_cannot_be(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        trunkline.broadcast([], "x", **options)


async def test_a_fragmented_message_under_way_is_no_reason_to_close() -> None:
    go_on = asyncio.Event()

    async def parts() -> AsyncIterator[str]:
        yield "a"
        await go_on.wait()
        yield "b"

    async with audience(1) as (there, peers):
        sending = asyncio.ensure_future(life_of(there[0]).send_slowly(parts(), None))
        await until(lambda: there[0]._is_unfinished)
        assert (trunkline.broadcast(there, "x").closed, trunkline.broadcast(there, "x").dropped) == (0, 1)
        later = asyncio.ensure_future(trunkline.broadcast(there, "later", slow="wait")._finish())
        go_on.set()
        await sending
        assert (await later).sent == 1
        assert [frame.payload for frame in await peers[0].frames(4)] == [b"a", b"b", b"", b"later"]


async def test_a_large_message_is_kept_once_for_all_who_do_not_take_it() -> None:
    async with audience(20) as (there, peers):
        message = bytes(LARGE)
        tracemalloc.start()
        try:
            assert trunkline.broadcast(there, message).sent == 20
            await settle()
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert min(ws._waiting for ws in there) > LARGE // 2, "the kernel has taken little of it"
        assert peak < 4 * LARGE, "a frame, and some pieces"
        frame = await peers[7].frame()
        assert (frame.opcode, frame.payload == message) == (BINARY, True)


# What is refused, with nothing sent


async def test_what_cannot_be_broadcast() -> None:
    async with audience(1) as (there, peers):
        for message in (5, None, ["a"]):
            with pytest.raises(TypeError):
                trunkline.broadcast(there, message)  # type: ignore[arg-type]
        with pytest.raises(trunkline.LocalProtocolError, match="text is not Unicode at index 1"):
            trunkline.broadcast(there, "a\ud800")
        with pytest.raises(ValueError, match="slow is 'maybe', must be"):
            trunkline.broadcast(there, "a", slow="maybe")  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="a connection is a WebSocket, not str"):
            trunkline.broadcast([there[0], "x"], "a")  # type: ignore[list-item]
        trunkline.broadcast(there, "good")
        assert await peers[0].frame() == Frame(TEXT, b"good")


async def test_connections_of_another_loop_are_refused() -> None:
    async with audience(1) as (there, peers):

        def elsewhere() -> None:
            async def cast() -> None:
                with pytest.raises(ValueError, match="a connection belongs to another event loop"):
                    trunkline.broadcast(there, "bad")

            asyncio.run(cast())
            with pytest.raises(trunkline.WrongThread, match="broadcast was used outside of"):
                trunkline.broadcast(there, "bad")

        await asyncio.to_thread(elsewhere)
        trunkline.broadcast(there, "good")
        assert await peers[0].frame() == Frame(TEXT, b"good")
