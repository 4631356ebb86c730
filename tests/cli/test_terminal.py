"""`trunkline top` and `trunkline doctor` in a wide and a narrow terminal: what the screen shows."""

import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

import pytest

import trunkline
from handlers import echo
from pane import Pane, open_pane
from talks import banner, mute, raw
from trunkline.observe import dashboard

pytestmark = pytest.mark.anyio

TOKEN = "a-token-of-the-test"
HTTP = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
QUICK = trunkline.manager.RetryPolicy(base=0.2, cap=0.5)


@pytest.fixture(params=[(120, 30), (60, 20)], ids=["120x30", "60x20"])
async def pane(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Pane]:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    async with open_pane(*request.param) as pane:
        yield pane


def refuse(ws: trunkline.WebSocket, request: trunkline.Request) -> trunkline.Response:
    return trunkline.Response(403, [], b"no")


class Program:
    """A program with managed connections to a server of its own."""

    def __init__(self) -> None:
        self.peers: list[trunkline.WebSocket] = []
        self.is_refusing = False

    @contextlib.asynccontextmanager
    async def open(self, *rooms: str) -> AsyncIterator[trunkline.ConnectionManager]:
        """A connection for each room."""
        async with trunkline.serve(self._hold, "127.0.0.1", 0, process_request=self._judge) as server:
            url = f"ws://127.0.0.1:{server.port}/{{room}}"
            chat: trunkline.Service[str, str] = trunkline.Service("chat", url, sends=str, receives=str, retry=QUICK)
            async with trunkline.ConnectionManager([chat]) as manager:
                for room in rooms:
                    await manager.connect(chat, room=room)
                yield manager

    async def _hold(self, ws: trunkline.WebSocket) -> None:
        self.peers.append(ws)
        await ws.wait_closed()

    def _judge(self, ws: trunkline.WebSocket, request: trunkline.Request) -> trunkline.Response | None:
        return trunkline.Response(503, [], b"not now") if self.is_refusing else None


# The servers that both commands are run against: each is a context that gives a port.

Place = Callable[[], AbstractAsyncContextManager[int]]


@contextlib.asynccontextmanager
async def serving(*, tls: ssl.SSLContext | None = None, refusing: bool = False) -> AsyncIterator[int]:
    judge = refuse if refusing else None
    async with trunkline.serve(echo, "127.0.0.1", 0, ssl=tls, process_request=judge) as server:
        yield server.port


@pytest.fixture
def places(server_tls: ssl.SSLContext, refusing_port: int) -> dict[str, Place]:
    return {
        "good": serving,
        "refused": lambda: contextlib.nullcontext(refusing_port),
        "403": lambda: serving(refusing=True),
        "wrong certificate": lambda: serving(tls=server_tls),
        "silent": lambda: raw(mute),
        "not a WebSocket": lambda: raw(banner(HTTP)),
    }


@pytest.mark.parametrize(
    ("kind", "status", "step", "words"),
    [
        ("good", 0, "ping", "The connection works."),
        ("refused", 11, "tcp", "Nothing listens on this port"),
        ("403", 14, "handshake", "the server answered 403 Forbidden"),
        ("wrong certificate", 13, "tls", "authority is not known on this machine"),
        ("silent", 14, "handshake", "does not answer"),
        ("not a WebSocket", 14, "handshake", "does not speak WebSocket here"),
    ],
)
async def test_doctor(pane: Pane, places: dict[str, Place], kind: str, status: int, step: str, words: str) -> None:
    scheme = "wss" if kind == "wrong certificate" else "ws"
    async with places[kind]() as port:
        await pane.start("doctor", "--timeout", "3", f"{scheme}://127.0.0.1:{port}/")
        if kind == "silent":
            await pane.wait_for("waiting for the server to open a WebSocket: ", " s of 3")
        shown = await pane.wait_for("The connection ")
        assert await pane.wait_end() == status
    assert words in shown
    assert "s of 3" not in shown  # the progress line is gone
    marked = [line.split()[:2] for line in shown.splitlines()]
    assert ["ok" if status == 0 else "FAULT", step] in marked
    assert (f"The connection fails at: {step}." in shown) is (status != 0)


@pytest.mark.parametrize(
    ("kind", "status", "words"),
    [
        ("refused", 3, "Connection refused"),
        ("403", 4, "403: wrong token"),
        ("wrong certificate", 3, "cannot set up TLS with"),
        ("silent", 3, "open_timeout"),
        ("not a WebSocket", 4, "not a dashboard: the server answered 200 OK, expected 101"),
    ],
)
async def test_top_with_a_server_that_is_not_a_dashboard(
    pane: Pane, places: dict[str, Place], kind: str, status: int, words: str
) -> None:
    scheme = "https" if kind == "wrong certificate" else "http"
    async with places[kind]() as port:
        await pane.start("top", "--timeout", "3", f"{scheme}://127.0.0.1:{port}/#{TOKEN}")
        if kind == "silent":
            await pane.wait_for(f"connecting to 127.0.0.1:{port}: ")
        shown = await pane.wait_for("trunkline: ")
        assert await pane.wait_end() == status
    assert words in shown
    assert "Traceback" not in shown


