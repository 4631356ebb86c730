"""Redirects of the opening handshake, between real servers: which are followed, and what is sent along."""

import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import trustme

import trunkline
from trunkline import ErrorCategory, HandshakeError, Request, Response

pytestmark = pytest.mark.anyio


@contextlib.asynccontextmanager
async def redirecting(
    where: Callable[[Request], str | None], *, status: int = 302, **options: Any
) -> AsyncIterator[tuple[trunkline.Server, list[Request]]]:
    """A server that redirects a request to where the function says, or accepts it if that is None; and the requests."""
    asked: list[Request] = []

    def look(_: trunkline.WebSocket, request: Request) -> Response | None:
        asked.append(request)
        location = where(request)
        return None if location is None else Response(status, [("Location", location)])

    async def hold(ws: trunkline.WebSocket) -> None:
        await ws.wait_closed()

    async with trunkline.serve(hold, "127.0.0.1", 0, process_request=look, **options) as server:
        yield server, asked


def from_old(request: Request) -> str | None:
    return "/new?a=b" if request.path == "/old" else None


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_followed(status: int) -> None:
    async with redirecting(from_old, status=status) as (server, asked):
        uri = f"ws://127.0.0.1:{server.port}/old"
        async with trunkline.connect(uri, max_redirects=1, subprotocols=["a"], proxy=None) as ws:
            assert ws.request is not None
            assert ws.request.path == "/new?a=b"
    assert [request.path for request in asked] == ["/old", "/new?a=b"]
    assert [request.headers["sec-websocket-protocol"] for request in asked] == ["a", "a"]
    assert asked[0].headers["sec-websocket-key"] != asked[1].headers["sec-websocket-key"]


async def test_by_default_none_is_followed() -> None:
    async with redirecting(from_old) as (server, asked):
        where = f"ws://127.0.0.1:{server.port}/new?..."
        with pytest.raises(HandshakeError) as caught:
            await trunkline.connect(f"ws://127.0.0.1:{server.port}/old", proxy=None)
    text = f"answered 302 Found: it redirects to {where}, but max_redirects is 0"
    assert str(caught.value) == f"the server {text}"
    assert (caught.value.category, len(asked)) == (ErrorCategory.REDIRECT, 1)


async def test_a_loop_ends_at_the_limit() -> None:
    async with redirecting(lambda _: "/again") as (server, asked):
        with pytest.raises(HandshakeError, match=r"/again, but max_redirects is 5$"):
            await trunkline.connect(f"ws://127.0.0.1:{server.port}/", max_redirects=5, proxy=None)
    assert len(asked) == 6


async def test_where_to_is_told_without_what_may_be_secret() -> None:
    secret = "wss://them:hunter2@elsewhere.test/room?token=hunter2#hunter2"
    async with redirecting(lambda _: secret) as (server, _):
        with pytest.raises(HandshakeError, match=r"wss://elsewhere\.test/room\?\.\.\., but max_redirects") as caught:
            await trunkline.connect(f"ws://127.0.0.1:{server.port}/", proxy=None)
    assert "hunter2" not in str(caught.value)


async def test_a_redirect_to_nowhere_that_is_not_followed() -> None:
    for location in ("", "ftp://127.0.0.1/"):
        answer = Response(302, [("Location", location)] if location else [])
        async with trunkline.serve(
            trunkline.WebSocket.wait_closed, "127.0.0.1", 0, process_request=lambda *_, answer=answer: answer
        ) as server:
            with pytest.raises(HandshakeError, match="answered 302 Found, expected 101"):
                await trunkline.connect(f"ws://127.0.0.1:{server.port}/", proxy=None)


@pytest.fixture
def trusted(authority: trustme.CA, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The default TLS context trusts the test's authority."""
    path = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(path))
    monkeypatch.setenv("SSL_CERT_FILE", str(path))


@pytest.mark.usefixtures("trusted")
async def test_to_tls_on_the_same_host_it_keeps_credentials(server_tls: ssl.SSLContext) -> None:
    async with (
        redirecting(lambda _: None, ssl=server_tls) as (there, asked),
        redirecting(lambda _: f"https://localhost:{there.port}/x") as (server, first),
    ):
        uri = f"ws://user:hunter2@localhost:{server.port}/"
        options: dict[str, Any] = {"additional_headers": {"Cookie": "a=b"}, "host": "127.0.0.1", "port": server.port}
        async with trunkline.connect(uri, max_redirects=1, proxy=None, **options):
            pass
    assert asked[0].headers["authorization"] == first[0].headers["authorization"]
    assert asked[0].headers["cookie"] == "a=b"


