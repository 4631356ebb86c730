"""Peers that send without end, or read nothing: bounded bytes, few answers, and the connection lives."""

import asyncio
import ssl

import pytest

import trunkline
from lines import connected_socket, listening_socket
from rawframes import deflate
from rawpeer import BINARY, CONTINUATION, PING, PONG, TEXT, Frame, request
from trunkline.testing import ScriptedServer, run_virtual
from trunkline.testing.script import hang
from turns import settle, until

HIGH = 64 * 1024
SMALL = 4096  # bytes of the kernel's buffers
A_TURN = 4096  # frames that are decoded in one
CONTROLS = A_TURN // 8  # control frames, which count as eight


class Counter(trunkline.Listener):
    """A listener that keeps what it is told."""

    def __init__(self):
        self.messages = []

    def on_message(self, ws, message):
        self.messages.append(message)


class Gatherer(trunkline.Listener):
    """A listener that keeps what it is told, read by read."""

    def __init__(self):
        self.batches = []

    def on_batch(self, ws, messages):
        self.batches.append(messages)

    @property
    def messages(self):
        return [message for batch in self.batches for message in batch]


def numbered(peer, count):
    """Messages with their numbers, as sent on the wire."""
    return b"".join(peer.encode(TEXT, b"%d" % index) for index in range(count))


