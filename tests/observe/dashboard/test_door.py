"""Who may look at the dashboard, and how everybody else is refused."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

import trunkline
from handlers import echo
from trunkline.observe import dashboard
from trunkline.observe.dashboard.server import PROTOCOL

pytestmark = pytest.mark.anyio

TOKEN = "a-token-of-a-test"


class Tick(msgspec.Struct):
    n: int


@pytest.fixture
async def manager(refusing_port: int) -> AsyncIterator[trunkline.ConnectionManager]:
    """A manager with two connections: one that is up, and one that is refused, with a secret among its parameters."""

    async with trunkline.serve(echo, "127.0.0.1", 0) as server:
        good = trunkline.Service("good", f"ws://127.0.0.1:{server.port}/", sends=Tick, receives=Tick)
        bad = trunkline.Service("bad", f"ws://127.0.0.1:{refusing_port}/?token={{token}}", sends=Tick, receives=Tick)
        async with trunkline.ConnectionManager([good, bad]) as held:
            await held.connect(good)
            changes = held.events()
            await held.connect(bad, wait=False, token="s3cret")
            async for change in changes:
                if change.after == "waiting":
                    break
            yield held


@pytest.fixture
async def page(manager: trunkline.ConnectionManager) -> AsyncIterator[dashboard.Dashboard]:
    async with dashboard.serve(manager, token=TOKEN, max_viewers=2, names=["ops.example"]) as served:
        yield served


def look(page: dashboard.Dashboard, *, token: str = TOKEN, path: str = "/feed", **options: Any) -> Any:
    return trunkline.connect(f"ws://127.0.0.1:{page.port}{path}", subprotocols=[PROTOCOL, f"token.{token}"], **options)


async def fetch(page: dashboard.Dashboard, path: str, host: str = "127.0.0.1") -> tuple[int, dict[str, str], bytes]:
    """Return status, header fields and body of a plain GET."""
    reader, writer = await asyncio.open_connection("127.0.0.1", page.port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    first, *lines = head.decode().split("\r\n")
    return int(first.split()[1]), {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}, body


async def test_a_viewer_gets_a_snapshot_and_then_changes(page, manager) -> None:
    async with look(page) as ws:
        snapshot = json.loads(await ws.recv())
        rows = {row[0]: dict(zip(snapshot["columns"], row, strict=True)) for row in snapshot["rows"]}
        assert (snapshot["kind"], snapshot["actions"]) == ("snapshot", False)
        assert rows["good"]["status"] == "connected"
        assert rows["bad?token=..."]["category"] == "connection_refused"
        assert rows["bad?token=..."]["next_at"] is not None
        assert snapshot["totals"]["connections"] == 2
        await manager.get("good").close()
        while "good" not in (delta := json.loads(await ws.recv()))["gone"]:
            assert delta["kind"] == "delta"
    assert ws.subprotocol == PROTOCOL


async def test_no_secret_is_shown(page) -> None:
    async with look(page) as ws:
        assert "s3cret" not in await ws.recv()
        await ws.send('{"kind": "details", "id": "bad?token=..."}')
        while '"details"' not in (message := await ws.recv()):
            assert "s3cret" not in message
        assert "s3cret" not in message


@pytest.mark.parametrize("token", ["wrong-token-of-a-test", TOKEN[:-1], TOKEN + "x"])
async def test_a_wrong_token(page, token) -> None:
    with pytest.raises(trunkline.HandshakeError) as caught:
        await look(page, token=token)
    assert caught.value.status == 403
    assert TOKEN.encode() not in caught.value.body


async def test_no_token(page) -> None:
    with pytest.raises(trunkline.HandshakeError) as caught:
        await trunkline.connect(f"ws://127.0.0.1:{page.port}/feed")
    assert caught.value.status == 403


async def test_a_page_of_another_origin(page) -> None:
    with pytest.raises(trunkline.HandshakeError) as caught:
        await look(page, origin="http://evil.example")
    assert caught.value.status == 403


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "[::2]", "localhost@evil"]
)
async def test_an_unknown_host_name(page, host) -> None:
    status, _, body = await fetch(page, "/", host)
    assert status in (400, 421)
    assert b"trunkline" not in body


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:1", "ops.example", "[::1]:8"])
async def test_known_host_names(page, host) -> None:
    assert (await fetch(page, "/", host))[0] == 200


@pytest.mark.parametrize(
    "path", ["/", "/index.html", "/main.js", "/dashboard.css", "/vendor/uPlot.iife.min.js", "/icon.svg"]
)
async def test_files_and_their_header_fields(page, path) -> None:
    status, fields, body = await fetch(page, path)
    assert (status, int(fields["content-length"])) == (200, len(body))
    assert "default-src 'none'" in fields["content-security-policy"]
    assert "unsafe" not in fields["content-security-policy"]
    assert fields["x-content-type-options"] == "nosniff"
    assert TOKEN.encode() not in body


@pytest.mark.parametrize(
    "path", ["/nothing", "/../server.py", "/..%2fserver.py", "/vendor/", "/static/main.js", "/feed"]
)
async def test_unknown_paths(page, path) -> None:
    assert (await fetch(page, path))[0] == 404


async def test_the_number_of_viewers_is_limited(page) -> None:
    async with look(page) as first, look(page) as second:
        await first.recv()
        await second.recv()
        assert page.viewers == 2
        with pytest.raises(trunkline.HandshakeError) as caught:
            await look(page)
        assert caught.value.status == 503


async def test_an_invalid_request_of_a_viewer(page) -> None:
    async with look(page) as ws:
        await ws.recv()
        await ws.send("{")
        with pytest.raises(trunkline.ConnectionClosedError) as caught:
            assert [message async for message in ws] == []
    assert caught.value.code == 1007


async def test_nothing_runs_without_viewers(page) -> None:
    async with look(page) as ws:
        await ws.recv()
        assert page._feed._timer is not None
    await page._server.close()
    assert page._feed._timer is None


@pytest.mark.parametrize("token", ["short", "with space in the token", "t" * 15])
def test_a_token_that_is_not_allowed(token) -> None:
    with pytest.raises(ValueError, match="16 or more"):
        dashboard.serve(None, token=token)
