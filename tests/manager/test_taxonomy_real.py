"""Each row of the taxonomy over a real socket: what a server does, once it is reached, and the retry that follows.

The lines are real; time is the test's, so that a pause of five minutes costs nothing. What happens on the way to a
server is in test_taxonomy_dialling.py.
"""

import asyncio
import os
import socket
from typing import Any

import pytest

from failures import FAST, JITTER, LIMIT, NEVER, PROBE, Options, Range, Row, Watched, check, check_issue
from rawframes import build
from rawhttp import answer
from rawpeer import TEXT
from trunkline.manager.failure.retry import RetryPolicy
from trunkline.manager.failure.rules import Rule
from trunkline.manager.states import ConnectionStatus as Status
from trunkline.protocol.categories import ErrorCategory as C
from trunkline.testing import ScriptedServer, script

pytestmark = pytest.mark.anyio

SPREAD = (0.0, 1.0)
LOST = (0.0, 1.0)
RESTART = (0.0, 5.0)


async def refresh() -> dict[str, str]:
    """New credentials."""
    return {"Authorization": "Bearer new"}


REFRESHING: Options = {"headers": refresh}


def closed(
    code: int | None,
    category: C,
    first: Range | None,
    tries: int | None = None,
    *,
    seen: int | None = None,
    **more: Any,
) -> Row:
    """The server accepts, and closes with this code."""
    reason = more.pop("reason", "")
    more = {"recoverable": first is not None, "phase": "open", "initiator": "remote", **more}
    steps = [script.accept(), script.close(code, reason)]
    return Row(f"close-{code}", steps, category, code=seen or code, first=first, tries=tries, **more)


def lost(name: str, step: Any) -> Row:
    """The server accepts, and then the line is gone."""
    return Row(name, [script.accept(), step], C.NETWORK_ERROR, True, 1006, LOST, phase="open")


def answered(status: int, category: C, first: Range | None, tries: int | None = None, **more: Any) -> Row:
    """The server answers the handshake with this status."""
    headers = more.pop("sent", None)
    name = "-".join([f"http-{status}", *(more.pop("called", []))])
    return Row(name, [script.answer(status, headers)], category, first is not None, status, first, tries, **more)


def ended_by_us(code: int, category: C, step: Any, **more: Any) -> Row:
    """The server accepts and sends what ends the connection from our side, which is worth one more try."""
    more = {"first": JITTER, "tries": 1, "phase": "open", "initiator": "local", **more}
    return Row(f"we-fail-it-{code}", [script.accept(), step], category, True, code, **more)


def bad_upgrade(name: str, data: bytes, code: int | None) -> Row:
    return Row(name, [read_head, script.raw(data)], C.INVALID_UPGRADE, True, code, JITTER, 1)


async def read_head(peer: Any) -> None:
    await peer.read_request()


