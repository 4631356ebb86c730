"""What can go wrong in `process_request` and in making listeners, what a program keeps on a connection, and which
arguments `serve` refuses.
"""

import asyncio
import gc
import http
import re
import sys
from datetime import timedelta
from email.utils import parsedate_to_datetime

import pytest

import trunkline
from rawhttp import dialled, request
from turns import until

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("quiet_loop")]
R = trunkline.Response


def serving(**options):
    if "listener" not in options:
        options["handler"] = trunkline.WebSocket.wait_closed
    return trunkline.serve(host="127.0.0.1", port=0, **{"open_timeout": 20, **options})


async def talk(server, data):
    async with dialled(server.port) as (reader, writer):
        writer.write(data)
        head = await reader.readuntil(b"\r\n\r\n")
        return head, b"" if head.startswith(b"HTTP/1.1 101 ") else await reader.read()


class Odd(trunkline.Headers):
    def __iter__(self):
        raise KeyError("odd")


def cancelled():
    future = asyncio.get_running_loop().create_future()
    future.cancel()
    return future


async def cancels_itself():
    asyncio.current_task().cancel()
    await asyncio.sleep(0)


async def awaits_cancelled():
    await cancelled()


def looks_at_cancelled():
    cancelled().result()


BAD = {
    "an int in a field": lambda: R(429, {"Retry-After": 5}),
    "a str body": lambda: R(200, [], "OK"),
    "no headers": lambda: R(200, None, b"OK"),
    "headers in one str": lambda: R(200, "X: y"),
    "headers that are no pairs": lambda: R(200, ["X: y"]),
    "headers that raise": lambda: R(200, Odd()),
    "a name with a space": lambda: R(200, {"X Y": "z"}),
    "a line end": lambda: R(200, {"X": "a\r\nb"}),
    "a field beyond ISO 8859-1": lambda: R(200, {"X": "☃"}),
    "no body": lambda: R(403, (), None),
    "a status in str": lambda: R("403"),
    "True": lambda: R(True),
    "101": lambda: R(101),
    "100": lambda: R(100),
    "99": lambda: R(99),
    "600": lambda: R(600),
    "1000": lambda: R(1000),
    "-1": lambda: R(-1),
    "a tuple": lambda: (200, [], b"OK"),
    "a str": lambda: "no",
    "another length": lambda: R(200, {"Content-Length": "7"}, b"OK"),
    "chunks": lambda: R(200, {"Transfer-Encoding": "chunked"}, b"OK"),
    "a body of 204": lambda: R(204, {}, b"OK"),
    "a body of 304": lambda: R(304, {}, b"OK"),
    "it raises": lambda: 1 / 0,
    "a cancelled future": cancelled,
    "a coroutine whose future is cancelled": awaits_cancelled,
    "a coroutine that cancels itself": cancels_itself,
    "the result of a cancelled future": looks_at_cancelled,
}


def at_once(make):
    return lambda ws, request: make()


def later(make):
    async def process(ws, request):
        await asyncio.sleep(0)
        answer = make()
        return await answer if asyncio.isfuture(answer) or asyncio.iscoroutine(answer) else answer

    return process


PLAIN = b"GET /a?token=hunter2 HTTP/1.1\r\nHost: a\r\n\r\n"
UPGRADE = request(line=b"GET /a?token=hunter2 HTTP/1.1")


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("wrap", [at_once, later])
@pytest.mark.parametrize("data", [PLAIN, UPGRADE], ids=["plain", "upgrade"])
async def test_a_bad_answer_is_a_500(caplog, name, wrap, data):
    async with serving(process_request=wrap(BAD[name])) as server:
        head, body = await talk(server, data)
    assert head.startswith(b"HTTP/1.1 500 ")
    assert body == b"internal error\n"
    [record] = [record for record in caplog.records if record.levelname == "ERROR"]
    assert (record.event, record.path, record.remote[0]) == ("request.failed", "/a", "127.0.0.1")
    assert "/a" in record.getMessage()
    assert "hunter2" not in caplog.text


