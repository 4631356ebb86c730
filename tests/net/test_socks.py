"""Connections through a SOCKS proxy on loopback: it reads requests of SOCKS 4, 4a and 5, connects, and moves bytes."""

import asyncio
import contextlib
import socket
import struct
import sys
from dataclasses import dataclass, field
from typing import Any, Final

import pytest

import trunkline
from handlers import echo
from trunkline import ErrorCategory as Category
from tunnels import Tunnels, running, works
from turns import open_files, until

pytestmark = pytest.mark.anyio


@dataclass
class Socks(Tunnels):
    """What a proxy was asked for, and how it answers: `method`, `login`, `reply` in SOCKS 5, `granted` in SOCKS 4."""

    method: bytes = b"\5\0"
    login: bytes = b"\1\0"
    reply: bytes = b"\5\0\0\1\0\0\0\0\0\0"
    granted: bytes = b"\0\x5a\0\0\0\0\0\0"
    resets: bool = False
    asked: list[tuple[str, int]] = field(default_factory=list)
    credentials: list[bytes] = field(default_factory=list)

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        version = await reader.readexactly(1)
        if self.resets:
            writer.transport.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
            )
            writer.transport.abort()
            return
        try:
            host, port, answer = await (self.five if version == b"\5" else self.four)(reader, writer)
        except asyncio.IncompleteReadError:
            return
        self.asked.append((host, port))
        if answer not in (Socks.reply, Socks.granted):
            writer.write(answer)
            writer.close()
            return
        await self.join(reader, writer, host, port, answer)

    async def five(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[str, int, bytes]:
        offered = await reader.readexactly((await reader.readexactly(1))[0])
        writer.write(self.method)
        if self.method[1] == 2:
            assert 2 in offered
            assert await reader.readexactly(1) == b"\1"
            for _ in range(2):
                self.credentials.append(await reader.readexactly((await reader.readexactly(1))[0]))
            writer.write(self.login)
        *_, kind = await reader.readexactly(4)
        if kind == 3:
            host = (await reader.readexactly((await reader.readexactly(1))[0])).decode()
        else:
            family, size = {1: (socket.AF_INET, 4), 4: (socket.AF_INET6, 16)}[kind]
            host = socket.inet_ntop(family, await reader.readexactly(size))
        (port,) = struct.unpack(">H", await reader.readexactly(2))
        return host, port, self.reply

    async def four(self, reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> tuple[str, int, bytes]:
        _, port, address = struct.unpack(">BH4s", await reader.readexactly(7))
        self.credentials.append((await reader.readuntil(b"\0"))[:-1])
        host = socket.inet_ntoa(address)
        if host == "0.0.0.1":
            host = (await reader.readuntil(b"\0"))[:-1].decode()
        return host, port, self.granted


def proxied(**options: Any) -> contextlib.AbstractAsyncContextManager[Socks]:
    return running(Socks(**options))


FIRST: Final[str] = socket.getaddrinfo("localhost", None, type=socket.SOCK_STREAM)[0][4][0]

# Where the server is, and what the proxy is asked for: an address if we look up the name.
ASKED: Final = {
    "socks5h": ("127.0.0.1", "localhost"),
    "socks5": (FIRST, FIRST),
    "socks4a": ("127.0.0.1", "localhost"),
    "socks4": ("127.0.0.1", "127.0.0.1"),
}


@pytest.mark.parametrize(("scheme", "address", "asked"), [(scheme, *pair) for scheme, pair in ASKED.items()])
async def test_ws_through_a_proxy(scheme: str, address: str, asked: str) -> None:
    async with proxied() as proxy, trunkline.serve(echo, address, 0) as server:
        await works(f"ws://localhost:{server.port}/", proxy=f"{scheme}://127.0.0.1:{proxy.port}")
        assert proxy.asked == [(asked, server.port)]


async def test_wss_through_a_proxy(server_tls: Any, client_tls: Any) -> None:
    async with proxied() as proxy, trunkline.serve(echo, "127.0.0.1", 0, ssl=server_tls) as server:
        await works(f"wss://localhost:{server.port}/", proxy=f"socks5h://127.0.0.1:{proxy.port}", ssl=client_tls)
        assert proxy.asked == [("localhost", server.port)]


async def test_the_proxy_of_the_environment(monkeypatch: Any) -> None:
    async with proxied() as proxy, trunkline.serve(echo, "127.0.0.1", 0) as server:
        uri = f"ws://127.0.0.1:{server.port}/"
        monkeypatch.delenv("http_proxy", raising=False)
        monkeypatch.setenv("all_proxy", f"socks5h://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("no_proxy", "elsewhere.example")
        await works(uri)
        assert len(proxy.asked) == 1
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        await works(uri)
        assert len(proxy.asked) == 1


async def test_credentials_for_the_proxy() -> None:
    async with proxied(method=b"\5\2") as proxy, trunkline.serve(echo, "127.0.0.1", 0) as server:
        await works(f"ws://127.0.0.1:{server.port}/", proxy=f"socks5h://user:p%40ss@127.0.0.1:{proxy.port}")
        assert proxy.credentials == [b"user", b"p@ss"]


async def test_a_name_for_socks_4() -> None:
    async with proxied() as proxy, trunkline.serve(echo, "127.0.0.1", 0) as server:
        await works(f"ws://127.0.0.1:{server.port}/", proxy=f"socks4://user:@127.0.0.1:{proxy.port}")
        assert proxy.credentials == [b"user"]


REFUSALS: Final[dict[str, tuple[dict[str, Any], int | None, Category, bool]]] = {
    "a rule": ({"reply": b"\5\2\0\1" + bytes(6)}, 2, Category.PROXY_FAILED, True),
    "a server that refuses": ({"reply": b"\5\5\0\1" + bytes(6)}, 5, Category.PROXY_FAILED, True),
    "a reply that is none": ({"reply": b"\5\x63\0\1" + bytes(6)}, None, Category.PROXY_FAILED, True),
    "credentials wanted": ({"method": b"\5\xff"}, None, Category.PROXY_AUTHENTICATION, False),
    "credentials refused": ({"method": b"\5\2", "login": b"\1\1"}, None, Category.PROXY_AUTHENTICATION, False),
    "an address that is none": ({"reply": b"\5\0\0\3\1\xff\0\0"}, None, Category.PROXY_FAILED, True),
    "HTTP": ({"method": b"HTTP/1.1 400 Bad\r\n\r\n"}, None, Category.PROXY_FAILED, True),
    "no answer": ({"reply": b""}, None, Category.PROXY_FAILED, True),
}


@pytest.mark.parametrize(("options", "status", "category", "recoverable"), REFUSALS.values(), ids=REFUSALS)
async def test_a_proxy_that_will_not(
    options: dict[str, Any], status: int | None, category: Category, recoverable: bool
) -> None:
    files = open_files()
    async with proxied(**options) as proxy:
        with pytest.raises(trunkline.ProxyError, match=f"proxy 127.0.0.1:{proxy.port}") as caught:
            await trunkline.connect("ws://server.example/", proxy=f"socks5h://user:hunter2@127.0.0.1:{proxy.port}")
    assert (caught.value.status, caught.value.category, caught.value.recoverable) == (status, category, recoverable)
    assert caught.value.phase == "proxy"
    assert "hunter2" not in str(caught.value) + repr(caught.value)
    await until(lambda: open_files() == files)


async def test_a_proxy_of_socks_4_that_will_not() -> None:
    async with proxied(granted=b"\0\x5b" + bytes(6)) as proxy:
        with pytest.raises(trunkline.ProxyError, match=f"proxy 127.0.0.1:{proxy.port}") as caught:
            await trunkline.connect("ws://server.example/", proxy=f"socks4a://127.0.0.1:{proxy.port}")
    assert (caught.value.status, caught.value.category) == (0x5B, Category.PROXY_FAILED)


async def test_a_proxy_that_resets() -> None:
    async with proxied(resets=True) as proxy:
        with pytest.raises(trunkline.ConnectError, match=f"proxy 127.0.0.1:{proxy.port}") as caught:
            await trunkline.connect("ws://server.example/", proxy=f"socks5h://127.0.0.1:{proxy.port}")
    assert caught.value.phase == "proxy"


async def test_a_proxy_that_refuses_connections(refusing_port: int) -> None:
    with pytest.raises(trunkline.ConnectError, match=f"127.0.0.1:{refusing_port}") as caught:
        await trunkline.connect("ws://server.example/", proxy=f"socks5h://127.0.0.1:{refusing_port}")
    assert caught.value.category is Category.CONNECTION_REFUSED


async def test_a_name_that_is_looked_up_here_and_not_found() -> None:
    async with proxied() as proxy:
        with pytest.raises(trunkline.ConnectError, match=r"cannot resolve server\.invalid:80") as caught:
            await trunkline.connect("ws://server.invalid/", proxy=f"socks5://127.0.0.1:{proxy.port}")
    assert caught.value.phase == "dns"


async def test_a_silent_proxy_is_given_up() -> None:
    files = open_files()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        proxy = f"socks5h://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(trunkline.OpenTimeout, match=r"in phase proxy: no answer from proxy 127\.0") as caught:
            await trunkline.connect("ws://server.example/", proxy=proxy, open_timeout=0.5)
    assert caught.value.phase == "proxy"
    await until(lambda: open_files() == files)


@pytest.mark.parametrize("name", ["n" * 256, "n%C3%BC", ":" + "p" * 256])
async def test_credentials_that_no_proxy_could_be_told(name: str) -> None:
    with pytest.raises(trunkline.InvalidURI, match="at most 255 ASCII") as caught:
        await trunkline.connect("ws://server.example/", proxy=f"socks5://{name}@localhost")
    assert name not in str(caught.value)


async def test_without_the_library(monkeypatch: Any) -> None:
    monkeypatch.setitem(sys.modules, "python_socks", None)
    monkeypatch.setitem(sys.modules, "python_socks.async_.asyncio", None)
    with pytest.raises(ImportError, match=r"trunkline\[socks\]"):
        await trunkline.connect("ws://server.example/", proxy="socks5://localhost")
