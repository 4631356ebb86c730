"""Rows of the taxonomy for the way to a server: addresses, names, proxies, TLS and credentials, all of them real."""

import asyncio
import datetime
import socket
import ssl
from typing import Any

import pytest
import trustme

import trunkline
from failures import JITTER, LIMIT, NEVER, PROBE, Options, Range, Row, check
from trunkline.manager.failure.retry import RetryPolicy
from trunkline.manager.manager import ConnectionManager
from trunkline.manager.service import Service
from trunkline.protocol.categories import ErrorCategory as C
from trunkline.testing import ScriptedServer, script

pytestmark = pytest.mark.anyio


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


async def check_tls(row: Row, context: ssl.SSLContext, clock: Any, **options: Any) -> None:
    async with trunkline.serve(trunkline.WebSocket.wait_closed, "127.0.0.1", 0, ssl=context) as server:
        await check(row, f"wss://127.0.0.1:{server.port}/", clock, **options)


CERTIFICATE = Row("", [], C.TLS_CERTIFICATE, False, 1, NEVER, phase="tls")


async def test_a_certificate_that_has_expired(authority: trustme.CA, client_tls: ssl.SSLContext, clock: Any) -> None:
    now = datetime.datetime.now(datetime.UTC)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    expired = authority.issue_cert(
        "127.0.0.1", not_before=now - datetime.timedelta(days=9), not_after=now - datetime.timedelta(days=1)
    )
    expired.configure_cert(context)
    row = Row("", [], C.TLS_CERTIFICATE, True, 1, PROBE, phase="tls")
    await check_tls(row, context, clock, ssl=client_tls)


async def test_a_certificate_for_another_name(
    wrong_name_tls: ssl.SSLContext, client_tls: ssl.SSLContext, clock: Any
) -> None:
    await check_tls(CERTIFICATE, wrong_name_tls, clock, ssl=client_tls)


async def test_a_certificate_of_an_authority_that_nobody_knows(server_tls: ssl.SSLContext, clock: Any) -> None:
    await check_tls(CERTIFICATE, server_tls, clock)


@pytest.mark.parametrize(
    "said",
    [
        # The alert protocol_version, 70 (RFC 8446 6.2); asyncio's own servers drop theirs.
        pytest.param(b"\x15\x03\x03\x00\x02\x02\x46", id="no version in common"),
        pytest.param(b"HTTP/1.1 400 Bad Request\r\n\r\n", id="no TLS"),
    ],
)
async def test_tls_that_fails(said: bytes, clock: Any) -> None:
    async with ScriptedServer([script.raw(said)]) as server:
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