BY_SERVER = [
    closed(1000, C.NORMAL_CLOSURE, NEVER),
    closed(1001, C.GOING_AWAY, SPREAD),
    closed(1002, C.PROTOCOL_ERROR, JITTER, 1),
    closed(1003, C.UNSUPPORTED_DATA, JITTER, 1),
    closed(None, C.NO_STATUS, JITTER, seen=1005),
    lost("reset", script.reset()),
    lost("end-of-file", script.drop()),
    closed(1007, C.INVALID_DATA, JITTER, 1),
    closed(1008, C.POLICY_VIOLATION, NEVER),
    closed(1008, C.POLICY_VIOLATION, JITTER, 1, options=REFRESHING),
    closed(1009, C.MESSAGE_TOO_BIG, JITTER, 1),
    closed(1010, C.EXTENSION_REQUIRED, JITTER, 1),
    closed(1011, C.SERVICE_UNAVAILABLE, JITTER),
    closed(1012, C.SERVICE_RESTART, RESTART),
    closed(1013, C.OVERLOADED, (0.0, 2.0)),
    closed(1014, C.BAD_GATEWAY, JITTER),
    closed(3000, C.AUTHENTICATION_FAILED, NEVER),
    closed(3000, C.AUTHENTICATION_FAILED, JITTER, 1, options=REFRESHING),
    closed(3003, C.FORBIDDEN, NEVER),
    closed(3008, C.TIMEOUT, JITTER),
    closed(3001, C.APPLICATION, JITTER, 3),
    closed(4001, C.APPLICATION, JITTER, 3),
    closed(4001, C.FORBIDDEN, NEVER, options={"rules": {4001: Rule(C.FORBIDDEN)}}),
    # What we end ourselves
    ended_by_us(1002, C.PROTOCOL_ERROR, script.raw(build(0x3, masked=False))),
    ended_by_us(1007, C.INVALID_DATA, script.raw(build(TEXT, b"\xc3\x28", masked=False))),
    ended_by_us(1009, C.MESSAGE_TOO_BIG, script.send("more than sixteen"), options={"max_size": 16}),
    ended_by_us(
        1011,
        C.TIMEOUT,
        script.hang(),
        first=FAST,
        tries=None,
        options={"ping_interval": 0.02, "ping_timeout": 0.02, "close_timeout": 0.02},
    ),
    # Answers
    *[answered(status, C.REDIRECT, NEVER, sent={"Location": "/b"}) for status in (301, 302, 303, 307, 308)],
    *[answered(status, C.CONNECTION_FAILED, NEVER) for status in (400, 405, 410, 418, 501, 505)],
    answered(401, C.AUTHENTICATION_FAILED, NEVER),
    answered(401, C.AUTHENTICATION_FAILED, JITTER, 1, called=["refreshed"], options=REFRESHING),
    answered(403, C.FORBIDDEN, NEVER),
    answered(403, C.FORBIDDEN, JITTER, 1, called=["refreshed"], options=REFRESHING),
    answered(404, C.NOT_FOUND, PROBE, 5),
    answered(407, C.PROXY_AUTHENTICATION, NEVER),
    answered(408, C.TIMEOUT, FAST),
    answered(421, C.MISDIRECTED, JITTER),
    answered(425, C.TOO_EARLY, JITTER),
    answered(426, C.INVALID_UPGRADE, JITTER, 1),
    answered(429, C.THROTTLED, (0.0, 1.0)),
    answered(429, C.THROTTLED, (4.0, 5.0), called=["after-4"], sent={"Retry-After": "4"}),
    *[answered(status, C.SERVICE_UNAVAILABLE, JITTER) for status in (500, 502, 503, 504)],
    answered(503, C.SERVICE_UNAVAILABLE, (4.0, 4.5), called=["after-4"], sent={"Retry-After": "4"}),
    answered(
        503,
        C.SERVICE_UNAVAILABLE,
        (90.0, 90.5),
        called=["after-a-date"],
        sent={"Date": "Wed, 21 Oct 2015 07:28:00 GMT", "Retry-After": "Wed, 21 Oct 2015 07:29:30 GMT"},
    ),
    answered(503, C.SERVICE_UNAVAILABLE, (300.0, 300.5), called=["after-a-day"], sent={"Retry-After": "86400"}),
    answered(503, C.SERVICE_UNAVAILABLE, (300.0, 300.5), called=["after-400-nines"], sent={"Retry-After": "9" * 400}),
    answered(
        503,
        C.SERVICE_UNAVAILABLE,
        JITTER,
        called=["after-a-year-beyond-all"],
        sent={"Date": "Wed, 21 Oct 2015 07:28:00 GMT", "Retry-After": "Wed, 21 Oct 99999999999999999999 07:29:30 GMT"},
    ),
    closed(1012, C.SERVICE_RESTART, (30.0, 35.0), reason="retry-after: 30"),
    bad_upgrade("accept-key-of-another", answer({"Sec-WebSocket-Accept": b"A" * 27 + b"="}), 101),
    bad_upgrade("101-without-upgrade", b"HTTP/1.1 101 Switching Protocols\r\n\r\n", 101),
    bad_upgrade("http-200", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200),
    bad_upgrade("no-http", b"220 mail.example ESMTP\r\n\r\n", None),
    # What the way there did
    Row("reset-before-an-answer", [read_head, script.reset()], C.NETWORK_ERROR, True, 104, FAST),
    Row("no-answer", [script.hang()], C.TIMEOUT, True, None, JITTER, options={"open_timeout": 0.05}),
]


@pytest.mark.parametrize("row", BY_SERVER, ids=lambda row: row.name)
async def test_what_a_server_does(row: Row, clock: Any) -> None:
    async with ScriptedServer(row.steps) as server:
        await check(row, server.uri, clock)


async def test_an_end_of_file_before_an_answer(clock: Any) -> None:
    async with ScriptedServer([read_head, script.drop()]) as server:
        await check(Row("", [], C.NETWORK_ERROR, True, None, FAST), server.uri, clock)


async def test_a_normal_closure_of_ours(clock: Any) -> None:
    async with ScriptedServer([script.accept(), script.stay()]) as server, asyncio.timeout(LIMIT):
        watched = Watched(server.uri, clock, {})
        connection = await watched.manager.connect(watched.service)
        await connection.close()
        change = await watched.wait(Status.CLOSED)
        assert (change.issue, change.explain()) == (None, "as asked")
        await watched.manager.close()


async def test_a_normal_closure_that_the_policy_reopens(clock: Any) -> None:
    async with ScriptedServer([script.accept(), script.close(1000)]) as server:
        row = closed(1000, C.NORMAL_CLOSURE, JITTER, recoverable=False)
        await check(row, server.uri, clock, retry=RetryPolicy(reopen=True))