async def test_top_shows_connections_and_their_changes(pane: Pane) -> None:
    program = Program()
    async with program.open("lobby", "cellar") as manager, dashboard.serve(manager, name="tested") as page:
        await pane.start("top", page.url)
        shown = await pane.wait_for("2 of 2 up", "chat?room=lobby", "chat?room=cellar", "q quit")
        assert all(len(line) <= pane.width for line in shown.splitlines())
        assert ("in/s" in shown) is (pane.width == 120)
        program.is_refusing = True
        await program.peers[0].close(1012, "go \x1b[2J away")
        await pane.wait_for("1 of 2 up", "waiting", "in 0 s: the server", "chat?room=cellar")
        program.is_refusing = False
        await pane.wait_for("2 of 2 up")
        await pane.press("q")
        assert await pane.wait_end() == 0


async def test_top_escapes_control_characters_from_the_peer(pane: Pane) -> None:
    program = Program()
    async with program.open("lobby") as manager, dashboard.serve(manager, name="x\x1b]0;owned\x07") as page:
        await pane.start("top", page.url)
        await pane.wait_for("x\\x1b]0;owned\\x07", "1 of 1 up")
        await program.peers[0].close(1011, "\x1b[2J")
        await pane.wait_for("1 of 1 up", "received 1011")


async def test_top_says_which_services_are_paused(pane: Pane) -> None:
    async with Program().open("lobby") as manager, dashboard.serve(manager) as page:
        await pane.start("top", page.url)
        await pane.wait_for("1 of 1 up")
        (connection,) = manager.connections()
        manager.pause(connection.service)
        await pane.wait_for("0 of 1 up", "paused")
        manager.resume(connection.service)
        await pane.wait_for("1 of 1 up", gone="paused")


async def test_the_keys_of_top(pane: Pane) -> None:
    rooms = [f"r{number:02}" for number in range(40)]
    async with Program().open(*rooms) as manager, dashboard.serve(manager) as page:
        await pane.start("top", page.url)
        room = pane.height - 4
        await pane.wait_for(f"1-{room} of 40, by state", "chat?room=r00", gone="chat?room=r39")
        await pane.press("Down", "Down", "j")
        await pane.wait_for(f"4-{room + 3} of 40")
        await pane.press("NPage", "NPage", "NPage")
        await pane.wait_for("-40 of 40", "chat?room=r39", gone="chat?room=r00")
        await pane.press("s")
        await pane.wait_for("by id", "chat?room=r00")
        await pane.press("/", "q", "BSpace", "r", "0", "7")
        await pane.wait_for("search: r07_", "chat?room=r07", gone="chat?room=r08")
        await pane.press("Enter")
        await pane.wait_for("1 shown, by id, with 'r07'")
        await pane.press("Escape")
        await pane.wait_for("chat?room=r08")
        await pane.resize(pane.width, 10)
        await pane.wait_for("1-6 of 40")
        await pane.press("C-c")
        assert await pane.wait_end() == 130


async def test_top_reconnects_when_the_program_returns(pane: Pane) -> None:
    async with Program().open("lobby") as manager:
        async with dashboard.serve(manager, token=TOKEN) as page:
            port = page.port
            await pane.start("top", page.url)
            await pane.wait_for("1 of 1 up")
        await pane.wait_for("disconnected, retry in", "chat?room=lobby", gone="1 of 1 up")
        async with dashboard.serve(manager, port=port, token=TOKEN) as page:
            await pane.wait_for("1 of 1 up", gone="disconnected")
        await pane.wait_for("disconnected, retry in")
        async with dashboard.serve(manager, port=port):  # another token
            assert await pane.wait_end() == 4
            await pane.wait_for("has restarted with another token")


async def test_top_reconnects_when_the_program_goes_silent(pane: Pane) -> None:
    snapshot = {"kind": "snapshot", "at": 1, "program": {"name": "stuck"}, "columns": ["id"], "rows": [], "totals": {}}

    async def stall(ws: trunkline.WebSocket) -> None:
        await ws.send(json.dumps(snapshot))
        await ws.wait_closed()

    async with trunkline.serve(stall, "127.0.0.1", 0, subprotocols=["trunkline.dashboard.v1"]) as server:
        await pane.start("top", f"http://127.0.0.1:{server.port}/#{TOKEN}")
        await pane.wait_for("stuck", "disconnected, retry in 0.5 s: no message for 5 s")


async def test_top_restores_the_screen(pane: Pane) -> None:
    async with Program().open("lobby") as manager, dashboard.serve(manager) as page:
        await pane.start("top", page.url)
        await pane.wait_for("1 of 1 up")
        await pane.press("q")
        assert await pane.wait_end() == 0
        assert "chat?room=lobby" not in await pane.screen()  # the screen from before is back


async def test_bench_shows_its_progress(pane: Pane) -> None:
    async with trunkline.serve(echo, "127.0.0.1", 0) as server:
        await pane.start("bench", "--seconds", "3", "--connections", "2", f"ws://127.0.0.1:{server.port}/")
        await pane.wait_for("%", "messages/s")
        shown = await pane.wait_for("round trip: p50")
        assert await pane.wait_end() == 0
    assert "%" not in shown


async def test_connect_shows_no_password_while_it_waits(pane: Pane) -> None:
    async with raw(mute) as port:
        await pane.start("connect", f"ws://user:hunter2@127.0.0.1:{port}/?hunter2")
        shown = await pane.wait_for(f"connecting to ws://127.0.0.1:{port}/?...: ")
    assert "hunter2" not in shown
