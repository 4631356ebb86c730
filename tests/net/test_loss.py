"""Connections that end without a closing handshake: the transport is lost, or the peer breaks the protocol."""

import asyncio
import contextlib
import socket
import ssl
import struct
import threading
from typing import Any

import pytest
import wsproto.utilities
from wsproto.connection import ConnectionState

import trunkline
from handlers import echo
from rawframes import build
from rawhttp import accept_for, answer, request
from rawpeer import BINARY, CLOSE, CONTINUATION, PING, TEXT, Frame, Peer
from trunkline import (
    Close,
    ConnectionClosed,
    ConnectionClosedError,
    ConnectionClosedOK,
    ErrorCategory,
    MessageTooBig,
    RemoteProtocolError,
)
from turns import open_files, settle, until

pytestmark = pytest.mark.anyio

LOST = Close(1006, "", False, None)


async def raised_by_recv(ws: Any) -> ConnectionClosed:
    with pytest.raises(ConnectionClosed) as caught:
        await ws.recv()
    return caught.value


# The transport is lost


def send_and_leave(
    port: int, tls: ssl.SSLContext, *, polite: bool, go_on: threading.Event, sent: threading.Event
) -> None:
    """Send messages over TLS, and more when told to go on; then end TLS, or only TCP, without a close frame."""
    message = build(BINARY, b"message", masked=True)
    with (
        socket.create_connection(("127.0.0.1", port)) as plain,
        tls.wrap_socket(plain, server_hostname="localhost") as sock,
    ):
        sock.sendall(request())
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += sock.recv(1)
        sock.sendall(message * 3)
        assert go_on.wait(20)
        sock.sendall(message * 1000)
        if not polite:
            socket.socket.shutdown(sock, socket.SHUT_WR)
        sent.set()
        with contextlib.suppress(ssl.SSLError, OSError):
            if polite:
                sock.unwrap()
            while sock.recv(4096):
                pass


@pytest.mark.parametrize("polite", [True, False], ids=["end of TLS", "end of file"])
async def test_what_came_over_tls_before_the_end_is_all_received(server_tls, client_tls, polite):
    there: asyncio.Future[trunkline.WebSocket] = asyncio.get_running_loop().create_future()
    go_on, sent = threading.Event(), threading.Event()

    async def handler(ws: trunkline.WebSocket) -> None:
        there.set_result(ws)
        await ws.wait_closed()

    async with trunkline.serve(handler, "127.0.0.1", 0, ssl=server_tls, max_queue=1) as server:
        leaving = asyncio.create_task(
            asyncio.to_thread(send_and_leave, server.port, client_tls, polite=polite, go_on=go_on, sent=sent)
        )
        ws = await there
        await until(lambda: ws._reading_paused)
        go_on.set()
        await until(sent.is_set)
        await settle(500)  # on uvloop the connection has ended by now, most likely
        assert [await ws.recv() for _ in range(1003)] == [b"message"] * 1003
        assert (await raised_by_recv(ws)).code == 1006
        await leaving


@pytest.mark.parametrize("way", ["end of file", "reset"])
async def test_an_open_connection_is_lost(line, way):
    async with line() as (ws, peer):
        receiving = asyncio.create_task(raised_by_recv(ws))
        pinging = asyncio.create_task(ws.ping())
        assert (await peer.frame()).opcode == PING
        if way == "reset":
            peer.reset()
        else:
            peer.writer.write_eof()
        error = await receiving
        assert type(error) is ConnectionClosedError
        assert (error.code, error.initiator, error.category) == (1006, None, ErrorCategory.NETWORK_ERROR)
        assert str(error).startswith("1006 (abnormal closure)")
        assert error.recoverable
        assert isinstance(error.__cause__, ConnectionResetError if way == "reset" else type(None))
        with pytest.raises(ConnectionClosedError, match="1006"):
            await pinging
        with pytest.raises(ConnectionClosedError, match="1006"):
            await ws.send("x")
        assert ws.close_info == LOST
        assert ws.state is ConnectionState.CLOSED