@pytest.mark.usefixtures("trusted")
async def test_to_tls_on_another_host_it_does_not(server_tls: ssl.SSLContext) -> None:
    async with (
        redirecting(lambda _: None, ssl=server_tls) as (there, asked),
        redirecting(lambda _: f"https://localhost:{there.port}/x") as (server, _),
    ):
        uri = f"ws://user:hunter2@127.0.0.1:{server.port}/"
        async with trunkline.connect(uri, max_redirects=1, additional_headers={"Cookie": "a=b"}, proxy=None):
            pass
    assert {"authorization", "cookie"} & {name for name, _ in asked[0].headers} == set()


@pytest.mark.parametrize("scheme", ["http", "ws"])
async def test_another_origin_gets_no_credentials(scheme: str) -> None:
    async with redirecting(lambda _: None) as (there, asked):
        elsewhere = f"{scheme}://them:theirs@127.0.0.1:{there.port}/x"
        async with redirecting(lambda _: elsewhere) as (server, first):
            uri = f"ws://user:hunter2@127.0.0.1:{server.port}/"
            fields = {"Cookie": "id=hunter2", "X-Api-Key": "hunter2"}
            options: dict[str, Any] = {"additional_headers": fields, "subprotocols": ["bearer.hunter2"], "proxy": None}
            async with trunkline.connect(uri, max_redirects=1, **options) as ws:
                assert ws.request is not None
                assert ws.request.path == "/x"
    assert first[0].headers["authorization"].startswith("Basic ")
    assert first[0].headers["sec-websocket-protocol"] == "bearer.hunter2"
    assert first[0].headers["x-api-key"] == "hunter2"
    assert {name for name, _ in asked[0].headers} == {
        "host", "upgrade", "connection", "sec-websocket-key", "sec-websocket-version", "user-agent",
    }  # fmt: skip


async def test_the_same_origin_gets_them_again() -> None:
    async with redirecting(from_old) as (server, asked):
        uri = f"ws://user:hunter2@127.0.0.1:{server.port}/old"
        async with trunkline.connect(uri, max_redirects=1, additional_headers={"Cookie": "a=b"}, proxy=None):
            pass
    assert asked[1].headers["cookie"] == "a=b"
    assert asked[1].headers["authorization"] == asked[0].headers["authorization"]


async def test_never_out_of_tls(server_tls: ssl.SSLContext, client_tls: ssl.SSLContext) -> None:
    async with (
        redirecting(lambda _: None) as (plain, asked),
        redirecting(lambda _: f"ws://127.0.0.1:{plain.port}/", ssl=server_tls) as (server, _),
    ):
        with pytest.raises(HandshakeError, match=r"not followed, because it leads out of TLS") as caught:
            await trunkline.connect(f"wss://localhost:{server.port}/", ssl=client_tls, max_redirects=5, proxy=None)
    assert (caught.value.status, asked) == (302, [])


async def test_within_tls(server_tls: ssl.SSLContext, client_tls: ssl.SSLContext) -> None:
    async with (
        redirecting(lambda _: None, ssl=server_tls) as (there, _),
        redirecting(lambda _: f"https://localhost:{there.port}/x", ssl=server_tls) as (server, _),
    ):
        uri = f"wss://127.0.0.1:{server.port}/"
        options: dict[str, Any] = {"ssl": client_tls, "server_hostname": "localhost", "proxy": None}
        async with trunkline.connect(uri, max_redirects=1, **options) as ws:
            assert ws.request is not None
            assert ws.request.path == "/x"


BAD = {
    "none": None,
    "another scheme": "ftp://127.0.0.1/",
    "no host": "ws:///x",
    "a port out of range": "ws://127.0.0.1:99999/",
    "a space": "/a b",
    "half an IPv6 address": "http://[::1",
}


@pytest.mark.parametrize("location", BAD.values(), ids=BAD)
async def test_a_location_that_is_none(location: str | None) -> None:
    answer = Response(302, [] if location is None else [("Location", location)])
    async with trunkline.serve(
        trunkline.WebSocket.wait_closed, "127.0.0.1", 0, process_request=lambda *_: answer
    ) as server:
        with pytest.raises(HandshakeError, match="not followed, because its Location is not a WebSocket URL") as caught:
            await trunkline.connect(f"ws://127.0.0.1:{server.port}/", max_redirects=1, proxy=None)
    assert caught.value.status == 302


@pytest.mark.parametrize("count", [-1, 6])
async def test_how_many_may_be_asked_for(count: int) -> None:
    with pytest.raises(ValueError, match=f"max_redirects is {count}, must be 0 to 5"):
        trunkline.connect("ws://localhost/", max_redirects=count)
    with pytest.raises(ValueError, match="max_redirects is 1, must be 0 with unix or sock"):
        trunkline.connect("ws://localhost/", max_redirects=1, unix="/nowhere")
