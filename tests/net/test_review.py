"""Bugs in corner cases, found by a hostile reading of the code and kept so that they stay fixed."""

import asyncio
import contextlib
import gc
import itertools
import socket
import struct

import pytest
import uvloop

import trunkline
from handlers import echo
from rawframes import deflate
from rawhttp import dialled
from rawpeer import BINARY, TEXT
from trunkline.net.websocket import life_of
from turns import settle, until

pytestmark = pytest.mark.anyio


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # the test is about what is left open
def test_a_closed_loop_writes_to_no_socket():
    """uvloop closes its sockets with the loop, and their numbers are reused."""
    loop = uvloop.new_event_loop()
    kept = []

    async def talk():
        server = await trunkline.serve(trunkline.WebSocket.wait_closed, "127.0.0.1", 0)
        kept.append(await trunkline.connect(f"ws://127.0.0.1:{server.port}/"))
        await until(lambda: server.connections)
        kept.extend(server.connections)
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    loop.run_until_complete(talk())
    loop.close()
    pairs = [socket.socketpair() for _ in range(30)]
    with contextlib.suppress(RuntimeError, trunkline.TrunklineError):  # whatever a closed transport makes of it
        kept[1].send_nowait(b"SECRET" * 6000)
    for end in itertools.chain(*pairs):
        end.setblocking(False)
        with pytest.raises(BlockingIOError):
            end.recv(20)
    for end in itertools.chain(*pairs):
        end.close()
    kept.clear()
    gc.collect()


async def test_failed_tls_handshakes_give_their_places_back(server_tls, client_tls):
    options = {"ssl": server_tls, "max_pending_handshakes": 3, "open_timeout": 0.1}
    async with trunkline.serve(trunkline.WebSocket.wait_closed, "127.0.0.1", 0, **options) as server:
        for _ in range(3):
            async with dialled(server.port) as (reader, writer):
                writer.write(b"GET / HTTP/1.1\r\n\r\n")
                with contextlib.suppress(ConnectionError):
                    await reader.read()
        async with asyncio.timeout(10):
            await until(lambda: not server._pending)
        async with trunkline.connect(f"wss://localhost:{server.port}/", ssl=client_tls, open_timeout=10):
            pass


async def test_nothing_gets_between_the_fragments_of_a_message(pair):
    go = asyncio.Event()

    async def parts():
        yield "a"
        await go.wait()
        yield "b"

    async with pair() as (client, server):
        fragmented = asyncio.ensure_future(client.send(parts()))
        await until(lambda: client.stats().frames_sent == 1)
        for refused in (lambda: client.send_nowait("x"), lambda: client.send_many(["x"])):
            with pytest.raises(trunkline.LocalProtocolError, match=r"fragmented message .* 5\.4"):
                refused()
        assert trunkline.broadcast([client], "x", "drop").dropped == 1
        others = [asyncio.ensure_future(client.send(message)) for message in ("whole", ["c", "d"])]
        assert await client.ping() >= 0  # control frames may
        go.set()
        await asyncio.gather(fragmented, *others)
        assert [await server.recv() for _ in range(3)] == ["ab", "whole", "cd"]
        client.send_nowait("after")
        assert await server.recv() == "after"


async def test_a_reset_while_we_close_reaches_nobody(line):
    reached = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reached.append(context))
    async with line(close_timeout=1) as (ws, peer):
        ws.start_closing()
        peer.send(TEXT, b"message")
        peer.send(5)
        linger = struct.pack("ii", 1, 0)
        peer.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        await peer.writer.drain()
        peer.writer.transport.abort()
        await ws.wait_closed()
    assert reached == []


async def test_a_listener_that_looks_at_a_cancelled_future(pair, caplog):
    class Careless(trunkline.Listener):
        def on_message(self, ws, message):
            future = asyncio.get_running_loop().create_future()
            future.cancel()
            future.result()

    reached = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reached.append(context))
    async with pair(server={"listener": Careless}) as (client, _):
        client.send_nowait("go")
        with pytest.raises(trunkline.ConnectionClosedError, match="1011"):
            await client.recv()
    assert reached == []


async def test_what_the_inbox_has_given_is_let_go(pair):
    async with pair(server={"max_queue": None}) as (client, server):
        client.send_many([b"x"] * 500)
        await until(lambda: server.stats().messages_received == 500)
        for _ in range(2000):  # the queue never runs empty
            client.send_nowait(b"y")
            await asyncio.sleep(0)
            assert await server.recv() in (b"x", b"y")
        assert server.stats().messages_received > 2000


async def test_a_ping_payload_of_the_wrong_type(pair):
    async with pair() as (client, _):
        for payload in ("text", bytearray(b"ab")):
            with pytest.raises(TypeError, match=r"payload is \w+, must be bytes or None \(payload\)"):
                await client.ping(payload)


async def test_a_server_cannot_be_closed_with_any_code():
    async with trunkline.serve(trunkline.WebSocket.wait_closed, "127.0.0.1", 0) as server:
        with pytest.raises(trunkline.LocalProtocolError, match="1005"):
            server.close(1005)


async def test_a_queue_that_would_never_resume():
    with pytest.raises(ValueError, match="max_queue"):
        trunkline.Settings(max_queue=(5, None))


@pytest.mark.parametrize("options", [{"origin": "http://é"}, {"user_agent_header": "中"}])
async def test_fields_that_cannot_be_written(options):
    with pytest.raises(trunkline.LocalProtocolError, match="cannot be written"):
        trunkline.connect("ws://localhost/", **options)


async def test_a_large_binary_goes_where_it_should(line):
    async with line() as (ws, peer):
        ws.send_nowait(b"z" * 100_000)
        assert (await peer.frame()).opcode == BINARY


@pytest.mark.parametrize("takes", [True, False])
async def test_a_connection_that_fails_between_two_turns_of_inflating_is_read_to_its_end(compressed, takes):
    """The peer closes, and that is noticed at once: what is still to be inflated is of no use any more."""
    bomb = deflate(bytes(100_000))
    async with compressed(max_queue=None if takes else 1, close_timeout=3600) as (ws, peer):
        ws._feed(peer.encode(BINARY, bomb, rsv=4) * 8)
        assert life_of(ws).is_deaf()
        ws.fail(1008, "enough")
        await settle()
        is_held = ws._is_held
        peer.writer.close()
        await settle()
        is_there = ws.transport is not None
        ws.abort()
        assert (is_held, is_there) == (False, False)


async def test_wide_text_over_tls_is_put_off_for_the_turn_that_it_took(server_tls, client_tls):
    async with (
        asyncio.timeout(60),
        trunkline.serve(echo, "127.0.0.1", 0, ssl=server_tls) as server,
        trunkline.connect(f"wss://localhost:{server.port}/", ssl=client_tls) as client,
    ):
        for _ in range(10):
            await client.send("\u0416" * 50_000)
            await client.recv()
        (ws,) = server.connections
        before = ws.stats().holds
        for _ in range(20):
            await client.send("short")
            await client.recv()
        assert ws.stats().holds - before <= 1