@pytest.mark.anyio
class TestTurns:
    """What one connection decodes in one turn of the loop, however much one read brings. Reads are handed to the
    connection in the loop's place, so that they are as large as they are meant to be.
    """

    @pytest.mark.parametrize("count", [A_TURN - 1, A_TURN, A_TURN + 1, 2 * A_TURN, 2 * A_TURN + 1])
    async def test_messages(self, line, count):
        async with line(max_queue=None) as (ws, peer):
            ws._feed(numbered(peer, count))
            for turn in range(1, 4):
                assert ws.stats().messages_received == min(count, turn * A_TURN)
                assert ws._is_held is (count > turn * A_TURN)
                await asyncio.sleep(0)
            assert [await ws.recv() for _ in range(count)] == [str(index) for index in range(count)]
            peer.send(TEXT, b"behind")
            assert await ws.recv() == "behind"

    @pytest.mark.parametrize("opcode", [PING, PONG])
    @pytest.mark.parametrize("count", [CONTROLS, CONTROLS + 1, 2 * CONTROLS + 1])
    async def test_control_frames_count_as_eight(self, line, opcode, count):
        async with line(max_control_rate=None) as (ws, peer):
            ws._feed(peer.encode(opcode, b"x") * count)
            for turn in range(1, 4):
                assert ws.stats().frames_received == min(count, turn * CONTROLS)
                assert ws._is_held is (count > turn * CONTROLS)
                await asyncio.sleep(0)

    async def test_fragments(self, line):
        async with line(max_fragments=None) as (ws, peer):
            one = peer.encode(CONTINUATION, b"x", fin=False)
            ws._feed(peer.encode(TEXT, b"x", fin=False) + one * A_TURN + peer.encode(CONTINUATION, b"x"))
            assert ws.stats().frames_received == A_TURN
            assert await ws.recv() == "x" * (A_TURN + 2)

    @pytest.mark.parametrize("listener", [Counter, Gatherer])
    async def test_in_its_turn_everybody_is_served(self, line, listener):
        told = listener()
        async with line(listener=told) as (ws, peer):
            ws._feed(numbered(peer, 3 * A_TURN))
            seen = [len(told.messages)]
            for _ in range(3):
                await asyncio.sleep(0)
                seen.append(len(told.messages))
            assert seen == [A_TURN, 2 * A_TURN, 3 * A_TURN, 3 * A_TURN]
            assert told.messages == [str(index) for index in range(3 * A_TURN)]

    async def test_nothing_is_lost_with_the_transport(self, line):
        async with line(max_queue=None) as (ws, peer):
            ws._feed(numbered(peer, 5 * A_TURN))
            ws.transport.abort()
            await ws.wait_closed()
            assert [await ws.recv() for _ in range(5 * A_TURN)] == [str(index) for index in range(5 * A_TURN)]
            with pytest.raises(trunkline.ConnectionClosedError):
                await ws.recv()

    async def test_a_close_frame_behind_it_is_clean(self, line):
        async with line(max_queue=None) as (ws, peer):
            ws._feed(numbered(peer, 3 * A_TURN) + peer.encode_close(1000))
            assert [message async for message in ws] == [str(index) for index in range(3 * A_TURN)]
            assert ws.close_info.clean

    async def test_a_full_inbox_gets_no_more_than_one_turn_brings(self, line):
        async with line() as (ws, peer):
            ws._feed(numbered(peer, 2 * A_TURN + 1))
            await settle()
            assert ws._reading_paused
            assert ws.stats().messages_received == A_TURN
            got = [await ws.recv() for _ in range(A_TURN - 4)]
            assert not ws._reading_paused
            await settle()
            assert ws._reading_paused
            assert ws.stats().messages_received == 2 * A_TURN
            got += [await ws.recv() for _ in range(A_TURN + 5)]
            assert got == [str(index) for index in range(2 * A_TURN + 1)]
            peer.send(TEXT, b"behind")
            assert await ws.recv() == "behind"

    async def test_what_waits_when_we_close_is_discarded_up_to_the_close_frame(self, line):
        async with line() as (ws, peer):
            ws._feed(numbered(peer, 3 * A_TURN) + peer.encode_close(1000))
            ws.start_closing(1000)
            await until(lambda: ws.close_info)
            assert ws.close_info.clean
            assert ws.stats().messages_discarded == 2 * A_TURN
            assert [await ws.recv() for _ in range(A_TURN)] == [str(index) for index in range(A_TURN)]

    @pytest.mark.parametrize("end", ["fail", "abort"])
    async def test_what_waits_when_we_give_up_is_not_delivered(self, line, end):
        told = Counter()
        async with line(listener=told) as (ws, peer):
            ws._feed(numbered(peer, 2 * A_TURN))
            getattr(ws, end)(*{"fail": (1008, "no"), "abort": ()}[end])
            await settle()
            assert len(told.messages) == A_TURN

    async def test_a_fault_behind_it_is_told_behind_it(self, line):
        told = Counter()
        async with line(listener=told) as (ws, peer):
            ws._feed(numbered(peer, A_TURN + 10) + peer.encode(3))
            assert ws.stats().errors == 0
            await until(lambda: ws.close_info)
            assert ws.close_info.code == 1002
            assert len(told.messages) == A_TURN + 10

    async def test_behind_a_message_that_a_thread_inflates(self, compressed):
        async with compressed(max_queue=None) as (ws, peer):
            large = deflate(bytes(2**20))
            for _ in range(2):
                ws._feed(numbered(peer, A_TURN + 10) + peer.encode(BINARY, large, rsv=4) + numbered(peer, 2 * A_TURN))
                assert [await ws.recv() for _ in range(A_TURN + 10)] == [str(index) for index in range(A_TURN + 10)]
                assert await ws.recv() == bytes(2**20)
                assert [await ws.recv() for _ in range(2 * A_TURN)] == [str(index) for index in range(2 * A_TURN)]

    @pytest.mark.parametrize(("size", "count", "held"), [(1000, 255, False), (1000, 256, True), (700, 256, False)])
    async def test_of_a_loop_that_reads_on_while_there_is_more(self, line, size, count, held):
        """uvloop's transports read 256 KB up to 32 times in a turn: one such read of many messages is enough."""
        async with line(max_queue=None) as (ws, peer):
            uvloops = type(ws.transport).__module__.startswith("uvloop")
            ws._feed(peer.encode(BINARY, bytes(size)) * count)
            assert ws._is_held is (held and uvloops)
            await asyncio.sleep(0)
            assert not ws._is_held
            ws.fail(1008, "no")
            ws._feed(bytes(size * count))
            assert ws._is_held is (size == 1000 and uvloops)
            await until(lambda: not ws._is_held)

    async def test_messages_past_2_mib_pause_whoever_waits(self, line):
        async with line(max_queue=10_000) as (ws, peer):
            waiting = asyncio.ensure_future(ws.recv())
            await settle()
            ws._feed(peer.encode(BINARY, bytes(2**20 - 64)) * 2)
            assert not ws._reading_paused
            ws._feed(peer.encode(BINARY))
            assert ws._reading_paused
            assert len(await waiting) == 2**20 - 64
            assert len(await ws.recv()) == 2**20 - 64
            assert not ws._reading_paused

    async def test_each_message_counts_as_64_bytes_at_least(self, line):
        async with line(max_queue=2**20) as (ws, peer):
            for _ in range(8):
                ws._feed(peer.encode(BINARY) * A_TURN)
            assert not ws._reading_paused
            ws._feed(peer.encode(BINARY))
            assert ws._reading_paused
            assert len(await anext(ws.batches())) == 2**15 + 1
            assert not ws._reading_paused


