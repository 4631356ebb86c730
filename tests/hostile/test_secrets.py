"""No secret in a log, a repr or an exception: sessions with secrets in every place that may hold one, and a search of
everything that they leave behind.
"""

import asyncio
import base64
import contextlib
import gc
import logging
import sys
import traceback
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

import trunkline
from rawhttp import answer, answering, status_of
from trunkline import protocol
from trunkline.net.plan import Plan
from trunkline.net.proxy import find_proxy
from trunkline.net.uri import parse_uri
from trunkline.protocol.wsproto.handshake import H11Handshake

SECRET = "hunter2"
FORMS = [SECRET, base64.b64encode(f"user:{SECRET}".encode()).decode(), base64.b64encode(SECRET.encode()).decode()]
URI = f"ws://user:{SECRET}@127.0.0.1:{{}}/room?token={SECRET}"
FIELDS = {"Cookie": f"id={SECRET}", "X-Api-Key": SECRET, "Authorization": f"Bearer {SECRET}"}


class Told:
    """Everything that could be read afterwards."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.tasks: set[str | None] = set()  # names of those in which something was logged; none before Python 3.12

    def value(self, *values: object) -> None:
        """What a program would print of these."""
        for value in values:
            self.texts += [repr(value), str(value)]

    def error(self, error: BaseException) -> None:
        """What a program would log of it, with whatever it came from."""
        self.value(error)
        self.texts += traceback.format_exception(error, chain=True)
        links = [error.__cause__, error.__context__]
        for link in links:
            if link is not None:
                self.error(link)

    def leaks(self) -> list[str]:
        return [text for text in self.texts if any(form in text for form in FORMS)]


@pytest.fixture
def told() -> Iterator[Told]:
    """Fail the test if a secret was revealed, by any object or to a logger of any level."""
    kept = Told()

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            kept.texts.append(logging.Formatter().format(record))
            kept.texts += [str(value) for value in vars(record).values()]
            kept.tasks.add(getattr(record, "taskName", None))

    logger, handler = logging.getLogger(), Keep()
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield kept
    logger.removeHandler(handler)
    logger.setLevel(level)
    assert kept.texts
    assert kept.leaks() == []


def ours() -> list[Any]:
    """Every object of trunkline's classes that there is."""
    return [one for one in gc.get_objects() if str(type(one).__module__).startswith("trunkline")]


@contextlib.asynccontextmanager
async def served(**options: Any) -> AsyncIterator[trunkline.Server]:
    async def greet(ws: trunkline.WebSocket) -> None:
        await ws.send(SECRET)
        await ws.wait_closed()

    async with trunkline.serve(greet, "127.0.0.1", 0, **options) as server:
        yield server


