"""Tunnels through a real HTTP proxy on loopback: it reads CONNECT, connects, and moves bytes."""

import base64
import contextlib
import pickle
import socket
from dataclasses import dataclass, field

import pytest

import trunkline
from handlers import echo
from names import give_names
from trunkline import ErrorCategory as Category
from tunnels import Tunnels, running, works

pytestmark = pytest.mark.anyio


@dataclass
class Proxy(Tunnels):
    """What a proxy was asked for, and how it answers."""

    answer: bytes = b"HTTP/1.1 200 Connection established\r\n\r\n"
    stays: bool = False
    asked: list[bytes] = field(default_factory=list)
    came_from: list[str] = field(default_factory=list)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    async def talk(self, reader, writer):
        self.writers.append(writer)
        head = await reader.readuntil(b"\r\n\r\n")
        self.asked.append(head)
        self.came_from.append(writer.get_extra_info("peername")[0])
        if b" 200 " not in self.answer:
            writer.write(self.answer)
            if self.stays:
                await reader.read()
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


async def test_blocks_and_wildcards_go_past_the_proxy_of_the_environment(monkeypatch):
    async with proxied() as proxy, echoing() as port:
        give_names(monkeypatch, {"a.corp.test": ["127.0.0.1"], "corp.test": ["127.0.0.1"]})
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.setenv("no_proxy", "127.0.0.0/8,*.corp.test")
        await works(f"ws://127.0.0.1:{port}/")
        await works(f"ws://a.corp.test:{port}/")
        assert proxy.asked == []
        await works(f"ws://localhost:{port}/")
        assert len(proxy.asked) == 1


@pytest.mark.parametrize("name", ["all_proxy", "ALL_PROXY", "http_proxy"])
@pytest.mark.parametrize("value", ["socks://user:hunter2@localhost:1", "http://user:hunter2@localhost:port"])
async def test_a_variable_that_holds_no_proxy_is_named(monkeypatch, name, value):
    for other in ("http_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(other, raising=False)
        monkeypatch.delenv(other.upper(), raising=False)
    monkeypatch.setenv(name, value)
    with pytest.raises(trunkline.InvalidURI, match=rf"\({name}\)") as caught:
        trunkline.connect("ws://server.example/")
    assert "hunter2" not in str(caught.value)


async def test_the_fields_of_connect():
    async with proxied() as proxy, echoing() as port:
        uri = f"ws://127.0.0.1:{port}/"
        await works(uri, proxy=proxy.url)
        await works(uri, proxy=proxy.url, user_agent_header=None)
        fields = {"User-Agent": "mine", "X-Tenant": "a", "Proxy-Authorization": "Bearer b"}
        await works(uri, proxy=f"http://user:pass@127.0.0.1:{proxy.port}", proxy_headers=fields)
    default, none, own = ([line.lower() for line in head.split(b"\r\n")[1:] if line] for head in proxy.asked)
    host = f"host: 127.0.0.1:{port}".encode()
    assert default == [host, b"user-agent: trunkline"]
    assert none == [host]
    assert own == [host, b"user-agent: mine", b"x-tenant: a", b"proxy-authorization: bearer b"]


@pytest.mark.parametrize("name", ["Host", "content-length", "Transfer-Encoding"])
async def test_fields_that_connect_has_itself_or_cannot_have(name):
    with pytest.raises(trunkline.LocalProtocolError, match=name):
        trunkline.connect("ws://server.example/", proxy="http://localhost", proxy_headers={name: "1"})


async def test_tls_to_the_proxy(server_tls, client_tls):
    async with proxied(server_tls) as proxy, echoing() as port:
        uri, options = f"ws://127.0.0.1:{port}/", {"proxy": f"https://localhost:{proxy.port}"}
        await works(uri, proxy_ssl=client_tls, **options)
        with pytest.raises(
            trunkline.ConnectError, match=f"cannot set up TLS with proxy localhost:{proxy.port}"
        ) as caught:
            await trunkline.connect(uri, **options)
    assert (caught.value.category, caught.value.phase) == (Category.TLS_CERTIFICATE, "tls")


async def test_tls_through_tls(server_tls, client_tls):
    async with proxied(server_tls) as proxy, echoing(ssl=server_tls) as port:
        options = {"proxy": f"https://localhost:{proxy.port}", "proxy_ssl": client_tls, "ssl": client_tls}
        await works(f"wss://localhost:{port}/", **options)


async def test_all_of_it_for_a_service(server_tls, client_tls):
    async with proxied(server_tls) as proxy, echoing() as port:
        service = trunkline.Service(
            "chat",
            "ws://chat.example/",
            sends=str,
            receives=str,
            headers={"Host": "inner.example"},
            host="127.0.0.1",
            port=port,
            family=socket.AF_INET,
            local_addr=("127.0.0.7", 0),
            proxy=f"https://localhost:{proxy.port}",
            proxy_ssl=client_tls,
            proxy_headers={"X-Tenant": "a"},
        )
        async with trunkline.ConnectionManager([service]) as manager:
            chat = await manager.connect(service)
            await chat.send("through")
            async for message in chat:
                assert message == "through"
                break
    assert b"x-tenant: a" in proxy.asked[0].lower()
    assert proxy.came_from == ["127.0.0.7"]


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


@pytest.mark.parametrize("stays", [False, True])
@pytest.mark.parametrize("length", [b"Content-Length: 9\r\n", b"Content-Length: 99\r\n", b""])
async def test_what_a_proxy_said(length, stays):
    """The client waits only a moment for the body, which may never end on a connection that stays open."""
    fields = b'Proxy-Authenticate: Basic realm="the office"\r\nX: \x1b[2J\xe9\r\n' + length
    async with proxied(
        answer=b"HTTP/1.1 407 Who are you\xe9\r\n" + fields + b"\r\nask the desk"[:11], stays=stays
    ) as proxy:
        with pytest.raises(trunkline.ProxyError) as caught:
            await trunkline.connect("ws://server.example/", proxy=proxy.url, open_timeout=None)
    error = caught.value
    said = '407 Who are youé to CONNECT server.example:80, Proxy-Authenticate: Basic realm="the office"'
    assert str(error) == f"proxy 127.0.0.1:{proxy.port} answered {said}"
    assert (error.status, error.reason, error.body) == (407, "Who are youé", b"ask the d")
    assert trunkline.Headers(error.headers)["proxy-authenticate"] == 'Basic realm="the office"'
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.status, again.reason, again.body) == (str(error), 407, error.reason, error.body)
    assert list(again.headers) == list(error.headers)


