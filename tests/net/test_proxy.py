"""Tunnels through a real HTTP proxy on loopback: it reads CONNECT, connects, and moves bytes."""

import base64
import contextlib
import socket
from dataclasses import dataclass, field

import pytest

import trunkline
from trunkline import ErrorCategory as Category
from tunnels import Tunnels, echo, running, works

pytestmark = pytest.mark.anyio


@dataclass
class Proxy(Tunnels):
    """What a proxy was asked for, and how it answers."""

    answer: bytes = b"HTTP/1.1 200 Connection established\r\n\r\n"
    asked: list[bytes] = field(default_factory=list)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    async def talk(self, reader, writer):
        self.writers.append(writer)
        head = await reader.readuntil(b"\r\n\r\n")
        self.asked.append(head)
        if b" 200 " not in self.answer:
            writer.write(self.answer)
            writer.close()
            return
        host, _, port = head.split()[1].decode().rpartition(":")
        await self.join(reader, writer, host, int(port), self.answer)


def proxied(tls=None, **options):
    return running(Proxy(**options), tls)


@contextlib.asynccontextmanager
async def echoing(**options):
    async with trunkline.serve(echo, "127.0.0.1", 0, **options) as server:
        yield server.port


async def test_ws_through_a_proxy():
    async with proxied() as proxy, echoing() as port:
        await works(f"ws://127.0.0.1:{port}/", proxy=proxy.url)
        assert proxy.asked[0].startswith(f"CONNECT 127.0.0.1:{port} HTTP/1.1\r\n".encode())


async def test_wss_through_a_proxy(server_tls, client_tls):
    async with proxied() as proxy, echoing(ssl=server_tls) as port:
        await works(f"wss://localhost:{port}/", proxy=proxy.url, ssl=client_tls)
        assert len(proxy.asked) == 1


@pytest.mark.parametrize("secure", [False, True])
async def test_the_proxy_of_the_environment(monkeypatch, server_tls, client_tls, secure):
    async with proxied() as proxy, echoing(ssl=server_tls if secure else None) as port:
        monkeypatch.setenv("https_proxy" if secure else "http_proxy", proxy.url)
        uri = f"{'wss' if secure else 'ws'}://localhost:{port}/"
        options = {"ssl": client_tls} if secure else {}
        monkeypatch.setenv("no_proxy", "elsewhere.example")
        await works(uri, **options)
        assert len(proxy.asked) == 1
        monkeypatch.setenv("no_proxy", "localhost")
        await works(uri, **options)
        await works(uri, proxy=None, **options)
        assert len(proxy.asked) == 1


async def test_credentials_for_the_proxy():
    async with proxied() as proxy, echoing() as port:
        await works(f"ws://127.0.0.1:{port}/", proxy=f"http://user:p%40ss@127.0.0.1:{proxy.port}")
        wanted = b"proxy-authorization: basic " + base64.b64encode(b"user:p@ss").lower()
        assert wanted in proxy.asked[0].lower()


REFUSALS = {
    "407": (b"HTTP/1.1 407 Who\r\nContent-Length: 0\r\n\r\n", 407, Category.PROXY_AUTHENTICATION, False),
    "403": (b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n", 403, Category.PROXY_FAILED, True),
    "502": (b"HTTP/1.1 502 Bad\r\nContent-Length: 0\r\n\r\n", 502, Category.PROXY_FAILED, True),
    "hangs up": (b"", None, Category.PROXY_FAILED, True),
    "no HTTP": (b"220 smtp.example ESMTP\r\n\r\n", None, Category.PROXY_FAILED, True),
}


@pytest.mark.parametrize(("answer", "status", "category", "recoverable"), REFUSALS.values(), ids=REFUSALS)
async def test_a_proxy_that_will_not(answer, status, category, recoverable):
    async with proxied(answer=answer) as proxy:
        with pytest.raises(trunkline.ProxyError, match=f"proxy 127.0.0.1:{proxy.port}") as caught:
            await trunkline.connect("ws://server.example/", proxy=f"http://user:hunter2@127.0.0.1:{proxy.port}")
    assert (caught.value.status, caught.value.category, caught.value.recoverable) == (status, category, recoverable)
    assert caught.value.phase == "proxy"
    assert "hunter2" not in str(caught.value) + repr(caught.value)


async def test_a_proxy_that_refuses_connections(refusing_port):
    with pytest.raises(trunkline.ConnectError, match=f"127.0.0.1:{refusing_port}") as caught:
        await trunkline.connect("ws://server.example/", proxy=f"http://127.0.0.1:{refusing_port}")
    assert caught.value.category is Category.CONNECTION_REFUSED


async def test_a_certificate_for_another_host_behind_a_proxy(wrong_name_tls, client_tls):
    async with proxied() as proxy, echoing(ssl=wrong_name_tls) as port:
        with pytest.raises(trunkline.ConnectError) as caught:
            await trunkline.connect(f"wss://localhost:{port}/", proxy=proxy.url, ssl=client_tls)
    assert caught.value.category is Category.TLS_CERTIFICATE


async def test_a_silent_proxy_is_given_up():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        proxy = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(trunkline.OpenTimeout, match="open_timeout"):
            await trunkline.connect("ws://server.example/", proxy=proxy, open_timeout=0.05)


@pytest.mark.parametrize("proxy", ["socks6://localhost", "http://", "http://localhost:port"])
async def test_no_proxy_url(proxy):
    with pytest.raises(trunkline.InvalidURI, match="proxy"):
        await trunkline.connect("ws://server.example/", proxy=proxy)
