"""The demo's three services, over plain WebSockets, as any client sees them."""

import asyncio
import json
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

import trunkline
from trunkline.cli.demo import terminal as terminal_module
from trunkline.cli.demo.server import DemoServer
from trunkline.cli.demo.system import Figures, Machine

pytestmark = pytest.mark.anyio

PATIENCE = 60.0  # seconds after which an answer counts as missing


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": request.param}


@pytest.fixture
async def server() -> AsyncIterator[DemoServer]:
    server = DemoServer()
    await server.start()
    yield server
    await server.stop()


def url(server: DemoServer, path: str) -> str:
    return f"ws://127.0.0.1:{server.port}/{path}"


def enter(server: DemoServer, terminal_id: str = "t1", token: str | None = None) -> Any:
    headers = {"Authorization": f"Bearer {server.token if token is None else token}"}
    return trunkline.connect(url(server, f"terminal/{terminal_id}"), additional_headers=headers)


async def receive(ws: trunkline.WebSocket) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(await asyncio.wait_for(ws.recv(), PATIENCE))
    return message


async def type_line(ws: trunkline.WebSocket, line: str) -> None:
    await ws.send(json.dumps({"type": "input", "data": line + "\n"}))


async def read_until(ws: trunkline.WebSocket, pattern: str) -> re.Match[str]:
    """Read a terminal until its output matches."""
    seen = ""
    while not (match := re.search(pattern, seen)):
        seen += (await receive(ws))["data"]
    return match


async def read_to_end(ws: trunkline.WebSocket) -> NoReturn:
    """Read until the connection ends, which raises."""
    while True:
        await asyncio.wait_for(ws.recv(), PATIENCE)


# main


async def test_figures_come_at_once_and_then_as_often_as_asked(server: DemoServer) -> None:
    async with trunkline.connect(url(server, "main")) as ws:
        first = await receive(ws)
        assert set(first) == {"source", "load", "memory", "received", "sent"}
        await ws.send('{"interval": 0.05}')
        assert len([await receive(ws) for _ in range(5)]) == 5


@pytest.mark.parametrize("message", ["nonsense", '{"interval": "often"}', b"\x00"])
async def test_a_message_that_does_not_fit_closes_with_1007(server: DemoServer, message: str | bytes) -> None:
    async with trunkline.connect(url(server, "main")) as ws:
        await ws.send(message)
        with pytest.raises(trunkline.ConnectionClosedError) as caught:
            await read_to_end(ws)
        assert (caught.value.code, caught.value.initiator) == (1007, "remote")


def write_proc(proc: Path, received: int, sent: int) -> None:
    (proc / "net").mkdir(parents=True, exist_ok=True)
    (proc / "loadavg").write_text("0.42 0.30 0.20 1/100 4242\n")
    (proc / "meminfo").write_text("MemTotal: 1000 kB\nMemFree: 1 kB\nMemAvailable: 750 kB\n")
    lines = [f"{name}: {received} 1 0 0 0 0 0 0 {sent} 1 0 0 0 0 0 0\n" for name in ("  lo", "eth0")]
    (proc / "net" / "dev").write_text("Inter-| Receive\n face |bytes\n" + "".join(lines))


def test_figures_are_what_the_system_says(tmp_path: Path) -> None:
    times = iter([100.0, 102.0])
    machine = Machine(tmp_path, lambda: next(times))
    write_proc(tmp_path, 1000, 5000)
    assert machine.read() == Figures(str(tmp_path), 0.42, 0.25, 0.0, 0.0)
    write_proc(tmp_path, 1500, 5100)
    assert machine.read() == Figures(str(tmp_path), 0.42, 0.25, 500.0, 100.0)


def test_without_proc_the_figures_say_so(tmp_path: Path) -> None:
    figures = Machine(tmp_path / "absent").read()
    assert (figures.source, figures.memory, figures.received, figures.sent) == ("os", None, None, None)
    assert figures.load >= 0


# chat


async def test_a_room_hears_what_is_said_in_it(server: DemoServer) -> None:
    async with (
        trunkline.connect(url(server, "chat/lobby")) as one,
        trunkline.connect(url(server, "chat/attic")) as elsewhere,
    ):
        assert await receive(one) == {"type": "joined", "who": "guest 1", "here": 1}
        assert await receive(elsewhere) == {"type": "joined", "who": "guest 2", "here": 1}
        async with trunkline.connect(url(server, "chat/lobby")) as two:
            assert await receive(one) == await receive(two) == {"type": "joined", "who": "guest 3", "here": 2}
            await two.send('{"text": "hello"}')
            assert await receive(one) == await receive(two) == {"type": "said", "who": "guest 3", "text": "hello"}
        assert await receive(one) == {"type": "left", "who": "guest 3", "here": 1}
        await elsewhere.send('{"text": "alone"}')
        assert await receive(elsewhere) == {"type": "said", "who": "guest 2", "text": "alone"}


async def test_an_empty_room_is_gone(server: DemoServer) -> None:
    async with trunkline.connect(url(server, "chat/lobby")) as ws:
        await receive(ws)
    async with trunkline.connect(url(server, "chat/lobby")) as ws:
        assert (await receive(ws))["here"] == 1
    await server.stop()
    assert server._rooms._rooms == {}


# terminal


async def test_a_shell_answers(server: DemoServer) -> None:
    async with enter(server) as ws:
        await type_line(ws, "echo $((6 * 7)) $(tty)")
        match = await read_until(ws, r"42 (/dev/\S+)")
        assert match[1].startswith("/dev/pts/") or match[1].startswith("/dev/tty")


