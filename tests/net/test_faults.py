"""Faults in our own tasks and timers: each is logged once, and whatever depended on it ends or goes on.

Each test makes something of ours raise. Nothing may reach the loop's exception handler.
"""

import asyncio
import contextlib
import errno
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

import trunkline
from handlers import echo
from trunkline.net import client_opening
from trunkline.net.accepting import Listening
from trunkline.net.client_opening import ClientOpening
from trunkline.net.lifecycle import Lifecycle
from trunkline.net.opening import ServerOpening
from trunkline.net.serve import Server

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("quiet_loop")]


@pytest.fixture
def faulty(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """`faulty(kind, name)`: the next call of this method raises, if `wanted` is true of the object."""

    def make(kind: type, name: str, wanted: Callable[[Any], bool] = lambda _: True) -> None:
        real = getattr(kind, name)
        left = [RuntimeError("injected")]

        def raise_once(self: Any, *args: Any, **more: Any) -> Any:
            if left and wanted(self):
                raise left.pop()
            return real(self, *args, **more)

        monkeypatch.setattr(kind, name, raise_once)

    return make


def faults(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What failed, according to the log."""
    found = [record for record in caplog.records if getattr(record, "event", None) == "internal.fault"]
    assert all("injected" in repr(record.exc_info[1]) for record in found if record.exc_info)
    return [record.getMessage().partition(" failed: ")[0] for record in found]


async def ends(sock: socket.socket) -> bool:
    """Wait until the peer has ended a connection."""
    try:
        return await asyncio.get_running_loop().sock_recv(sock, 100) == b""
    except ConnectionError:
        return True


@contextlib.asynccontextmanager
async def silent(server: trunkline.Server) -> AsyncIterator[socket.socket]:
    """A connection on which nothing is sent."""
    with socket.socket() as sock:
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", server.port))
        yield sock


async def test_a_keepalive_fails_its_connection(pair: Any, faulty: Any, caplog: pytest.LogCaptureFixture) -> None:
    faulty(Lifecycle, "send_ping")
    async with pair(client={"ping_interval": 0.001}, server={"ping_interval": None}) as (client, server):
        with pytest.raises(trunkline.ConnectionClosedError, match="1011"):
            await server.recv()
        with pytest.raises(trunkline.ConnectionClosedError, match="1011"):
            await client.recv()
    assert faults(caplog) == ["the keepalive"]


async def test_a_timer_that_was_to_end_a_connection(line: Any, faulty: Any, caplog: pytest.LogCaptureFixture) -> None:
    async with line(close_timeout=0.001) as (ws, _):  # whose peer does not answer
        faulty(Lifecycle, "abort")
        ws.start_closing()
        await ws.wait_closed()
    assert faults(caplog) == ["a timer"]


@pytest.mark.parametrize(("kind", "name"), [(Server, "accept"), (Listening, "_begin")])
@pytest.mark.posix
async def test_accepting_goes_on(
    kind: type,
    name: str,
    faulty: Any,
    caplog: pytest.LogCaptureFixture,
    server_tls: Any,
    client_tls: Any,
) -> None:
    faulty(kind, name)
    serving = trunkline.serve(echo, "127.0.0.1", 0, ssl=server_tls, open_timeout=None)
    async with serving as server:
        async with silent(server) as sock:
            assert await ends(sock)
        assert server.health().pending_handshakes == 0
        async with trunkline.connect(f"wss://localhost:{server.port}/", ssl=client_tls, host="127.0.0.1") as ws:
            await ws.ping()
    assert faults(caplog) == ["starting a connection"]


@pytest.mark.posix
async def test_accepting_goes_on_after_a_pause(
    faulty: Any, caplog: pytest.LogCaptureFixture, server_tls: Any, client_tls: Any
) -> None:
    async with trunkline.serve(echo, "127.0.0.1", 0, ssl=server_tls) as server:
        assert isinstance(server._listening, Listening)
        faulty(Listening, "_resume")
        server._listening._wait(OSError(errno.EMFILE, "injected"))
        async with trunkline.connect(f"wss://localhost:{server.port}/", ssl=client_tls, host="127.0.0.1") as ws:
            await ws.ping()
    assert faults(caplog) == ["resuming to accept connections"]


async def test_a_request_that_was_decided_on_gets_500(faulty: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def decide(ws: trunkline.WebSocket, request: trunkline.Request) -> None:
        await asyncio.sleep(0)

    faulty(ServerOpening, "_accept")
    async with trunkline.serve(echo, "127.0.0.1", 0, process_request=decide, open_timeout=None) as server:
        with pytest.raises(trunkline.HandshakeError) as caught:
            await trunkline.connect(f"ws://127.0.0.1:{server.port}/")
        assert caught.value.status == 500
        assert server.health().pending_handshakes == 0
        async with trunkline.connect(f"ws://127.0.0.1:{server.port}/") as ws:
            await ws.ping()
    assert faults(caplog) == ["answering a request"]


async def test_one_deadline_does_not_cost_the_others_theirs(faulty: Any, caplog: pytest.LogCaptureFixture) -> None:
    faulty(Server, "_expire")
    serving = trunkline.serve(echo, "127.0.0.1", 0, open_timeout=0.01)
    async with serving as server, silent(server) as first, silent(server) as second:
        assert await ends(first)
        assert await ends(second)
    assert faults(caplog) == ["a deadline"]


async def test_a_handler_whose_connection_cannot_be_closed(
    pair: Any, faulty: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def handler(ws: trunkline.WebSocket) -> None:
        await ws.recv()

    async with pair(server={"handler": handler}) as (client, _):
        faulty(Lifecycle, "start_closing", lambda life: not life.is_client)
        await client.send("go")
        with pytest.raises(trunkline.ConnectionClosedError):
            await client.recv()
    assert faults(caplog) == ["ending a connection after its handler"]


async def test_whoever_waits_for_a_server_to_close(faulty: Any, caplog: pytest.LogCaptureFixture) -> None:
    server = await trunkline.serve(echo, "127.0.0.1", 0)
    faulty(Server, "_end_all")
    closing = server.close()
    await server.wait_closed()
    with pytest.raises(RuntimeError, match="injected"):
        await closing
    assert faults(caplog) == ["closing a server"]


async def test_a_refusal_without_end(faulty: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error at the deadline goes to whoever waits for the answer."""
    monkeypatch.setattr(client_opening, "BODY_WAIT", 0.001)
    faulty(ClientOpening, "_refuse")

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 503 No\r\n\r\n")
        await reader.read()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        with pytest.raises(RuntimeError, match="injected"):
            await trunkline.connect(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/", open_timeout=None)
    finally:
        server.close()


async def test_a_log_that_raises(
    pair: Any, faulty: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What depended on it still ends. The loop's exception handler is called, since there is nobody else."""
    told: list[str] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: told.append(context["message"]))

    def refuse(*args: Any, **more: Any) -> None:
        raise ValueError("no log")

    faulty(Lifecycle, "send_ping")
    async with pair(client={"ping_interval": 0.001}, server={"ping_interval": None}) as (client, server):
        monkeypatch.setattr(client.logger, "error", refuse)
        with pytest.raises(trunkline.ConnectionClosedError, match="1011"):
            await server.recv()
    assert told == ["trunkline could not log that the keepalive failed: RuntimeError('injected')"]
