"""No secret parameter of a connection's id is in any text: of an exception, a task's name, or an object's repr."""

import asyncio
import copy
import gc
import importlib
import inspect
import itertools
import logging
import pkgutil
import sys
import traceback
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

import trunkline
from trunkline.manager.failure.issues import ConnectionIssue
from trunkline.manager.states import ConnectionStatus, DeliveryOutcome
from trunkline.protocol.categories import ErrorCategory

SECRET = "hunter2"
ID = f"feed?room=r&token={SECRET}"
FIELDS = [("Set-Cookie", SECRET)]
ISSUE = ConnectionIssue(ErrorCategory.FORBIDDEN, "403", 403, {"headers": FIELDS, "body": SECRET.encode()})

# What the constructors of exceptions take, by the name of the parameter. A message is what we say, and holds no secret:
# the sessions of the other tests look at those.
VALUES: dict[str, list[Any]] = {
    "connection_id": [ID],
    "status": list(ConnectionStatus),
    "issue": [ISSUE, None],
    "outcome": [DeliveryOutcome.EXPIRED, DeliveryOutcome.DROPPED, DeliveryOutcome.UNSENT],
    "headers": [FIELDS],
    "body": [SECRET.encode()],
    "payload": [SECRET, SECRET.encode()],
    "cause": [LookupError("cause")],
    "messages": [3],
    "size": [5],
    "limit": [7],
    "limits": [(8, 9)],
    "ago": [1.0],
    "pending": [11],
    "timeout": [2.0],
    "code": [1008],
    "reason": ["said so"],
    "initiator": ["remote"],
    "message": ["what was seen"],
    "detail": ["", "what was seen"],
    "recoverable": [True],
}

PLAIN: dict[str, list[Any]] = {"str": ["what was seen"], "int": [3], "float": [4.0], "bool": [True]}