GOOD = {
    "HTTPStatus": (R(http.HTTPStatus.FORBIDDEN), b"403", b""),
    "bytearray": (R(200, (), bytearray(b"OK")), b"200", b"OK"),
    "memoryview": (R(200, (), memoryview(b"OK")), b"200", b"OK"),
    "204": (R(204), b"204", b""),
    "304": (R(304, {"ETag": '"a"'}), b"304", b""),
    "its own length": (R(200, {"Content-Length": "2"}, b"OK"), b"200", b"OK"),
    "keep-alive": (R(200, {"Connection": "keep-alive"}, b"OK"), b"200", b"OK"),
    "Headers": (R(302, trunkline.Headers({"Location": "/b"})), b"302", b""),
    "599": (R(599), b"599", b""),
}


@pytest.mark.parametrize("name", GOOD)
async def test_a_good_answer(caplog, name):
    response, status, body = GOOD[name]
    async with serving(process_request=lambda ws, request: response) as server:
        head, seen = await talk(server, PLAIN)
    assert head.startswith(b"HTTP/1.1 %s " % status)
    assert seen == body
    assert head.lower().count(b"\r\nconnection: close\r\n") == 1
    assert (b"content-length" in head.lower()) is (status not in (b"204", b"304"))
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


DATE = "Sun, 06 Nov 1994 08:49:37 GMT"


@pytest.mark.parametrize(
    ("process", "date"),
    [(None, None), (lambda ws, request: R(200), None), (lambda ws, request: R(200, {"date": DATE}), DATE)],
)
async def test_an_answer_says_when_it_was_made(process, date):
    """RFC 9110 6.6.1. A date in Retry-After is compared with it."""
    async with serving(process_request=process) as server:
        head, _ = await talk(server, PLAIN)
    [said] = re.findall(rb"\r\ndate: (.*)\r\n", head, re.IGNORECASE)
    assert parsedate_to_datetime(said.decode()).utcoffset() == timedelta(0)
    assert date in (None, said.decode())


async def test_a_client_that_leaves_while_a_future_is_cancelled(caplog):
    asked: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def process(ws, request):
        asked.set_result(None)
        return answer

    async with serving(process_request=process, open_timeout=0.1) as server, dialled(server.port) as (_, writer):
        writer.write(UPGRADE)
        await asked
        writer.transport.abort()
        await until(lambda: not server.health().pending_handshakes)
        answer.cancel()
    assert caplog.records == []


# A listener is made before the client is told that it may speak


class Ear(trunkline.Listener):
    made: list[str] = []  # noqa: RUF012

    def __init__(self) -> None:
        raise RuntimeError("no ear")


def gives_nothing():
    return None


@pytest.mark.parametrize("make", [Ear, looks_at_cancelled, gives_nothing])
async def test_a_listener_that_cannot_be_made_is_a_500(caplog, make):
    async with serving(listener=make) as server:
        head, body = await talk(server, UPGRADE)
        assert (head[:13], body) == (b"HTTP/1.1 500 ", b"internal error\n")
        with pytest.raises(trunkline.HandshakeError) as caught:
            await trunkline.connect(f"ws://127.0.0.1:{server.port}/")
        assert caught.value.status == 500
        assert server.health().opened == 0
    assert {record.event for record in caplog.records if record.levelname == "ERROR"} == {"listener.failed"}


# The program's own data


async def test_a_place_for_the_programs_own_data():
    seen = []

    def process(ws, request):
        ws.data.user = request.headers["x-user"]

    async def handler(ws):
        seen.append(ws.data.user)
        await ws.wait_closed()
        seen.append(vars(ws.data))

    async with trunkline.serve(handler, "127.0.0.1", 0, process_request=process) as server:
        uri = f"ws://127.0.0.1:{server.port}/"
        async with trunkline.connect(uri, additional_headers={"X-User": "ann"}) as ws:
            ws.data.room = 5
            assert vars(ws.data) == {"room": 5}
    assert seen == ["ann", {"user": "ann"}]


async def test_data_costs_nothing_where_nobody_uses_it():
    async with serving() as server, trunkline.connect(f"ws://127.0.0.1:{server.port}/") as ws:
        for end in (ws, *server.connections):
            assert not any(type(one).__name__ == "SimpleNamespace" for one in gc.get_referents(end))
            assert not hasattr(end, "__dict__")
            before = sys.getsizeof(end)
            end.data.user = "ann"
            assert sys.getsizeof(end) == before


