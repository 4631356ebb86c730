"""What a handler's end does to its connection, and what a handler may still ask once its connection is gone."""

import asyncio
import contextlib
import logging

import pytest

import trunkline
from turns import until

pytestmark = pytest.mark.anyio


def serving(handler, **options):
    return trunkline.serve(handler, "127.0.0.1", 0, **options)


def at(server, **options):
    return trunkline.connect(f"ws://127.0.0.1:{server.port}/", **options)


def failures(caplog):
    return [record for record in caplog.records if getattr(record, "event", None) == "handler.failed"]


async def close_with_1011(ws):
    await ws.close(1011, "upstream is broken")


async def close_with_1000(ws):
    await ws.close()


async def relay(ws, upstream):
    """A proxy's handler: it passes messages from upstream to the client, and ignores how upstream ends."""
    while True:
        await ws.send(await upstream.recv())


async def relay_in_a_group(ws, upstream):
    async with asyncio.TaskGroup() as group:
        group.create_task(relay(ws, upstream))
        group.create_task(ws.wait_closed())


async def ping_upstream(ws, upstream):
    await upstream.wait_closed()
    await upstream.ping()


async def send_upstream(ws, upstream):
    await upstream.wait_closed()
    await upstream.send("x")


@pytest.mark.parametrize("end", [close_with_1011, close_with_1000])
@pytest.mark.parametrize("use", [relay, relay_in_a_group, ping_upstream, send_upstream])
async def test_the_end_of_another_connection_is_a_failure(use, end, caplog):
    async with serving(end) as upstream_server:

        async def handler(ws):
            async with at(upstream_server) as upstream:
                await use(ws, upstream)

        async with asyncio.timeout(20), serving(handler) as server, at(server) as client:
            await client.wait_closed()
            assert (client.close_code, client.close_reason) == (1011, "internal error")
    (record,) = failures(caplog)
    assert record.levelno == logging.ERROR
    assert record.remote[0] == "127.0.0.1"


async def receive(ws):
    while True:
        await ws.recv()


async def send_when_closed(ws):
    await ws.wait_closed()
    await ws.send("late")


async def send_parts_when_closed(ws):
    await ws.wait_closed()
    await ws.send(["late"])


async def send_nowait_when_closed(ws):
    await ws.wait_closed()
    ws.send_nowait("late")


async def send_many_when_closed(ws):
    await ws.wait_closed()
    ws.send_many(["late"])


async def ping_when_closed(ws):
    await ws.wait_closed()
    await ws.ping()


async def ping_until_closed(ws):
    ws.transport.pause_reading()  # so that the pong does not come
    waiting = ws.ping_nowait()
    ws.transport.resume_reading()
    await waiting
    await ws.recv()


async def wait_writable(ws):
    await ws.wait_closed()
    await ws.wait_writable()


async def receive_in_a_group(ws):
    async with asyncio.TaskGroup() as group:
        group.create_task(receive(ws))
        group.create_task(send_when_closed(ws))


async def receive_in_nested_groups(ws):
    async with asyncio.TaskGroup() as group:
        group.create_task(receive_in_a_group(ws))
        group.create_task(receive_in_nested_group_of_one(ws))


async def receive_in_nested_group_of_one(ws):
    async with asyncio.TaskGroup() as group:
        group.create_task(ping_when_closed(ws))


OWN = [
    receive,
    send_when_closed,
    send_parts_when_closed,
    send_nowait_when_closed,
    send_many_when_closed,
    ping_when_closed,
    ping_until_closed,
    wait_writable,
    receive_in_a_group,
    receive_in_nested_groups,
]


@pytest.mark.parametrize("leave", ["closes", "closes with an error", "is lost"])
@pytest.mark.parametrize("handler", OWN)
async def test_the_end_of_its_own_connection_is_none(handler, leave, caplog):
    async with asyncio.timeout(20), serving(handler) as server:
        async with at(server) as client:
            if leave == "is lost":
                client.abort()
            else:
                await client.close(1000 if leave == "closes" else 4000)
        await until(lambda: not server._handlers)
    assert failures(caplog) == []
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def raise_with(ws, other):
    """Its own connection has ended, and something else has gone wrong, too."""
    with contextlib.suppress(trunkline.ConnectionClosed):
        await receive(ws)
    with pytest.raises(trunkline.ConnectionClosed) as own:
        ws.send_nowait("late")
    raise BaseExceptionGroup("mixed", [own.value, ExceptionGroup("inner", [own.value, other])])


@pytest.mark.parametrize("other", [KeyError("k"), trunkline.ConnectionClosedOK(1000), trunkline.SlowConsumer(2, 1)])
async def test_a_group_with_anything_else_in_it_is_a_failure(other, caplog):
    async with asyncio.timeout(20), serving(lambda ws: raise_with(ws, other)) as server:
        async with at(server):
            pass
        await until(lambda: not server._handlers)
    (record,) = failures(caplog)
    assert isinstance(record.exc_info[1], ExceptionGroup)