async def test_we_abort(line):
    async with line() as (ws, peer):
        peer.send(TEXT, b"before")
        await until(lambda: ws.stats().messages_received)
        pinging = asyncio.create_task(ws.ping())
        await asyncio.sleep(0)
        ws.abort()
        assert ws.state is ConnectionState.CLOSED
        with pytest.raises(ConnectionClosedError, match="1006"):
            ws.send_nowait("after")
        assert await ws.recv() == "before"
        assert (await raised_by_recv(ws)).code == 1006
        with pytest.raises(ConnectionClosedError, match="1006"):
            await pinging
        await ws.wait_closed()
        assert ws.close_info == LOST


@pytest.mark.parametrize("way", ["end of file", "reset"])
async def test_a_connection_that_we_are_closing_is_lost(line, way):
    async with line() as (ws, peer):
        closing = asyncio.create_task(ws.close(4000))
        assert (await peer.frame()).close == (4000, "")
        if way == "reset":
            peer.reset()
        else:
            peer.writer.write_eof()
        await closing
        assert ws.close_info == LOST
        assert (await raised_by_recv(ws)).category is ErrorCategory.NETWORK_ERROR


@pytest.mark.parametrize("way", ["end of file", "reset"])
async def test_what_is_lost_after_the_closing_handshake_changes_nothing(line, way):
    async with line() as (ws, peer):
        peer.send_close(4000, "bye")
        assert (await peer.frame()).close == (4000, "")
        if way == "reset":
            peer.reset()
        else:
            peer.writer.write_eof()
        await ws.wait_closed()
        assert ws.close_info == Close(4000, "bye", True, "remote")


async def test_a_message_under_way_is_never_delivered(line):
    async with line() as (ws, peer):
        whole = peer.encode(TEXT, b"whole") + peer.encode(TEXT, b"first part", fin=False)
        peer.writer.write(whole + peer.encode(CONTINUATION, b"second part")[:-1])
        peer.writer.write_eof()
        assert await ws.recv() == "whole"
        assert (await raised_by_recv(ws)).code == 1006
        assert ws.stats().messages_received == 1


async def test_a_peer_that_ends_its_side_and_does_not_read(line):
    """Our own output keeps the transport open: close_timeout bounds that, as it bounds a closing handshake."""
    async with line(close_timeout=0.1, ping_interval=None, buffers=4096) as (ws, peer):
        while not ws._writing_paused:
            await ws.send(b"x" * 10_000)
        peer.writer.write_eof()
        assert (await raised_by_recv(ws)).code == 1006
        await ws.wait_closed()
        assert ws.close_info == LOST


async def test_messages_are_read_before_the_end_of_the_stream(line):
    async with line(max_queue=2) as (ws, peer):
        peer.writer.write(b"".join(peer.encode(TEXT, b"%d" % index) for index in range(10)))
        await until(lambda: ws._reading_paused)
        peer.send(TEXT, b"last")
        peer.writer.write_eof()
        for message in [*map(str, range(10)), "last"]:
            assert await ws.recv() == message
        assert (await raised_by_recv(ws)).code == 1006


# A cut at every byte of a session


def session_of(peer: Peer) -> list[bytes]:
    """What a peer sends: messages of each kind, and its close."""
    return [
        peer.encode(TEXT, b"eins"),
        peer.encode(PING, b"?"),
        peer.encode(BINARY, b"x" * 130),
        peer.encode(TEXT, b"dr", fin=False) + peer.encode(PING) + peer.encode(CONTINUATION, b"ei"),
        peer.encode_close(1000, "done"),
    ]


RECEIVED = [(0, "eins"), (2, b"x" * 130), (3, "drei")]  # each after so many more parts of the session


