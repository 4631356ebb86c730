"""`trunkline top` without a terminal: `--once`, `--json`, and its view of a feed."""

import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import trunkline
from handlers import echo
from trunkline.cli.top.keys import press
from trunkline.cli.top.table import screen, sheet
from trunkline.cli.top.view import NotTheFeed, View
from trunkline.observe import dashboard

pytestmark = pytest.mark.anyio

TOKEN = "a-token-of-the-test"
FEED = "trunkline.dashboard.v1"


@pytest.fixture
async def page() -> AsyncIterator[dashboard.Dashboard]:
    """Three connections, and their dashboard."""
    async with trunkline.serve(echo, "127.0.0.1", 0) as server:
        url = f"ws://127.0.0.1:{server.port}/{{room}}"
        chat: trunkline.Service[str, str] = trunkline.Service("chat", url, sends=str, receives=str)
        async with trunkline.ConnectionManager([chat]) as manager:
            for room in ("lobby", "cellar", "esc\x1b[31m"):
                await manager.connect(chat, room=room)
            async with dashboard.serve(manager, token=TOKEN, name="tested") as page:
                yield page


async def test_once(run: Any, page: dashboard.Dashboard) -> None:
    done = await (await run("top", "--once", "--sort", "id", page.url)).finish()
    assert (done.status, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0].startswith("tested  pid ")
    assert lines[1].startswith("3 of 3 up ")
    assert [line.split()[:2] for line in lines[3:]] == [
        ["chat?room=cellar", "connected"],
        ["chat?room=esc%1B%5B31m", "connected"],
        ["chat?room=lobby", "connected"],
    ]


async def test_json_with_a_search(run: Any, page: dashboard.Dashboard) -> None:
    done = await (await run("top", "--json", "--search", "LOBBY", page.url)).finish()
    told = json.loads(done.out)
    assert (done.status, done.err) == (0, "")
    assert (told["program"]["name"], told["totals"]["up"]) == ("tested", 3)
    (row,) = told["connections"]
    assert (row["id"], row["status"]) == ("chat?room=lobby", "connected")


