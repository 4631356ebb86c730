"""Logs: the fields of each event, filters and formatters, and what must not be logged."""

import ast
import io
import json
import logging
import random
from pathlib import Path
from typing import Any

import msgspec
import pytest

import trunkline
from trunkline.manager.logs import redact
from trunkline.net.logs import EVENTS, FIELDS, log_fields
from trunkline.observe import logs

ROOT = Path(trunkline.__file__).parent


@pytest.fixture
def records():
    """Collect every record of trunkline's loggers, at any level. Restore the loggers afterwards."""
    kept: list[logging.LogRecord] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            kept.append(record)

    logger = logging.getLogger("trunkline")
    level, propagate, handlers = logger.level, logger.propagate, list(logger.handlers)
    logger.addHandler(Keep())
    logger.setLevel(logging.DEBUG)
    yield kept
    logger.setLevel(level)
    logger.propagate = propagate
    logger.handlers[:] = handlers


def log_calls():
    """Yield every call of a logging method in trunkline."""
    methods = {"debug", "info", "warning", "error", "exception", "critical", "log"}
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in methods:
                target = ast.unparse(node.func.value)
                if target.endswith("logger"):
                    yield f"{path.relative_to(ROOT)}:{node.lineno}", node


def test_every_record_has_an_event():
    calls = list(log_calls())
    assert len(calls) > 5
    assert [where for where, call in calls if "extra" not in {keyword.arg for keyword in call.keywords}] == []


def test_only_known_events_and_fields_are_logged():
    assert log_fields("connection.failed", code=4000, phase=None) == {"event": "connection.failed", "code": 4000}
    with pytest.raises(KeyError):
        log_fields("connection.lost")
    with pytest.raises(KeyError):
        log_fields("connection.failed", colour="red")


def test_no_field_has_the_name_of_an_attribute_of_records():
    record = logging.makeLogRecord({})
    assert [name for name in FIELDS if hasattr(record, name)] == []


class Tick(msgspec.Struct):
    n: int


async def ticking(records: list[logging.LogRecord], **parameters: Any) -> list[logging.LogRecord]:
    """Return the log records of a connection that comes up, loses its server, and is closed."""

    async def handle(ws: trunkline.WebSocket) -> None:
        await ws.send('{"n": 1}')
        await ws.send('{"n": "one"}')
        await ws.recv()

    server = await trunkline.serve(handle, "127.0.0.1", 0)
    address = f"ws://127.0.0.1:{server.port}/feed?room={{room}}&api_key={{api_key}}"
    feed = trunkline.Service("feed", address, sends=Tick, receives=Tick)
    async with trunkline.ConnectionManager([feed], rng=random.Random(1)) as manager:
        connection = await manager.connect(feed, **parameters)
        assert (await anext(connection)).n == 1
        changes = manager.events()
        await server.close(1012)
        async for change in changes:
            if change.after == "waiting":
                break
    return [record for record in records if record.name.startswith("trunkline.manager")]


@pytest.mark.anyio
async def test_the_life_of_a_connection(records):
    logged = await ticking(records, room="lobby", api_key="s3cret")
    assert [record.event for record in logged] == [
        "connection.connecting",
        "connection.connected",
        "message.undecodable",
        "connection.waiting",
        "connection.closing",
        "connection.closed",
    ]
    up, waiting = logged[1], logged[3]
    assert (up.levelname, up.service, up.generation, up.status) == ("INFO", "feed", 1, "connected")
    assert (waiting.levelname, waiting.category, waiting.code, waiting.attempt) == (
        "WARNING",
        "service_restart",
        1012,
        1,
    )
    assert waiting.initiator == "remote"
    assert waiting.delay > 0
    assert waiting.connection == "feed?api_key=...&room=lobby"
    assert not any("s3cret" in str(vars(record)) for record in logged)


@pytest.mark.anyio
async def test_messages_are_not_logged_at_info(records):
    await ticking(records, room="a", api_key="k")
    assert len([record for record in records if record.levelno >= logging.INFO]) == 4


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("feed?room=a", "feed?room=a"),
        ("feed?token=t", "feed?token=..."),
        ("feed?a=1&access_token=x&b=2", "feed?a=1&access_token=...&b=2"),
        ("feed?Password=x", "feed?Password=..."),
        ("feed", "feed"),
    ],
)
def test_values_of_secret_parameters_are_left_out(written, shown):
    assert redact(written) == shown


def emit(handler: logging.Handler, level: int = logging.WARNING, text: str = "gone", **more: Any) -> None:
    logging.getLogger("trunkline.manager").log(level, text, extra=log_fields("connection.waiting", **more))


def test_json_lines(records):
    out = io.StringIO()
    handler = logs.configure(json=True, stream=out)
    emit(handler, service="chat", code=1012, text="gone\nfor ever")
    entry = json.loads(out.getvalue())
    assert out.getvalue().count("\n") == 1
    assert entry.pop("time").endswith("Z")
    assert entry == {
        "level": "warning",
        "logger": "trunkline.manager",
        "message": "gone\nfor ever",
        "event": "connection.waiting",
        "service": "chat",
        "code": 1012,
    }


def test_lines_for_people_escape_control_characters(records):
    out = io.StringIO()
    emit(logs.configure(stream=out), text="\x1b[2J reason\nforged line", category="network_error", code=1006)
    assert out.getvalue().count("\n") == 1
    assert out.getvalue().endswith(
        " WARNING connection.waiting     \\x1b[2J reason\\nforged line category=network_error code=1006\n"
    )


@pytest.mark.parametrize("json_lines", [False, True])
def test_tracebacks(records, json_lines):
    out = io.StringIO()
    logs.configure(json=json_lines, stream=out)
    try:
        raise ZeroDivisionError("by zero")
    except ZeroDivisionError as error:
        extra = log_fields("callback.failed")
        logging.getLogger("trunkline.net").error("a callback failed", exc_info=error, extra=extra)
    assert "ZeroDivisionError: by zero" in out.getvalue()
    assert out.getvalue().count("\n") == (1 if json_lines else 5)


def test_filtering_by_fields(records):
    out = io.StringIO()
    handler = logs.configure(json=True, stream=out, service="chat", category={"timeout", "throttled"})
    emit(handler, service="chat", category="timeout", code=1)
    emit(handler, service="chat", category="forbidden", code=2)
    emit(handler, service="feed", category="timeout", code=3)
    emit(handler, category="timeout", code=4)
    emit(handler, service="chat", category="throttled", code=5)
    assert [json.loads(line)["code"] for line in out.getvalue().splitlines()] == [1, 5]


def test_a_filter_by_an_unknown_field(records):
    with pytest.raises(TypeError, match="no field 'colour'"):
        logs.configure(colour="red")


def test_levels_and_configuring_again(records):
    first, second = io.StringIO(), io.StringIO()
    logs.configure(stream=first)
    handler = logs.configure(stream=second, level="DEBUG")
    emit(handler, logging.DEBUG)
    assert first.getvalue() == ""
    assert second.getvalue().count("\n") == 1
    logs.configure(stream=second, level=logging.ERROR)
    emit(handler)
    assert second.getvalue().count("\n") == 1


def test_the_root_logger_gets_no_records(records, caplog):
    with caplog.at_level(logging.DEBUG):
        emit(logs.configure(stream=io.StringIO()))
    assert caplog.records == []


def test_every_event_and_field_is_explained():
    assert all(EVENTS.values())
    assert all(FIELDS.values())
