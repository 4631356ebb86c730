"""Names with several addresses: they are tried in a race (RFC 8305), so a dead one costs only a moment."""

import asyncio
import contextlib
import errno
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

import trunkline
from handlers import echo
from names import give_names, swallowing
from rawhttp import LIMIT
from trunkline.net import addresses
from tunnels import Tunnels, running, works
from turns import open_files, until

pytestmark = pytest.mark.anyio

NAME = "several.test"
DEAD = ["127.0.0.2", "127.0.0.3", "127.0.0.4"]


@pytest.fixture(autouse=True)
async def no_test_takes_long() -> AsyncIterator[None]:
    """Trying one address after another would take minutes: the kernel gives up on an address after 127 s."""
    async with asyncio.timeout(LIMIT):
        yield


@pytest.fixture
async def server() -> AsyncIterator[trunkline.Server]:
    async with trunkline.serve(echo, "127.0.0.1", 0) as server:
        yield server


@contextlib.contextmanager
def dead_first(monkeypatch: pytest.MonkeyPatch, port: int, count: int = 1) -> Iterator[None]:
    """NAME has some addresses that never answer, then one that does."""
    give_names(monkeypatch, {NAME: [*DEAD[:count], "127.0.0.1"]})
    with swallowing(port, *DEAD[:count]):
        yield


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("open_timeout", [None, 10])
async def test_dead_addresses_before_the_good_one(
    server: trunkline.Server, monkeypatch: pytest.MonkeyPatch, open_timeout: float | None, count: int
) -> None:
    files = open_files()
    with dead_first(monkeypatch, server.port, count):
        await works(f"ws://{NAME}:{server.port}/", open_timeout=open_timeout)
    await until(lambda: open_files() == files)


async def test_over_tls(monkeypatch: pytest.MonkeyPatch, server_tls: Any, client_tls: Any) -> None:
    async with trunkline.serve(echo, "127.0.0.1", 0, ssl=server_tls) as server:
        with dead_first(monkeypatch, server.port):
            options = {"ssl": client_tls, "server_hostname": "localhost", "open_timeout": None}
            await works(f"wss://{NAME}:{server.port}/", **options)


class Proxy(Tunnels):
    """A proxy that speaks CONNECT or SOCKS 5. The addresses that never answer do not answer it either."""

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            first = await reader.readexactly(1)
            if first == b"C":
                head = await reader.readuntil(b"\r\n\r\n")
                host, _, port = head.split()[1].decode().rpartition(":")
                await self.join(reader, writer, host, int(port), b"HTTP/1.1 200 Yes\r\n\r\n")
                return
            await reader.readexactly((await reader.readexactly(1))[0])
            writer.write(b"\5\0")
            *_, kind = await reader.readexactly(4)
            assert kind == 1
            host = socket.inet_ntoa(await reader.readexactly(4))
            port_number = int.from_bytes(await reader.readexactly(2))
            if host in DEAD:
                await reader.read()
            else:
                await self.join(reader, writer, host, port_number, b"\5\0\0\1\0\0\0\0\0\0")


