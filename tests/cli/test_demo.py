"""The demo as a new user runs it: real faults, every connection up again at the end, a readable table."""

import asyncio
import json
import re
import signal
import socket
from typing import Any

import pytest

import trunkline

pytestmark = pytest.mark.anyio

CONNECTIONS = ["main", "chat?room=lobby", "terminal?terminal_id=t1"]


async def test_every_connection_is_up_after_the_faults(run: Any) -> None:
    done = await (await run("demo", "--seconds", "11")).finish()
    assert done.err == ""
    assert done.status == 0, done.out
    assert re.match(r"ready ws://127\.0\.0\.1:\d+\n", done.out)
    for name in ("main", "chat", "terminal"):
        assert re.search(rf" s  {name} +connected +up$", done.out, re.MULTILINE)
    assert re.search(r"--  +fault +the link to main is cut$", done.out, re.MULTILINE)
    assert re.search(r"--  +fault +the server restarts", done.out, re.MULTILINE)
    assert re.search(r"waiting +retry \d+ in \d+\.\d s: received 1012 \(service restart\)", done.out)
    assert re.search(r"waiting +retry \d+ in \d+\.\d s: 503 with Retry-After 1$", done.out, re.MULTILINE)
    assert re.search(r"connected +up again after \d+\.\d s$", done.out, re.MULTILINE)
    check_table(done.out)


def check_table(out: str) -> None:
    lines = out.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("connection "))
    headings, *rows = lines[start : start + 4]
    assert headings.split() == (
        ["connection", "status", "sent", "received", "msg/s", "reconnects", "latency", "availability"]
    )
    assert [row.split()[0] for row in rows] == CONNECTIONS
    assert {len(line) for line in (headings, *rows)} == {len(headings)}
    for row in rows:
        _, status, sent, received, rate, reconnects, latency, unit, availability = row.split()
        assert status == "connected"
        assert min(int(sent), int(received), float(rate), int(reconnects), float(latency)) > 0
        assert unit == "ms"
        assert 0 < float(availability.rstrip("%")) < 100
    assert "3 of 3 connections up at the end." in out


async def test_other_clients_can_connect_to_the_given_port(run: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
    command = await run("demo", "--seconds", "5", "--port", str(port))
    assert await command.read_line() == f"ready ws://127.0.0.1:{port}\n"
    async with trunkline.connect(f"ws://127.0.0.1:{port}/chat/lobby") as ws:
        while "hello" not in str(await ws.recv()):
            pass
    assert (await command.finish()).status == 0


async def test_a_dashboard_shows_it_meanwhile(run: Any) -> None:
    command = await run("demo", "--seconds", "12")
    await command.read_line()
    told = re.fullmatch(r"dashboard (http://127\.0\.0\.1:\d+/#\S+)\n", await command.read_line())
    assert told
    while "up" not in await command.read_line():
        pass
    seen = json.loads((await (await run("top", "--json", told[1])).finish()).out)
    assert seen["program"]["name"] == "trunkline demo"
    assert sorted(row["id"] for row in seen["connections"]) == sorted(CONNECTIONS)
    done = await command.finish()
    assert (done.status, done.err) == (0, "")


async def test_without_a_dashboard(run: Any) -> None:
    done = await (await run("demo", "--seconds", "1", "--no-dashboard")).finish()
    assert (done.status, done.err) == (0, "")
    assert "http://" not in done.out
    assert "dashboard" not in done.out
    assert "trunkline top" not in done.out


async def test_a_port_that_is_taken(run: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        done = await (await run("demo", "--port", str(port))).finish()
    assert (done.status, done.out) == (1, "")
    assert done.err.startswith(f"trunkline: cannot listen on 127.0.0.1:{port}: ")


async def test_interrupted(run: Any) -> None:
    command = await run("demo")
    while "connected" not in await command.read_line():
        pass
    command.process.send_signal(signal.SIGINT)
    done = await command.finish()
    assert (done.status, done.err) == (130, "")


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "soon"])
async def test_an_invalid_time(run: Any, seconds: str) -> None:
    done = await (await run("demo", "--seconds", seconds)).finish()
    assert done.status == 2
    assert "--seconds" in done.err


async def test_the_reader_of_its_output_has_gone(run: Any) -> None:
    command = await run("demo", "--seconds", "5")
    await command.read_line()
    command.process.stdout._transport.close()
    assert await asyncio.wait_for(command.process.wait(), 30) == 0
    assert "Traceback" not in (await command.process.stderr.read()).decode()
