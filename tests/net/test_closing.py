"""The closing handshake: every way it can go, what is recorded, and what every use of the connection raises."""

import asyncio
import gc
import weakref
from typing import Any

import pytest
from wsproto.connection import ConnectionState

import trunkline
from rawpeer import CLOSE, TEXT, Frame
from trunkline import (
    Close,
    ConnectionClosedError,
    ConnectionClosedOK,
    ErrorCategory,
    LocalProtocolError,
)
from trunkline.net import parting
from trunkline.net.websocket import life_of
from turns import settle, until

pytestmark = pytest.mark.anyio


async def outcomes(ws: Any) -> list[BaseException]:
    """What every use of a connection that has ended raises."""

    async def attempt(use: Any) -> BaseException:
        try:
            result = use()
            await result
        except Exception as error:
            return error
        raise AssertionError("it did not raise")

    uses = [
        ws.recv,
        lambda: ws.send("x"),
        lambda: ws.send(["x"]),
        lambda: ws.send_nowait("x"),
        lambda: ws.send_many(["x"]),
        ws.ping,
        ws.wait_writable,
    ]
    return [await attempt(use) for use in uses]


async def assert_ended(ws: Any, close: Close, error: type[Exception], category: ErrorCategory, text: str) -> None:
    """What is left of a connection: its record, its state, and the same exception for every use."""
    assert ws.close_info == close
    assert (ws.close_code, ws.close_reason) == (close.code, close.reason)
    assert ws.state is ConnectionState.CLOSED
    for raised in await outcomes(ws):
        assert type(raised) is error
        assert (raised.code, raised.reason, raised.initiator) == (close.code, close.reason, close.initiator)
        assert raised.category is category
        assert str(raised) == text
    if error is ConnectionClosedOK:
        assert [message async for message in ws] == []
    else:
        with pytest.raises(error):
            await anext(ws)
    await ws.close()  # changes nothing
    assert ws.close_info == close


LONGEST = "é" * 61 + "!"  # 123 bytes

# code, reason, exception, category, name
CODES = [
    (1000, "", ConnectionClosedOK, ErrorCategory.NORMAL_CLOSURE, "normal closure"),
    (1000, "bye", ConnectionClosedOK, ErrorCategory.NORMAL_CLOSURE, "normal closure"),
    (1001, "", ConnectionClosedOK, ErrorCategory.GOING_AWAY, "going away"),
    (1003, "", ConnectionClosedError, ErrorCategory.UNSUPPORTED_DATA, "unsupported data"),
    (1008, "no", ConnectionClosedError, ErrorCategory.POLICY_VIOLATION, "policy violation"),
    (1012, "", ConnectionClosedError, ErrorCategory.SERVICE_RESTART, "service restart"),
    (1013, "", ConnectionClosedError, ErrorCategory.OVERLOADED, "try again later"),
    (3000, "who are you?", ConnectionClosedError, ErrorCategory.AUTHENTICATION_FAILED, "unauthorized"),
    (3999, "", ConnectionClosedError, ErrorCategory.APPLICATION, "registered"),
    (4000, LONGEST, ConnectionClosedError, ErrorCategory.APPLICATION, "private use"),
    (4999, "世界", ConnectionClosedError, ErrorCategory.APPLICATION, "private use"),
]


def spoken(verb: str, code: int, reason: str, name: str) -> str:
    return f"{verb} {code} ({name}) {reason}".rstrip()


@pytest.mark.parametrize(("code", "reason", "error", "category", "name"), CODES)
async def test_we_close(line, code, reason, error, category, name):
    async with line() as (ws, peer):
        closing = asyncio.create_task(ws.close(code, reason))
        assert (await peer.frame()).close == (code, reason)
        assert ws.state is ConnectionState.LOCAL_CLOSING
        with pytest.raises(error, match=str(code)):
            await ws.send("while it closes")
        peer.send_close(code, reason)
        assert not ws.is_client or not closing.done()  # 7.1.1: a client waits for the server to close TCP
        peer.writer.write_eof()
        await closing
        assert await peer.rest() == b""
        await assert_ended(ws, Close(code, reason, True, "local"), error, category, spoken("sent", code, reason, name))


@pytest.mark.parametrize(("code", "reason", "error", "category", "name"), CODES)
async def test_the_peer_closes(line, code, reason, error, category, name):
    async with line() as (ws, peer):
        peer.send(TEXT, b"before")
        peer.send_close(code, reason)
        assert (await peer.frame()).close == (code, "")
        if not ws.is_client:
            assert await peer.rest() == b""  # 7.1.1: the server closes TCP first
        peer.writer.write_eof()
        await ws.wait_closed()
        assert await ws.recv() == "before"
        await assert_ended(
            ws, Close(code, reason, True, "remote"), error, category, spoken("received", code, reason, name)
        )