@pytest.mark.parametrize("code", [1004, 1005, 1006, 1015, 1016, 2999])
async def test_a_code_that_may_not_be_sent_breaks_the_protocol(code: int, clock: Any) -> None:
    """RFC 6455 7.4: no peer may send these, so the row for RESERVED is for what we are told, and this is what is seen.
    The retry is the same: one. A 1015 is a TLS failure, which the rows below bring about.
    """
    async with ScriptedServer([script.accept(), script.close(code)]) as server:
        row = Row("", [], C.PROTOCOL_ERROR, True, 1002, JITTER, 1, phase="open", initiator="local")
        await check(row, server.uri, clock)


async def test_redirects_are_followed_where_the_service_allows_it(clock: Any) -> None:
    redirect = [script.answer(307, {"Location": "/b"})]
    async with ScriptedServer(redirect, [script.accept(), script.stay()]) as server, asyncio.timeout(LIMIT):
        watched = Watched(server.uri, clock, {"max_redirects": 1})
        await watched.manager.connect(watched.service)
        assert [peer.target for peer in server.peers] == ["/", "/b"]
        await watched.manager.close()


async def test_more_redirects_than_allowed_are_final(clock: Any) -> None:
    async with ScriptedServer([script.answer(307, {"Location": "/b"})]) as server:
        await check(answered(307, C.REDIRECT, NEVER), server.uri, clock, max_redirects=2)
        assert len(server.peers) == 3


async def test_1010_is_retried_once_without_compression(clock: Any) -> None:
    """RFC 6455 7.4.1: 1010 is an end that wants other extensions, so the next dial offers none."""
    mandatory = [script.accept(), script.close(1010)]
    async with ScriptedServer(mandatory, [script.accept(), script.stay()]) as server, asyncio.timeout(LIMIT):
        watched = Watched(server.uri, clock, {"compression": "deflate"})
        connection = await watched.manager.connect(watched.service, wait=False)
        change = await watched.wait_judged()
        check_issue(closed(1010, C.EXTENSION_REQUIRED, JITTER), change)
        assert change.delay is not None
        await clock.advance(change.delay + 1e-6)
        await connection.wait_connected()
        offers = ["sec-websocket-extensions" in peer.headers for peer in server.peers]
        assert offers == [True, False]
        await watched.manager.close()


async def test_a_broken_pipe(clock: Any) -> None:
    """What we write meets a line that is shut: EPIPE, as the kernel gives it."""
    async with ScriptedServer([script.accept(), script.stay()]) as server, asyncio.timeout(LIMIT):
        watched = Watched(server.uri, clock, {})
        connection = await watched.manager.connect(watched.service)
        assert connection.websocket is not None
        transport = connection.websocket.transport
        assert transport is not None
        with socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno())) as ours:
            ours.shutdown(socket.SHUT_WR)  # from now on a write gives EPIPE
        connection.send_nowait("into the void")
        change = await watched.wait_judged()
        row = Row("", [], C.NETWORK_ERROR, True, 1006, LOST, phase="open")
        check_issue(row, change)
        await watched.manager.close()


# A line that has been up: an outage's front end speaks in place of the service


NOT_HERE = [
    *[[script.answer(status, {"Location": "/"})] for status in (302, 400, 403, 404, 405, 410, 418, 501)],
    [read_head, script.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")],
    [read_head, script.raw(b"220 mail.example ESMTP\r\n\r\n")],
    [script.accept(), script.close(1008)],
    [script.accept(), script.close(1002)],
    [script.accept(), script.close(4001)],
]


@pytest.mark.parametrize("steps", NOT_HERE, ids=lambda steps: "")
async def test_it_is_probed_and_not_given_up(steps: list[Any], clock: Any) -> None:
    async with (
        ScriptedServer([script.accept(), script.drop()], steps) as server,
        asyncio.timeout(LIMIT),
        (watched := Watched(server.uri, clock, {})).manager,
    ):
        await watched.manager.connect(watched.service, wait=False)
        change = await watched.wait_judged()
        for _ in range(6):
            assert change.delay is not None
            await clock.advance(change.delay + 1e-6)
            await watched.wait(Status.CONNECTING)
            change = await watched.wait_judged()
        assert change.after is Status.SUSPENDED


async def test_it_comes_back_when_the_front_end_says(clock: Any) -> None:
    there, later = [script.accept(), script.drop()], [script.answer(418, {"Retry-After": "120"})]
    async with (
        ScriptedServer(there, later, later, [script.accept(), script.stay()]) as server,
        asyncio.timeout(LIMIT),
        (watched := Watched(server.uri, clock, {})).manager,
    ):
        await watched.manager.connect(watched.service, wait=False)
        change = await watched.wait_judged()
        for asked in (0.0, 120.0, 120.0):
            assert change.delay is not None
            assert asked <= change.delay <= asked + 2
            await clock.advance(change.delay + 1e-6)
            change = await watched.wait(Status.WAITING, Status.CONNECTED)
        assert change.after is Status.CONNECTED