@pytest.mark.parametrize("scheme", ["http", "socks5"])
async def test_a_proxy_of_several_addresses(
    server: trunkline.Server, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    async with running(Proxy()) as proxy:
        with dead_first(monkeypatch, proxy.port):
            uri = f"ws://127.0.0.1:{server.port}/"
            await works(uri, proxy=f"{scheme}://{NAME}:{proxy.port}", open_timeout=None)


async def test_a_server_of_several_addresses_behind_a_proxy_that_looks_nothing_up(
    server: trunkline.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = open_files()
    give_names(monkeypatch, {NAME: [*DEAD, "127.0.0.1"]})
    async with running(Proxy()) as proxy:
        options = {"proxy": f"socks5://127.0.0.1:{proxy.port}", "open_timeout": None}
        await works(f"ws://{NAME}:{server.port}/", **options)
    await until(lambda: open_files() == files)


async def test_addresses_that_refuse_are_passed_at_once(
    server: trunkline.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    give_names(monkeypatch, {NAME: ["127.0.0.9", "::1", "127.0.0.1"]})
    await works(f"ws://{NAME}:{server.port}/")


async def test_what_each_address_said(refusing_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """TCP to a multicast group is unreachable. A refusal from the other address says more about the name."""
    give_names(monkeypatch, {NAME: ["224.0.0.1", "127.0.0.1"]})
    with pytest.raises(trunkline.ConnectError) as caught:
        await trunkline.connect(f"ws://{NAME}:{refusing_port}/")
    text = f"cannot connect to {NAME}:{refusing_port}: Network is unreachable at 224.0.0.1, Connection refused at 127.0"
    assert str(caught.value).startswith(text)
    assert (caught.value.errno, caught.value.phase) == (errno.ECONNREFUSED, "tcp")
    assert caught.value.category is trunkline.ErrorCategory.CONNECTION_REFUSED


async def test_what_all_addresses_said_is_said_once(refusing_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    give_names(monkeypatch, {NAME: ["127.0.0.1", "127.0.0.1"]})
    with pytest.raises(trunkline.ConnectError, match=f"^cannot connect to {NAME}:[0-9]+: Connection refused$"):
        await trunkline.connect(f"ws://{NAME}:{refusing_port}/")


async def test_all_addresses_dead(server: trunkline.Server, monkeypatch: pytest.MonkeyPatch) -> None:
    files = open_files()
    give_names(monkeypatch, {NAME: DEAD})
    with swallowing(server.port, *DEAD), pytest.raises(trunkline.OpenTimeout, match="connecting to several") as caught:
        await trunkline.connect(f"ws://{NAME}:{server.port}/", open_timeout=0.6)
    assert caught.value.phase == "tcp"
    await until(lambda: open_files() == files)


async def test_cancelled_in_the_race(server: trunkline.Server, monkeypatch: pytest.MonkeyPatch) -> None:
    files = open_files()
    asked = give_names(monkeypatch, {NAME: DEAD})
    with swallowing(server.port, *DEAD):
        opening = asyncio.ensure_future(trunkline.connect(f"ws://{NAME}:{server.port}/"))
        await until(lambda: bool(asked) and len(open_files()) > len(files) + 15)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
    await until(lambda: open_files() == files)


async def test_cancelled_when_the_race_is_won(server: trunkline.Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cancellation that comes while the losers are cancelled is the caller's, not theirs."""
    give_names(monkeypatch, {NAME: [*DEAD, "127.0.0.1"]})
    files = open_files()
    real = addresses._Runners.connect

    def cancel_in(turns: int, task: asyncio.Task[Any]) -> None:
        if turns:
            asyncio.get_running_loop().call_soon(cancel_in, turns - 1, task)
        else:
            task.cancel()

    async def dial(turns: int) -> asyncio.Task[Any]:
        async def connect(runners: Any, sock: socket.socket, address: Any) -> None:
            await real(runners, sock, address)
            cancel_in(turns, task)

        monkeypatch.setattr(addresses._Runners, "connect", connect)
        task = asyncio.ensure_future(trunkline.connect(f"ws://{NAME}:{server.port}/"))
        await asyncio.wait([task])
        return task

    with swallowing(server.port, *DEAD):
        for turns in range(7):
            assert (await dial(turns)).cancelled()
    await until(lambda: open_files() == files)


# host, port, family, local_addr, and the Host field


async def test_one_family_alone(server: trunkline.Server, monkeypatch: pytest.MonkeyPatch) -> None:
    give_names(monkeypatch, {NAME: ["::1", "127.0.0.1"]})
    async with trunkline.connect(f"ws://{NAME}:{server.port}/", family=socket.AF_INET) as ws:
        assert ws.remote_address == ("127.0.0.1", server.port)
    with pytest.raises(trunkline.ConnectError) as caught:
        await trunkline.connect(f"ws://{NAME}:{server.port}/", family=socket.AF_INET6)
    assert caught.value.phase == "tcp"


async def test_an_address_to_connect_from(server: trunkline.Server, monkeypatch: pytest.MonkeyPatch) -> None:
    give_names(monkeypatch, {NAME: ["::1", "127.0.0.1"], "here.test": ["127.0.0.7"]})
    for host in ("127.0.0.7", "here.test"):
        async with trunkline.connect(f"ws://{NAME}:{server.port}/", local_addr=(host, 0)) as ws:
            assert ws.local_address[0] == "127.0.0.7"


async def test_an_address_to_connect_from_through_a_proxy(server: trunkline.Server) -> None:
    async with running(Proxy()) as proxy:
        for scheme in ("http", "socks5"):
            options = {"proxy": f"{scheme}://127.0.0.1:{proxy.port}", "local_addr": ("127.0.0.7", 0)}
            async with trunkline.connect(f"ws://127.0.0.1:{server.port}/", **options) as ws:
                assert ws.local_address[0] == "127.0.0.7"


async def test_an_address_to_connect_from_that_is_not_ours(server: trunkline.Server) -> None:
    with pytest.raises(
        trunkline.ConnectError, match=r"cannot connect from 192\.0\.2\.1:0: .* \(local_addr\)"
    ) as caught:
        await trunkline.connect(f"ws://127.0.0.1:{server.port}/", local_addr=("192.0.2.1", 0))
    assert (caught.value.errno, caught.value.phase) == (errno.EADDRNOTAVAIL, "tcp")
    with pytest.raises(trunkline.ConnectError, match=r"no AF_INET address to connect from \(local_addr\)"):
        await trunkline.connect(f"ws://127.0.0.1:{server.port}/", local_addr=("::1", 0))


async def test_a_host_and_a_port_that_are_not_the_uris(server: trunkline.Server) -> None:
    async with trunkline.connect("ws://chat.example/room", host="127.0.0.1", port=server.port) as ws:
        assert ws.remote_address == ("127.0.0.1", server.port)
        (there,) = server.connections
        assert there.request is not None
        assert there.request.headers["host"] == "chat.example"


async def test_the_certificate_is_for_the_uris_host(server_tls: Any, client_tls: Any) -> None:
    async with trunkline.serve(echo, "127.0.0.1", 0, ssl=server_tls) as server:
        options = {"host": "127.0.0.1", "port": server.port, "ssl": client_tls}
        await works("wss://localhost/", **options)
        with pytest.raises(trunkline.ConnectError) as caught:
            await trunkline.connect("wss://chat.example/", **options)
        assert caught.value.category is trunkline.ErrorCategory.TLS_CERTIFICATE


async def test_a_proxy_is_asked_for_the_place_to_dial(server: trunkline.Server) -> None:
    async with running(Proxy()) as proxy:
        options = {"host": "127.0.0.1", "port": server.port}
        await works("ws://chat.example/", proxy=f"http://127.0.0.1:{proxy.port}", **options)


@pytest.mark.parametrize("name", ["Host", "hOST"])
async def test_a_host_field_of_ones_own(server: trunkline.Server, name: str) -> None:
    uri = f"ws://127.0.0.1:{server.port}/"
    async with trunkline.connect(uri, additional_headers={name: "chat.example:8080", "X": "y"}):
        (there,) = server.connections
        assert there.request is not None
        assert there.request.headers.get_all("host") == ["chat.example:8080"]
        assert there.request.headers["x"] == "y"


async def test_fields_of_ones_own_take_the_place_of_ours(server: trunkline.Server) -> None:
    fields = {"user-agent": "mine", "authorization": "Bearer a", "Origin": f"http://127.0.0.1:{server.port}"}
    uri = f"ws://user:pass@127.0.0.1:{server.port}/"
    async with trunkline.connect(uri, additional_headers=iter(fields.items()), origin="http://a"):  # type: ignore[arg-type]
        (there,) = server.connections
        assert there.request is not None
        assert {name: there.request.headers.get_all(name) for name in fields} == {
            name: [value] for name, value in fields.items()
        }


@pytest.mark.parametrize("value", ["a b", "", "user@a", "a/b", "a:b", "a:80:90", "[::1", "a#b", "a?b"])
async def test_a_host_field_that_is_none(value: str) -> None:
    with pytest.raises(trunkline.LocalProtocolError, match="Host"):
        trunkline.connect("ws://localhost/", additional_headers={"Host": value})


@pytest.mark.parametrize("name", ["a" * 64, "a..b"])
async def test_a_name_to_connect_from_that_is_none(server: trunkline.Server, name: str) -> None:
    with pytest.raises(trunkline.ConnectError, match=f"^cannot resolve local_addr {name}:0: ") as caught:
        await trunkline.connect(f"ws://127.0.0.1:{server.port}/", local_addr=(name, 0))
    assert caught.value.phase == "dns"


async def test_one_host_field_only() -> None:
    with pytest.raises(trunkline.LocalProtocolError, match="additional_headers has 2 Host fields, limit 1"):
        trunkline.connect("ws://localhost/", additional_headers=[("Host", "a"), ("host", "b")])


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "port 0": ({"port": 0}, r"port is 0, must be 1 to 65535 \(port\)"),
    "port 65536": ({"port": 65536}, r"port is 65536, must be 1 to 65535 \(port\)"),
    "family": ({"family": socket.AF_UNIX}, r"must be socket.AF_INET, AF_INET6 or AF_UNSPEC \(family\)"),
    "local_addr": ({"local_addr": ("127.0.0.1", -1)}, r"must be \(host, port\), port 0 for any \(local_addr\)"),
    "host": ({"host": "a b"}, "is not a host name"),
    "half a host": ({"host": "a..b"}, "is not a host name"),
    "host and unix": ({"host": "a", "unix": "/a"}, r"host cannot be combined with unix \(host\)"),
    "port and unix": ({"port": 80, "unix": "/a"}, r"port cannot be combined with unix \(port\)"),
    "local_addr and unix": ({"local_addr": ("::1", 0), "unix": "/a"}, "local_addr cannot be combined with unix"),
    "proxy_ssl": (
        {"proxy_ssl": ssl.create_default_context(), "proxy": "http://a"},
        r"proxy's URL is not https:// \(proxy_ssl\)",
    ),
    "proxy_headers": ({"proxy_headers": {"Host": "a"}}, "header field Host is set by"),
}


@pytest.mark.parametrize(("options", "text"), WRONG.values(), ids=WRONG)
async def test_what_cannot_be_dialled_is_refused_at_once(options: dict[str, Any], text: str) -> None:
    with pytest.raises((ValueError, trunkline.LocalProtocolError), match=text):
        trunkline.connect("ws://localhost/", **options)


@pytest.mark.parametrize(("options", "text"), WRONG.values(), ids=WRONG)
async def test_and_when_a_service_is_made(options: dict[str, Any], text: str) -> None:
    with pytest.raises((ValueError, trunkline.LocalProtocolError), match=text):
        trunkline.Service("chat", "wss://a.test/{room}", sends=str, receives=str, **options)


async def test_several_connections_gathered(server: trunkline.Server) -> None:
    uri = f"ws://127.0.0.1:{server.port}/"
    for ws in await asyncio.gather(trunkline.connect(uri), trunkline.connect(uri)):
        await ws.close()
    for opening in asyncio.as_completed([trunkline.connect(uri), trunkline.connect(uri)]):
        await (await opening).close()
    first, second = await asyncio.gather(trunkline.serve(echo, "127.0.0.1", 0), trunkline.serve(echo, "127.0.0.1", 0))
    await asyncio.gather(first.close(), second.close())