class TestRate:
    """Control frames a second, on a clock that stands still unless it is told to move."""

    @staticmethod
    def run(check, **options):
        async def accept(peer):
            await peer.accept()
            await hang()(peer)

        async def main():
            async with ScriptedServer([accept], host="server.sim.invalid") as server:
                ws = await trunkline.connect(server.uri, **options)
                await check(ws)
                ws.abort()

        run_virtual(main())

    @pytest.mark.parametrize("ping", [b"\x89\x00", b"\x8a\x00"])
    def test_up_to_a_second_of_them_at_once(self, ping):
        async def check(ws):
            ws._feed(ping * 100)
            assert (ws._is_held, ws.stats().throttles) == (False, 0)
            ws._feed(ping)
            assert (ws._is_held, ws.stats().throttles) == (True, 1)
            await asyncio.sleep(0.009)
            assert ws._is_held
            await asyncio.sleep(0.002)
            assert not ws._is_held
            await asyncio.sleep(10)  # the bucket fills, and does not run over
            ws._feed(ping * 100)
            assert not ws._is_held
            ws._feed(ping)
            assert ws._is_held

        self.run(check, max_control_rate=100, ping_interval=None)

    def test_more_are_read_at_the_rate(self):
        async def check(ws):
            loop = asyncio.get_running_loop()
            began = loop.time()
            ws._feed(b"\x89\x00" * 1124 + b"\x81\x01x")
            assert ws.stats().pings_received == CONTROLS
            assert await ws.recv() == "x"
            assert loop.time() - began == pytest.approx(9.24, abs=0.01)  # two parts of 512, but for the 100
            assert ws.stats().throttles == 3

        self.run(check, max_control_rate=100, ping_interval=None)

    def test_no_bound(self):
        async def check(ws):
            began = asyncio.get_running_loop().time()
            ws._feed(b"\x89\x00" * 50_000 + b"\x81\x01x")
            assert await ws.recv() == "x"
            assert asyncio.get_running_loop().time() == began

        self.run(check, max_control_rate=None)

    @pytest.mark.parametrize(("count", "throttles"), [(10_000, 0), (10_001, 1)])
    def test_the_default(self, count, throttles):
        async def check(ws):
            ws._feed(b"\x89\x00" * count)
            await asyncio.sleep(0.0001)
            assert ws.stats().pings_received == count
            assert ws.stats().throttles == throttles

        self.run(check)

    def test_no_line_is_given_up_for_it(self):
        async def check(ws):
            ws._feed(b"\x89\x00" * 100)
            await asyncio.sleep(90)
            assert ws._is_held
            assert ws.close_info is None

        self.run(check, max_control_rate=1, ping_interval=1, ping_timeout=1)

    @pytest.mark.anyio
    async def test_nothing_is_lost_at_the_rate(self, line):
        async with line(max_control_rate=50_000) as (ws, peer):
            ws._feed((peer.encode(PING) * 1000 + peer.encode(TEXT, b"x")) * 55)
            assert [await ws.recv() for _ in range(55)] == ["x"] * 55
            assert ws.stats().pings_received == 55_000

    @pytest.mark.anyio
    async def test_nothing_is_lost_if_the_line_is(self, line):
        async with line(max_control_rate=1) as (ws, peer):
            ws._feed(peer.encode(PING) * 600 + numbered(peer, 10))
            assert ws._is_held
            ws.transport.abort()
            await ws.wait_closed()
            assert [await ws.recv() for _ in range(10)] == [str(index) for index in range(10)]


@pytest.mark.anyio
async def test_of_many_pings_in_one_read_a_few_are_answered_and_the_last(line):
    """64 per read, and the latest (RFC 6455 5.5.3); what was sent before them is answered in its place."""
    async with line(max_control_rate=None) as (ws, peer):
        count = 20_000
        peer.writer.write(b"".join(peer.encode(PING, b"%d" % index) for index in range(count)))
        await until(lambda: ws.stats().pings_received == count)
        peer.send(TEXT, b"behind")
        assert await ws.recv() == "behind"
        await ws.send("answer")
        answers = []
        while (frame := await peer.frame()).opcode == PONG:
            answers.append(int(frame.payload))
        assert frame == Frame(TEXT, b"answer")
        assert answers == sorted(answers)
        assert answers[:64] == list(range(64))
        assert answers[-1] == count - 1
        assert len(answers) == ws.stats().pongs_sent < count / 2


