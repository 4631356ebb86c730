"""`trunkline serve --echo`."""

import json
import re
import signal
import socket
from typing import Any

import pytest

import trunkline

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_echoes_until_it_is_told_to_stop(run: Any, number: signal.Signals) -> None:
    command = await run("serve", "--echo", "--port", "0")
    ready = re.fullmatch(r"ready (ws://127\.0\.0\.1:\d+)\n", await command.read_line())
    assert ready
    async with trunkline.connect(ready[1]) as ws:
        await ws.send("text")
        await ws.send(b"binary")
        assert [await ws.recv(), await ws.recv()] == ["text", b"binary"]
        command.process.send_signal(number)
        with pytest.raises(trunkline.ConnectionClosedOK) as caught:
            await ws.recv()
        assert caught.value.code == 1001
    done = await command.finish()
    assert (done.status, done.err) == (0, "")


async def test_json_subprotocols_and_compression(run: Any) -> None:
    command = await run("serve", "--echo", "--port", "0", "--json", "--subprotocol", "chat.v2", "--compression")
    ready = json.loads(await command.read_line())
    assert ready == {"ready": f"ws://127.0.0.1:{ready['port']}", "host": "127.0.0.1", "port": ready["port"]}
    async with trunkline.connect(ready["ready"], subprotocols=["chat.v1", "chat.v2"], compression="deflate") as ws:
        assert ws.subprotocol == "chat.v2"
        assert ws.agreement is not None
    command.process.send_signal(signal.SIGTERM)
    assert (await command.finish()).status == 0


async def test_a_port_that_is_taken(run: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        done = await (await run("serve", "--echo", "--port", str(port))).finish()
    assert done.status == 1
    assert done.err.startswith(f"trunkline: cannot listen on 127.0.0.1:{port}: ")
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["serve"], "the following arguments are required: --echo"),
        (["serve", "--echo", "--port", "65536"], "65536 is not a port, must be 0 to 65535"),
        (["dance"], "invalid choice: 'dance'"),
        ([], "the following arguments are required: COMMAND"),
    ],
)
async def test_invalid_arguments(run: Any, arguments: list[str], text: str) -> None:
    done = await (await run(*arguments)).finish()
    assert done.status == 2
    assert text in done.err


@pytest.mark.parametrize("command", ["demo", "top", "connect", "serve", "bench", "doctor", "info"])
async def test_the_help_lists_exit_statuses(run: Any, command: str) -> None:
    done = await (await run(command, "--help")).finish()
    assert (done.status, done.err) == (0, "")
    assert "exit status:" in done.out


async def test_its_version(run: Any) -> None:
    done = await (await run("--version")).finish()
    assert (done.status, done.out) == (0, f"trunkline {trunkline.__version__}\n")