@pytest.mark.parametrize("way", ["end of file", "reset"])
async def test_a_cut_at_every_byte_leaves_what_was_whole_and_the_right_error(line, way):
    async def cut(offset: int) -> None:
        async with line(close_timeout=0.1) as (ws, peer):
            peer.writer.write(b"".join(session)[:offset])
            if way == "reset":
                await until(lambda: ws.stats().bytes_received == offset)
                peer.reset()
            else:
                peer.writer.write_eof()
            await ws.wait_closed()
            for index, message in RECEIVED:
                if sizes[index + 1] <= offset:
                    assert await ws.recv() == message
            error = await raised_by_recv(ws)
            if offset < sizes[-1]:
                assert (type(error), error.code, error.initiator) == (ConnectionClosedError, 1006, None)
                assert error.category is ErrorCategory.NETWORK_ERROR
            else:
                assert (type(error), error.code, error.reason) == (ConnectionClosedOK, 1000, "done")

    async with line() as (_, peer):
        session = session_of(peer)
    sizes = [sum(len(part) for part in session[:count]) for count in range(6)]
    for offset in range(sizes[-1] + 1):
        await cut(offset)


@pytest.mark.parametrize("way", ["end of file", "reset"])
async def test_a_cut_at_every_byte_of_the_handshake(way):
    """The server's answer breaks off: that is a ConnectError, and nothing is left open."""
    cut = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = answer({"Sec-WebSocket-Accept": accept_for(await reader.readuntil(b"\r\n\r\n"))})
        lengths.add(len(head))
        peer = Peer(reader, writer, head, is_client=False)
        writer.write(head[:cut])
        if way == "reset":
            await writer.drain()
            peer.reset()
        else:
            writer.close()

    lengths: set[int] = set()
    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server, asyncio.timeout(60):
        port = server.sockets[0].getsockname()[1]
        before = open_files()
        while not lengths or cut < min(lengths):
            with pytest.raises(trunkline.ConnectError) as caught:
                await trunkline.connect(f"ws://127.0.0.1:{port}/")
            assert caught.value.category is ErrorCategory.NETWORK_ERROR
            assert caught.value.recoverable
            cut += 1
        await until(lambda: open_files() == before)


# The peer breaks the protocol: we fail the connection


def faults() -> dict[str, tuple[Any, int, type[Exception], ErrorCategory, str, str]]:
    """What is sent, the code, the exception, its category, what it says, what the peer is told."""
    broken = (1002, RemoteProtocolError, ErrorCategory.PROTOCOL_ERROR)
    invalid = (1007, RemoteProtocolError, ErrorCategory.INVALID_DATA)
    too_big = (1009, MessageTooBig, ErrorCategory.MESSAGE_TOO_BIG)
    many = (1008, RemoteProtocolError, ErrorCategory.POLICY_VIOLATION)
    return {
        "reserved bits": (lambda p: p.encode(TEXT, b"x", rsv=4), *broken, "reserved bits 100 set", "protocol error"),
        "reserved opcode": (lambda p: p.encode(3), *broken, "opcode 3 is reserved", "protocol error"),
        "wrong mask": (
            lambda p: build(TEXT, b"x", masked=not p.is_client),
            *broken,
            "masked frame from a ",
            "protocol error",
        ),
        "nothing to continue": (lambda p: p.encode(CONTINUATION), *broken, "no message to continue", "protocol error"),
        "long ping": (lambda p: p.encode(PING, b"x" * 126), *broken, "over 125 bytes", "protocol error"),
        "bad close code": (
            lambda p: p.encode(CLOSE, struct.pack("!H", 1005)),
            *broken,
            "close code 1005 may not be sent",
            "protocol error",
        ),
        "bad text": (lambda p: p.encode(TEXT, b"good \xff"), *invalid, "UTF-8", "invalid data"),
        "too big": (
            lambda p: p.encode(BINARY, b"x" * 2001),
            *too_big,
            "message of 2001 bytes or more, max_size 2000",
            "message too big",
        ),
        "too big in all": (
            lambda p: p.encode(BINARY, b"x" * 1500, fin=False) + p.encode(CONTINUATION, b"x" * 501),
            *too_big,
            "message of 2001 bytes or more, max_size 2000",
            "message too big",
        ),
        "too many fragments": (
            lambda p: p.encode(TEXT, b"x", fin=False) + p.encode(CONTINUATION, fin=False) * 8,
            *many,
            "9 fragments, max_fragments 8",
            "too many fragments",
        ),
    }


