"""Managed connections over real sockets: a server on loopback that restarts, refuses, and speaks out of turn."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

import rawpeer
import trunkline
from trunkline.manager.connection import Connection
from trunkline.manager.errors import NotConnected
from trunkline.manager.events import StateChange
from trunkline.manager.failure.retry import RetryPolicy
from trunkline.manager.manager import ConnectionManager
from trunkline.manager.service import Service
from trunkline.manager.states import ConnectionStatus as Status
from trunkline.protocol.categories import ErrorCategory

pytestmark = pytest.mark.anyio

QUICK = RetryPolicy(base=0.01, cap=0.02)


class Note(msgspec.Struct):
    text: str


class Server:
    """An echo server on a port of its own, which can go and come back."""

    def __init__(self) -> None:
        self.answers: list[trunkline.Response] = []
        self.paths: list[str] = []
        self.headers: list[str | None] = []
        self.port = 0
        self._server: Any = None

    async def start(self) -> None:
        self._server = await trunkline.serve(self._echo, "127.0.0.1", self.port, process_request=self._process_request)
        self.port = self._server.port

    async def stop(self, code: int = 1001) -> None:
        await self._server.close(code)

    def cut(self) -> None:
        for ws in self.websockets:
            ws.abort()

    @property
    def websockets(self) -> list[Any]:
        return list(self._server.connections)

    def service(self, **options: Any) -> Service[Note, Note]:
        options.setdefault("retry", QUICK)
        return Service("notes", f"ws://127.0.0.1:{self.port}/book/{{book}}", sends=Note, receives=Note, **options)

    async def _echo(self, ws: Any) -> None:
        with contextlib.suppress(trunkline.ConnectionClosed):
            async for message in ws:
                await ws.send(message)

    def _process_request(self, ws: Any, request: trunkline.Request) -> trunkline.Response | None:
        self.paths.append(request.path)
        self.headers.append(request.headers.get("Authorization"))
        return self.answers.pop(0) if self.answers else None


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    server = Server()
    await server.start()
    yield server
    await server.stop()


async def until(manager: ConnectionManager, connection: Connection[Any, Any], status: Status) -> StateChange:
    """The next change of `connection` to `status`."""
    async for change in manager.events():
        if change.connection_id == connection.id and change.after is status:
            return change
    raise AssertionError("the manager closed first")


async def test_messages_go_round(server: Server) -> None:
    notes = server.service(headers={"Authorization": "Bearer t"})
    async with ConnectionManager([notes]) as manager:
        connection = await manager.connect(notes, book="a/b c")
        await connection.send(Note("grüße"))
        assert await anext(connection) == Note("grüße")
        assert server.paths == ["/book/a%2Fb%20c"]
        assert server.headers == ["Bearer t"]


async def test_messages_go_on_after_a_cut(server: Server) -> None:
    notes = server.service()
    async with ConnectionManager([notes]) as manager:
        connection = await manager.connect(notes, book="b")
        for generation in range(1, 6):
            assert connection.generation == generation
            await connection.send(Note(str(generation)))
            assert await anext(connection) == Note(str(generation))
            waiting = asyncio.create_task(until(manager, connection, Status.CONNECTED))
            await asyncio.sleep(0)
            server.cut()
            await waiting
        assert connection.last_error is not None
        assert connection.last_error.category is ErrorCategory.NETWORK_ERROR


async def test_a_server_that_restarts_is_found_again(server: Server) -> None:
    notes = server.service()
    async with ConnectionManager([notes]) as manager:
        connection = await manager.connect(notes, book="b")
        seen: list[StateChange] = []
        manager.subscribe(seen.append)
        await server.stop(1012)
        await until(manager, connection, Status.CONNECTING)
        refused = await until(manager, connection, Status.WAITING)
        sending = asyncio.create_task(connection.send(Note("while it is down")))
        await server.start()
        assert await anext(connection) == Note("while it is down")
        await sending
        assert seen[0].issue is not None
        assert seen[0].issue.category is ErrorCategory.SERVICE_RESTART
        assert refused.issue is not None
        assert refused.issue.category is ErrorCategory.CONNECTION_REFUSED
        assert connection.status is Status.CONNECTED


async def test_an_answer_of_503_is_waited_out(server: Server) -> None:
    server.answers = [trunkline.Response(503, [("Retry-After", "0")]), trunkline.Response(500)]
    notes = server.service()
    async with ConnectionManager([notes]) as manager:
        changes: list[str] = []
        manager.subscribe(lambda change: changes.append(change.explain()))
        await manager.connect(notes, book="b")
        assert changes[1].endswith("s: 503 with Retry-After 0")
        assert "500 Internal Server Error" in changes[3]


async def test_what_was_received_before_a_cut_is_not_lost(server: Server) -> None:
    notes = server.service()
    async with ConnectionManager([notes]) as manager:
        connection = await manager.connect(notes, book="b")
        server.websockets[0].send_many([f'{{"text":"{number}"}}' for number in range(100)])
        await server.stop()
        assert [(await anext(connection)).text for _ in range(100)] == [str(number) for number in range(100)]
        await server.start()


async def test_text_that_is_not_utf8_costs_the_link_and_not_the_connection() -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal dials
        dials += 1
        await rawpeer.accept(reader, writer)
        writer.write(b"\x81\x02\xc3\x28" if dials == 1 else b'\x81\x0d{"text":"ok"}')
        with contextlib.suppress(ConnectionError):
            await reader.read()
        writer.close()

    dials = 0
    async with await asyncio.start_server(handle, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        notes = Service("notes", f"ws://127.0.0.1:{port}/", sends=Note, receives=Note, retry=QUICK, close_timeout=0.1)
        async with ConnectionManager([notes]) as manager:
            connection = await manager.connect(notes)
            assert await anext(connection) == Note("ok")
            assert connection.last_error is not None
            assert connection.last_error.category is ErrorCategory.INVALID_DATA
            assert connection.generation == 2


async def test_no_hope(server: Server) -> None:
    server.answers = [trunkline.Response(403)]
    notes = server.service()
    async with ConnectionManager([notes]) as manager:
        with pytest.raises(NotConnected) as caught:
            await manager.connect(notes, book="b")
        assert caught.value.issue is not None
        assert (caught.value.category, caught.value.issue.code) == (ErrorCategory.FORBIDDEN, 403)
        assert isinstance(caught.value.__cause__, trunkline.HandshakeError)


async def test_it_is_cancelled_everywhere_and_leaves_no_task_and_no_socket(server: Server) -> None:
    """Cancel `connect` after 0, 1, 2, ... turns of the loop, so at each of its awaits."""
    notes = server.service(retry=RetryPolicy(base=10, cap=10))
    for turns in range(40):
        server.answers = [trunkline.Response(503)] * (turns % 2)
        async with ConnectionManager([notes]) as manager:
            connecting = asyncio.create_task(manager.connect(notes, book="b"))
            for _ in range(turns):
                await asyncio.sleep(0)
            connecting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await connecting
        assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("trunkline notes")]
    for ws in server.websockets:
        await ws.wait_closed()


async def test_a_peer_that_never_answers_a_close_is_left_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        accepted: list[asyncio.StreamWriter] = []

        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            accepted.append(writer)
            await rawpeer.accept(reader, writer)

        async with await asyncio.start_server(handle, sock=listening.dup()):
            port = listening.getsockname()[1]
            notes = Service("notes", f"ws://127.0.0.1:{port}/", sends=Note, receives=Note, close_timeout=0.05)
            async with ConnectionManager([notes]) as manager:
                connection = await manager.connect(notes)
            assert connection.status is Status.CLOSED
            for writer in accepted:
                writer.transport.abort()
