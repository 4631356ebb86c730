"""Whatever a callback raises, Exception or not: the connection ends, and lets go of its descriptor first."""

import asyncio
import os
import socket

import pytest
from wsproto.connection import ConnectionState

import trunkline
from rawhttp import request
from rawpeer import TEXT
from trunkline.net import parting
from trunkline.net.websocket import life_of
from turns import settle, until

pytestmark = pytest.mark.anyio


class Stop(BaseException):
    """A BaseException that loops let pass, like KeyboardInterrupt, but that does not end them."""


class Stopping(trunkline.Listener):
    """A listener that raises when it is told to."""

    def __init__(self, where="on_message"):
        self.where, self.got, self.seen = where, [], []

    def on_open(self, ws):
        self.seen.append(ws)
        if self.where == "on_open":
            raise Stop

    def on_message(self, ws, message):
        self.got.append(message)
        if message == "stop":
            raise Stop

    def on_close(self, ws, close):
        self.got.append(close)
        if self.where == "on_close":
            raise Stop


@pytest.fixture
async def told():
    """What the loop's exception handler is told."""
    contexts = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: contexts.append(context))
    return contexts


async def test_an_interrupted_read_fails_the_connection(line, told, caplog):
    """What was read with it is lost, so the connection must not go on as if nothing had happened."""
    listener = Stopping()
    async with line(listener=listener) as (ws, peer):
        peer.writer.write(peer.encode(TEXT, b"before") + peer.encode(TEXT, b"stop") + peer.encode(TEXT, b"after"))
        await until(lambda: ws.transport is None)
        assert listener.got[:2] == ["before", "stop"]
        assert (ws.state, ws.close_code) == (ConnectionState.CLOSED, 1011)
        with pytest.raises(trunkline.ConnectionClosedError, match="a callback raised Stop"):
            ws.send_nowait("x")
    assert [record.event for record in caplog.records] == ["callback.failed"]


@pytest.mark.parametrize("where", ["on_message", "on_close", "on_open"])
async def test_the_descriptor_is_given_up_before_anybody_else_can_have_its_number(where, told, caplog):
    """Otherwise its bytes would go to the next file with this number."""
    listener = Stopping(where)
    async with asyncio.timeout(20), trunkline.serve(listener=lambda: listener, host="127.0.0.1", port=0) as server:
        with socket.create_connection(("127.0.0.1", server.port)) as sock:
            sock.setblocking(False)
            await asyncio.get_running_loop().sock_sendall(sock, request())
            await until(lambda: listener.seen)
            (ws,) = listener.seen
            if where == "on_message":  # more than a turn brings, so that some are delivered when the line is lost
                frames = b"\x81\x84\0\0\0\0stop" * 20_000
                await asyncio.get_running_loop().sock_sendall(sock, frames)
        await until(lambda: ws.transport is None)
        await settle()
        assert not server.connections
        assert not server._pending
        assert ws.state is ConnectionState.CLOSED
        # What it would write to now is somebody else's.
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.setblocking(False)
            theirs.setblocking(False)
            for _ in range(3):
                with pytest.raises(trunkline.ConnectionClosedError):
                    ws.send_nowait(b"for the first peer")
                ws.abort()
                await settle()
            with pytest.raises(BlockingIOError):
                theirs.recv(100)
            with pytest.raises(BlockingIOError):
                ours.recv(100)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, Stop])
@pytest.mark.parametrize("batches", [False, True], ids=["messages", "batches"])
async def test_an_interrupt_passes_and_the_connection_fails(line, error, batches, caplog):
    """As when a signal comes while a read is processed: the loop learns of it, and the peer, too."""

    class Raising:
        def on_open(self, ws):
            """Nothing to do."""

        def on_close(self, ws, close):
            """Nothing to do."""

        def take(self, ws, messages):
            raise error

    setattr(Raising, "on_batch" if batches else "on_message", Raising.take)
    async with line(listener=Raising()) as (ws, peer):
        with pytest.raises(error):
            ws._feed(peer.encode(TEXT, b"x"))
        assert (await peer.frame()).close == (1011, "internal error")
        assert (ws.state, ws.close_code) == (ConnectionState.CLOSED, 1011)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, Stop])
async def test_a_lost_line_that_is_interrupted_is_lost_all_the_same(error, pair, monkeypatch):
    """Everything that happens at the end still happens, and the error is raised."""
    gone = []
    async with pair() as (here, there):
        life_of(there).on_gone = gone.append
        waiting = asyncio.ensure_future(there.recv())
        closing = asyncio.ensure_future(there.wait_closed())
        await settle()
        transport = there.transport

        def interrupt(life):
            assert os.fstat(transport.get_extra_info("socket").fileno())  # open still, and not ours any more
            life.link.send_nowait(b"goes nowhere")
            raise error

        monkeypatch.setattr(parting, "empty_tls", interrupt)
        with pytest.raises(error):
            there.connection_lost(None)
        monkeypatch.undo()
        assert (there.transport, there.state, there.close_code) == (None, ConnectionState.CLOSED, 1006)
        assert gone == [there]
        with pytest.raises(trunkline.ConnectionClosedError):
            await waiting
        await closing
        transport.abort()
        with pytest.raises(trunkline.ConnectionClosedError):
            await here.recv()  # not one byte of what was sent there
        await here.wait_closed()


def start_and_close(coroutine) -> None:
    """As when a waiting task is garbage-collected: GeneratorExit, not CancelledError."""
    coroutine.send(None)
    coroutine.close()


async def test_a_send_that_is_thrown_away_in_its_line_leaves_the_turn_to_the_next(pair):
    options = {"compression": trunkline.Deflate(off_thread=1000)}
    async with asyncio.timeout(20), pair(client=options, server=options) as (here, there):
        first = asyncio.ensure_future(here.send("1" * 100_000))
        await until(lambda: life_of(here).queue._is_taken)
        start_and_close(life_of(here).send_slowly("2" * 100_000, None))
        last = asyncio.ensure_future(here.send("3" * 100_000))
        assert [(await there.recv())[0], (await there.recv())[0]] == ["1", "3"]
        await asyncio.gather(first, last)


async def test_a_send_that_is_thrown_away_while_it_waits_for_room_waits_no_more(line):
    async with line(buffers=4096) as (ws, _):
        while not ws.is_writing_paused:
            ws.send_nowait(b"x" * 10_000)
        for _ in range(10):
            start_and_close(life_of(ws).send_slowly(b"x", None))
        assert not life_of(ws).queue._waiters