@pytest.mark.anyio
@pytest.mark.parametrize("count", [63, 64, 65, 66, 128])
async def test_up_to_the_bound_all_are_answered(line, count):
    async with line(max_control_rate=None) as (_, peer):
        for _ in range(3):
            peer.writer.write(b"".join(peer.encode(PING, b"%d" % index) for index in range(count)))
            answers = [int((await peer.frame()).payload)]
            while answers[-1] != count - 1:
                answers.append(int((await peer.frame()).payload))
            assert answers == [*range(min(count - 1, 64)), count - 1] or len(answers) > 65  # it took more than one read


@pytest.mark.anyio
async def test_pings_with_a_callback_that_closes(line):
    """What waits to be answered is not sent behind our close frame."""

    class Closer(trunkline.Listener):
        def on_message(self, ws, message):
            ws.start_closing(1000)

    async with line(listener=Closer()) as (_, peer):
        pings = b"".join(peer.encode(PING, b"%d" % index) for index in range(100))
        peer.writer.write(pings + peer.encode(TEXT, b"now") + pings)
        frames = [await peer.frame() for _ in range(65)]
        assert [frame.opcode for frame in frames] == [PONG] * 64 + [8]
        peer.send_close(1000)
        peer.writer.write_eof()
        assert await peer.rest() == b""


@pytest.mark.anyio
async def test_pings_over_tls_from_a_peer_that_does_not_read(server_tls: ssl.SSLContext, client_tls: ssl.SSLContext):
    made = []
    async with (
        asyncio.timeout(30),
        trunkline.serve(
            trunkline.WebSocket.wait_closed,
            sock=listening_socket(SMALL),
            ssl=server_tls,
            max_control_rate=None,
            process_request=lambda ws, request: made.append(ws),
        ) as server,
    ):
        sock = connected_socket(server.port, SMALL)
        reader, writer = await asyncio.open_connection(
            sock=sock, server_hostname="localhost", ssl=client_tls, limit=SMALL
        )
        peer = await request(reader, writer)
        (ws,) = made
        sent, pings = 0, b"".join(peer.encode(PING, b"%0125d" % index) for index in range(60))
        while ws.stats().pongs_sent == 0 or ws.stats().pongs_sent > sent / 3:
            peer.writer.write(pings * 20)
            sent += 60 * 20
            await until(lambda: ws.stats().pings_received == sent)  # noqa: B023
        assert ws._waiting <= 3 * HIGH
        ws.abort()
        writer.transport.abort()


@pytest.mark.anyio
async def test_pongs_that_nobody_asked_for(line):
    async with line(max_control_rate=None) as (ws, peer):
        for _ in range(100):
            peer.writer.write(peer.encode(PONG, b"x" * 100) * 500)
            await peer.writer.drain()
        peer.send(TEXT, b"still there")
        assert await ws.recv() == "still there"
        assert ws.stats().pongs_received == 50_000
        assert ws.stats().frames_sent == 0


@pytest.mark.anyio
@pytest.mark.parametrize("fragmented", [False, True])
async def test_empty_messages_without_end(line, fragmented):
    """They take no bytes in the inbox, but they are counted: reading pauses."""
    async with line(buffers=SMALL) as (ws, peer):
        one = peer.encode(BINARY)
        if fragmented:
            one = peer.encode(BINARY, fin=False) + peer.encode(CONTINUATION)
        flood = asyncio.create_task(pour(peer, one * 10_000))
        await until(lambda: ws._reading_paused)
        before = ws.stats().messages_received
        await asyncio.sleep(0)
        assert ws.stats().messages_received == before < 300_000
        flood.cancel()


async def pour(peer, data):
    """Sends without end."""
    while True:
        peer.writer.write(data)
        await peer.writer.drain()


def send_for_ever(ws):
    while True:
        ws.send_nowait(b"x" * 1000)


@pytest.mark.anyio
async def test_a_peer_that_never_reads_is_sent_no_more_than_may_wait(line):
    async with line(buffers=SMALL, write_limit=200_000) as (ws, _):
        with pytest.raises(trunkline.SlowConsumer, match=r"limit 200000 \(write_limit\)"):
            send_for_ever(ws)
        assert ws._waiting <= 202_000
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await ws.send(b"x")  # waits, and keeps nothing
        assert ws._waiting <= 202_000