async def test_the_window_has_the_size_that_was_asked_for(server: DemoServer) -> None:
    async with enter(server) as ws:
        await ws.send('{"type": "resize", "rows": 40, "columns": 123}')
        await type_line(ws, "stty size")
        await read_until(ws, r"\b40 123\b")


async def test_control_c_interrupts_the_running_program(server: DemoServer) -> None:
    async with enter(server) as ws:
        # A process of its own, so that it is in the foreground when it says so.
        await type_line(ws, "sh -c 'echo begun; exec sleep 1000'")
        await read_until(ws, r"begun\r")
        await ws.send('{"type": "input", "data": "\\u0003"}')
        await type_line(ws, "echo interrupted $((1 + 1))")
        await read_until(ws, r"interrupted 2")


async def test_the_shell_outlives_a_lost_link(server: DemoServer) -> None:
    async with enter(server) as ws:
        await type_line(ws, "kept=yes; echo set")
        await read_until(ws, r"(?<!echo )set\r")
        ws.abort()
    async with enter(server) as ws:
        await type_line(ws, "echo it was $kept")
        await read_until(ws, r"it was yes")


async def test_the_latest_connection_takes_over(server: DemoServer) -> None:
    async with enter(server) as old:
        await type_line(old, "kept=yes; echo set")
        await read_until(old, r"(?<!echo )set\r")
        async with enter(server) as new:
            await type_line(new, "echo it was $kept")
            await read_until(new, r"it was yes")
            with pytest.raises(trunkline.ConnectionClosedError):
                await read_to_end(old)


async def test_the_end_of_the_shell_is_told(server: DemoServer) -> None:
    async with enter(server) as ws:
        await type_line(ws, "exit 3")
        messages = [json.loads(message) async for message in ws]
        assert messages[-1] == {"type": "exit", "status": 3}


async def test_stopping_the_server_reaps_the_shell(server: DemoServer) -> None:
    async with enter(server) as ws:
        await type_line(ws, "echo pid $$ .")
        pid = int((await read_until(ws, r"pid (\d+) \."))[1])
        os.kill(pid, 0)
        await server.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_a_shell_that_ignores_sighup_is_killed(server: DemoServer) -> None:
    async with enter(server) as ws:
        await type_line(ws, "trap '' HUP; echo pid $$ .")
        pid = int((await read_until(ws, r"pid (\d+) \."))[1])
        await type_line(ws, "exec sleep 1000")
        await server.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.parametrize("token", ["x", "wrong" * 100, "ünïcode"])
async def test_a_terminal_needs_the_token(server: DemoServer, token: str) -> None:
    with pytest.raises(trunkline.HandshakeError) as caught:
        await enter(server, token=token)
    assert caught.value.status == 401
    with pytest.raises(trunkline.HandshakeError) as caught:
        await trunkline.connect(url(server, "terminal/t1"))
    assert caught.value.status == 401


async def test_the_token_changes_with_a_restart(server: DemoServer) -> None:
    old, port = server.token, server.port
    await server.stop()
    await server.start()
    assert server.port == port
    assert server.token != old
    with pytest.raises(trunkline.HandshakeError):
        await enter(server, token=old)


async def test_the_number_of_terminals_is_limited(server: DemoServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal_module, "MAX_TERMINALS", 1)
    async with enter(server, "one") as ws:
        await type_line(ws, "echo here")
        await read_until(ws, r"(?<!echo )here\r")
        async with enter(server, "two") as other:
            with pytest.raises(trunkline.ConnectionClosedError) as caught:
                await other.recv()
            assert (caught.value.code, caught.value.reason) == (1013, "1 terminals are open, limit 1")


@pytest.mark.parametrize("size", [(0, 80), (40, 100_000), (-1, 80)])
async def test_an_impossible_window_size(server: DemoServer, size: tuple[int, int]) -> None:
    async with enter(server) as ws:
        await ws.send(json.dumps({"type": "resize", "rows": size[0], "columns": size[1]}))
        with pytest.raises(trunkline.ConnectionClosedError) as caught:
            await read_to_end(ws)
        assert caught.value.code == 1007


# admission


@pytest.mark.parametrize("path", ["", "main/more", "chat", "chat/", "terminal", "terminal/", "elsewhere"])
async def test_other_paths(server: DemoServer, path: str) -> None:
    with pytest.raises(trunkline.HandshakeError) as caught:
        await trunkline.connect(url(server, path))
    assert caught.value.status == 404


async def test_a_room_may_have_any_name(server: DemoServer) -> None:
    async with (
        trunkline.connect(url(server, "chat/a%2Fb%20%C3%BC?ignored=1")) as one,
        trunkline.connect(url(server, "chat/a/b%20%C3%BC")) as two,
    ):
        assert [(await receive(one))["here"] for _ in range(2)] == [1, 2]
        assert (await receive(two))["here"] == 2


async def test_a_server_that_refuses(server: DemoServer) -> None:
    server.is_refusing = True
    with pytest.raises(trunkline.HandshakeError) as caught:
        await trunkline.connect(url(server, "main"))
    assert (caught.value.status, caught.value.retry_after) == (503, 1.0)


async def test_a_page_of_another_origin_is_refused(server: DemoServer) -> None:
    with pytest.raises(trunkline.HandshakeError) as caught:
        await trunkline.connect(url(server, "main"), origin="https://elsewhere.example")
    assert caught.value.status == 403
