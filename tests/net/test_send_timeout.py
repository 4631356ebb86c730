"""`send_timeout`: a deadline for sending to a peer that answers pings and does not read, or reads too slowly."""

import asyncio
import contextlib
import os
import pickle
import ssl
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

import trunkline
from lines import LIMIT
from trunkline.net.websocket import life_of
from trunkline.testing import FaultProxy
from turns import until

pytestmark = pytest.mark.anyio

SOON = {"send_timeout": 0.1, "ping_interval": None}


async def send_until_late(ws: trunkline.WebSocket, message: Any = b"x" * 16384) -> trunkline.SendTimeout:
    try:
        while True:
            await ws.send(message)
    except trunkline.SendTimeout as error:
        return error


async def test_a_send_that_finds_no_room_in_time_has_sent_nothing(line: Callable[..., Any]) -> None:
    async with line(buffers=8192, **SOON) as (ws, peer):
        error = await send_until_late(ws)
        assert isinstance(error, TimeoutError)
        assert (error.category, error.recoverable) == (trunkline.ErrorCategory.OVERLOADED, True)
        assert (error.timeout, error.pending) == (0.1, ws._waiting)
        assert (
            str(error)
            == f"the peer is reading too slowly: {error.pending} bytes are waiting, no room in 0.1 s (send_timeout)"
        )
        sent = ws.stats().messages_sent
        assert ws.close_info is None
        await peer.frames(sent)  # every one is whole
        await ws.send(b"after it")
        assert (await peer.frame()).payload == b"after it"
        assert ws.stats().messages_sent == sent + 1


async def test_wait_writable_has_the_same_deadline(line: Callable[..., Any]) -> None:
    async with line(buffers=8192, **SOON) as (ws, _):
        await send_until_late(ws)
        with pytest.raises(trunkline.SendTimeout):
            await ws.wait_writable()
        assert not life_of(ws).queue._waiters, "nobody is left waiting"


async def test_many_that_wait_each_learn_it_in_time(line: Callable[..., Any]) -> None:
    async with line(buffers=8192, **SOON) as (ws, _):
        await send_until_late(ws)
        errors = await asyncio.gather(*(ws.send(b"x") for _ in range(20)), return_exceptions=True)
        assert {type(error) for error in errors} == {trunkline.SendTimeout}


async def test_so_do_those_that_wait_behind_others_for_a_thread_that_compresses() -> None:
    """Otherwise each would get its turn only after the deadline of the one before."""
    late: asyncio.Future[list[BaseException | None]] = asyncio.get_running_loop().create_future()
    is_stalled = asyncio.Event()

    async def push(ws: trunkline.WebSocket) -> None:
        await is_stalled.wait()  # until then a busy machine may be late, and the next send be in time
        await send_until_late(ws, os.urandom(400_000))
        sends = [ws.send(os.urandom(400_000)) for _ in range(200)]  # 20 s, one after another
        late.set_result(await asyncio.gather(*sends, return_exceptions=True))

    async with (
        asyncio.timeout(LIMIT),
        trunkline.serve(push, "127.0.0.1", 0, compression="deflate", close_timeout=0.2, **SOON) as server,
        FaultProxy("127.0.0.1", server.port) as proxy,
        trunkline.connect(f"ws://127.0.0.1:{proxy.port}/", compression="deflate", proxy=None, ping_interval=None) as ws,
    ):
        proxy.stall()
        is_stalled.set()
        assert {type(error) for error in await late} == {trunkline.SendTimeout}
        ws.abort()


async def test_a_message_in_fragments_that_was_begun_ends_the_connection(line: Callable[..., Any]) -> None:
    async def parts() -> AsyncIterator[bytes]:
        while True:
            yield bytes(16384)

    async with line(buffers=8192, close_timeout=0.2, **SOON) as (ws, _):
        with pytest.raises(trunkline.SendTimeout):
            await ws.send(parts())
        assert ws.close_info is not None
        assert ws.close_info.code == 1011


