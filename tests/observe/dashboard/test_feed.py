"""The viewers' feed: rows of managers and servers, gauges, details, and actions."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest

import trunkline
from trunkline.observe import dashboard
from trunkline.observe.dashboard.board import Board
from trunkline.observe.dashboard.server import PROTOCOL
from watched import SECRET, TOKEN, Tick, Watched, watched

pytestmark = pytest.mark.anyio

ROOM = "rooms?room=room-1"
ORDERS = "orders?token=..."


class Viewer:
    """A viewer with the rows that it knows."""

    def __init__(self, ws: trunkline.WebSocket) -> None:
        self.ws = ws
        self.rows: dict[str, dict[str, Any]] = {}
        self.events: list[dict[str, Any]] = []
        self.last: dict[str, Any] = {}  # the last message

    async def take(self, kind: str | None = None) -> dict[str, Any]:
        """Return the next message of this kind."""
        while True:
            message = self.last = json.loads(await self.ws.recv())
            if message["kind"] == "snapshot":
                self.rows = {row[0]: dict(zip(message["columns"], row, strict=True)) for row in message["rows"]}
            elif message["kind"] == "delta":
                for label, changed in message["rows"]:
                    self.rows.setdefault(label, {}).update(changed)
                for label in message["gone"]:
                    del self.rows[label]
            self.events += message.get("events", [])
            if kind in (None, message["kind"]):
                return message

    async def see(self, label: str, **wanted: Any) -> None:
        """Wait until a row has these values."""
        while label not in self.rows or not wanted.items() <= self.rows[label].items():
            await self.take()

    async def ask(self, **words: str) -> str:
        """Request an action and return the answer."""
        await self.ws.send(json.dumps({"kind": "action", **words}))
        return (await self.take("answer"))["text"]

    async def details(self, label: str) -> dict[str, Any]:
        await self.ws.send(json.dumps({"kind": "details", "id": label}))
        return await self.take("details")


@pytest.fixture
async def program(refusing_port: int) -> AsyncIterator[Watched]:
    async with watched(refusing_port) as made:
        yield made


class Looking:
    """`async with Looking(program, actions=True) as viewer`."""

    def __init__(self, program: Watched, **options: Any) -> None:
        self._page = dashboard.serve(program.manager, token=TOKEN, **options)

    async def __aenter__(self) -> Viewer:
        self.page = await self._page.__aenter__()
        self._ws = await trunkline.connect(
            f"ws://127.0.0.1:{self.page.port}/feed", subprotocols=[PROTOCOL, f"token.{TOKEN}"]
        )
        viewer = Viewer(self._ws)
        await viewer.take("snapshot")
        return viewer

    async def __aexit__(self, *raised: Any) -> None:
        await self._ws.close()
        await self._page.__aexit__(*raised)


async def test_a_connection_that_is_cut_and_reconnects(program) -> None:
    async with Looking(program) as viewer:
        await viewer.see(ROOM, status="connected", reconnects=0, why=None)
        program.proxy.cut()
        await viewer.see(ROOM, status="connected", reconnects=1)
        assert viewer.rows[ROOM]["category"] == "network_error"
        moves = [event["status"] for event in viewer.events if event["id"] == ROOM]
        assert moves == ["connected", "waiting", "connecting", "connected"]


async def test_viewers_survive_a_tick_that_fails(
    program: Watched, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged once, ticks go on, and viewers get a snapshot instead of the changes that they missed."""
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    look = Board.look
    faults = [RuntimeError("injected"), RuntimeError("injected")]

    def fail_twice(self: Board) -> Any:
        if faults:
            raise faults.pop()
        return look(self)

    async with Looking(program) as viewer:
        monkeypatch.setattr(Board, "look", fail_twice)
        await viewer.take("snapshot")
        await viewer.take("delta")
    events = [record for record in caplog.records if getattr(record, "event", None) == "internal.fault"]
    assert [record.getMessage() for record in events] == ["a tick of the dashboard failed: RuntimeError('injected')"]
    assert told == []


