"""What is kept after its connection is gone, and what is dropped on its way: the memory belongs to whoever uses it.

Without a sanitizer these see that the bytes are right; with one, also that each byte is still there.
"""

import asyncio
import gc
import socket

import pytest

import trunkline
from rawframes import build
from rawlink import Line
from trunkline import Deflate

pytestmark = pytest.mark.anyio

SIZES = [0, 1, 125, 126, 5_000, 65_536, 300_000, 900_000]


def payload(size: int, *, text: bool) -> str | bytes:
    whole = "für alle " * (size // 9 + 1) if text else bytes(range(256)) * (size // 256 + 1)
    return whole[:size]


class Keeper(trunkline.Listener):
    """Keeps every message it gets, until it has `count` of them."""

    def __init__(self, count: int) -> None:
        self.messages: list[str | bytes] = []
        self.done = asyncio.Event()
        self._count = count

    def on_message(self, ws: trunkline.WebSocket, message: str | bytes) -> None:
        self.messages.append(message)
        if len(self.messages) == self._count:
            self.done.set()


@pytest.mark.parametrize("compression", [None, Deflate()], ids=["plain", "deflate"])
async def test_messages_outlive_their_connection(compression: Deflate | None) -> None:
    expected = [payload(size, text=text) for size in SIZES for text in (True, False)]
    keepers: list[Keeper] = []

    def listener() -> Keeper:
        keepers.append(Keeper(len(expected)))
        return keepers[-1]

    async with asyncio.timeout(60):
        async with trunkline.serve(
            listener=listener, host="127.0.0.1", port=0, compression=compression, max_size=2**20, write_limit=2**24
        ) as server:
            for _ in range(3):  # later connections are received into the memory that the loop keeps
                ws = await trunkline.connect(f"ws://127.0.0.1:{server.port}", compression=compression)
                for size in SIZES:
                    for text in (True, False):
                        await ws.send(payload(size, text=text))  # a new object, dropped at once
                await keepers[-1].done.wait()
                ws.abort()
        gc.collect()
        for keeper in keepers:
            assert keeper.messages == expected


def test_a_room_that_is_kept_is_not_received_into_again() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        got: list[bytes] = []
        line = Line(ours, theirs)
        line.link._listen(lambda link, message: got.append(message), None)
        rooms = []
        for byte in (b"a", b"b", b"c"):
            frame = build(2, byte * 200_000)
            line.link.data_received(frame[:100_000])
            rooms.append(line.link.get_buffer(-1))
            rest = frame[100_000:]
            rooms[-1][: len(rest)] = rest  # still masked: the decoder unmasks it in place
            line.link.buffer_updated(len(rest))
        line.link._detach()
        del line
        gc.collect()
        assert got == [byte * 200_000 for byte in (b"a", b"b", b"c")]
        assert [bytes(room[-3:]) for room in rooms] == [b"aaa", b"bbb", b"ccc"]


async def test_a_thread_compresses_and_inflates_for_connections_that_are_gone() -> None:
    compression = Deflate(off_thread=1000)
    message = "the same words, and the same words again " * 25_000  # for a thread, in both directions
    keeper = Keeper(10**6)
    async with asyncio.timeout(60):
        async with trunkline.serve(
            listener=lambda: keeper, host="127.0.0.1", port=0, compression=compression, max_size=2**21
        ) as server:
            for turns in range(12):
                ws = await trunkline.connect(f"ws://127.0.0.1:{server.port}", compression=compression)
                sending = asyncio.ensure_future(ws.send(message))
                for _ in range(turns):
                    await asyncio.sleep(0)
                ws.abort()
                await asyncio.wait([sending])
                assert sending.exception() is None or isinstance(sending.exception(), trunkline.ConnectionClosed)
                del ws, sending
                gc.collect()
        assert set(keeper.messages) <= {message}