@pytest.mark.anyio
class TestSessions:
    """Real sessions, from the URL to the end."""

    async def test_one_that_opens(self, told: Told) -> None:
        made = {"Set-Cookie": f"id={SECRET}"}
        async with served(additional_headers=made) as server:
            connecting = trunkline.connect(URI.format(server.port), additional_headers=FIELDS, proxy=None)
            told.value(connecting)
            async with connecting as ws:
                assert await ws.recv() == SECRET
                await ws.send(SECRET * 100)
                await ws.send(SECRET.encode())
                await ws.ping(SECRET.encode())
                (there,) = server.connections
                for end in (ws, there):
                    told.value(end, end.request, end.request.headers, end.response, end.stats(), end.close_info)
                told.value(server, server.health(), *ours())
            told.value(ws, ws.close_info, *ours())

    @pytest.mark.parametrize("status", [200, 302, 401, 403, 500])
    async def test_one_that_is_refused(self, told: Told, status: int) -> None:
        refusal = trunkline.Response(status, [("Set-Cookie", SECRET), ("X", SECRET)], SECRET.encode())
        told.value(refusal)
        async with served(process_request=lambda *_: refusal) as server:
            with pytest.raises(trunkline.HandshakeError) as caught:
                await trunkline.connect(URI.format(server.port), additional_headers=FIELDS, proxy=None, max_redirects=1)
            told.error(caught.value)

    async def test_ones_that_break_the_handshake(self, told: Told) -> None:
        """What a stranger sends must not be quoted in our log: it may be someone else's cookie, cut off."""
        line = f"GET /?{SECRET} HTTP/1.1\r\nHost: x\r\n"
        async with served() as server:
            for field in (f"Cookie: {SECRET}\0", f"Cookie : {SECRET}", f"Cookie: a\r\n {SECRET}", f"{SECRET}"):
                assert await status_of(server.port, f"{line}{field}\r\n\r\n".encode()) == 400
            assert await status_of(server.port, f"{line}Cookie: {SECRET * 2000}\r\n\r\n".encode()) == 431

    async def test_answers_that_break_the_handshake(self, told: Told) -> None:
        for more in (f"Set-Cookie : {SECRET}\r\n", f"Set-Cookie: {SECRET}\0\r\n", "Upgrade: x\r\n"):
            async with answering(answer(more=more.encode())) as uri:
                with pytest.raises(trunkline.HandshakeError) as caught:
                    await trunkline.connect(uri + f"?{SECRET}", additional_headers=FIELDS, proxy=None)
                told.error(caught.value)

    async def test_subprotocols_that_carry_a_token(self, told: Told) -> None:
        """Browsers can send one in no other way, so servers read it there."""
        for offered in ([f"bearer.{SECRET} x"], [f"bearer.{SECRET}"] * 2, f"bearer.{SECRET}", ["a", {SECRET: 1}]):
            with pytest.raises((trunkline.LocalProtocolError, TypeError)) as caught:
                trunkline.connect("ws://127.0.0.1:1/", subprotocols=offered, proxy=None)  # type: ignore[arg-type]
            told.error(caught.value)
        for chosen in (f"bearer.{SECRET}", f"bearer.{SECRET}, b", f"b, {SECRET}\xe9"):
            more = f"Sec-WebSocket-Protocol: {chosen}".encode("latin-1") + b"\r\n"
            async with answering(answer(more=more)) as uri:
                with pytest.raises(trunkline.HandshakeError) as caught_:
                    await trunkline.connect(uri, subprotocols=["a"], proxy=None)
                told.error(caught_.value)
        async with served(subprotocols=["chat"]) as server:
            async with trunkline.connect(
                f"ws://127.0.0.1:{server.port}/", subprotocols=[f"bearer.{SECRET}", "chat"], proxy=None
            ) as ws:
                told.value(ws, ws.request, ws.response)
            for more in ("", f", {SECRET} {SECRET}"):
                fields = f"Sec-WebSocket-Protocol: bearer.{SECRET}{more}\r\nSec-WebSocket-Version: 8"
                assert await status_of(server.port, f"GET / HTTP/1.1\r\nHost: x\r\n{fields}\r\n\r\n".encode()) >= 400

    async def test_fields_that_cannot_be_sent(self, told: Told) -> None:
        wrong: list[Any] = [
            {f"Bearer {SECRET}": ""},
            {"Cookie": f"{SECRET}\n"},
            {"Cookie": f"{SECRET}\u2603"},
            [(f"{SECRET} ", 5)],
            [(5, SECRET)],
            {"Host": f"user:{SECRET}@a"},
            {"Host": f"{SECRET} "},
        ]
        for fields in wrong:
            for options in ({"additional_headers": fields}, {"proxy_headers": fields, "proxy": "http://127.0.0.1:1"}):
                with pytest.raises((trunkline.LocalProtocolError, TypeError)) as caught:
                    trunkline.connect("ws://127.0.0.1:1/", **options)
                told.error(caught.value)

    async def test_proxies(self, told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
        user = f"user:{SECRET}"
        for proxy in (f"socks://{user}@h", f"http://{user}/@h", f"http://{user}@h:x", f"//{SECRET} @"):
            with pytest.raises(trunkline.InvalidURI) as caught:
                trunkline.connect("ws://server.example/", proxy=proxy)
            told.error(caught.value)
            monkeypatch.setenv("all_proxy", proxy)
            with pytest.raises(trunkline.InvalidURI) as caught:
                trunkline.connect("ws://server.example/")
            told.error(caught.value)
        head_and_more = (f"HTTP/1.1 502 No\r\nX: {SECRET}\r\n\r\n{SECRET}", f"HTTP/1.1 502 No\r\nX : {SECRET}\r\n\r\n")
        for answered in head_and_more:
            async with answering(answered.encode()) as uri:
                proxy = uri.replace("ws://", f"http://user:{SECRET}@")
                options: dict[str, Any] = {"proxy": proxy, "proxy_headers": {"X-Token": SECRET}}
                with pytest.raises(trunkline.ProxyError) as refused:
                    await trunkline.connect("ws://server.example/", **options)
                told.error(refused.value)

    async def test_messages_that_fail_the_connection(self, told: Told, line: Any) -> None:
        for opcode, payload in ((1, SECRET.encode() + b"\xff"), (2, SECRET.encode() * 1000), (9, SECRET.encode() * 50)):
            async with line(max_size=1000) as (ws, peer):
                peer.send(opcode, payload)
                with pytest.raises(trunkline.ConnectionClosedError) as caught:
                    await ws.recv()
                told.error(caught.value)
                told.value(ws, ws.close_info, *ours())

    async def test_messages_that_cannot_be_sent(self, told: Told, line: Any) -> None:
        async with line() as (ws, _):
            for message in (f"{SECRET}\ud800", {SECRET: SECRET}, [SECRET, b"x"], 5):
                with pytest.raises((trunkline.TrunklineError, TypeError)) as caught:
                    await ws.send(message)
                told.texts += [str(caught.value), repr(caught.value)]
            told.value(ws)

    async def test_a_managed_connection(self, told: Told, refusing_port: int) -> None:
        for port in (None, refusing_port):
            async with served() as server:
                url = f"ws://user:{SECRET}@127.0.0.1:{port or server.port}/{{room}}?token={{token}}"
                service = trunkline.Service("chat", url, sends=str, receives=str, headers=FIELDS)
                async with trunkline.ConnectionManager([service]) as manager:
                    connection = await manager.connect(service, room="a", token=SECRET, wait=port is None)
                    told.value(service, manager, connection, *ours())
                    if port is not None:
                        with pytest.raises(TimeoutError):
                            async with asyncio.timeout(0.1):
                                await connection.wait_connected()
                        told.value(connection.last_error)
            if sys.version_info >= (3, 12):
                assert "trunkline chat?room=a&token=..." in told.tasks
            told.tasks.clear()


ADDRESSES = [
    f"ws://user:{SECRET}/x@host/",  # the "/" should have been escaped
    f"ws://user:{SECRET}@ho\u2100st/",
    f"ws://user:{SECRET}@[::1/",
    f"ws://user:{SECRET}@host:port/?{SECRET}",
    f"ws://user:{SECRET}@host/?{SECRET}#top",
    f"ws://user:{SECRET}@host:0/?{SECRET}",
    f"ws://user:{SECRET}@{'a' * 64}.example/?{SECRET}",
    f"ws://user:{SECRET}@host/ ?{SECRET}",
    f"http://user:{SECRET}@host/?{SECRET}",
]


@pytest.mark.parametrize("address", ADDRESSES)
def test_addresses_that_are_none(told: Told, address: str) -> None:
    with pytest.raises(trunkline.InvalidURI) as caught:
        trunkline.connect(address)
    told.error(caught.value)
    with pytest.raises(trunkline.InvalidURI) as caught:
        trunkline.Service("a", address, sends=str, receives=str)
    told.error(caught.value)
    if "http" not in address and "/x@" not in address:
        return
    with pytest.raises(trunkline.InvalidURI) as caught:
        find_proxy(parse_uri("ws://host/"), address.replace("http", "ftp").replace("ws", "http"))
    told.error(caught.value)


TEMPLATES = ["{a.b}", "{wait}", "{", "{0}"]


@pytest.mark.parametrize("end", TEMPLATES)
def test_templates_that_are_none(told: Told, end: str) -> None:
    with pytest.raises(trunkline.InvalidURI) as caught:
        trunkline.Service("a", f"ws://user:{SECRET}@host/?token={SECRET}&x={end}", sends=str, receives=str)
    told.error(caught.value)


def test_templates_that_differ(told: Told) -> None:
    urls = [f"ws://user:{SECRET}@host/{{a}}?{SECRET}", f"ws://user:{SECRET}@host/?{SECRET}"]
    with pytest.raises(trunkline.InvalidURI) as caught:
        trunkline.Service("a", urls, sends=str, receives=str)
    told.error(caught.value)


def test_what_stands_between(told: Told) -> None:
    """Objects that a debugger or an error reporter prints."""
    uri = parse_uri(f"wss://user:{SECRET}@host/?token={SECRET}")
    plan = Plan(uri=uri, additional_headers=FIELDS, proxy=f"http://user:{SECRET}@proxy:1")
    told.value(uri, plan, plan.route(), find_proxy(uri, f"http://user:{SECRET}@proxy:1"))


@pytest.mark.parametrize(
    "field", [(b"Cookie", f"{SECRET}\r\nX: y"), (b"Cookie", f'"{SECRET}\0'), (SECRET.encode() + b" ", "x")]
)
def test_fields_that_cannot_stand_in_http(told: Told, field: tuple[bytes, str]) -> None:
    request = protocol.Request("localhost", "/", extra_headers=[(field[0], field[1].encode())])
    with pytest.raises(trunkline.LocalProtocolError, match="not allowed in a handshake: Illegal header") as caught:
        H11Handshake(protocol.CLIENT).send(request)
    told.error(caught.value)
    with pytest.raises(trunkline.LocalProtocolError) as caught:
        trunkline.connect("ws://localhost/", additional_headers={"Cookie": f"{SECRET}\r\nX: y"})
    told.error(caught.value)