FAULTS = faults()


@pytest.fixture(params=FAULTS.values(), ids=FAULTS)
def fault(request):
    """A way to break the protocol."""
    return request.param


async def test_a_fault_ends_the_connection_and_says_why(line, fault):
    make, code, error, category, text, told = fault
    async with line(max_size=2000, max_fragments=8) as (ws, peer):
        peer.writer.write(peer.encode(TEXT, b"before") + make(peer) + peer.encode(TEXT, b"after"))
        assert (await peer.frame()).close == (code, told)
        assert await peer.rest() == b""
        assert await ws.recv() == "before"
        for use in (ws.recv, lambda: ws.send("x"), ws.ping, lambda: anext(ws)):
            with pytest.raises(error, match=text) as caught:
                await use()
            assert (caught.value.code, caught.value.initiator) == (code, "local")
            assert caught.value.category is category
            assert "(RFC 6455 " in str(caught.value)
        assert isinstance(caught.value, wsproto.utilities.RemoteProtocolError) is (error is RemoteProtocolError)
        assert (ws.close_info.code, ws.close_info.clean, ws.close_info.initiator) == (code, False, "local")
        assert text in ws.close_info.reason
        assert (ws.stats().messages_received, ws.stats().errors) == (1, 1)
        peer.writer.write_eof()
        await ws.wait_closed()


@pytest.mark.parametrize("take", ["one by one", "by iteration", "all at once", "late"])
async def test_what_came_before_a_fault_is_still_given(line, take):
    async with line(max_queue=4) as (ws, peer):
        expected = [str(index) for index in range(40)]
        taken: list[Any] = []

        async def receive() -> None:
            while True:
                match take:
                    case "all at once":
                        taken.extend(await anext(ws.batches()))
                    case "by iteration":
                        taken.append(await anext(ws))
                    case _:
                        taken.append(await ws.recv())

        if take != "late":
            receiving = asyncio.create_task(receive())
        peer.writer.write(b"".join(peer.encode(TEXT, text.encode()) for text in expected) + peer.encode(3))
        assert (await peer.frame()).close == (1002, "protocol error")
        if take == "late":
            receiving = asyncio.create_task(receive())
        with pytest.raises(RemoteProtocolError):
            await receiving
        assert taken == expected


async def test_a_task_that_answers_gets_its_answer_out_before_the_fault_closes(line):
    """Messages and a fault in one read: the waiting task gets its turn first."""
    async with line() as (ws, peer):
        answering = asyncio.create_task(echo(ws))
        await settle(3)
        peer.writer.write(peer.encode(TEXT, b"question") + peer.encode(3))
        assert await peer.frame() == Frame(TEXT, b"question")
        assert (await peer.frame()).close == (1002, "protocol error")
        with pytest.raises(RemoteProtocolError):
            await answering


async def test_a_peer_that_goes_on_sending_gets_the_close_code_and_no_reset(line):
    async with line() as (ws, peer):
        peer.send(3)
        for _ in range(64):
            peer.writer.write(b"\x00" * 65_536)  # more than any buffer on the way holds
        await peer.writer.drain()
        assert (await peer.frame()).close == (1002, "protocol error")
        assert await peer.rest() == b""
        peer.writer.write(b"\x00" * 65_536)
        peer.writer.write_eof()
        await ws.wait_closed()
        assert ws.close_info.code == 1002


async def test_a_failed_connection_that_the_peer_keeps_open_is_dropped(line):
    async with line(close_timeout=0.1) as (ws, peer):
        peer.send(3)
        assert (await peer.frame()).close == (1002, "protocol error")
        await ws.wait_closed()
        assert ws.transport is None


async def test_a_fault_while_we_close(line):
    async with line() as (ws, peer):
        ws.start_closing(1000)
        assert (await peer.frame()).close == (1000, "")
        peer.send(3)
        assert await peer.rest() == b""  # 5.5.1: one close frame a side
        assert (await raised_by_recv(ws)).code == 1002
        assert (ws.close_info.code, ws.close_info.clean, ws.close_info.initiator) == (1002, False, "local")