async def test_the_peer_closes_without_a_code(line):
    async with line() as (ws, peer):
        peer.send(CLOSE)
        assert await peer.frame() == Frame(CLOSE, b"")
        peer.writer.write_eof()
        await ws.wait_closed()
        text = "received 1005 (no status received)"
        await assert_ended(ws, Close(1005, "", True, "remote"), ConnectionClosedError, ErrorCategory.NO_STATUS, text)


async def test_both_close_at_once(line):
    async with line() as (ws, peer):
        peer.send_close(4001, "theirs")
        ws.start_closing(4000, "ours")  # before it has read theirs
        assert (await peer.frame()).close == (4000, "ours")
        await until(lambda: ws.close_info)
        peer.writer.write_eof()
        await ws.wait_closed()
        assert await peer.rest() == b""  # 5.5.1: one close frame a side
        assert ws.close_info == Close(4001, "theirs", True, "local")


@pytest.mark.parametrize("first", ["client", "server", "both"])
async def test_two_ends_of_ours_close(pair, first):
    async with pair() as (client, server):
        closing = []
        if first in ("client", "both"):
            closing.append(client.close(4000, "from the client"))
        if first in ("server", "both"):
            closing.append(server.close(4000, "from the server"))
        await asyncio.gather(*closing)
        await asyncio.gather(client.wait_closed(), server.wait_closed())
        sides = {"client": ("local", "remote"), "server": ("remote", "local"), "both": ("local", "local")}[first]
        for ws, side in zip((client, server), sides, strict=True):
            assert (ws.close_info.code, ws.close_info.clean, ws.close_info.initiator) == (4000, True, side)


# What may not be sent


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 70000])
async def test_codes_that_may_not_be_sent_are_refused(line, code):
    async with line() as (ws, peer):
        with pytest.raises(LocalProtocolError, match=rf"close code {code} may not be sent \(code, RFC 6455 7\.4\)"):
            await ws.close(code)
        assert ws.state is ConnectionState.OPEN
        peer.send(TEXT, b"goes on")
        assert await ws.recv() == "goes on"


@pytest.mark.parametrize(
    ("reason", "text"), [(LONGEST + "!", "124 bytes, limit 123"), ("\ud800", "not Unicode at index 0")], ids=ascii
)
async def test_reasons_that_may_not_be_sent_are_refused(line, reason, text):
    async with line() as (ws, _):
        with pytest.raises(LocalProtocolError, match=text):
            await ws.close(1000, reason)
        assert ws.state is ConnectionState.OPEN


# Peers that do not play along


async def test_a_peer_that_never_answers(line):
    async with line(close_timeout=0.1) as (ws, peer):
        await ws.close()
        assert ws.transport is None
        text = "1006 (abnormal closure)"
        await assert_ended(ws, Close(1006, "", False, None), ConnectionClosedError, ErrorCategory.NETWORK_ERROR, text)
        assert (await peer.frame()).close == (1000, "")


async def test_a_peer_that_answers_and_keeps_the_line(line):
    async with line(close_timeout=1) as (ws, peer):
        closing = asyncio.create_task(ws.close())
        assert (await peer.frame()).close == (1000, "")
        peer.send_close(1000)
        await closing
        assert ws.transport is None
        assert ws.close_info == Close(1000, "", True, "local")


async def test_a_peer_that_closes_and_keeps_the_line(line):
    async with line(close_timeout=0.1) as (ws, peer):
        peer.send_close(1000)
        await ws.wait_closed()
        assert ws.close_info == Close(1000, "", True, "remote")


async def fill(ws: Any) -> None:
    """Send to a peer that does not read, until more than the high-water mark is waiting."""
    while not ws._writing_paused:
        await ws.send(b"x" * 10_000)


async def test_a_peer_that_never_reads(line):
    async with line(close_timeout=0.1, buffers=4096) as (ws, _):
        await fill(ws)
        waiting = asyncio.create_task(ws.send("stands behind"))
        await settle()
        await ws.close(4000)
        assert ws.transport is None
        with pytest.raises(ConnectionClosedError):
            await waiting
        assert ws.close_info == Close(1006, "", False, None)


async def test_a_close_with_a_full_buffer_leaves_when_the_peer_reads(line):
    async with line(buffers=4096) as (ws, peer):
        await fill(ws)
        sent = ws.stats().messages_sent
        closing = asyncio.create_task(ws.close(4000, "full"))
        assert [frame.opcode for frame in await peer.frames(sent)] == [2] * sent
        assert (await peer.frame()).close == (4000, "full")
        peer.send_close(4000)
        peer.writer.write_eof()
        await closing
        assert ws.close_info == Close(4000, "", True, "local")


async def test_a_close_from_the_peer_with_a_full_buffer_sends_what_was_sent(line):
    async with line(buffers=4096) as (ws, peer):
        await fill(ws)
        sent = ws.stats().messages_sent
        peer.send_close(1001)
        await until(lambda: ws.close_info)
        assert [frame.opcode for frame in await peer.frames(sent)] == [2] * sent
        assert (await peer.frame()).close == (1001, "")