async def test_without_rich(
    run: Any, page: dashboard.Dashboard, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "rich.py").write_text("raise ImportError('not here')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    done = await (await run("top", page.url)).finish()
    assert done.status == 5
    assert done.err == "trunkline: top needs rich: pip install trunkline[cli] (--json works without it)\n"
    assert (await (await run("top", "--json", page.url)).finish()).status == 0


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/", "ws://127.0.0.1:1/#token", "127.0.0.1", "http://#x"])
async def test_an_invalid_url(run: Any, url: str) -> None:
    done = await (await run("top", url)).finish()
    assert done.status == 2
    assert "URL must be the address that the program printed: http://host:port/#token" in done.err


async def test_too_many_viewers(run: Any, page: dashboard.Dashboard) -> None:
    url = page.url.replace("http://", "ws://").partition("/#")[0] + "/feed"
    viewers = [await trunkline.connect(url, subprotocols=[FEED, f"token.{TOKEN}"]) for _ in range(8)]
    done = await (await run("top", "--once", page.url)).finish()
    for viewer in viewers:
        await viewer.close()
    assert done.status == 4
    assert "too many viewers" in done.err


def snapshot(rows: list[list[Any]], **totals: Any) -> str:
    columns = ["id", "in_rate", "since", "next_at"]
    return json.dumps({"kind": "snapshot", "at": 1, "program": {}, "columns": columns, "rows": rows, "totals": totals})


BAD_SNAPSHOTS = {
    "a row without an id": snapshot([[]]),
    "an id that is a number": snapshot([[5]]),
    "an id that is a list": snapshot([[["a"]]]),
    "a rate that is a word": snapshot([["a", "fast"]]),
    "a rate that is too large": snapshot([["a", 10**400]]),
    "a time that is a list": snapshot([["a", 1, []]]),
    "a time that is an object": snapshot([["a", 1, 1, {"x": 1}]]),
    "a sum that is null": snapshot([], up=None),
    "a sum that is a word": snapshot([], connections="many"),
    "a quantile that is a word": snapshot([], p99="late"),
    "no column id": json.dumps(
        {"kind": "snapshot", "at": 1, "program": {}, "columns": [], "rows": [["a"]], "totals": {}}
    ),
    "nesting": "[" * 100_000,
    "nesting in a value": '{"kind": "snapshot", "at": 1, "program": {"x": ' + "[" * 100_000,
}
BAD_DELTAS = {
    "a rate": [["a", {"in_rate": "x"}]],
    "an id": [["a", {"id": "b"}]],
    "an id that is a list": [["a", {"id": []}]],
}


@pytest.mark.parametrize("message", BAD_SNAPSHOTS.values(), ids=BAD_SNAPSHOTS)
async def test_an_invalid_snapshot(message: str) -> None:
    view = View()
    with pytest.raises(NotTheFeed, match="not a dashboard's"):
        view.take(message)
    assert (view.rows, view.totals) == ({}, {})


@pytest.mark.parametrize("rows", BAD_DELTAS.values(), ids=BAD_DELTAS)
async def test_an_invalid_delta(rows: list[Any]) -> None:
    view = told(a={"in_rate": 1})
    with pytest.raises(NotTheFeed):
        view.take(json.dumps({"kind": "delta", "at": 2, "rows": rows, "gone": [], "totals": {}}))
    assert view.rows["a"]["in_rate"] == 1


@pytest.mark.parametrize("width", [60, 120])
async def test_rows_without_figures_are_shown(width: int) -> None:
    """For a connection that is older than the dashboard, it is unknown since when it is up."""
    view = View()
    view.take(snapshot([["a", None, None, None], ["b"], ["c", 10**17, -5.0, 10**17]]))
    console = Console(width=width, file=io.StringIO())
    console.print(sheet(view, width), screen(view, width, 10))
    assert isinstance(console.file, io.StringIO)
    rows = [line.split()[:3] for line in console.file.getvalue().splitlines()[3:5]]
    assert rows == [["a", "?", "-"], ["b", "?", "-"]]


@pytest.mark.parametrize(
    ("first", "status", "words"),
    [
        ("\x1b[2J", 1, "received a message that is not a dashboard's: "),
        ('{"kind": "delta"}', 1, "received a message that is not a dashboard's: "),
        ("{", 1, "received a message that is not a dashboard's: "),
        ("[" * 100_000, 1, "received a message that is not a dashboard's: "),
        (snapshot([[]]), 1, "is not a dashboard's: a row's id is missing or not a string"),
        (snapshot([["a", "fast"]]), 1, "is not a dashboard's: in_rate is str, must be a number up to 1e+18"),
        (snapshot([], up=None), 1, "is not a dashboard's: up of the totals is NoneType, must be a number"),
        (None, 1, "sent nothing within 3 s: is it a dashboard?"),
    ],
)
async def test_a_websocket_that_is_not_a_dashboard(run: Any, first: str | None, status: int, words: str) -> None:
    async def talk(ws: trunkline.WebSocket) -> None:
        if first is not None:
            await ws.send(first)
        await ws.wait_closed()

    async with trunkline.serve(talk, "127.0.0.1", 0, subprotocols=[FEED]) as server:
        command = await run("top", "--once", "--timeout", "3", f"http://127.0.0.1:{server.port}/#{TOKEN}")
        done = await command.finish()
    assert done.status == status
    assert words in done.err
    assert "\x1b" not in done.err


def told(**rows: dict[str, Any]) -> View:
    """A view of these rows."""
    columns = ["id", "status", "why", "in_rate", "queue", "a column of tomorrow"]
    values = [[name, *(row.get(column) for column in columns[1:])] for name, row in rows.items()]
    view = View()
    view.take(
        json.dumps({"kind": "snapshot", "at": 1, "program": {}, "columns": columns, "rows": values, "totals": {}})
    )
    return view


def names(view: View) -> list[str]:
    return [row["id"] for row in view.ordered()]


async def test_orders() -> None:
    view = told(
        a={"status": "connected", "in_rate": 1.0, "queue": None},
        b={"status": "failed", "in_rate": 3.0, "queue": 2},
        c={"status": "a state of tomorrow", "in_rate": 2.0, "queue": 3},
    )
    seen = {}
    for _ in range(6):
        seen[view.order] = "".join(names(view))
        press(view, "s")
    assert seen == {"state": "bca", "id": "abc", "in": "bca", "out": "abc", "latency": "abc", "queue": "cba"}
    assert view.order == "state"


async def test_deltas() -> None:
    view = told(a={"status": "connected"}, b={"status": "connected"})
    delta = {"kind": "delta", "at": 2, "rows": [["a", {"why": "cut"}], ["c", {"status": "waiting"}]], "gone": ["b"]}
    view.take(json.dumps({**delta, "totals": {"up": 1}, "events": []}))
    assert view.rows == {"a": {**view.rows["a"], "id": "a", "why": "cut"}, "c": {"id": "c", "status": "waiting"}}
    assert (view.at, view.totals) == (2, {"up": 1})
    view.search = "cut"
    assert names(view) == ["a"]


@pytest.mark.parametrize("message", ["", "[]", '{"kind": "snapshot"}', '{"kind": "details"}', b"\xff"])
async def test_messages_that_are_not_from_a_feed(message: str | bytes) -> None:
    with pytest.raises(NotTheFeed):
        View().take(message)


async def test_keys() -> None:
    view = told(a={}, b={})
    for key in ("/", "q", "backspace", "b"):
        assert press(view, key)
    assert (view.typing, view.search) == (True, "b")
    press(view, "enter")
    press(view, "down")
    assert (view.typing, view.search, view.first) == (False, "b", 1)
    press(view, "page up")
    press(view, "escape")
    assert (view.search, view.first) == ("", 0)
    assert press(view, "a key of no use")
    assert not press(view, "q")
