"""Connections that go silent: noticed in time, never ended while bytes arrive, and sockets are always freed in time."""

import asyncio
import contextlib
import random

import pytest

import trunkline
from trunkline.testing import Fault, FaultProxy, ScriptedServer
from trunkline.testing.script import accept, hang, stay
from turns import now

pytestmark = pytest.mark.anyio

HOST, PROXY = "server.sim.invalid", "proxy.sim.invalid"
INTERVAL, TIMEOUT = 20, 20  # seconds: the defaults
NOTICED = INTERVAL + TIMEOUT + 1  # seconds
CLOSE_TIMEOUT = 5
FREED = CLOSE_TIMEOUT + 1


@contextlib.asynccontextmanager
async def line(handler=trunkline.WebSocket.wait_closed, **faults):
    """A client and a server with the proxy between them."""
    async with (
        trunkline.serve(handler, HOST, 8000) as server,
        FaultProxy(HOST, 8000, listen=PROXY, listen_port=8000, **faults) as proxy,
    ):
        ws = await trunkline.connect(f"ws://{PROXY}:8000/")
        (there,) = server.connections
        yield ws, there, proxy
        ws.abort()
        there.abort()
        await asyncio.gather(ws.wait_closed(), there.wait_closed())


async def end_of(ws):
    """When an end was told that its line is gone, and when its socket was."""
    try:
        while True:
            await ws.recv()
    except trunkline.ConnectionClosed as closed:
        error = closed
    told = now()
    await ws.wait_closed()
    return error, told, now()


FAULTS = {
    "half open": lambda proxy: proxy.half_open(),
    "nothing passes": lambda proxy: proxy.lines[0].half_open("both"),
    "stalled": lambda proxy: proxy.stall(),
}


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
async def test_a_dead_line_is_noticed_and_its_socket_freed(fault, seed, nothing_left):
    rng = random.Random(seed)
    async with line() as (ws, there, proxy):
        await asyncio.sleep(rng.uniform(0, 120))
        fault(proxy)
        began = now()
        ends = await asyncio.gather(end_of(ws), end_of(there))
        for error, told, freed in ends:
            assert told - began <= NOTICED
            assert freed - told <= FREED
            assert error.category in (trunkline.ErrorCategory.TIMEOUT, trunkline.ErrorCategory.NETWORK_ERROR)
        assert ends[0][0].category is trunkline.ErrorCategory.TIMEOUT


@pytest.mark.parametrize("seed", range(3))
async def test_it_is_noticed_while_we_send(seed, nothing_left):
    """What we write ourselves is not a sign of life."""
    async with line() as (ws, _, proxy):
        await asyncio.sleep(random.Random(seed).uniform(0, 60))
        proxy.half_open()
        began = now()
        with contextlib.suppress(trunkline.ConnectionClosed):
            while True:
                await ws.send("x" * 100)
                await asyncio.sleep(0.5)
        assert now() - began <= NOTICED


async def test_no_pong_is_no_death_while_other_bytes_arrive(nothing_left):
    async def ticker(peer):
        """Sends a byte of a message now and then, and never reads: no ping is answered."""
        await peer.write(b"\x81\x7e\x0f\xa0")  # a text of 4,000 bytes
        for _ in range(200):
            await asyncio.sleep(18)
            await peer.write(b"x")

    async with ScriptedServer([accept(), ticker], host=HOST) as server:
        ws = await trunkline.connect(server.uri)
        await asyncio.sleep(200 * 18 - 1)
        assert ws.state is trunkline.protocol.ConnectionState.OPEN
        ws.abort()
        await ws.wait_closed()


async def test_a_slow_line_is_no_dead_line(nothing_left):
    """A message that takes minutes; the pongs wait behind it."""

    async def push(ws):
        await ws.send(b"x" * 150_000)
        await ws.wait_closed()

    async with line(push, plan=[Fault("throttle", "client", amount=1000)]) as (ws, _, _):
        assert len(await ws.recv()) == 150_000
        assert now() > 140


# Closing


@pytest.mark.parametrize("steps", [[accept(), hang()], [accept(), stay()]], ids=["never reads", "reads"])
async def test_a_close_is_over_in_time(steps, nothing_left):
    async with ScriptedServer(steps, host=HOST) as server:
        ws = await trunkline.connect(server.uri)
        began = now()
        await ws.close()
        await ws.wait_closed()
        assert now() - began <= FREED
        assert ws.transport is None


@pytest.mark.parametrize("who", ["client", "server"])
async def test_a_close_is_over_in_time_when_the_peer_does_not_read(who, nothing_left):
    """Megabytes wait to be sent before the close frame."""
    async with line() as (ws, there, proxy):
        proxy.stall()
        closing = ws if who == "client" else there
        with contextlib.suppress(trunkline.SlowConsumer):
            while True:
                closing.send_nowait(b"x" * 50_000)
        began = now()
        await closing.close()
        await closing.wait_closed()
        assert now() - began <= FREED


async def test_a_server_closes_in_time_with_peers_that_never_answer(nothing_left):
    async with (
        trunkline.serve(trunkline.WebSocket.wait_closed, HOST, 8000) as server,
        FaultProxy(HOST, 8000, listen=PROXY, listen_port=8000) as proxy,
    ):
        clients = [await trunkline.connect(f"ws://{PROXY}:8000/") for _ in range(10)]
        proxy.stall()
        began = now()
        await server.close()
        assert now() - began <= FREED
        for client in clients:
            client.abort()
            await client.wait_closed()