async def test_a_close_while_reading_is_paused_reads_on_to_the_peers(line):
    async with line(max_queue=2) as (ws, peer):
        peer.writer.write(b"".join(peer.encode(TEXT, b"%d" % index) for index in range(4)))
        await until(lambda: ws._reading_paused)
        peer.send(TEXT, b"never read")
        closing = asyncio.create_task(ws.close())
        assert (await peer.frame()).close == (1000, "")
        peer.send_close(1000)
        peer.writer.write_eof()
        await closing
        assert ws.close_info == Close(1000, "", True, "local")
        assert [message async for message in ws] == ["0", "1", "2", "3"]
        assert ws.stats().messages_discarded == 1


async def test_messages_that_come_after_our_close_are_discarded_and_counted(line):
    async with line() as (ws, peer):
        peer.send(TEXT, b"before")
        await until(lambda: ws.stats().messages_received)
        ws.start_closing()
        peer.writer.write(peer.encode(TEXT, b"after") * 3)
        peer.send_close(1000)
        await until(lambda: ws.close_info)
        assert [message async for message in ws] == ["before"]
        assert ws.stats().messages_discarded == 3


async def test_what_follows_the_peers_close_is_ignored(line):
    async with line() as (ws, peer):
        after = peer.encode(TEXT, b"after") + peer.encode(9, b"ping") + peer.encode(3) + b"\xff" * 100
        peer.writer.write(peer.encode(TEXT, b"before") + peer.encode_close(1000) + after)
        assert (await peer.frame()).close == (1000, "")
        if ws.is_client:  # a server has closed TCP by now
            peer.writer.write(after)
            peer.writer.write_eof()
        await ws.wait_closed()
        assert [message async for message in ws] == ["before"]
        assert ws.close_info == Close(1000, "", True, "remote")
        assert (ws.stats().messages_received, ws.stats().errors) == (1, 0)


# Closing more than once


async def test_the_first_close_counts_and_all_wait(line):
    async with line() as (ws, peer):
        closing = [asyncio.create_task(ws.close(code)) for code in (4000, 4001, 4002)]
        assert (await peer.frame()).close == (4000, "")
        assert not any(task.done() for task in closing)
        peer.send_close(4000)
        peer.writer.write_eof()
        await asyncio.gather(*closing)
        assert await peer.rest() == b""
        assert ws.close_info == Close(4000, "", True, "local")


async def test_a_cancelled_close_goes_on(line):
    async with line() as (ws, peer):
        closing = asyncio.create_task(ws.close(4000))
        assert (await peer.frame()).close == (4000, "")
        closing.cancel()
        await asyncio.wait([closing])
        assert closing.cancelled()
        peer.send_close(4000)
        peer.writer.write_eof()
        await ws.wait_closed()
        assert ws.close_info == Close(4000, "", True, "local")


async def test_the_block_of_connect_closes_with_1000(raw_server):
    seen = []

    async def script(peer):
        seen.append((await peer.frame()).close)
        peer.send_close(1000)

    async with raw_server(script) as uri:
        async with trunkline.connect(uri) as ws:
            pass
        assert ws.close_info == Close(1000, "", True, "local")
        with pytest.raises(ZeroDivisionError):
            async with trunkline.connect(uri):
                raise ZeroDivisionError
    assert seen == [(1000, ""), (1000, "")]


@pytest.mark.parametrize("end", ["close", "abort"])
@pytest.mark.parametrize("slowly", [False, True])
async def test_process_request_may_end_the_connection(end, slowly):
    def finish(ws: Any) -> None:
        ws.abort() if end == "abort" else ws.start_closing()

    async def later(ws: Any, request: Any) -> None:
        await asyncio.sleep(0)
        finish(ws)

    hook = later if slowly else lambda ws, request: finish(ws)
    async with trunkline.serve(lambda ws: ws.wait_closed(), "127.0.0.1", 0, process_request=hook) as server:
        with pytest.raises(trunkline.ConnectError) as caught:
            await trunkline.connect(f"ws://127.0.0.1:{server.port}/")
        assert caught.value.category is ErrorCategory.NETWORK_ERROR
        assert server.connections == set()


async def test_an_ended_connection_is_freed_at_once_and_nothing_is_asked_of_it_then() -> None:
    """It is freed by its reference count, without the garbage collector; a late callback finds nothing to do."""
    gc.disable()
    try:
        async with trunkline.serve(trunkline.WebSocket.wait_closed, "127.0.0.1", 0) as server:
            ws = await trunkline.connect(f"ws://127.0.0.1:{server.port}/", proxy=None)
            life, gone = life_of(ws), weakref.ref(ws)
            await ws.close()
            del ws
            await until(lambda: gone() is None)
            life.abort()
            parting.after_opening(life)
            life.linger()
            life.fail(1011, "late")
            life.start_closing()
    finally:
        gc.enable()