async def await_cancelled(ws):
    """A future of its own was cancelled, but nobody has cancelled the handler."""
    future = asyncio.get_running_loop().create_future()
    future.cancel()
    await future


async def cancel_itself(ws):
    asyncio.current_task().cancel()
    await ws.recv()


async def raise_group_of_cancellations(ws):
    raise BaseExceptionGroup("cancelled", [asyncio.CancelledError()])


@pytest.mark.parametrize("handler", [await_cancelled, cancel_itself, raise_group_of_cancellations])
async def test_a_cancelled_handler_closes_with_1011(handler, caplog):
    async with asyncio.timeout(20), serving(handler) as server, at(server) as client:
        await client.wait_closed()
        assert (client.close_code, client.close_reason) == (1011, "internal error")
        await until(lambda: not server._handlers)
    assert len(failures(caplog)) == 1


async def test_a_handler_that_its_server_cancels_is_no_failure(caplog):
    async def stubborn(ws):
        await asyncio.get_running_loop().create_future()

    async with asyncio.timeout(20), serving(stubborn, close_timeout=0.05) as server, at(server) as client:
        await server.close()
        await client.wait_closed()
        assert client.close_code == 1001
    assert failures(caplog) == []


@pytest.mark.parametrize("leave", ["closes", "is lost"])
async def test_a_handler_knows_its_peer_to_the_end(leave, caplog):
    """A program that logs who has left asks after the connection is gone."""
    told = []

    async def handler(ws):
        told.append((ws.remote_address, ws.local_address))
        try:
            async for _ in ws:
                pass
        finally:
            await ws.wait_closed()
            told.append((ws.remote_address, ws.local_address))
            told.append(tuple(ws.get_extra_info(name) for name in ("peername", "sockname")))
            assert ws.get_extra_info("socket", "gone") == "gone"
            raise KeyError("to be logged")

    async with asyncio.timeout(20), serving(handler) as server:
        async with at(server) as client:
            here = (client.remote_address, client.local_address)
            if leave == "is lost":
                client.abort()
        await client.wait_closed()
        await until(lambda: not server._handlers)
    assert (client.remote_address, client.local_address) == here
    assert told == [here[::-1]] * 3
    (record,) = failures(caplog)
    assert record.remote == here[1]
    assert str(here[1][1]) in record.getMessage()


async def test_a_listener_knows_its_peer_in_on_close(caplog):
    told = asyncio.get_running_loop().create_future()

    class Farewell(trunkline.Listener):
        def on_close(self, ws, close):
            told.set_result((ws.remote_address, ws.local_address))
            raise KeyError("to be logged")

    async with asyncio.timeout(20), trunkline.serve(listener=Farewell, host="127.0.0.1", port=0) as server:
        async with at(server) as client:
            here = (client.local_address, client.remote_address)
        assert await told == here
    (record,) = [record for record in caplog.records if getattr(record, "event", None) == "callback.failed"]
    assert record.remote == here[0]


async def test_what_tls_told_of_the_peer_is_kept(server_tls, client_tls):
    names = ("cipher", "peercert", "peername", "sockname")
    async with asyncio.timeout(20), serving(close_with_1000, ssl=server_tls) as server:
        ws = await trunkline.connect(f"wss://localhost:{server.port}/", ssl=client_tls)
        before = [ws.get_extra_info(name) for name in names]
        await ws.wait_closed()
        assert [ws.get_extra_info(name) for name in names] == before
        assert before[0][0].startswith("TLS")
        assert before[1]["subject"]


async def test_connections_may_come_and_go_while_they_are_walked_through():
    async with asyncio.timeout(20), serving(trunkline.WebSocket.wait_closed) as server:
        clients = [await at(server) for _ in range(3)]
        await until(lambda: len(server.connections) == 3)
        seen = []
        for ws in server.connections:
            seen.append(ws)
            if len(seen) == 1:
                clients.append(await at(server))
                await until(lambda: len(server.connections) == 4)
            await ws.close()
        assert len(set(seen)) == 3
        assert len(server.connections) == 1
        assert all(ws not in server.connections for ws in seen)
        (last,) = server.connections
        assert {*server.connections} == server.connections == {last}
        assert server.connections - {last} == set()
        assert trunkline.broadcast(server.connections, "x").sent == 1
        assert await clients[3].recv() == "x"
        for client in clients:
            await client.close()


@pytest.mark.posix
def test_a_connection_that_fails_within_tls_is_logged_with_its_address(server_tls, caplog):
    """On asyncio's loop only: uvloop accepts by itself, and does not report it."""

    async def knock():
        async with asyncio.timeout(20), serving(close_with_1000, ssl=server_tls) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(b"GET / HTTP/1.1\r\n\r\n")
            here = writer.get_extra_info("sockname")
            await reader.read()
            writer.close()
            await until(accepted)
            return here

    def accepted():
        return [record for record in caplog.records if getattr(record, "event", None) == "accept.failed"]

    with caplog.at_level(logging.DEBUG, "trunkline.net"):
        here = asyncio.run(knock())
    (record,) = accepted()
    assert record.remote == here
