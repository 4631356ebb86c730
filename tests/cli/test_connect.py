"""`trunkline connect`: its input, its output, its exit status."""

import asyncio
import base64
import contextlib
import json
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import trunkline

pytestmark = pytest.mark.anyio


async def behave(ws: trunkline.WebSocket) -> None:
    """Echo, except for a few words that do something else."""
    async for message in ws:
        match message:
            case "binary":
                await ws.send(b"\x00\x1b\xff")
            case "hostile":
                await ws.send("\x1b]0;owned\x07 \u202e \x9b2J\nsecond line\u2028 ünïcode")
            case "slow":
                await asyncio.sleep(0.3)
                await ws.send("at last")
            case "leave":
                await ws.close(4001, "go \x1b[2J")
            case "restart":
                await ws.close(1001, "bye")
            case "drop":
                ws.abort()
            case _:
                await ws.send(message)


class Server:
    def __init__(self, server: trunkline.Server) -> None:
        self.url = f"ws://127.0.0.1:{server.port}/"
        self.requests: list[trunkline.Request] = []


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    def admit(ws: trunkline.WebSocket, request: trunkline.Request) -> Any:
        known.requests.append(request)
        return ws.respond(403, "no") if request.path == "/forbidden" else None

    async with trunkline.serve(
        behave, "127.0.0.1", 0, process_request=admit, subprotocols=["chat.v2"], close_timeout=1
    ) as listening:
        known = Server(listening)
        yield known


async def test_lines_out_and_messages_in(run: Any, server: Server) -> None:
    done = await (await run("connect", server.url)).finish("hello\nwörld\n")
    assert (done.status, done.out) == (0, "hello\nwörld\n")
    assert done.err == f"connected to {server.url}\nclosed: sent 1000 (normal closure)\n"


@pytest.mark.parametrize("path", ["/?token=hunter2", "/forbidden"])
async def test_secrets_in_the_url_are_not_printed(run: Any, server: Server, path: str) -> None:
    url = server.url.replace("//", "//user:hunter2@").removesuffix("/") + path
    done = await (await run("connect", url)).finish("hello\n")
    assert "hunter2" not in done.out + done.err
    assert server.requests[0].headers["authorization"] == "Basic dXNlcjpodW50ZXIy"
    if done.status == 0:
        assert done.err.startswith(f"connected to {server.url}?...\n")


@pytest.mark.parametrize(
    "words",
    [
        ["ws://user:hunter2@127.0.0.1:1/?hunter2"],
        ["ws://user:hunter2/x@127.0.0.1:1/"],
        ["ws://user:hunter2@127.0.0.1:1/#hunter2"],
        ["http://user:hunter2@127.0.0.1:1/"],
        ["ws://127.0.0.1:1/", "--subprotocol", "bearer hunter2"],
        ["ws://127.0.0.1:1/", "--subprotocol", "bearer.hunter2", "--subprotocol", "bearer.hunter2"],
        ["ws://127.0.0.1:1/", "--header", "Authorization Bearer hunter2"],
        ["ws://127.0.0.1:1/", "--header", "Bearer hunter2:"],
        ["ws://127.0.0.1:1/", "--header", "Authorization: hunter2\u2603"],
    ],
)
@pytest.mark.parametrize("command", ["connect", "doctor"])
async def test_secrets_in_invalid_arguments_are_not_printed(run: Any, command: str, words: list[str]) -> None:
    done = await (await run(command, *words)).finish()
    assert done.status != 0
    assert done.out + done.err
    assert "hunter2" not in done.out + done.err


async def test_json(run: Any, server: Server) -> None:
    done = await (await run("connect", "--json", server.url)).finish("hostile\nbinary\n")
    text, binary = map(json.loads, done.out.splitlines())
    assert text == {"type": "text", "data": "\x1b]0;owned\x07 \u202e \x9b2J\nsecond line\u2028 ünïcode"}
    assert (binary["type"], base64.b64decode(binary["data"])) == ("binary", b"\x00\x1b\xff")
    assert done.out.isascii()
    assert "\x1b" not in done.out


@pytest.mark.parametrize(("accepted", "word"), [("deflate", "compressed"), (None, "not compressed")])
async def test_compression(run: Any, accepted: Any, word: str) -> None:
    async with trunkline.serve(behave, "127.0.0.1", 0, compression=accepted) as server:
        url = f"ws://127.0.0.1:{server.port}/"
        done = await (await run("connect", "--compression", url)).finish("hello\n")
    assert (done.status, done.out) == (0, "hello\n")
    assert done.err.startswith(f"connected to {url}, {word}\n")


async def test_a_last_line_without_a_line_ending(run: Any, server: Server) -> None:
    done = await (await run("connect", server.url)).finish("one\r\ntwo")
    assert (done.status, done.out) == (0, "one\ntwo\n")


