"""The demo from start to end."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Mapping
from typing import Final

from trunkline.cli.demo import chat, main, system, talk, terminal
from trunkline.cli.demo.faults import Faults, Lookout
from trunkline.cli.demo.printing import Printer, health_rows, introduction, table
from trunkline.cli.demo.server import DemoServer
from trunkline.cli.demo.wire import Wire
from trunkline.manager import ConnectionManager, ConnectionStatus, RetryPolicy, Service
from trunkline.manager.service import ConnectOptions
from trunkline.observe.dashboard import serve as serve_dashboard

__all__ = ["run_demo"]

# Short enough for a demo of half a minute; the defaults are made for a fleet.
POLICY: Final = RetryPolicy(base=0.2, cap=1.0, reset_after=2.0)
QUIET: Final = 3.0  # seconds without a new fault at the end
KEEPALIVE: Final[ConnectOptions] = {"ping_interval": 0.5, "ping_timeout": 1.0, "close_timeout": 1.0}
PATIENCE: Final = 15.0  # seconds that connections get to come up, at the start and at the end


async def run_demo(seconds: float, port: int, *, dashboard: bool = True) -> int:
    """Run the demo and return its exit status: 0 if every connection is up at the end, else 1.

    Args:
        seconds: About how long to run.
        port: Where to serve the three services; 0 for a free port.
        dashboard: Whether to serve a dashboard of the connections meanwhile.
    """
    server = DemoServer(port)
    try:
        await server.start()
    except OSError as error:
        print(f"trunkline: cannot listen on 127.0.0.1:{port}: {error.strerror}", file=sys.stderr)
        return 1
    url = f"ws://127.0.0.1:{server.port}"
    print(f"ready {url}", flush=True)
    wires = {name: Wire(server.port) for name in ("main", "chat", "terminal")}
    try:
        for wire in wires.values():
            await wire.connect()
        return await _hold_connections(seconds, server, wires, dashboard)
    finally:
        for wire in wires.values():
            wire.disconnect()
        await server.stop()


async def _hold_connections(seconds: float, server: DemoServer, wires: Mapping[str, Wire], dashboard: bool) -> int:
    printer, lookout, connections = Printer(), Lookout(len(wires)), _Connections(server, wires)
    faults = Faults(server, wires, lookout, printer.fault)
    async with connections.manager as manager, contextlib.AsyncExitStack() as pages:
        page = serve_dashboard(manager, name="trunkline demo") if dashboard else None
        watch = "" if page is None else (await pages.enter_async_context(page)).url
        printer.say(introduction(seconds, f"ws://127.0.0.1:{server.port}", watch))
        manager.subscribe(lookout.see)
        unsubscribe = manager.subscribe(printer.change)
        async with connections.open():
            if await lookout.wait_whole(PATIENCE):
                await faults.inject(seconds - QUIET - printer.elapsed)
            await asyncio.sleep(max(1.0, seconds - printer.elapsed))
            await lookout.wait_whole(PATIENCE)
        unsubscribe()
        reports = manager.health()
    up = sum(report.status is ConnectionStatus.CONNECTED for report in reports)
    reconnects = sum(report.reconnects for report in reports)
    printer.say(f"\n{faults.count} faults, {reconnects} reconnects, {up} of {len(wires)} connections up at the end.")
    printer.say(f"\n{table(health_rows(reports), left=2)}")
    printer.say(f"\n{table([('last received', ''), *sorted(connections.heard.items())], left=2)}")
    return 0 if up == len(wires) else 1


class _Connections:
    """The three services, and a connection to each."""

    def __init__(self, server: DemoServer, wires: Mapping[str, Wire]) -> None:
        def url(name: str, path: str) -> str:
            return f"ws://127.0.0.1:{wires[name].port}/{path}"

        async def show_token() -> dict[str, str]:
            # Called at each attempt: the server has a new token after a restart.
            return {"Authorization": f"Bearer {server.token}"}

        self.heard: dict[str, str] = {}
        self._main: Service[main.Watch, system.Figures] = Service(
            "main", url("main", "main"), sends=main.Watch, receives=system.Figures, retry=POLICY, **KEEPALIVE
        )
        self._chat: Service[chat.Say, chat.Heard] = Service(
            "chat", url("chat", "chat/{room}"), sends=chat.Say, receives=chat.Heard, retry=POLICY, **KEEPALIVE
        )
        self._terminal: Service[terminal.Input | terminal.Resize, terminal.Output | terminal.Exit] = Service(
            "terminal",
            url("terminal", "terminal/{terminal_id}"),
            sends=terminal.Input | terminal.Resize,
            receives=terminal.Output | terminal.Exit,
            retry=POLICY,
            headers=show_token,
            **KEEPALIVE,
        )
        self.manager = ConnectionManager([self._main, self._chat, self._terminal])

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Connect, and let the connections send and receive while the block runs."""
        feed = await self.manager.connect(self._main, wait=False)
        lobby = await self.manager.connect(self._chat, wait=False, room="lobby")
        shell = await self.manager.connect(self._terminal, wait=False, terminal_id="t1")
        talking = asyncio.gather(
            talk.main(feed, self._note("main")),
            talk.chat(lobby, self._note("chat")),
            talk.terminal(shell, self._note("terminal")),
        )
        try:
            yield
        finally:
            talking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await talking

    def _note(self, name: str) -> talk.Note:
        def note(text: str) -> None:
            self.heard[name] = text

        return note
