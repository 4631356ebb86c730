"""The keepalive and pings on real connections: silent ones, paused ones, closing ones."""

import asyncio
from typing import Any

import pytest

import trunkline
from rawpeer import PING, PONG, TEXT
from trunkline import Close, ConnectionClosedError, ErrorCategory, LocalProtocolError
from turns import until

pytestmark = pytest.mark.anyio


async def test_a_line_that_goes_silent(line):
    async with line(ping_interval=0.05, ping_timeout=0.05) as (ws, peer):
        receiving = asyncio.create_task(ws.recv())
        assert (await peer.frame()).opcode == PING
        peer.send(TEXT, b"last")
        assert await receiving == "last"
        frame = await peer.frame()
        while frame.opcode == PING:
            frame = await peer.frame()
        assert frame.close == (1011, "keepalive ping timeout")
        with pytest.raises(ConnectionClosedError, match=r"ping timeout: no byte for 0\.05 s") as caught:
            await ws.recv()
        assert (caught.value.code, caught.value.initiator) == (1011, "local")
        assert caught.value.category is ErrorCategory.TIMEOUT
        reason = "keepalive ping timeout: no byte for 0.05 s (ping_timeout)"
        assert ws.close_info == Close(1011, reason, False, "local")


async def test_a_line_that_goes_silent_is_freed_when_the_peer_is_gone(line):
    """Nothing of ours is acknowledged any more: close_timeout frees the socket."""
    async with line(ping_interval=0.05, ping_timeout=0.05, close_timeout=0.1) as (ws, _):
        await ws.wait_closed()
        assert ws.close_info.code == 1011
        assert ws.transport is None


async def test_pings_and_pongs_on_a_line(line):
    async with line() as (ws, peer):
        assert ws.latency is None
        pings = [asyncio.create_task(ws.ping(payload)) for payload in (b"one", b"", b"x" * 125, None)]
        frames = await peer.frames(4)
        assert [frame.opcode for frame in frames] == [PING] * 4
        assert [frame.payload for frame in frames[:3]] == [b"one", b"", b"x" * 125]
        assert len(frames[3].payload) == 8
        peer.send(PONG, b"unasked")
        peer.send(PONG, frames[3].payload)
        assert all(seconds > 0 for seconds in await asyncio.gather(*pings))
        assert ws.latency > 0
        assert (ws.stats().pings_sent, ws.stats().pongs_received) == (4, 2)


async def test_two_of_ours_keep_each_other_alive(pair):
    often = {"ping_interval": 0.01, "ping_timeout": 0.01}
    async with pair(client=often, server=often) as (client, server):
        await until(lambda: min(client.stats().pongs_received, server.stats().pongs_received) >= 5)
        assert client.latency is not None
        assert server.latency is not None
        await client.close()
        assert client.close_info.clean


async def test_a_paused_line_is_not_killed(line):
    async with line(ping_interval=0.01, ping_timeout=0.01, max_queue=0) as (ws, peer):
        peer.send(TEXT, b"x")
        await until(lambda: ws._reading_paused)
        await peer.frames(15)  # pings: more time than a verdict takes
        assert ws.close_info is None
        assert await ws.recv() == "x"


BAD_PAYLOADS: dict[str, tuple[Any, type[Exception]]] = {
    "126 bytes": (b"x" * 126, LocalProtocolError),
    "text": ("text", TypeError),
    "a number": (5, TypeError),
}


@pytest.mark.parametrize(("payload", "error"), BAD_PAYLOADS.values(), ids=BAD_PAYLOADS)
async def test_a_ping_that_cannot_be_sent(line, payload, error):
    async with line() as (ws, peer):
        with pytest.raises(error):
            await ws.ping(payload)
        ping = asyncio.create_task(ws.ping(b"good"))
        assert (await peer.frame()).payload == b"good"
        peer.send(PONG, b"good")
        await ping


async def test_nothing_is_pinged_after_our_close(line):
    async with line(ping_interval=0.02, ping_timeout=None, close_timeout=1) as (ws, peer):
        waiting = asyncio.create_task(ws.ping(b"?"))
        while (await peer.frame()).payload != b"?":
            pass
        ws.start_closing(4000)
        with pytest.raises(ConnectionClosedError, match="sent 4000"):
            await ws.ping()
        while (frame := await peer.frame()).opcode == PING:
            pass
        assert frame.close == (4000, "")
        peer.send(PONG, b"?")
        assert await waiting > 0, "a pong may come until the peer's close frame does"
        await ws.wait_closed()
        assert await peer.rest() == b"", "no frame, until close_timeout drops the line"
        with pytest.raises(ConnectionClosedError, match="1006"):
            await ws.ping()


async def test_connect_and_serve_refuse_times_that_are_none():
    for name in ("ping_interval", "ping_timeout", "close_timeout", "open_timeout"):
        for value in (0, -1):
            with pytest.raises(ValueError, match=f"{name} is {value}, must be more than 0 seconds"):
                trunkline.connect("ws://localhost/", **{name: value})
