"""Redirects of the opening handshake, between real servers: what is followed, and what goes along."""

import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

import trunkline
from trunkline import ErrorCategory, HandshakeError, Request, Response

pytestmark = pytest.mark.anyio


@contextlib.asynccontextmanager
async def redirecting(
    where: Callable[[Request], str | None], *, status: int = 302, **options: Any
) -> AsyncIterator[tuple[trunkline.Server, list[Request]]]:
    """A server that sends a request to where the function says, or takes it if that is None; and what it was asked."""
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
        with pytest.raises(HandshakeError, match="answered 302 Found, wanted 101") as caught:
            await trunkline.connect(f"ws://127.0.0.1:{server.port}/old", proxy=None)
    assert (caught.value.category, len(asked)) == (ErrorCategory.REDIRECT, 1)


async def test_a_loop_ends_at_the_limit() -> None:
    async with redirecting(lambda _: "/again") as (server, asked):
        with pytest.raises(HandshakeError, match="302"):
            await trunkline.connect(f"ws://127.0.0.1:{server.port}/", max_redirects=5, proxy=None)
    assert len(asked) == 6


@pytest.mark.parametrize("scheme", ["http", "ws"])
async def test_another_origin_gets_no_credentials(scheme: str) -> None:
    async with redirecting(lambda _: None) as (there, asked):
        elsewhere = f"{scheme}://them:theirs@127.0.0.1:{there.port}/x"
        async with redirecting(lambda _: elsewhere) as (server, first):
            uri = f"ws://user:hunter2@127.0.0.1:{server.port}/"
            fields = {"Cookie": "id=hunter2", "X-Api-Key": "hunter2"}
            async with trunkline.connect(uri, max_redirects=1, additional_headers=fields, proxy=None) as ws:
                assert ws.request is not None
                assert ws.request.path == "/x"
    assert first[0].headers["authorization"].startswith("Basic ")
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
        with pytest.raises(HandshakeError, match=r"not followed, since .* leads out of TLS") as caught:
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
        with pytest.raises(HandshakeError, match="not followed, since its Location is no WebSocket URL") as caught:
            await trunkline.connect(f"ws://127.0.0.1:{server.port}/", max_redirects=1, proxy=None)
    assert caught.value.status == 302


@pytest.mark.parametrize("count", [-1, 6])
async def test_how_many_may_be_asked_for(count: int) -> None:
    with pytest.raises(ValueError, match=f"max_redirects is {count}, must be 0 to 5"):
        trunkline.connect("ws://localhost/", max_redirects=count)
    with pytest.raises(ValueError, match="with unix or sock there is no way"):
        trunkline.connect("ws://localhost/", max_redirects=1, unix="/nowhere")