async def test_parts_that_come_slowly_are_nobodys_fault(line: Callable[..., Any]) -> None:
    go_on = asyncio.Event()

    async def parts() -> AsyncIterator[str]:
        yield "a"
        await go_on.wait()
        yield "b"

    async with line(**SOON) as (ws, peer):
        sending = asyncio.ensure_future(ws.send(parts()))
        assert (await peer.frame()).payload == b"a"
        await asyncio.wait([sending], timeout=0.3)
        assert not sending.done()
        go_on.set()
        await sending
        assert [frame.payload for frame in await peer.frames(2)] == [b"b", b""]


async def test_a_connection_that_closes_meanwhile_says_so(line: Callable[..., Any]) -> None:
    async with line(buffers=8192, send_timeout=LIMIT, ping_interval=None) as (ws, _):
        sending = asyncio.ensure_future(send_until_late(ws))
        await until(lambda: ws.is_writing_paused)
        ws.abort()
        with pytest.raises(trunkline.ConnectionClosedError, match="1006"):
            await sending


async def test_over_tls(server_tls: ssl.SSLContext, client_tls: ssl.SSLContext) -> None:
    late: asyncio.Future[trunkline.SendTimeout] = asyncio.get_running_loop().create_future()

    async def push(ws: trunkline.WebSocket) -> None:
        late.set_result(await send_until_late(ws))

    async with (
        asyncio.timeout(LIMIT),
        trunkline.serve(push, "127.0.0.1", 0, ssl=server_tls, close_timeout=0.2, **SOON) as server,
        FaultProxy("127.0.0.1", server.port) as proxy,
        trunkline.connect(
            f"wss://127.0.0.1:{proxy.port}/",
            ssl=client_tls,
            server_hostname="localhost",
            proxy=None,
            ping_interval=None,
        ) as ws,
    ):
        proxy.stall()
        assert (await late).timeout == 0.1
        ws.abort()


async def test_a_managed_link_to_a_peer_that_does_not_read_is_replaced() -> None:
    """What waited is sent on the next link."""
    got: list[str] = []

    async def handler(ws: trunkline.WebSocket) -> None:
        with contextlib.suppress(trunkline.ConnectionClosed):
            while True:
                got.append(await ws.recv())

    async with (
        asyncio.timeout(LIMIT),
        trunkline.serve(handler, "127.0.0.1", 0, max_size=None) as server,
        FaultProxy("127.0.0.1", server.port) as proxy,
    ):
        service = trunkline.Service(
            "s",
            f"ws://127.0.0.1:{proxy.port}/",
            sends=str,
            receives=str,
            codec=trunkline.manager.RawCodec,
            retry=trunkline.manager.RetryPolicy(base=0.01, cap=0.02),
            outbox=trunkline.manager.OutboxPolicy(confirm=None),
            close_timeout=0.1,
            **SOON,
        )
        async with trunkline.ConnectionManager([service]) as manager:
            line = await manager.connect(service)
            proxy.stall()
            number = 0
            while line.generation == 1:
                with contextlib.suppress(trunkline.OutboxFull):
                    line.send_nowait(f"{number}" + "x" * 50_000)
                    number += 1
                await asyncio.sleep(0)
            await line.send("last")
            await until(lambda: "last" in got)
            assert line.last_error.category is trunkline.ErrorCategory.OVERLOADED


async def test_it_travels() -> None:
    error = pickle.loads(pickle.dumps(trunkline.SendTimeout(5, 0.1)))
    assert (error.pending, error.timeout, error.errno) == (5, 0.1, None)


async def test_a_deadline_that_is_none() -> None:
    for value in (0, -1):
        with pytest.raises(ValueError, match=f"send_timeout is {value}, must be more than 0 seconds"):
            trunkline.connect("ws://localhost/", send_timeout=value)
        with pytest.raises(ValueError, match=f"send_timeout is {value}, must be more than 0 seconds"):
            trunkline.serve(trunkline.WebSocket.wait_closed, send_timeout=value)
