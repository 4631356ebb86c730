"""Cancellation at every await of every operation: no task, socket or file is left, and everything else goes on."""

import asyncio
import contextlib
from typing import Any

import pytest

import trunkline
from cancelling import cancel_everywhere, cancelled_at, nothing_left
from rawpeer import PING, PONG, TEXT, Frame
from trunkline import ConnectionClosed
from turns import open_files, settle, until

pytestmark = pytest.mark.anyio


class Counter(trunkline.Listener):
    """Counts how often it was opened and closed."""

    def __init__(self) -> None:
        self.opened = self.closed = 0

    def on_open(self, ws: Any) -> None:
        self.opened += 1

    def on_close(self, ws: Any, close: Any) -> None:
        self.closed += 1


# connect


async def test_connect(late):
    listener = Counter()
    async with nothing_left(), trunkline.serve(listener=Counter, host="127.0.0.1", port=0) as server:

        async def act() -> None:
            async with trunkline.connect(f"ws://localhost:{server.port}/", listener=listener):
                pass

        async with nothing_left() as gone:
            assert await cancel_everywhere(act, late=late, after=gone) >= 4
        assert server.connections == set()
        assert listener.opened == listener.closed > 0


async def test_connect_over_tls(late, server_tls, client_tls):
    async with nothing_left(), trunkline.serve(Counter, "127.0.0.1", 0, ssl=server_tls) as server:

        async def act() -> None:
            ws = await trunkline.connect(f"wss://localhost:{server.port}/", ssl=client_tls)
            ws.abort()
            await ws.wait_closed()

        async with nothing_left() as gone:
            assert await cancel_everywhere(act, late=late, after=gone) >= 4


@pytest.mark.posix
async def test_connect_to_a_unix_socket(late, unix_path):
    async with nothing_left(), trunkline.serve(listener=Counter, unix=unix_path):

        async def act() -> None:
            ws = await trunkline.connect("ws://localhost/", unix=unix_path)
            ws.abort()
            await ws.wait_closed()

        async with nothing_left() as gone:
            assert await cancel_everywhere(act, late=late, after=gone) >= 2


async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.transport.abort()


async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A proxy that answers CONNECT, by hand."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        host, port = head.split()[1].decode().rsplit(":", 1)
        far_reader, far_writer = await asyncio.open_connection(host, port)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await asyncio.gather(relay(reader, far_writer), relay(far_reader, writer))
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.transport.abort()


@pytest.mark.parametrize("secure", [False, True], ids=["ws", "wss"])
async def test_connect_through_a_proxy(late, secure, server_tls, client_tls):
    async with nothing_left():
        middle = await asyncio.start_server(proxy, "127.0.0.1", 0)
        through = f"http://127.0.0.1:{middle.sockets[0].getsockname()[1]}"
        ssl = server_tls if secure else None
        async with middle, trunkline.serve(listener=Counter, host="127.0.0.1", port=0, ssl=ssl) as server:

            async def act() -> None:
                scheme = "wss" if secure else "ws"
                ssl = client_tls if secure else None
                ws = await trunkline.connect(f"{scheme}://localhost:{server.port}/", ssl=ssl, proxy=through)
                ws.abort()
                await ws.wait_closed()

            async with nothing_left() as gone:
                assert await cancel_everywhere(act, late=late, after=gone) >= 4


async def test_connect_while_the_server_makes_up_its_mind(late):
    """process_request is cancelled when its client goes away."""
    ended = []

    async def ponder(ws: Any, request: Any) -> None:
        try:
            for _ in range(10):
                await asyncio.sleep(0)
        finally:
            ended.append(ws)

    async with (
        nothing_left(),
        trunkline.serve(listener=Counter, host="127.0.0.1", port=0, process_request=ponder) as server,
    ):

        async def act() -> None:
            ws = await trunkline.connect(f"ws://127.0.0.1:{server.port}/")
            ws.abort()
            await ws.wait_closed()

        async with nothing_left() as gone:
            await cancel_everywhere(act, late=late, after=gone)
        assert ended
        assert server.connections == set()