async def test_control_characters_from_the_peer_are_escaped(run: Any, server: Server) -> None:
    done = await (await run("connect", server.url)).finish("hostile\nbinary\n")
    assert done.out == ("\\x1b]0;owned\\x07 \\u202e \\x9b2J\\nsecond line\\u2028 ünïcode\nbinary, 3 bytes: 00 1b ff\n")


async def test_it_waits_for_answers_that_are_still_on_their_way(run: Any, server: Server) -> None:
    done = await (await run("connect", server.url)).finish("slow\n")
    assert (done.status, done.out) == (0, "at last\n")


@pytest.mark.parametrize(
    ("word", "status", "end"),
    [
        ("restart", 0, "closed: received 1001 (going away) bye\n"),
        ("leave", 1, "closed: received 4001 (private use) go \\x1b[2J\n"),
        ("drop", 1, "closed: 1006 (abnormal closure)"),
    ],
)
async def test_how_it_ended(run: Any, server: Server, word: str, status: int, end: str) -> None:
    done = await (await run("connect", server.url)).finish(f"{word}\n")
    assert done.status == status
    assert done.err.splitlines(keepends=True)[-1].startswith(end)


async def test_it_ends_when_the_server_closes_without_waiting_for_input(run: Any, server: Server) -> None:
    command = await run("connect", server.url)
    await command.write("restart\n")
    assert await asyncio.wait_for(command.process.wait(), 30) == 0


async def test_headers_and_subprotocols(run: Any, server: Server) -> None:
    command = await run(
        "connect", server.url, "--header", "X-One: 1", "--header", "X-Two:2", "--subprotocol", "chat.v2"
    )
    done = await command.finish()
    assert done.err.splitlines()[0] == f"connected to {server.url}, subprotocol chat.v2"
    (request,) = server.requests
    assert (request.headers.get("X-One"), request.headers.get("X-Two")) == ("1", "2")


async def test_input_from_a_file(run: Any, server: Server, tmp_path: Path) -> None:
    (tmp_path / "lines").write_text("from a file\n")
    with (tmp_path / "lines").open() as file:
        done = await (await run("connect", server.url, "--linger", "2", stdin=file.fileno())).finish()
    assert (done.status, done.out) == (0, "from a file\n")


async def test_the_reader_of_its_output_has_gone(run: Any, server: Server) -> None:
    command = await run("connect", server.url)
    await command.write("one\n")
    assert await command.read_line() == "one\n"
    command.process.stdout._transport.close()
    await command.write("two\n")
    with contextlib.suppress(ConnectionError):
        await command.write("three\n")
    assert await asyncio.wait_for(command.process.wait(), 30) == 0
    assert "Traceback" not in (await command.process.stderr.read()).decode()


async def test_interrupted(run: Any, server: Server) -> None:
    command = await run("connect", server.url)
    assert await command.read_error_line() == f"connected to {server.url}\n"
    command.process.send_signal(signal.SIGINT)
    done = await command.finish()
    assert done.status == 130
    assert "Traceback" not in done.err


async def test_nobody_listens(run: Any, refusing_port: int) -> None:
    done = await (await run("connect", f"ws://127.0.0.1:{refusing_port}/")).finish()
    assert done.status == 3
    assert done.err == f"trunkline: cannot connect to 127.0.0.1:{refusing_port}: Connection refused\n"


async def test_the_server_refuses(run: Any, server: Server) -> None:
    done = await (await run("connect", server.url + "forbidden")).finish()
    assert done.status == 4
    assert done.err == "trunkline: the server answered 403 Forbidden, expected 101 (RFC 6455 4.1)\n"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["http://127.0.0.1/"], "trunkline: scheme is 'http', must be ws or wss (RFC 6455 3)"),
        (["--header", "nonsense", "ws://127.0.0.1/"], "not a header field, must be NAME:VALUE"),
        (["--linger", "-1", "ws://127.0.0.1/"], "-1 is not a finite number above 0"),
        ([], "the following arguments are required: URL"),
    ],
)
async def test_invalid_arguments(run: Any, arguments: list[str], text: str) -> None:
    done = await (await run("connect", *arguments)).finish()
    assert done.status == 2
    assert text in done.err
    assert "Traceback" not in done.err


async def test_at_a_terminal_the_end_of_input_closes_at_once(run: Any, server: Server) -> None:
    master, slave = os.openpty()
    try:
        command = await run("connect", server.url, "--linger", "50", stdin=slave)
        assert await command.read_error_line() == f"connected to {server.url}\n"
        os.write(master, b"typed\n")
        assert await command.read_line() == "typed\n"
        os.write(master, b"\x04")
        assert await asyncio.wait_for(command.process.wait(), 30) == 0
    finally:
        os.close(master)
        os.close(slave)