async def test_a_proxy_that_says_too_much():
    answer = b"HTTP/1.1 502 " + b"x" * 5000 + b"\r\nProxy-Authenticate: " + b"y" * 5000 + b"\r\n\r\n" + b"z" * 200_000
    async with proxied(answer=answer, stays=True) as proxy:
        with pytest.raises(trunkline.ProxyError) as caught:
            await trunkline.connect("ws://server.example/", proxy=proxy.url, open_timeout=None)
    assert "x" * 100 + " to CONNECT" in str(caught.value)
    assert str(caught.value).endswith("Authenticate: " + "y" * 100)
    assert caught.value.body == b"z" * 65536


async def test_a_proxy_that_speaks_something_else():
    async with proxied(answer=b"220 smtp.example ESMTP\r\n\r\n") as proxy:
        with pytest.raises(trunkline.ProxyError, match=r"is not valid HTTP: it begins with b'220 smtp\.example ESMTP"):
            await trunkline.connect("ws://server.example/", proxy=proxy.url)


BAD_HEADS = {
    "spaces, then NUL": (b"X:" + b" " * 15_000 + b"\0\r\n\r\n", "a field holds NUL, VT, FF or CR"),
    "a head of 100 KB": (b"X: " + b"x" * 100_000 + b"\r\n\r\n", "(HTTP head is longer than|HTTP head of)"),
    "interim answers without end": (b"\r\n" + b"HTTP/1.1 102 Wait\r\n\r\n" * 1000, "more than 100 interim answers"),
}


@pytest.mark.parametrize("name", BAD_HEADS)
async def test_the_head_of_a_proxys_answer_is_looked_at_before_it_is_parsed(name):
    data, words = BAD_HEADS[name]
    async with proxied(answer=b"HTTP/1.1 102 Wait\r\n" + data) as proxy:
        with pytest.raises(trunkline.ProxyError, match=f"is not valid HTTP: {words}"):
            await trunkline.connect("ws://server.example/", proxy=proxy.url)


async def test_a_malformed_field_of_a_proxy_is_not_quoted():
    async with proxied(answer=b"HTTP/1.1 502 No\r\nSet-Cookie : hunter2\r\n\r\n") as proxy:
        with pytest.raises(trunkline.ProxyError, match=r"is not valid HTTP: illegal header line \(RFC 9112\)$"):
            await trunkline.connect("ws://server.example/", proxy=proxy.url)


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
        text = f"{proxy.removeprefix('http://')} to CONNECT server.example:80 \\(open_timeout"
        with pytest.raises(trunkline.OpenTimeout, match=f"in phase proxy: no answer from proxy {text}") as caught:
            await trunkline.connect("ws://server.example/", proxy=proxy, open_timeout=0.5)
    assert caught.value.phase == "proxy"


@pytest.mark.parametrize("proxy", ["socks6://localhost", "http://", "http://localhost:port"])
async def test_no_proxy_url(proxy):
    with pytest.raises(trunkline.InvalidURI, match="proxy"):
        await trunkline.connect("ws://server.example/", proxy=proxy)