async def test_an_action_that_fails_is_logged(
    program: Watched, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(self: Any) -> None:
        raise RuntimeError("injected")

    async with Looking(program, actions=True) as viewer:
        with monkeypatch.context() as patched:
            patched.setattr(trunkline.Connection, "close", fail)
            assert await viewer.ask(action="close", id=ROOM) == f"{ROOM} is closed"
            await viewer.take("delta")
    events = [record for record in caplog.records if getattr(record, "event", None) == "internal.fault"]
    assert [record.getMessage().partition(" failed: ")[0] for record in events] == ["closing a connection for a viewer"]


async def test_details_hold_more_than_the_row(program) -> None:
    async with Looking(program) as viewer:
        program.server.connections.copy().pop().send_nowait("no tick")
        while not any(held.quarantine for held in program.connections):
            await viewer.take()
        connection = next(held for held in program.connections if held.quarantine)
        facts = dict((await viewer.details(connection.id))["facts"])
        assert facts["quarantine"] == "1 kept of 1 undecodable"
        assert facts["last undecodable"] == "7 bytes"
        assert facts["links so far"] == "1"
        assert facts["metadata"] == f"room={connection.parameters['room']}"


async def test_secrets_are_shown_nowhere(program) -> None:
    program.connections[-1].metadata["api_key"] = "sk-of-a-test"
    program.connections[-1].metadata["note"] = f"said {SECRET}"
    async with Looking(program, actions=True) as viewer:
        details = await viewer.details(ORDERS)
        assert dict(details["facts"])["metadata"] == "token=..., api_key=..., note=said ..."
        assert ORDERS in viewer.rows
        told = json.dumps([details, viewer.rows, viewer.events, await viewer.take("delta")])
        assert SECRET not in told
        assert "sk-of-a-test" not in told


async def test_details_of_an_unknown_connection_are_not_answered(program) -> None:
    async with Looking(program) as viewer:
        await viewer.ws.send('{"kind": "details", "id": "nobody"}')
        assert (await viewer.details(ROOM))["id"] == ROOM


async def test_a_row_is_updated_in_each_tick_while_its_details_are_shown(program) -> None:
    async with Looking(program) as viewer:
        await program.connections[0].send(Tick(1))
        await viewer.details(ROOM)
        while not viewer.rows[ROOM]["out_rate"]:
            await viewer.take("delta")


async def test_gauges_of_outboxes_budget_gates_and_breakers(program) -> None:
    for _ in range(1000):
        program.connections[-1].send_nowait(Tick(1))
    async with Looking(program) as viewer:
        gauges = {gauge["name"]: gauge for gauge in viewer.last["totals"]["gauges"]}
        assert (gauges["fullest outbox"]["used"], gauges["fullest outbox"]["note"]) == (98, ORDERS)
        assert gauges["fullest outbox"]["bad"] is True
        assert gauges["outboxes, all"]["note"] == "1000 messages wait"
        assert gauges["retry budget, spent"]["size"] == 100
        (rooms,) = [gauge for name, gauge in gauges.items() if name == f"dials to 127.0.0.1:{program.proxy.port}"]
        assert (rooms["used"], rooms["size"], rooms["note"], rooms["bad"]) == (0, 32, "breaker closed", False)
        assert "failures in a row: 1" in {gauge["note"] for gauge in gauges.values()}
        assert gauges["viewers of this page"]["size"] == 8


async def test_an_open_breaker_is_shown_first(refusing_port, program) -> None:
    breaker = trunkline.manager.BreakerPolicy(failures=1, cooldown=60)
    service = trunkline.Service("dead", f"ws://127.0.0.1:{refusing_port}/", sends=Tick, receives=Tick)
    async with trunkline.ConnectionManager([service], breaker=breaker) as manager:
        program.manager = manager
        connection = await manager.connect(service, wait=False)
        await program.wait(connection, "waiting")
        async with Looking(program) as viewer:
            gauge = next(one for one in viewer.last["totals"]["gauges"] if one["name"].startswith("dials to"))
            assert gauge["note"].startswith("breaker open: next probe in ")
            assert gauge["bad"] is True


async def test_a_pool_and_its_members(program) -> None:
    url = f"ws://127.0.0.1:{program.server.port}/"
    pooled = trunkline.Service("pooled", url, sends=Tick, receives=Tick, pool=trunkline.manager.PoolPolicy(size=3))
    async with trunkline.ConnectionManager([pooled]) as manager:
        program.manager = manager
        await manager.connect(pooled)
        async with Looking(program) as viewer:
            (gauge,) = [one for one in viewer.last["totals"]["gauges"] if one["name"] == "pool pooled"]
            assert (gauge["used"], gauge["size"], gauge["note"]) == (1, 3, "1 up")


async def test_the_clients_of_a_server_have_rows(program) -> None:
    async with Looking(program, servers=[program.server]) as viewer:
        served = [row for row in viewer.rows.values() if row["kind"] == "served"]
        assert len(served) == 5
        assert {(row["status"], row["since"], row["next_at"]) for row in served} == {("connected", None, None)}
        async with trunkline.connect(f"ws://127.0.0.1:{program.server.port}/new?token={SECRET}") as ws:
            await ws.send("hello")
            await ws.recv()
            host, port = ws.local_address
            label = f"client {host}:{port}"
            await viewer.see(label, status="connected")
            assert viewer.rows[label]["since"] is not None
            facts = dict((await viewer.details(label))["facts"])
            assert (facts["path"], facts["messages"]) == ("/new?token=...", "1 in, 1 out")
        while label in viewer.rows:
            await viewer.take()


# Actions


@pytest.mark.parametrize("action", ["reconnect", "close", "pause", "resume"])
async def test_actions_are_refused_unless_enabled(program, action) -> None:
    async with Looking(program) as viewer:
        assert viewer.last["actions"] is False
        assert await viewer.ask(action=action, id=ROOM) == "actions are off: serve(manager, actions=True) enables them"
        await viewer.take("delta")
        assert [event for event in viewer.events if "asked" in event["text"]] == []
        assert viewer.rows[ROOM]["status"] == "connected"


async def test_reconnect(program) -> None:
    async with Looking(program, actions=True) as viewer:
        assert await viewer.ask(action="reconnect", id=ROOM) == f"{ROOM} is reconnecting"
        await viewer.see(ROOM, status="connected", reconnects=1)
        assert "reconnect asked for" in [event["text"] for event in viewer.events]


async def test_pause_and_resume(program) -> None:
    async with Looking(program, actions=True) as viewer:
        assert await viewer.ask(action="pause", id=ROOM) == "service rooms is paused"
        for number in range(1, 6):
            await viewer.see(f"rooms?room=room-{number}", status="suspended", paused=True, next_at=None)
        assert program.manager.is_paused(program.rooms)
        assert await viewer.ask(action="resume", id=ROOM) == "service rooms is resumed"
        await viewer.see(ROOM, status="connected", paused=False)


async def test_close(program) -> None:
    async with Looking(program, actions=True) as viewer:
        assert await viewer.ask(action="close", id=ROOM) == f"{ROOM} is closed"
        while ROOM in viewer.rows:
            await viewer.take()
        assert program.manager.get(ROOM) is None
        assert await viewer.ask(action="close", id=ROOM) == "there is no such connection"


async def test_the_only_action_on_a_client_of_a_server_is_close(program) -> None:
    async with (
        Looking(program, actions=True, servers=[program.server]) as viewer,
        trunkline.connect(f"ws://127.0.0.1:{program.server.port}/") as ws,
    ):
        host, port = ws.local_address
        label = f"client {host}:{port}"
        await viewer.see(label, status="connected")
        assert await viewer.ask(action="pause", id=label) == "cannot pause a client's connection"
        assert await viewer.ask(action="close", id=label) == f"{label} is closed"
        await ws.wait_closed()
        assert ws.close_code == 1001


async def test_an_unknown_action(program) -> None:
    async with Looking(program, actions=True) as viewer:
        assert await viewer.ask(action="explode", id=ROOM) == "there is no action 'explode'"


async def test_actions_are_logged_with_the_viewer(program, caplog) -> None:
    with caplog.at_level(logging.INFO, "trunkline.observe.dashboard"):
        async with Looking(program, actions=True) as viewer:
            await viewer.ask(action="reconnect", id=ORDERS)
            address = str(viewer.ws.local_address)
    (record,) = [one for one in caplog.records if getattr(one, "event", "") == "dashboard.action"]
    assert (record.connection, record.service, record.remote) == (ORDERS, "orders", address)
    assert SECRET not in record.getMessage()


async def test_labels_of_closed_connections_are_forgotten(program) -> None:
    page = await dashboard.serve(program.manager, token=TOKEN)
    for number in range(20):
        connection = await program.manager.connect(program.rooms, room=f"short-lived-{number}")
        await connection.close()
    assert len(page._feed._managed._labels._things) == 0
    await page.close()
