"""The program that the manager was designed for, as it would be written, on real sockets."""

import asyncio
from typing import Any

import msgspec
import pytest

import trunkline
from turns import until

pytestmark = pytest.mark.anyio


class Say(msgspec.Struct):
    room: str
    text: str


class Said(msgspec.Struct):
    who: str
    text: str


async def repeat(ws: trunkline.WebSocket) -> None:
    """Answers what was said in the shape that a client expects."""
    async for payload in ws:
        say = msgspec.json.decode(payload, type=Say)
        await ws.send(msgspec.json.encode(Said("ann", say.text)).decode())


async def first(line: trunkline.Connection[Say, Said]) -> Said:
    async for said in line:
        return said
    raise AssertionError("the iteration ended")


async def collect(manager: trunkline.ConnectionManager) -> list[trunkline.StateChange]:
    return [change async for change in manager.events()]


async def test_three_services_on_one_manager() -> None:
    async with asyncio.timeout(20), trunkline.serve(repeat, "127.0.0.1", 0) as server:
        host = f"ws://127.0.0.1:{server.port}"
        main = trunkline.Service("main", f"{host}/main", sends=Say, receives=Said)
        chat = trunkline.Service(
            "chat",
            f"{host}/chat/{{room}}",
            sends=Say,
            receives=Said,
            retry=trunkline.manager.RetryPolicy(base=0.001, cap=0.01),
            batch=trunkline.manager.BatchPolicy(),
        )
        terminal = trunkline.Service(
            "terminal",
            f"{host}/terminal/{{terminal_id}}",
            sends=Say,
            receives=Said,
            pool=trunkline.manager.PoolPolicy(),
        )
        seen: list[trunkline.StateChange] = []

        async with trunkline.ConnectionManager([main, chat, terminal]) as manager:
            manager.subscribe(seen.append)
            watching = asyncio.create_task(collect(manager))
            await asyncio.sleep(0)
            room = await manager.connect(chat, room="lobby")
            assert await manager.connect(chat, room="lobby") is room
            shell = await manager.connect(terminal, terminal_id="t1")
            await room.send(Say("lobby", "hello"))
            assert await first(room) == Said("ann", "hello")
            assert manager.get(room.id) is room
            assert manager.find(chat) is room
            assert manager.find(terminal, terminal_id="t1") is shell
            assert (manager.find(terminal, terminal_id="t2"), manager.find(main)) == (None, None)
            report = manager.health()
            assert [(health.connection_id, health.service, health.status) for health in report] == [
                (room.id, "chat", "connected"),
                (shell.id, "terminal", "connected"),
            ]
            for ws in tuple(server.connections):
                ws.abort()
            await until(lambda: room.generation == 2)
            await room.send(Say("lobby", "again"))
            assert await first(room) == Said("ann", "again")
            lost = next(change for change in seen if change.connection_id == room.id and change.after == "waiting")
            assert lost.delay is not None
            assert lost.issue is not None
            assert lost.issue.category is trunkline.ErrorCategory.NETWORK_ERROR
            assert lost.explain().startswith("retry 1 in ")
            assert room.last_error is lost.issue
        assert await watching == seen
        assert (room.state, room.id, room.service, room.attempts, room.metadata) == (
            "closed",
            "chat?room=lobby",
            chat,
            1,
            {"room": "lobby"},
        )
        assert room.websocket is None


async def test_each_attempt_has_its_own_credentials_and_knows_how_far_the_last_came() -> None:
    asked: list[str] = []
    came: list[tuple[str, str | None]] = []
    told: list[tuple[int, Any]] = []

    async def number(ws: trunkline.WebSocket) -> None:
        assert ws.request is not None
        came.append((ws.request.path, ws.request.headers["authorization"]))
        after = msgspec.json.decode(await ws.recv())
        await ws.send(str(after + 1))
        await ws.close(1012 if after < 2 else 1000)

    async def headers() -> dict[str, str]:
        asked.append(f"Bearer {len(asked)}")
        return {"Authorization": asked[-1]}

    async def token() -> str:
        return f"t{len(asked)}"

    async def go_on(session: trunkline.manager.Session[int, int]) -> None:
        told.append((session.generation, session.position))
        await session.send(session.position or 0)

    async with asyncio.timeout(20), trunkline.serve(number, "127.0.0.1", 0) as server:
        feed = trunkline.Service(
            "feed",
            f"ws://127.0.0.1:{server.port}/{{token}}",
            sends=int,
            receives=int,
            headers=headers,
            fresh={"token": token},
            position=lambda message: message,
            on_connected=go_on,
            retry=trunkline.manager.RetryPolicy(base=0.001, cap=0.002, hints=False),
        )
        async with trunkline.ConnectionManager([feed]) as manager:
            line = await manager.connect(feed)
            assert [message async for message in line] == [1, 2, 3]
        assert told == [(1, None), (2, 1), (3, 2)]
        assert came == [(f"/t{n + 1}", f"Bearer {n}") for n in range(3)]