def exceptions() -> list[type[BaseException]]:
    """Every exception class of the package."""
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # of modules that have moved
        for module in pkgutil.walk_packages(trunkline.__path__, "trunkline."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    found, waiting = set(), [BaseException]
    while waiting:
        for kind in type.__subclasses__(waiting.pop()):
            waiting.append(kind)
            if kind.__module__.startswith("trunkline"):
                found.add(kind)
    return sorted(found, key=lambda kind: kind.__name__)


def values_of(kind: type[BaseException]) -> dict[str, list[Any]]:
    """What each of its parameters may be given."""
    found = {}
    try:
        parameters = inspect.signature(kind).parameters.values()
    except ValueError:  # it takes whatever an Exception takes
        parameters = []
    for parameter in parameters:
        is_needed = parameter.default is parameter.empty and parameter.kind is not parameter.VAR_POSITIONAL
        if parameter.name == "status" and parameter.annotation == "int | None":
            found["status"] = [403]
        elif parameter.name in VALUES:
            found[parameter.name] = VALUES[parameter.name]
        elif is_needed:
            found[parameter.name] = guess(kind, parameter)
    return found


def guess(kind: type[BaseException], parameter: inspect.Parameter) -> list[Any]:
    """Values for a parameter that is not listed: a name that speaks of an id or an address gets the secret."""
    if any(part in parameter.name for part in ("id", "uri", "url", "address")):
        return [ID]
    assert parameter.annotation in PLAIN, f"say above what {kind.__name__} may be given as {parameter.name}"
    return PLAIN[parameter.annotation]


def examples(kind: type[BaseException]) -> Iterator[BaseException]:
    """One for each way to fill in what it takes."""
    values = values_of(kind)
    for chosen in itertools.product(*values.values()):
        yield kind(**dict(zip(values, chosen, strict=True))) if values else kind("what was seen")


@pytest.mark.parametrize("kind", exceptions(), ids=lambda kind: kind.__name__)
def test_no_exception_shows_a_secret(kind: type[BaseException]) -> None:
    for error in examples(kind):
        for one in (error, copy.copy(error)):
            for text in (str(one), repr(one), *traceback.format_exception(one)):
                assert SECRET not in text


def test_an_id_is_data_all_the_same() -> None:
    assert trunkline.NotConnected(ID, ConnectionStatus.FAILED, None).connection_id == ID
    assert (
        str(trunkline.NotConnected(ID, ConnectionStatus.FAILED, None)) == "connection feed?room=r&token=... is failed"
    )


def texts_of_ours() -> Iterator[str]:
    """What a debugger or an error reporter prints of every object of trunkline's classes."""
    for one in gc.get_objects():
        if str(type(one).__module__).startswith("trunkline"):
            yield repr(one)
            yield str(one)


@pytest.mark.anyio
async def test_a_managed_line_that_fails_in_every_way(caplog: pytest.LogCaptureFixture, refusing_port: int) -> None:
    """Links that come and go, messages that do not, tasks and events: by all that they leave behind."""
    caplog.set_level(logging.DEBUG)
    told: list[str] = []

    async def answer(ws: trunkline.WebSocket) -> None:
        await ws.send("not json")
        await ws.recv()
        await ws.close(1012)

    refusal = trunkline.Response(403, FIELDS, SECRET.encode())
    async with trunkline.serve(answer, "127.0.0.1", 0, process_request=lambda *_: None) as server:
        url = f"ws://127.0.0.1:{server.port}/{{room}}?token={{token}}"
        refused = url.replace(str(server.port), str(refusing_port))
        services = [
            trunkline.Service(
                "feed", url, sends=int, receives=int, retry=trunkline.manager.RetryPolicy(base=0.01, cap=0.02)
            ),
            trunkline.Service("gone", refused, sends=int, receives=int),
            trunkline.Service("pool", url, sends=int, receives=int, pool=trunkline.manager.PoolPolicy(size=2)),
        ]
        async with trunkline.ConnectionManager(services) as manager:
            manager.subscribe(lambda change: told.extend((repr(change), str(change), change.explain())))
            lines = [await manager.connect(one, wait=False, room="r", token=SECRET) for one in services[:2]]
            await lines[0].wait_connected()
            delivery = lines[0].send_nowait(1)
            with pytest.raises(trunkline.NotConnected) as caught:
                await lines[1].wait_connected(timeout=0.01)
            told += traceback.format_exception(caught.value)
            told += [repr(caught.value), repr(delivery)]
            async with manager.lease(services[2], room="r", token=SECRET) as member:
                told.append(repr(member))
            told += [task.get_name() for task in asyncio.all_tasks()]
            told += [repr(task) for task in asyncio.all_tasks()]
            told += [repr(one.health()) for one in lines]
            told += texts_of_ours()
            assert any("trunkline feed?room=r&token=..." in text for text in told), "the task of the line"
        with pytest.raises(trunkline.NotConnected) as caught:
            await lines[0].send(1)
        told += traceback.format_exception(caught.value)
    async with trunkline.serve(answer, "127.0.0.1", 0, process_request=lambda *_: refusal) as server:
        url = f"ws://127.0.0.1:{server.port}/{{room}}?token={{token}}"
        service = trunkline.Service("feed", url, sends=int, receives=int)
        async with trunkline.ConnectionManager([service]) as manager:
            line = await manager.connect(service, wait=False, room="r", token=SECRET)
            with pytest.raises(trunkline.NotConnected) as caught:
                await line.wait_connected()
            told += [*traceback.format_exception(caught.value), repr(line.last_error), repr(line.last_change)]
            told += texts_of_ours()
    told += [logging.Formatter().format(record) for record in caplog.records]
    told += [str(value) for record in caplog.records for value in vars(record).values()]
    assert [text for text in told if SECRET in text] == []
    if sys.version_info >= (3, 12):
        assert "trunkline feed?room=r&token=..." in [record.taskName for record in caplog.records], "told by the line"


def test_a_url_whose_fresh_parameters_are_none(caplog: pytest.LogCaptureFixture) -> None:
    async def ask() -> str:
        return "x"

    with pytest.raises(trunkline.InvalidURI, match=r"the URL of ws://host has no parameter other \(fresh\)") as caught:
        trunkline.Service("a", f"ws://user:{SECRET}@host/", sends=str, receives=str, fresh={"other": ask})
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (ID, "feed?room=r&token=..."),
        (f"?TOKEN={SECRET}&a=b", "?TOKEN=...&a=b"),
        (f"?api-key={SECRET}=={SECRET}?{SECRET}&a=b", "?api-key=...&a=b"),
        (f"?a=b?token={SECRET} next", "?a=b?token=... next"),
        (f"?token?={SECRET}", "?token?=..."),
        (f"wss://user:{SECRET}@host/?a=b", "wss://...@host/?a=b"),
        (f"wss://{SECRET}@host/", "wss://...@host/"),
        ("ws://host/a@b?key", "ws://host/a@b?key"),
        ("token=shown", "token=shown"),
        ("", ""),
    ],
)
def test_what_is_hidden_of_a_text(text: str, shown: str) -> None:
    assert trunkline.manager.redacting.redact(text) == shown
