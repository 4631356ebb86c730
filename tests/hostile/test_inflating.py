"""What a peer can have one connection do in one turn of the loop, in the units of that work: bytes inflated, bytes of
payload, calls of the decompressor, bytes of text beyond ASCII. And what it can have one connection hold.
"""

import asyncio
import ssl
from collections.abc import Callable
from typing import Any

import pytest

import trunkline
from rawframes import deflate
from rawpeer import BINARY, CONTINUATION, TEXT, Peer, request
from trunkline.protocol.backends import Backend, find_backend
from turns import settle, until

MIB = 2**20
# The bounds of a turn: see docs/limits.md. Each may be exceeded by one call: 32 KiB inflated, 4 KiB of payload.
INFLATED = 256 * 1024 + 32 * 1024
DEFLATED = 8 * 1024 + 4 * 1024
CALLS = 1024 + 8
WIDE = 512 * 1024 + 256 * 1024  # and one read
INBOX = 2 * MIB

OFFER = b"Sec-WebSocket-Extensions: permessage-deflate\r\n"


class Work:
    """A back end that counts what its decompressors do."""

    name = "counting"

    def __init__(self, real: Backend) -> None:
        self.error, self.compressor = real.error, real.compressor
        self.decompressor = lambda bits: Counted(self, real.decompressor(bits))
        self.calls = self.inflated = self.deflated = 0

    def seen(self) -> tuple[int, int, int]:
        return self.inflated, self.deflated, self.calls


class Counted:
    def __init__(self, work: Work, stream: Any) -> None:
        self._work, self._stream = work, stream
        work.calls += 1

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def decompress(self, data: bytes, most: int) -> bytes:
        piece: bytes = self._stream.decompress(data, most)
        self._work.calls += 1
        self._work.inflated += len(piece)
        self._work.deflated += len(data) - len(self._stream.unconsumed_tail)
        return piece


class Keeper(trunkline.Listener):
    def __init__(self) -> None:
        self.sizes: list[int] = []

    def on_message(self, ws: trunkline.WebSocket, message: str | bytes) -> None:
        self.sizes.append(len(message))


class BatchKeeper(trunkline.Listener):
    def __init__(self) -> None:
        self.sizes: list[int] = []

    def on_batch(self, ws: trunkline.WebSocket, messages: list[str | bytes]) -> None:
        self.sizes += map(len, messages)