async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A server that never answers."""
    await reader.read()
    writer.close()


async def test_the_timeout_of_connect_leaves_nothing():
    async with nothing_left(), await asyncio.start_server(mute, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with nothing_left():
            with pytest.raises(trunkline.OpenTimeout, match=r"not open after 0\.5 s, in phase handshake"):
                await trunkline.connect(f"ws://127.0.0.1:{port}/", open_timeout=0.5)


# An open connection


async def test_recv_and_iteration(line, late):
    async with line() as (ws, peer):
        for take in (ws.recv, ws.__anext__, lambda: anext(ws.batches())):

            async def act(take: Any = take) -> Any:
                peer.send(TEXT, b"kept")
                return await take()

            assert await cancel_everywhere(act, late=late) == 1
            assert await ws.recv() == "kept"


async def test_send(line, late):
    async with line(buffers=4096) as (ws, peer):

        async def act() -> None:
            while not ws._writing_paused:
                ws.send_nowait(b"x" * 10_000)
            reading.set()
            await ws.send("whole")

        async def read_all() -> None:
            await reading.wait()
            while True:
                frames.append(await peer.frame())

        frames: list[Frame] = []
        reading = asyncio.Event()
        reader = asyncio.create_task(read_all())
        assert await cancel_everywhere(act, late=late) >= 1
        await until(lambda: len(frames) == ws.stats().messages_sent)
        assert frames.count(Frame(TEXT, b"whole")) == 1, "of all that were cancelled, none was sent"
        assert ws.close_info is None
        reader.cancel()


async def test_ping(line, late):
    async with line() as (ws, peer):

        async def answer() -> None:
            while True:
                frame = await peer.frame()
                assert frame.opcode == PING
                peer.send(PONG, frame.payload)

        answering = asyncio.create_task(answer())
        assert await cancel_everywhere(ws.ping, late=late) == 1
        assert await ws.ping() > 0
        answering.cancel()


async def test_close(line, late):
    files = open_files()
    at = 0
    reached = True
    while reached:
        async with nothing_left(), line() as (ws, peer):

            async def answer(peer: Any = peer) -> None:
                assert (await peer.frame()).close == (4000, "bye")
                peer.send_close(4000, "bye")
                peer.writer.write_eof()

            answering = asyncio.create_task(answer())
            reached = await cancelled_at(lambda ws=ws: ws.close(4000, "bye"), at, late=late)
            await answering
            await ws.wait_closed()
            assert ws.close_info == trunkline.Close(4000, "bye", True, "local")
        at += 1
    assert at >= 2
    await until(lambda: open_files() == files)


async def test_the_block_of_connect(raw_server):
    async def script(peer):
        assert (await peer.frame()).close == (1000, "")
        peer.send_close(1000)

    async def act() -> None:
        async with trunkline.connect(uri) as ws:
            inside.set_result(ws)
            await ws.recv()

    async with nothing_left(), raw_server(script) as uri:
        inside: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(act())
        ws = await inside
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert ws.close_info == trunkline.Close(1000, "", True, "local")


# serve


async def test_serve(late):
    async with nothing_left() as gone:

        async def act() -> None:
            server = await trunkline.serve(Counter, "localhost", 0)
            await server.close()

        assert await cancel_everywhere(act, late=late, after=gone) >= 1


async def serving_two() -> tuple[trunkline.Server, list[trunkline.WebSocket]]:
    """A server with two clients, one of which never answers a close."""

    async def handle(ws: Any) -> None:
        with contextlib.suppress(ConnectionClosed):
            await ws.recv()

    server = await trunkline.serve(handle, "127.0.0.1", 0, close_timeout=0.1)
    clients = [await trunkline.connect(f"ws://127.0.0.1:{server.port}/") for _ in range(2)]
    await until(lambda: len(server._handlers) == 2)
    clients[0].transport.pause_reading()
    return server, clients


async def test_the_close_of_a_server(late):
    at = 0
    reached = True
    while reached:
        async with nothing_left():
            server, clients = await serving_two()

            async def act(server: Any = server) -> None:
                await server.close(1012, "bye")

            reached = await cancelled_at(act, at, late=late)
            await server.wait_closed()  # it went on
            assert server.connections == set()
            assert list(server.sockets) == []
            assert clients[1].close_info == trunkline.Close(1012, "bye", True, "remote")
            for client in clients:
                client.abort()
        at += 1
    assert at >= 2


@pytest.mark.parametrize("way", ["serve_forever", "wait_closed", "block"])
async def test_waiting_for_a_server(way):
    async with nothing_left():
        server, clients = await serving_two()

        async def act() -> None:
            if way == "block":
                async with contextlib.aclosing(server):
                    await asyncio.get_running_loop().create_future()
            await getattr(server, way)()

        server.aclose = server.close
        task = asyncio.create_task(act())
        await settle(3)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        if way == "wait_closed":
            assert len(server.connections) == 2, "whoever waits does not decide"
            await server.close()
        assert server.connections == set()
        for client in clients:
            client.abort()


async def test_a_handler_that_will_not_end_is_cancelled():
    cancelled = []

    async def stubborn(ws: Any) -> None:
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            cancelled.append(ws)
            raise

    async with nothing_left():
        async with trunkline.serve(stubborn, "127.0.0.1", 0, close_timeout=0.05) as server:
            client = await trunkline.connect(f"ws://127.0.0.1:{server.port}/")
            await until(lambda: server._handlers)
        assert len(cancelled) == 1
        await client.wait_closed()
        assert client.close_code == 1001


async def test_a_cancelled_handler_closes_its_connection(raw_client):
    """A cancelled handler has not finished its work: the connection is closed with 1011."""
    tasks = []

    async def handle(ws: Any) -> None:
        tasks.append(asyncio.current_task())
        await ws.recv()

    async with nothing_left(), trunkline.serve(handle, "127.0.0.1", 0) as server, raw_client(server) as peer:
        await until(lambda: tasks)
        tasks[0].cancel()
        assert (await peer.frame()).close == (1011, "internal error")
        peer.send_close(1011)
        assert await peer.rest() == b""
