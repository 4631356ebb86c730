"""Connections that end before they are open, and give their places back: over TCP and TLS, on both loops."""

import asyncio
import contextlib
import socket
import ssl
import struct

import pytest

import trunkline
from trunkline.net import serve
from turns import open_files, settle, until

pytestmark = [pytest.mark.anyio, pytest.mark.posix]  # no other loop reports an end within TLS

LIMIT = 20  # seconds, after which a test has failed
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: closing resets


def serving(tls: ssl.SSLContext | None, **options):
    return trunkline.serve(trunkline.WebSocket.wait_closed, "127.0.0.1", 0, ssl=tls, **options)


def at(server: trunkline.Server, tls: ssl.SSLContext | None):
    return trunkline.connect(f"{'wss' if tls else 'ws'}://localhost:{server.port}/", ssl=tls, proxy=None)


async def tcp(server: trunkline.Server, data: bytes = b"") -> socket.socket:
    """A socket that is connected to the server and has sent it these bytes."""
    sock, loop = socket.socket(), asyncio.get_running_loop()
    sock.setblocking(False)
    await loop.sock_connect(sock, ("127.0.0.1", server.port))
    await loop.sock_sendall(sock, data)
    return sock


def close(sock: socket.socket) -> None:
    sock.close()


def reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    sock.close()


HELLO = bytes.fromhex("160301020001fc")  # a record that is not whole
WAYS = {
    "closes": (b"", close),
    "resets": (b"", reset),
    "begins and closes": (HELLO, close),
    "begins and resets": (HELLO, reset),
    "speaks HTTP": (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", close),
    "speaks nonsense": (bytes(range(256)), close),
}


@pytest.mark.parametrize("open_timeout", [60, None])
@pytest.mark.parametrize(("data", "leave"), WAYS.values(), ids=WAYS)
async def test_what_ends_within_tls_gives_its_place_back(data, leave, open_timeout, server_tls, client_tls):
    options = {"max_pending_handshakes": 5, "open_timeout": open_timeout}
    async with asyncio.timeout(LIMIT), serving(server_tls, **options) as server:
        for _ in range(2):
            socks = [await tcp(server, data) for _ in range(5)]
            for sock in socks:
                leave(sock)
            await until(lambda: not server.health().pending_handshakes)
        async with at(server, client_tls) as ws:
            assert await ws.ping() >= 0
        health = server.health()
        # One that resets at once may be gone before it is accepted.
        assert health.tls_failed == 10 or (leave is reset and health.tls_failed < 10)
        assert (health.expired, health.turned_away, health.refused) == (0, 0, 0)


async def test_a_client_that_does_not_trust_us_gives_its_place_back(server_tls):
    async with asyncio.timeout(LIMIT), serving(server_tls) as server:
        with pytest.raises(trunkline.ConnectError, match="certificate"):
            await at(server, ssl.create_default_context())
        await until(lambda: not server.health().pending_handshakes)
        assert server.health().tls_failed == 1


async def test_a_silent_client_of_a_tls_server_expires(server_tls):
    async with asyncio.timeout(LIMIT), serving(server_tls, open_timeout=0.05) as server:
        with await tcp(server) as sock:
            await until(lambda: server.health().pending_handshakes)
            assert await asyncio.get_running_loop().sock_recv(sock, 1) == b""
            assert (server.health().expired, server.health().tls_failed) == (1, 0)
            assert server.health().pending_handshakes == 0


async def test_tls_has_a_bound_where_there_is_no_open_timeout(server_tls, monkeypatch):
    monkeypatch.setattr(serve, "TLS_TIMEOUT", 0.05)
    async with asyncio.timeout(LIMIT), serving(server_tls, open_timeout=None) as server:
        with await tcp(server) as sock:
            assert await asyncio.get_running_loop().sock_recv(sock, 1) == b""
            assert (server.health().expired, server.health().pending_handshakes) == (1, 0)


async def test_a_closed_server_drops_what_is_within_tls(server_tls):
    async with asyncio.timeout(LIMIT):
        server = await serving(server_tls, open_timeout=None)
        with await tcp(server) as sock:
            await until(lambda: server.health().pending_handshakes)
            await server.close()
            with contextlib.suppress(ConnectionResetError):
                assert await asyncio.get_running_loop().sock_recv(sock, 1) == b""
            assert server.health().pending_handshakes == 0


@pytest.mark.parametrize("open_timeout", [60, None])
async def test_a_full_tls_server_forgets_those_who_leave_before_they_are_told(open_timeout, server_tls, client_tls):
    async with (
        asyncio.timeout(LIMIT),
        serving(server_tls, max_connections=1, open_timeout=open_timeout) as server,
        at(server, client_tls),
    ):
        for _ in range(serve.MAX_REFUSED + 10):
            (await tcp(server)).close()
        await until(lambda: server.turned_away == serve.MAX_REFUSED + 10 and not server._leaving)
        with pytest.raises(trunkline.HandshakeError) as caught:
            await at(server, client_tls)
        assert caught.value.status == 503
        assert server.health().tls_failed == 0


@pytest.mark.parametrize("over_tls", [False, True], ids=["tcp", "tls"])
async def test_those_turned_away_who_stay_are_bounded(over_tls, server_tls, client_tls):
    """The oldest is dropped, so that the next one gets its answer, too."""
    files = open_files()
    async with (
        asyncio.timeout(LIMIT),
        serving(server_tls if over_tls else None, max_connections=1, close_timeout=60) as server,
        at(server, client_tls if over_tls else None),
    ):
        silent = [await tcp(server) for _ in range(serve.MAX_REFUSED + 10)]
        await until(lambda: server.turned_away == len(silent))
        assert len(server._leaving) == serve.MAX_REFUSED
        with pytest.raises(trunkline.HandshakeError) as caught:
            await at(server, client_tls if over_tls else None)
        assert caught.value.status == 503
        await settle()
        ours = len(open_files()) - len(files) - len(silent)
        assert ours <= serve.MAX_REFUSED + 12  # its sockets: what listens, and the one that is open
        for sock in silent:
            sock.close()
        await until(lambda: not server._leaving)
