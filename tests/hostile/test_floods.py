"""Peers that send without end, or read nothing: bounded bytes, few answers, and the connection lives."""

import asyncio
import ssl

import pytest

import trunkline
from lines import connected_socket, listening_socket
from rawpeer import BINARY, CONTINUATION, PING, PONG, TEXT, Frame, request
from turns import until

pytestmark = pytest.mark.anyio

HIGH = 64 * 1024
SMALL = 4096  # bytes of the kernel's buffers


async def test_of_many_pings_in_one_read_a_few_are_answered_and_the_last(line):
    """64 a read, and the latest (RFC 6455 5.5.3); what was sent before them is answered in its place."""
    async with line() as (ws, peer):
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


@pytest.mark.parametrize("count", [63, 64, 65, 66, 128])
async def test_up_to_the_bound_all_are_answered(line, count):
    async with line() as (_, peer):
        for _ in range(3):
            peer.writer.write(b"".join(peer.encode(PING, b"%d" % index) for index in range(count)))
            answers = [int((await peer.frame()).payload)]
            while answers[-1] != count - 1:
                answers.append(int((await peer.frame()).payload))
            assert answers == [*range(min(count - 1, 64)), count - 1] or len(answers) > 65  # it took more than one read


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


async def test_pings_over_tls_from_a_peer_that_does_not_read(server_tls: ssl.SSLContext, client_tls: ssl.SSLContext):
    made = []
    async with (
        asyncio.timeout(30),
        trunkline.serve(
            trunkline.WebSocket.wait_closed,
            sock=listening_socket(SMALL),
            ssl=server_tls,
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


async def test_pongs_that_nobody_asked_for(line):
    async with line() as (ws, peer):
        for _ in range(100):
            peer.writer.write(peer.encode(PONG, b"x" * 100) * 500)
            await peer.writer.drain()
        peer.send(TEXT, b"still there")
        assert await ws.recv() == "still there"
        assert ws.stats().pongs_received == 50_000
        assert ws.stats().frames_sent == 0


@pytest.mark.parametrize("fragmented", [False, True])
async def test_empty_messages_without_end(line, fragmented):
    """They take no bytes of the inbox, but they are counted: reading pauses."""
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


async def test_a_peer_that_never_reads_is_sent_no_more_than_may_wait(line):
    async with line(buffers=SMALL, write_limit=200_000) as (ws, _):
        with pytest.raises(trunkline.SlowConsumer, match=r"limit 200000 \(write_limit\)"):
            send_for_ever(ws)
        assert ws._waiting <= 202_000
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await ws.send(b"x")  # waits, and keeps nothing
        assert ws._waiting <= 202_000
