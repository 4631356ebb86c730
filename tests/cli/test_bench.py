"""`trunkline bench` against servers that echo and servers that do not."""

import json
import re
from typing import Any

import pytest

import trunkline
from handlers import echo
from talks import banner, raw

pytestmark = pytest.mark.anyio


async def test_an_echo_server(run: Any) -> None:
    async with trunkline.serve(echo, "127.0.0.1", 0) as server:
        done = await (await run("bench", "--seconds", "1", f"ws://127.0.0.1:{server.port}/")).finish()
    assert (done.status, done.err) == (0, "")
    assert re.match(r"[\d,]+ messages/s there and back: [\d,]+ in \d+\.\d s\n", done.out)
    assert re.search(r"round trip: p50 \d+\.\d\d ms, p90 .* longest \d", done.out)


async def test_json(run: Any) -> None:
    heard: list[int] = []

    async def count(ws: trunkline.WebSocket) -> None:
        async for message in ws:
            heard.append(len(message))
            await ws.send(message)

    async with trunkline.serve(count, "127.0.0.1", 0) as server:
        command = await run(
            "bench", "--json", "--seconds", "1", "--connections", "40", "--depth", "3", "--size", "1000",
            f"ws://127.0.0.1:{server.port}/",
        )  # fmt: skip
        done = await command.finish()
    told = json.loads(done.out)
    assert (done.status, done.err) == (0, "")
    assert (told["connections"], told["in_flight"], told["bytes"]) == (40, 3, 1000)
    assert 0 < told["messages"] <= len(heard)
    assert told["messages_per_second"] == pytest.approx(told["messages"] / told["seconds"], rel=0.01)
    trips = told["round_trip_seconds"]
    assert 0 < trips["p50"] <= trips["p90"] <= trips["p99"] <= trips["p99.9"] <= trips["max"] < 10
    assert set(heard) == {1000}


async def greet(ws: trunkline.WebSocket) -> None:
    await ws.send("hello \x1b[2J")
    await echo(ws)


async def swallow(ws: trunkline.WebSocket) -> None:
    async for _ in ws:
        pass


async def change(ws: trunkline.WebSocket) -> None:
    async for message in ws:
        await ws.send(bytes(len(message)))


async def leave(ws: trunkline.WebSocket) -> None:
    await ws.recv()
    await ws.close(1008, "enough \x1b[2J")


@pytest.mark.parametrize(
    ("handler", "words"),
    [
        (greet, "sent 64 bytes, but received another message (text, 10 bytes): not an echo server"),
        (swallow, "received no echo in 3 s: is this an echo server?"),
        (change, "sent 64 bytes, but received another message (binary, 64 bytes)"),
        (leave, "a connection ended: 1008 enough \\x1b[2J"),
    ],
)
async def test_a_server_that_does_not_echo(run: Any, handler: Any, words: str) -> None:
    async with trunkline.serve(handler, "127.0.0.1", 0, close_timeout=1) as server:
        done = await (await run("bench", "--seconds", "3", f"ws://127.0.0.1:{server.port}/")).finish()
    assert (done.status, done.out) == (1, "")
    assert words in done.err
    assert "Traceback" not in done.err


async def test_nobody_listens(run: Any, refusing_port: int) -> None:
    done = await (await run("bench", f"ws://127.0.0.1:{refusing_port}/")).finish()
    assert (done.status, done.out) == (3, "")
    assert done.err == f"trunkline: cannot connect to 127.0.0.1:{refusing_port}: Connection refused\n"


async def test_a_server_without_websocket(run: Any) -> None:
    async with raw(banner(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")) as port:
        done = await (await run("bench", f"ws://127.0.0.1:{port}/")).finish()
    assert (done.status, done.out) == (4, "")
    assert "the server answered 200 OK" in done.err


async def test_a_server_that_refuses_some_connections(run: Any) -> None:
    came: list[int] = []

    def judge(ws: trunkline.WebSocket, request: trunkline.Request) -> Any:
        came.append(1)
        return trunkline.Response(503, [], b"full") if len(came) > 3 else None

    async with trunkline.serve(echo, "127.0.0.1", 0, process_request=judge) as server:
        done = await (await run("bench", f"ws://127.0.0.1:{server.port}/")).finish()
    assert done.status == 4
    assert "the server answered 503" in done.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--connections", "0", "ws://h/"], "0 is below 1"),
        (["--seconds", "0", "ws://h/"], "0 is not a finite number above 0"),
        (["http://h/"], "must be ws or wss"),
    ],
)
async def test_invalid_arguments(run: Any, arguments: list[str], words: str) -> None:
    done = await (await run("bench", *arguments)).finish()
    assert done.status == 2
    assert words in done.err
