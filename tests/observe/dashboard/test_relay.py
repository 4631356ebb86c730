"""The relay: another server forwards the feed of the program's own dashboard."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

import trunkline
from trunkline.observe import dashboard
from trunkline.observe.dashboard.server import PROTOCOL
from watched import SECRET, TOKEN, Watched, watched

pytestmark = pytest.mark.anyio


@pytest.fixture
async def program(refusing_port: int) -> AsyncIterator[Watched]:
    async with watched(refusing_port, count=1) as made:
        yield made


def look(page: dashboard.Dashboard) -> Any:
    protocols = [PROTOCOL, f"token.{page.token}"]
    return trunkline.connect(f"ws://127.0.0.1:{page.port}/feed", subprotocols=protocols)


async def take(ws: trunkline.WebSocket, kind: str) -> dict[str, Any]:
    while True:
        message = json.loads(await ws.recv())
        if message["kind"] == kind:
            return message


async def test_it_forwards_the_feed_and_actions(program) -> None:
    async with (
        dashboard.serve(program.manager, token=TOKEN, actions=True) as page,
        dashboard.relay(page.url) as beside,
        look(beside) as ws,
    ):
        assert beside.token != page.token
        snapshot = await take(ws, "snapshot")
        assert {row[0] for row in snapshot["rows"]} == {"rooms?room=room-1", "orders?token=..."}
        assert SECRET not in json.dumps(snapshot)
        await ws.send('{"kind": "action", "action": "reconnect", "id": "rooms?room=room-1"}')
        assert (await take(ws, "answer"))["text"] == "rooms?room=room-1 is reconnecting"
        assert (page.viewers, beside.viewers) == (1, 1)


async def test_it_disconnects_when_its_viewer_goes(program) -> None:
    async with dashboard.serve(program.manager, token=TOKEN) as page, dashboard.relay(page.url) as beside:
        async with look(beside) as ws:
            await take(ws, "snapshot")
        async with look(beside) as ws:
            await take(ws, "snapshot")
            assert [gauge["used"] for gauge in (await take(ws, "delta"))["totals"]["gauges"]][-1] == 1


async def test_viewers_are_closed_when_the_program_goes(program) -> None:
    async with dashboard.serve(program.manager, token=TOKEN) as page, dashboard.relay(page.url) as beside:
        async with look(beside) as ws:
            await take(ws, "snapshot")
            await page.close()
            await ws.wait_closed()
        assert ws.close_code == 1012
        async with look(beside) as ws:
            await ws.wait_closed()
        assert (ws.close_code, "cannot connect" in (ws.close_reason or "")) == (1012, True)


async def test_a_wrong_token_on_either_side(program) -> None:
    async with dashboard.serve(program.manager, token=TOKEN) as page:
        async with dashboard.relay(page.url + "x") as beside, look(beside) as ws:
            await ws.wait_closed()
            assert "403" in (ws.close_reason or "")
        async with dashboard.relay(page.url, token="another-token-of-a-test") as beside:
            with pytest.raises(trunkline.HandshakeError) as caught:
                await trunkline.connect(f"ws://127.0.0.1:{beside.port}/feed", subprotocols=[PROTOCOL, f"token.{TOKEN}"])
            assert caught.value.status == 403


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:80/", "ws://127.0.0.1/#" + TOKEN, "ws://ann:hunter2@127.0.0.1/?key=k1#" + TOKEN, "127.0.0.1"],
)
def test_an_invalid_url_is_shown_without_its_secrets(url) -> None:
    with pytest.raises(ValueError, match=r"127\.0\.0\.1.* must be the address that a dashboard printed") as caught:
        dashboard.relay(url)
    assert not any(secret in str(caught.value) for secret in (TOKEN, "hunter2", "k1"))
