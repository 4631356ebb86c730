"""Each row of the taxonomy over a real socket: what is seen, whether it can be mended, and the retry that follows.

The lines are real, TLS and all; time is the test's, so that a pause of five minutes costs nothing. Rows that no wire
can bring stand at the end, with the reason.
"""

import asyncio
import datetime
import os
import socket
import ssl
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import pytest
import trustme

import trunkline
from trunkline.manager.events import StateChange
from trunkline.manager.failure.retry import RetryPolicy
from trunkline.manager.failure.rules import Rule
from trunkline.manager.manager import ConnectionManager
from trunkline.manager.service import Service
from trunkline.manager.states import ConnectionStatus as Status
from trunkline.protocol.categories import ErrorCategory as C
from trunkline.testing import ScriptedServer, script

pytestmark = pytest.mark.anyio

LIMIT = 20  # seconds, after which a test that waits for what never comes fails

# Where the first retry comes from, in seconds.
Range: TypeAlias = tuple[float, float]
JITTER = (0.0, 0.5)
FAST = (0.0, 0.05)
SPREAD = (0.0, 1.0)
LOST = (0.0, 1.0)
RESTART = (0.0, 5.0)
PROBE = (60.0, 300.0)
NEVER = None

Options: TypeAlias = dict[str, Any]


async def refresh() -> dict[str, str]:
    """New credentials."""
    return {"Authorization": "Bearer new"}


REFRESHING: Options = {"headers": refresh}


@dataclass
class Row:
    """A failure. steps: what the server does. first: the pause before the first retry, NEVER for none.

    tries: retries until it fails for good, None for no end. options: the service's.
    """

    name: str
    steps: list[Any]
    category: C
    recoverable: bool
    code: int | None
    first: Range | None
    tries: int | None = None
    phase: str = "handshake"
    initiator: str | None = None
    options: Options = field(default_factory=dict)


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


def cut(name: str, *steps: Any, **more: Any) -> Row:
    """The server accepts, and then something happens."""
    return Row(name, [script.accept(), *steps], phase="open", **more)


def answered(status: int, category: C, first: Range | None, tries: int | None = None, **more: Any) -> Row:
    """The server answers the handshake with this status."""
    headers = more.pop("sent", None)
    name = "-".join([f"http-{status}", *(more.pop("called", []))])
    return Row(name, [script.answer(status, headers)], category, first is not None, status, first, tries, **more)


def frame(opcode: int, payload: bytes) -> bytes:
    """An unmasked frame (RFC 6455 5.2)."""
    return bytes([0x80 | opcode, len(payload)]) + payload


def bad_upgrade(name: str, data: bytes, code: int | None) -> Row:
    return Row(name, [read_head, script.raw(data)], C.INVALID_UPGRADE, True, code, JITTER, 1)


async def read_head(peer: Any) -> None:
    await peer.read_request()


WRONG_KEY = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n"
)