async def test_an_attribute_that_is_none_names_a_public_class():
    async with serving() as server, trunkline.connect(f"ws://127.0.0.1:{server.port}/") as ws:
        with pytest.raises(AttributeError, match="'WebSocket' object has no attribute 'username'"):
            ws.username = "ann"


# What `serve` refuses

TOLD = {
    "one subprotocol": ({"subprotocols": "chat"}, TypeError, "subprotocols is str, must be a sequence"),
    "bytes of it": ({"subprotocols": b"chat"}, TypeError, "subprotocols is bytes, must be a sequence"),
    "subprotocols in bytes": ({"subprotocols": [b"chat"]}, TypeError, "subprotocol 1 is bytes"),
    "a number": ({"subprotocols": 5}, TypeError, "subprotocols is int"),
    "no token": ({"subprotocols": ["a b"]}, trunkline.LocalProtocolError, "subprotocol 1 is not a token"),
    "one twice": ({"subprotocols": ["a", "a"]}, trunkline.LocalProtocolError, "subprotocol 2 repeats an earlier one"),
    "an origin with a path": ({"origins": ["https://a/"]}, ValueError, "origins holds 'https://a/'"),
    "an origin with a user": ({"origins": ["https://u@a"]}, ValueError, "origins holds 'https://u@a'"),
    "a host": ({"origins": ["a.example"]}, ValueError, "origins holds 'a.example'"),
    "a star in a list": ({"origins": ["*"]}, ValueError, r"origins holds '\*'"),
    "a pattern": ({"origins": ["https://*.example"]}, ValueError, "without a path or a pattern"),
    "an origin beyond ASCII": ({"origins": ["https://bücher.example"]}, ValueError, "in ASCII"),
    "a bad port": ({"origins": ["https://a:x"]}, ValueError, "origins holds 'https://a:x'"),
    "a scheme of the web alone": ({"origins": ["https://"]}, ValueError, "origins holds 'https://'"),
    "a pattern of a program": ({"origins": ["app://*"]}, ValueError, r"origins holds 'app://\*'"),
    "a path of a file": ({"origins": ["file:///"]}, ValueError, "origins holds 'file:///'"),
    "an empty origin": ({"origins": [""]}, ValueError, "origins holds ''"),
    "a star in bytes": ({"origins": b"*"}, TypeError, "origins is bytes"),
    "origins in bytes": ({"origins": [b"https://a"]}, TypeError, "origins holds bytes"),
    "an origin alone": ({"origins": "https://a"}, ValueError, "origins is 'https://a'"),
    "origins in a number": ({"origins": 5}, TypeError, "origins is int"),
    **{
        f"a field {name}": ({"additional_headers": {name: "x"}}, trunkline.LocalProtocolError, "additional_headers")
        for name in ("Upgrade", "connection", "Sec-WebSocket-Accept", "Sec-WebSocket-Protocol", "Content-Length",
                     "Transfer-Encoding", "sec-websocket-extensions")
    },
    "a field in int": ({"additional_headers": {"X": 5}}, TypeError, "additional_headers"),
    "a name in bytes": ({"additional_headers": {b"X": "y"}}, TypeError, "additional_headers"),
    "fields in one str": ({"additional_headers": "X: y"}, TypeError, "additional_headers is str"),
    "a line end": ({"additional_headers": {"X": "a\r\nb"}}, trunkline.LocalProtocolError, "additional_headers"),
    "no callable": ({"process_request": R(403)}, TypeError, "process_request is Response"),
}  # fmt: skip


@pytest.mark.parametrize("name", TOLD)
async def test_what_could_never_work_is_refused_when_serve_is_called(name):
    options, kind, words = TOLD[name]
    with pytest.raises(kind, match=words):
        serving(**options)


async def test_origins_of_every_kind_that_works():
    allowed = ["HTTPS://A.Example:443", "http://[::1]:8080", "null", None, "chrome-extension://abcdef"]
    async with serving(origins=allowed) as server:
        for origin, status in (
            (b"https://a.example", b"101"),
            (b"https://A.EXAMPLE", b"101"),
            (b"http://[::1]:8080", b"101"),
            (b"null", b"101"),
            (None, b"101"),
            (b"chrome-extension://abcdef", b"101"),
            (b"https://a.example:444", b"403"),
            (b"https://b.example", b"403"),
            (b"", b"403"),
        ):
            head, _ = await talk(server, request({"Origin": origin}))
            assert head.split()[1] == status
