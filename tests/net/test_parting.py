"""How a transport ends: as soon as everything is written, but not before what came is answered."""

import asyncio
import contextlib
import ssl

import pytest
from wsproto.connection import ConnectionState

import rawpeer
import trunkline
from handlers import echo
from rawhttp import dialled, request
from rawpeer import CLOSE, TEXT, Peer
from turns import settle, until

pytestmark = pytest.mark.anyio

LIMIT = 20  # seconds, after which a test has failed: a third of the close_timeout in force
NEVER = 60  # seconds of close_timeout


def talking(server: trunkline.Server, tls: ssl.SSLContext | None = None, unix: str | None = None):
    """A stream to the server; at the end it is dropped."""
    if unix is not None:
        return dialled(unix=unix)
    return dialled(server.port, ssl=tls, server_hostname=None if tls is None else "localhost")


def check(ws, request):
    return ws.respond(200, "fine") if request.path == "/health" else None


@pytest.fixture(params=[False, True], ids=["tcp", "tls"])
def tls(request, server_tls, client_tls):
    """The TLS options of the server and of the client."""
    return (server_tls, client_tls) if request.param else (None, None)


REFUSALS = {
    "health check": (b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n", b"200"),
    "origin": (request({"Origin": b"http://evil.example"}), b"403"),
    "no HTTP": (b"\0\r\n\r\n", b"400"),
}


@pytest.mark.parametrize(("data", "status"), REFUSALS.values(), ids=REFUSALS)
async def test_a_refused_client_that_stays_is_closed_at_once_and_holds_no_place(data, status, tls):
    options = {"process_request": check, "close_timeout": NEVER, "max_pending_handshakes": 1}
    async with trunkline.serve(echo, "127.0.0.1", 0, ssl=tls[0], **options) as server:
        async with talking(server, tls[1]) as (reader, writer):
            writer.write(data)
            assert (await reader.read()).split()[1] == status  # to its end, without having closed
            assert server.health().pending_handshakes == 0
            async with talking(server, tls[1]) as (reader, writer):  # for the one place that there is
                writer.write(data)
                assert (await reader.read()).split()[1] == status
        await until(lambda: not server._leaving)
    assert server.turned_away == 0


async def test_a_peer_that_broke_the_protocol_and_stays_is_closed_at_once_and_holds_no_place(tls):
    async with (
        trunkline.serve(echo, "127.0.0.1", 0, ssl=tls[0], close_timeout=NEVER, max_connections=1) as server,
        talking(server, tls[1]) as (reader, writer),
    ):
        peer = await rawpeer.request(reader, writer, b"")
        writer.write(b"\x81\x01a")  # unmasked
        assert (await peer.frame()).close == (1002, "protocol error")
        assert await reader.read() == b""
        if tls[0] is not None:
            assert not server.connections
            async with trunkline.connect(f"wss://localhost:{server.port}/", ssl=tls[1], proxy=None) as ws:
                assert await ws.ping() >= 0


async def test_a_peer_that_goes_on_sending_over_tls_reads_why_it_was_failed(server_tls, client_tls):
    """Closing the socket while it sends would reset the connection, and it would lose the close frame."""
    async with trunkline.serve(
        trunkline.WebSocket.wait_closed, "127.0.0.1", 0, ssl=server_tls, max_size=1000, close_timeout=NEVER
    ) as server:
        async with asyncio.timeout(LIMIT):
            ws = await trunkline.connect(
                f"wss://localhost:{server.port}/", ssl=client_tls, proxy=None, write_limit=2**26
            )
            ws.send_nowait(bytes(2**25))
            with pytest.raises(trunkline.ConnectionClosedError, match="received 1009"):
                await ws.recv()
            await ws.wait_closed()


async def test_a_client_that_fails_over_tls_is_closed_at_once(server_tls, client_tls):
    done = asyncio.Event()

    async def break_it(reader, writer):
        await rawpeer.accept(reader, writer)
        writer.write(b"\x83\x00")
        await done.wait()
        writer.transport.abort()

    listening = await asyncio.start_server(break_it, "127.0.0.1", 0, ssl=server_tls)
    try:
        async with asyncio.timeout(LIMIT):
            uri = f"wss://localhost:{listening.sockets[0].getsockname()[1]}/"
            ws = await trunkline.connect(uri, ssl=client_tls, proxy=None, close_timeout=NEVER)
            with pytest.raises(trunkline.RemoteProtocolError):
                await ws.recv()
            await until(lambda: ws.transport is None or ws.transport.is_closing())
            done.set()
            await ws.wait_closed()
    finally:
        listening.close()


# The client's half-close


async def later(ws, request):
    """Decides when the client has ended its side."""
    await settle()
    return check(ws, request)


@pytest.fixture(params=["tcp", "unix"])
def where(request, unix_path):
    """Where to listen, and where to find it: options of serve, and of `talking`."""
    return (
        ({"unix": unix_path}, {"unix": unix_path})
        if request.param == "unix"
        else ({"host": "127.0.0.1", "port": 0}, {})
    )


@pytest.mark.posix
async def test_a_decision_reaches_a_client_that_has_ended_its_side(where):
    async with (
        trunkline.serve(echo, process_request=later, close_timeout=NEVER, **where[0]) as server,
        talking(server, **where[1]) as (reader, writer),
    ):
        writer.write(REFUSALS["health check"][0])
        writer.write_eof()
        answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert answer.endswith(b"fine")


async def slow_echo(ws):
    async for message in ws:
        await settle()
        await ws.send(message)


async def one_answer(ws):
    message = await ws.recv()
    await settle()
    await ws.send(message)


async def in_batches(ws):
    async for batch in ws.batches():
        await settle()
        ws.send_many(batch)


class Echo(trunkline.Listener):
    def on_message(self, ws, message):
        ws.send_nowait(message)


HANDLERS = {
    "echo": ({"handler": echo}, 3),
    "slowly": ({"handler": slow_echo}, 3),
    "many": ({"handler": slow_echo}, 100),
    "batches": ({"handler": in_batches}, 3),
    "listener": ({"listener": Echo}, 3),
}


@pytest.mark.parametrize("process", [None, later], ids=["at once", "decided later"])
@pytest.mark.parametrize(("options", "count"), HANDLERS.values(), ids=HANDLERS)
@pytest.mark.posix
async def test_what_a_client_sent_before_it_ended_its_side_is_answered(options, count, process, where):
    async with trunkline.serve(process_request=process, close_timeout=NEVER, **options, **where[0]) as server:
        async with talking(server, **where[1]) as (reader, writer):
            masked = Peer(reader, writer, b"", is_client=True)
            if process is None:
                masked = await rawpeer.request(reader, writer, b"")
            else:
                writer.write(request())
            writer.write(b"".join(masked.encode(TEXT, b"%d" % index) for index in range(count)))
            writer.write_eof()
            if process is not None:
                assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
            assert [frame.payload for frame in await masked.frames(count)] == [b"%d" % index for index in range(count)]
            assert await masked.rest() == b""
        await until(lambda: not server.connections)


async def test_a_handler_that_returns_says_goodbye_to_a_client_that_has_ended_its_side():
    async with trunkline.serve(one_answer, "127.0.0.1", 0, close_timeout=NEVER) as server:
        async with talking(server) as (reader, writer):
            peer = await rawpeer.request(reader, writer, b"")
            peer.send(TEXT, b"only")
            writer.write_eof()
            assert (await peer.frame()).payload == b"only"
            assert (await peer.frame()).close == (1000, "")
            assert await peer.rest() == b""
        await until(lambda: not server.connections)


async def test_the_end_of_an_answered_connection_is_abnormal():
    ends = []

    async def handle(ws):
        try:
            async for message in ws:
                await ws.send(message)
        except trunkline.ConnectionClosedError as error:
            ends.append(error)
            await ws.wait_closed()
            ends.append((ws.state, ws.close_info))
            raise

    async with trunkline.serve(handle, "127.0.0.1", 0, close_timeout=NEVER) as server:
        async with talking(server) as (reader, writer):
            peer = await rawpeer.request(reader, writer, b"")
            peer.send(TEXT, b"x")
            writer.write_eof()
            assert (await peer.frame()).payload == b"x"
            assert await peer.rest() == b""
        await until(lambda: len(ends) == 2)
        assert str(ends[0]) == "1006 (abnormal closure)"
        assert ends[1] == (ConnectionState.CLOSED, trunkline.Close(1006, "", False, None))


async def test_a_close_frame_before_the_end_is_a_clean_closure():
    closes = []

    async def handle(ws):
        async for message in ws:
            await settle()
            with contextlib.suppress(trunkline.ConnectionClosed):
                await ws.send(message)
        closes.append(ws.close_info)

    async with trunkline.serve(handle, "127.0.0.1", 0, close_timeout=NEVER) as server:
        async with talking(server) as (reader, writer):
            peer = await rawpeer.request(reader, writer, b"")
            writer.write(peer.encode(TEXT, b"x") + peer.encode_close(1000, "bye"))
            writer.write_eof()
            frames = [await peer.frame()]
            assert frames[-1].opcode == CLOSE
            assert await peer.rest() == b""
        await until(lambda: closes)
        assert closes == [trunkline.Close(1000, "bye", True, "remote")]


async def idle(ws):
    await ws.wait_closed()


async def after_one(ws):
    await ws.recv()
    await ws.wait_closed()


WAITING = {"nothing was sent": (echo, 0), "nobody reads": (idle, 0), "it waits for the end": (after_one, 1)}


@pytest.mark.parametrize(("handler", "count"), WAITING.values(), ids=WAITING)
async def test_where_no_answer_is_due_a_client_that_ends_its_side_has_ended(handler, count):
    async with trunkline.serve(handler, "127.0.0.1", 0, close_timeout=NEVER) as server:
        async with talking(server) as (reader, writer):
            peer = await rawpeer.request(reader, writer, b"")
            for _ in range(count):
                peer.send(TEXT, b"x")
            await until(lambda: server.health().stats.messages_received == count)
            await settle()
            writer.write_eof()
            assert await peer.rest() == b""
        await until(lambda: not server.connections)


async def test_close_timeout_bounds_an_answer_that_does_not_come():
    async def think(ws):
        await ws.recv()
        await asyncio.Event().wait()

    async with trunkline.serve(think, "127.0.0.1", 0, close_timeout=0.05) as server:
        async with talking(server) as (reader, writer):
            peer = await rawpeer.request(reader, writer, b"")
            peer.send(TEXT, b"x")
            writer.write_eof()
            with contextlib.suppress(ConnectionResetError):
                assert await peer.rest() == b""
        await until(lambda: not server.connections)


class Secure:
    """The client's side of TLS on a stream, by hand: it can end its side and read on."""

    def __init__(self, context: ssl.SSLContext, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname="localhost")

    async def _do(self, step):
        while True:
            try:
                return step()
            except ssl.SSLWantReadError:
                self._writer.write(self._outgoing.read())
                data = await self._reader.read(65536)
                self._incoming.write(data) if data else self._incoming.write_eof()

    async def begin(self) -> None:
        await self._do(self._tls.do_handshake)

    def send_all(self, data: bytes) -> None:
        """Send these bytes and close_notify, in one write."""
        self._tls.write(data)
        with contextlib.suppress(ssl.SSLWantReadError):
            self._tls.unwrap()
        self._writer.write(self._outgoing.read())

    async def rest(self) -> bytes:
        read = b""
        with contextlib.suppress(ssl.SSLZeroReturnError, ssl.SSLEOFError):
            while data := await self._do(lambda: self._tls.read(4096)):
                read += data
        return read


REQUEST_AND_MESSAGE = request() + b"\x81\x81\0\0\0\0x"
OVER_TLS = {
    "listener": ({"listener": Echo}, REQUEST_AND_MESSAGE, b"\x81\x01x"),
    "health check": ({"handler": echo, "process_request": check}, REFUSALS["health check"][0], b"fine"),
}


@pytest.mark.parametrize(("options", "data", "end"), OVER_TLS.values(), ids=OVER_TLS)
async def test_what_is_answered_at_once_reaches_a_client_that_ends_its_side_of_tls(
    options, data, end, server_tls, client_tls
):
    """The loops end both sides of TLS together, so that is as much as there can be."""
    async with (
        trunkline.serve(host="127.0.0.1", port=0, ssl=server_tls, close_timeout=NEVER, **options) as server,
        talking(server) as (reader, writer),
    ):
        client = Secure(client_tls, reader, writer)
        await client.begin()
        client.send_all(data)
        assert (await client.rest()).endswith(end)
        await until(lambda: not server.connections)