BY_SERVER = [
    closed(1000, C.NORMAL_CLOSURE, NEVER),
    closed(1001, C.GOING_AWAY, SPREAD),
    closed(1002, C.PROTOCOL_ERROR, JITTER, 1),
    closed(1003, C.UNSUPPORTED_DATA, JITTER, 1),
    closed(None, C.NO_STATUS, JITTER, seen=1005),
    cut("reset", script.reset(), category=C.NETWORK_ERROR, recoverable=True, code=1006, first=LOST),
    cut("end-of-file", script.drop(), category=C.NETWORK_ERROR, recoverable=True, code=1006, first=LOST),
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
    cut(
        "we-fail-it-1002",
        script.raw(frame(0x3, b"")),
        category=C.PROTOCOL_ERROR,
        recoverable=True,
        code=1002,
        first=JITTER,
        tries=1,
        initiator="local",
    ),
    cut(
        "we-fail-it-1007",
        script.raw(frame(0x1, b"\xc3\x28")),
        category=C.INVALID_DATA,
        recoverable=True,
        code=1007,
        first=JITTER,
        tries=1,
        initiator="local",
    ),
    cut(
        "we-fail-it-1009",
        script.send("more than sixteen"),
        category=C.MESSAGE_TOO_BIG,
        recoverable=True,
        code=1009,
        first=JITTER,
        tries=1,
        initiator="local",
        options={"max_size": 16},
    ),
    cut(
        "ping-timeout",
        script.hang(),
        category=C.TIMEOUT,
        recoverable=True,
        code=1011,
        first=FAST,
        initiator="local",
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
    bad_upgrade("accept-key-of-another", WRONG_KEY, 101),
    bad_upgrade("101-without-upgrade", b"HTTP/1.1 101 Switching Protocols\r\n\r\n", 101),
    bad_upgrade("http-200", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200),
    bad_upgrade("no-http", b"220 mail.example ESMTP\r\n\r\n", None),
    # What the way there did
    Row("reset-before-an-answer", [read_head, script.reset()], C.NETWORK_ERROR, True, 104, FAST),
    Row(
        "no-answer",
        [script.hang()],
        C.TIMEOUT,
        True,
        None,
        JITTER,
        phase="handshake",
        options={"open_timeout": 0.05},
    ),
]


class Watched:
    """A connection to `url`, on a clock that the test moves, and what it tells."""

    def __init__(self, url: str, clock: Any, options: Options) -> None:
        self.clock = clock
        self.changes: list[StateChange] = []
        self._told = asyncio.Event()
        self.service = Service("row", url, sends=str, receives=str, **options)
        self.manager = ConnectionManager([self.service], clock=clock)
        self.manager.subscribe(self._take)

    def _take(self, change: StateChange) -> None:
        self.changes.append(change)
        self._told.set()

    async def wait(self, *statuses: Status) -> StateChange:
        """The next change to one of these."""
        while True:
            while self.changes:
                change = self.changes.pop(0)
                if change.after in statuses:
                    return change
            self._told.clear()
            await self._told.wait()

    async def wait_judged(self) -> StateChange:
        """The next change that says how an attempt or a link ended."""
        return await self.wait(Status.WAITING, Status.SUSPENDED, Status.FAILED, Status.CLOSED)


async def check(row: Row, url: str, clock: Any, **options: Any) -> StateChange:
    """Sees the failure, and the retries that follow; gives the first change that told of it."""
    watched = Watched(url, clock, {**row.options, **options})
    async with asyncio.timeout(LIMIT), watched.manager:
        await watched.manager.connect(watched.service, wait=False)
        first = change = await watched.wait_judged()
        check_issue(row, first)
        for _ in range(row.tries if row.tries is not None else 2 if row.first else 0):
            assert change.delay is not None
            await clock.advance(change.delay * 0.99)
            assert not watched.changes
            await clock.advance(change.delay * 0.01 + 1e-6)
            await watched.wait(Status.CONNECTING)
            change = await watched.wait_judged()
        if row.tries is not None:
            assert change.after is Status.FAILED
    assert clock.pending == 0
    return first


def check_issue(row: Row, change: StateChange) -> None:
    issue = change.issue
    assert issue is not None
    assert (issue.category, issue.recoverable) == (row.category, row.recoverable)
    assert (issue.code, issue.phase, issue.initiator) == (row.code, row.phase, row.initiator)
    if row.first is None:
        assert change.delay is None
        assert change.after is (Status.CLOSED if row.category is C.NORMAL_CLOSURE else Status.FAILED)
        return
    assert change.delay is not None
    assert row.first[0] <= change.delay <= row.first[1]
    assert change.after is (Status.SUSPENDED if row.first == PROBE else Status.WAITING)
    assert change.explain().startswith(("retry 1 in ", "suspended, next probe in "))


@pytest.mark.parametrize("row", BY_SERVER, ids=lambda row: row.name)
async def test_what_a_server_does(row: Row, clock: Any) -> None:
    async with ScriptedServer(row.steps) as server:
        await check(row, server.uri, clock)


async def test_the_words_of_a_retry(clock: Any) -> None:
    async with ScriptedServer([script.answer(503, {"Retry-After": "4"})]) as server:
        row = answered(503, C.SERVICE_UNAVAILABLE, (4.0, 4.5))
        change = await check(row, server.uri, clock)
        assert change.explain() == f"retry 1 in {change.delay:.1f} s: 503 with Retry-After 4"


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


# The way there


async def test_a_port_that_refuses(refusing_port: int, clock: Any) -> None:
    row = Row("", [], C.CONNECTION_REFUSED, True, 111, JITTER, phase="tcp")
    await check(row, f"ws://127.0.0.1:{refusing_port}/", clock)


async def test_what_cannot_be_reached(clock: Any) -> None:
    """TCP to a multicast group is unreachable on every Linux, with or without a network."""
    await check(Row("", [], C.UNREACHABLE, True, 101, JITTER, phase="tcp"), "ws://224.0.0.1:80/", clock)


@pytest.mark.posix
async def test_a_unix_socket_that_is_not_there_yet(unix_path: str, clock: Any) -> None:
    row = Row("", [], C.CONNECTION_REFUSED, True, 2, JITTER, phase="tcp")
    await check(row, "ws://localhost/", clock, unix=unix_path)


async def test_a_name_that_cannot_be_looked_up(clock: Any) -> None:
    """The real resolver, which says one thing or the other as it has a network or not (RFC 6761 6.4: .invalid)."""
    with pytest.raises(socket.gaierror) as caught:
        await asyncio.get_running_loop().getaddrinfo("nobody.invalid", 80)
    code = caught.value.errno
    first, tries = (JITTER, None) if code == socket.EAI_AGAIN else (PROBE, 5)
    await check(Row("", [], C.DNS_FAILED, True, code, first, tries, phase="dns"), "ws://nobody.invalid/", clock)


@pytest.mark.parametrize(
    ("code", "first", "tries"),
    [(socket.EAI_NONAME, PROBE, 5), (socket.EAI_FAIL, PROBE, 5), (socket.EAI_AGAIN, JITTER, None)],
)
async def test_each_answer_of_a_resolver(
    code: int, first: Range, tries: int | None, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A resolver in the place of the loop's: no real one can be made to give each of these here."""

    async def getaddrinfo(self: Any, host: str, port: int, **hints: Any) -> Any:
        raise socket.gaierror(code, "as the resolver says")

    monkeypatch.setattr(type(asyncio.get_running_loop()), "getaddrinfo", getaddrinfo, raising=False)
    await check(Row("", [], C.DNS_FAILED, True, code, first, tries, phase="dns"), "ws://host.example/", clock)


# Proxies


@pytest.mark.parametrize(
    ("status", "category", "first"),
    [(407, C.PROXY_AUTHENTICATION, NEVER), (403, C.PROXY_FAILED, JITTER), (502, C.PROXY_FAILED, JITTER)],
)
async def test_a_proxy_that_will_not(status: int, category: C, first: Range | None, clock: Any) -> None:
    async with ScriptedServer([script.answer(status)]) as proxy:
        row = Row("", [], category, first is not None, status, first, phase="proxy")
        await check(row, "ws://host.example/", clock, proxy=f"http://127.0.0.1:{proxy.port}")


async def phase_that_patience_ended_in(phase: str, patience: float) -> str:
    """How far a line's only attempt comes in `patience` seconds with a server that never answers."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        where = f"127.0.0.1:{silent.getsockname()[1]}"
        url = f"{'wss' if phase == 'tls' else 'ws'}://{where}/"
        options: Options = {"proxy": f"http://{where}"} if phase == "proxy" else {"proxy": None}
        retry = RetryPolicy(attempt_timeout=patience, attempts=1)
        service = Service("chat", url, sends=str, receives=str, retry=retry, open_timeout=None, **options)
        async with asyncio.timeout(LIMIT), ConnectionManager([service]) as manager:
            connection = await manager.connect(service, wait=False)
            with pytest.raises(trunkline.NotConnected) as caught:
                await connection.wait_connected()
    assert caught.value.issue is not None
    assert f"in phase {caught.value.issue.phase}" in str(caught.value)
    return caught.value.issue.phase


@pytest.mark.parametrize("phase", ["proxy", "tls", "handshake"])
async def test_an_attempt_that_takes_too_long_says_how_far_it_came(phase: str) -> None:
    """Real time: on a busy machine the attempt gets more of it until it has come to the wire, where nothing answers."""
    for patience in (0.3, 3, 10):
        reached = await phase_that_patience_ended_in(phase, patience)
        if reached == phase:
            return
    pytest.fail(f"even with {patience} s it came to phase {reached} only")


# TLS

Make: TypeAlias = Callable[[], Awaitable[str]]


@pytest.fixture
async def serving() -> Any:
    """Starts a TLS server with a context, and gives its port."""
    async with AsyncExitStack() as stack:

        async def serve(context: ssl.SSLContext) -> int:
            server = await stack.enter_async_context(
                trunkline.serve(lambda ws: ws.wait_closed(), "127.0.0.1", 0, ssl=context)
            )
            return server.port

        yield serve


CERTIFICATE = Row("", [], C.TLS_CERTIFICATE, False, 1, NEVER, phase="tls")


async def test_a_certificate_that_has_expired(
    serving: Any, authority: trustme.CA, client_tls: ssl.SSLContext, clock: Any
) -> None:
    now = datetime.datetime.now(datetime.UTC)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    expired = authority.issue_cert(
        "127.0.0.1", not_before=now - datetime.timedelta(days=9), not_after=now - datetime.timedelta(days=1)
    )
    expired.configure_cert(context)
    row = Row("", [], C.TLS_CERTIFICATE, True, 1, PROBE, phase="tls")
    await check(row, f"wss://127.0.0.1:{await serving(context)}/", clock, ssl=client_tls)


async def test_a_certificate_for_another_name(
    serving: Any, wrong_name_tls: ssl.SSLContext, client_tls: ssl.SSLContext, clock: Any
) -> None:
    await check(CERTIFICATE, f"wss://127.0.0.1:{await serving(wrong_name_tls)}/", clock, ssl=client_tls)


async def test_a_certificate_of_an_authority_that_nobody_knows(
    serving: Any, server_tls: ssl.SSLContext, clock: Any
) -> None:
    await check(CERTIFICATE, f"wss://127.0.0.1:{await serving(server_tls)}/", clock)


async def test_no_version_of_tls_in_common(clock: Any) -> None:
    """The alert of such a server (RFC 8446 6.2: protocol_version, 70); asyncio's own servers drop theirs."""
    async with ScriptedServer([script.raw(b"\x15\x03\x03\x00\x02\x02\x46")]) as server:
        row = Row("", [], C.TLS_FAILED, True, 1, JITTER, 3, phase="tls")
        await check(row, server.uri.replace("ws:", "wss:"), clock)


async def test_a_server_that_speaks_no_tls(clock: Any) -> None:
    async with ScriptedServer([script.raw(b"HTTP/1.1 400 Bad Request\r\n\r\n")]) as server:
        row = Row("", [], C.TLS_FAILED, True, 1, JITTER, 3, phase="tls")
        await check(row, server.uri.replace("ws:", "wss:"), clock)


# Credentials


@pytest.mark.parametrize(
    ("error", "recoverable"),
    [(ConnectionRefusedError, True), (TimeoutError, True), (KeyError, False)],
)
async def test_credentials_that_cannot_be_had(error: type[Exception], recoverable: bool, clock: Any) -> None:
    async def ask() -> dict[str, str]:
        raise error("the token server is down")

    row = Row("", [], C.AUTHENTICATION_FAILED, recoverable, None, JITTER if recoverable else NEVER, phase="credentials")
    async with ScriptedServer([script.hang()]) as server:
        await check(row, server.uri, clock, headers=ask)
        assert server.peers == []