def empty_blocks(size: int) -> bytes:
    """So many bytes of blocks of ten bits that inflate to nothing (RFC 1951 3.2.6), and an empty one at the end."""
    bits = (size * 8 // 40 * 4) * 10
    one = sum(0b0000000010 << at for at in range(0, 40, 10))  # four blocks: not the last, fixed codes, the end
    return (one).to_bytes(5, "little") * (bits // 40) + b"\0"


BOMB = deflate(bytes(127 * 1024), level=9)
WORDS = deflate(("\U0001f600" + "a" * (127 * 1024 - 4)).encode(), level=9)


@pytest.fixture(params=["zlib", "isal"])
def work(request: pytest.FixtureRequest) -> Work:
    return Work(find_backend(request.param))


@pytest.fixture
def inflating(compressed: Any, work: Work) -> Callable[..., Any]:
    """`async with inflating(**options) as (ws, peer):` as `compressed`, where the decompressors are counted."""

    def run(*, off_thread: int | None = 128 * 1024, **options: Any) -> Any:
        return compressed(trunkline.Deflate(backend=work, off_thread=off_thread), **options)

    return run


class Ticker:
    """The most that was done in one turn of the loop, of each kind of work."""

    def __init__(self, seen: Callable[[], tuple[int, ...]]) -> None:
        self.most = tuple(0 for _ in seen())
        self._seen = seen
        self._last = seen()
        self._handle = asyncio.get_running_loop().call_soon(self._tick)

    def _tick(self) -> None:
        now = self._seen()
        self.most = tuple(max(most, new - old) for most, new, old in zip(self.most, now, self._last, strict=True))
        self._last = now
        self._handle = asyncio.get_running_loop().call_soon(self._tick)

    def stop(self) -> tuple[int, ...]:
        self._handle.cancel()
        return self.most


@pytest.mark.anyio
class TestBombs:
    """A read of 262 KB: many messages that each inflate a thousandfold."""

    @pytest.mark.parametrize("opcode", [TEXT, BINARY])
    async def test_a_handler_that_takes_nothing_holds_its_inbox_and_a_turn(self, inflating, work, opcode):
        async with inflating() as (ws, peer):
            one = peer.encode(opcode, BOMB if opcode == BINARY else WORDS, rsv=4)
            ws._feed(one * (256 * 1024 // len(one)))
            assert work.inflated <= INFLATED
            await settle()
            assert ws._reading_paused
            assert work.inflated <= INBOX + INFLATED  # of text with a wide character four times as much lies there
            if opcode == TEXT:
                assert work.inflated <= INBOX / 4 + 2 * INFLATED
            before = work.inflated
            for _ in range(ws.stats().messages_received):
                assert len(await ws.recv()) > 100_000
            await settle()
            assert before < work.inflated

    @pytest.mark.parametrize("listener", [Keeper, BatchKeeper])
    @pytest.mark.parametrize("kind", [BOMB, WORDS], ids=["binary", "text"])
    async def test_a_listener_gets_them_turn_by_turn(self, inflating, work, listener, kind):
        told = listener()
        async with inflating(listener=told) as (ws, peer):
            one = peer.encode(BINARY if kind is BOMB else TEXT, kind, rsv=4)
            ws._feed(one * 100)
            for _ in range(60):
                before = work.seen()
                assert before[0] <= INFLATED * (1 + ws.stats().holds)
                await asyncio.sleep(0)
                assert work.inflated - before[0] <= INFLATED
            assert told.sizes == [127 * 1024 if kind is BOMB else 127 * 1024 - 3] * 100
            assert ws.stats().holds > 40

    async def test_the_bound_holds_within_a_message(self, inflating, work):
        """A thread is not to have it: its bytes are spread over turns."""
        async with inflating(off_thread=None) as (ws, peer):
            ws._feed(peer.encode(BINARY, deflate(bytes(MIB), level=9), rsv=4) + peer.encode(TEXT, b"behind"))
            assert 0 < work.inflated <= INFLATED
            assert ws.stats().messages_received == 0
            turns = 1
            while ws.stats().messages_received < 2:
                before = work.inflated
                await asyncio.sleep(0)
                assert work.inflated - before <= INFLATED
                turns += 1
            assert 4 <= turns <= 5
            assert (await ws.recv(), await ws.recv()) == (bytes(MIB), "behind")

    async def test_fragments_of_a_message_in_many_turns(self, inflating, work):
        async with inflating(off_thread=None) as (ws, peer):
            payload = deflate(bytes(MIB), level=9)
            parts = [payload[at : at + 100] for at in range(0, len(payload), 100)]
            for index, part in enumerate(parts):
                last = index == len(parts) - 1
                ws._feed(peer.encode(CONTINUATION if index else BINARY, part, fin=last, rsv=0 if index else 4))
            ws._feed(peer.encode(TEXT, b"behind"))
            assert (await ws.recv(), await ws.recv()) == (bytes(MIB), "behind")

    async def test_what_is_left_when_the_line_is_lost_is_bounded(self, inflating, work):
        async with inflating() as (ws, peer):
            one = peer.encode(BINARY, BOMB, rsv=4)
            ws._feed(one * (256 * 1024 // len(one)))
            ws.transport.abort()
            await ws.wait_closed()
            assert work.inflated <= INBOX + 2 * INFLATED
            for _ in range(10):
                assert await ws.recv() == bytes(127 * 1024)

    async def test_what_is_left_for_a_listener_when_the_line_is_lost_is_bounded(self, inflating, work):
        told = Keeper()
        async with inflating(listener=told) as (ws, peer):
            one = peer.encode(BINARY, BOMB, rsv=4)
            ws._feed(one * (256 * 1024 // len(one)))
            ws.transport.abort()
            await ws.wait_closed()
            assert work.inflated <= 10 * INFLATED
            assert told.sizes == [127 * 1024] * len(told.sizes)

    async def test_what_is_left_over_when_the_line_is_lost_is_whole(self, inflating, work):
        """Messages that inflate to what a turn or two allows are all there."""
        async with inflating(max_queue=None) as (ws, peer):
            ws._feed(peer.encode(BINARY, deflate(bytes(100_000), level=9), rsv=4) * 6)
            assert ws.stats().messages_received < 6
            ws.transport.abort()
            await ws.wait_closed()
            assert [await ws.recv() for _ in range(6)] == [bytes(100_000)] * 6

    async def test_after_our_close_what_waits_is_thrown_away_turn_by_turn(self, inflating, work):
        async with inflating() as (ws, peer):
            ws._feed(peer.encode(BINARY, BOMB, rsv=4) * 40 + peer.encode_close(1000))
            ws.start_closing(1000)
            while ws.close_info is None:
                before = work.inflated
                await asyncio.sleep(0)
                assert work.inflated - before <= INFLATED
            assert ws.close_info.clean


@pytest.mark.anyio
class TestBarren:
    """Payload that costs time and gives nothing."""

    async def test_blocks_that_inflate_to_nothing(self, inflating, work):
        async with inflating(off_thread=None) as (ws, peer):
            ws._feed(peer.encode(BINARY, empty_blocks(200_000), rsv=4) + peer.encode(TEXT, b"behind"))
            assert 0 < work.deflated <= DEFLATED
            turns = 0
            while ws.stats().messages_received < 2:
                before = work.deflated
                await asyncio.sleep(0)
                assert work.deflated - before <= DEFLATED
                turns += 1
            assert 16 <= turns <= 27
            assert (await ws.recv(), await ws.recv()) == (b"", "behind")

    async def test_of_them_a_thread_takes_what_would_take_turns(self, inflating, work):
        async with inflating() as (ws, peer):
            ws._feed(peer.encode(BINARY, empty_blocks(200_000), rsv=4) + peer.encode(TEXT, b"behind"))
            assert 0 < work.deflated <= DEFLATED
            assert (await ws.recv(), await ws.recv()) == (b"", "behind")
            assert ws.stats().holds <= 5  # without a thread it is 25

    @pytest.mark.parametrize("payload", [b"\0", deflate(b"x"), b""], ids=["nothing", "a byte", "a fault"])
    async def test_small_messages_count_as_calls(self, inflating, work, payload):
        async with inflating(max_queue=None) as (ws, peer):
            ws._feed(peer.encode(BINARY, payload, rsv=4) * 3000)
            assert work.calls <= CALLS
            for _ in range(20):
                before = work.calls
                await asyncio.sleep(0)
                assert work.calls - before <= CALLS
            if payload:
                assert [await ws.recv() for _ in range(3000)] == [b"" if payload == b"\0" else b"x"] * 3000

    async def test_final_blocks_count_as_calls(self, inflating, work):
        async with inflating() as (ws, peer):
            ws._feed(peer.encode(BINARY, b"\x03\x00" * 1000 + b"\0", rsv=4) * 3)
            assert work.calls <= CALLS
            while ws.stats().messages_received < 3:
                before = work.calls
                await asyncio.sleep(0)
                assert work.calls - before <= CALLS

    async def test_context_that_is_kept(self, compressed, work):
        """Each message's end is looked for on a copy."""
        settings = trunkline.Deflate(backend=work, client_no_context_takeover=False, server_no_context_takeover=False)
        async with compressed(settings, max_queue=None) as (ws, peer):
            ws._feed(peer.encode(BINARY, b"\0", rsv=4) * 3000)
            assert work.calls <= CALLS
            assert [await ws.recv() for _ in range(3000)] == [b""] * 3000


@pytest.mark.anyio
class TestSockets:
    """The same over sockets: in no turn of the loop is more done, however often the loop reads in it."""

    @staticmethod
    async def flood(ws: trunkline.WebSocket, peer: Peer, wire: bytes, seen: Callable[[], tuple[int, ...]], done: Any):
        ticker = Ticker(seen)
        peer.writer.write(wire)
        await until(done)
        return ticker.stop()

    @pytest.mark.parametrize("payload", [BOMB, empty_blocks(100_000), b"\0"], ids=["bombs", "barren", "small"])
    async def test_plain(self, inflating, work, payload):
        told = Keeper()
        async with inflating(listener=told, off_thread=None) as (ws, peer):
            one = peer.encode(BINARY, payload, rsv=4)
            count = min(2000, 1_000_000 // len(one)) if payload is not BOMB else 200
            most = await self.flood(ws, peer, one * count, work.seen, lambda: len(told.sizes) == count)
            assert all(one <= bound for one, bound in zip(most, (INFLATED, DEFLATED, CALLS), strict=True))

    @pytest.mark.parametrize("payload", [BOMB, empty_blocks(100_000)], ids=["bombs", "barren"])
    async def test_tls(self, work, payload, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext):
        told = Keeper()
        made: list[trunkline.WebSocket] = []
        async with (
            asyncio.timeout(30),
            trunkline.serve(
                listener=lambda: told,
                host="127.0.0.1",
                port=0,
                ssl=server_tls,
                compression=trunkline.Deflate(backend=work, off_thread=None),
                process_request=lambda ws, request: made.append(ws),
            ) as server,
        ):
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", server.port, server_hostname="localhost", ssl=client_tls
            )
            peer = await request(reader, writer, fields=OFFER)
            (ws,) = made
            one = peer.encode(BINARY, payload, rsv=4)
            count = min(200, 1_000_000 // len(one))
            most = await self.flood(ws, peer, one * count, work.seen, lambda: len(told.sizes) == count)
            # asyncio hands on what TLS has decrypted twice in a turn.
            assert all(one <= 2 * bound for one, bound in zip(most, (INFLATED, DEFLATED, CALLS), strict=True))
            ws.abort()
            writer.transport.abort()

    @pytest.mark.parametrize("character", ["é", "я", "語", "😀"])
    @pytest.mark.parametrize("size", [2_000, 64_000, 900_000])
    async def test_text_beyond_ascii(self, line, character, size):
        class Reader(trunkline.Listener):
            decoded = 0

            def on_message(self, ws: trunkline.WebSocket, message: str) -> None:
                self.decoded += len(message) * len(character.encode())

        told = Reader()
        async with line(listener=told) as (ws, peer):
            text = (character * size).encode()[: size // 12 * 12]
            one = peer.encode(TEXT, text)
            count = 6_000_000 // len(one)
            most = await self.flood(
                ws, peer, one * count, lambda: (told.decoded,), lambda: told.decoded == count * len(text)
            )
            # What came of the last message before the turn counts with what the last read brings.
            assert most[0] <= max(WIDE + len(text), 512 * 1024 + 2 * len(text))


@pytest.mark.anyio
class TestInbox:
    """What waits counts as it lies in memory."""

    @pytest.mark.parametrize(("character", "width"), [("a", 1), ("é", 1), ("я", 2), ("語", 2), ("😀", 4)])
    async def test_text(self, line, character, width):
        async with line(max_queue=2**20) as (ws, peer):
            length = 100_000
            one = peer.encode(TEXT, (character * length).encode())
            object_size = 64 if character == "a" else 104
            fits = INBOX // (length * width + object_size)
            for _ in range(fits):
                ws._feed(one)
                assert not ws._reading_paused
            ws._feed(one)
            assert ws._reading_paused
            for _ in range(fits + 1):
                assert len(await ws.recv()) == length
            assert not ws._reading_paused

    async def test_one_wide_character_widens_all(self, line):
        async with line(max_queue=2**20) as (ws, peer):
            ws._feed(peer.encode(TEXT, ("😀" + "a" * 600_000).encode()))
            assert ws._reading_paused
