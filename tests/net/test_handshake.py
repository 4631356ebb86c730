"""Opening handshakes from strangers: what a server accepts, what it refuses and with which status."""

import asyncio
import contextlib

import pytest

import trunkline
from handlers import echo
from rawhttp import KEY, dialled, request, status_of

pytestmark = pytest.mark.anyio


@pytest.fixture
async def server():
    """An echo server. Hostile bytes must not reach its loop's exception handler."""
    reached = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reached.append(context))

    async with trunkline.serve(echo, "127.0.0.1", 0, open_timeout=5, close_timeout=1) as server:
        yield server
    assert reached == []


ACCEPTED = {
    "as it should be": request(),
    "several tokens": request({"Connection": b"keep-alive, Upgrade"}),
    "two Connections, the first with Upgrade": request({"Connection": [b"Upgrade", b"keep-alive"]}),
    "two Connections, the last with Upgrade": request({"Connection": [b"keep-alive", b"Upgrade"]}),
    "three Connections": request({"Connection": [b"close", b"a, upgrade, b", b"keep-alive"]}),
    "other cases": request({"Upgrade": b"WebSocket", "Connection": b"upgrade"}),
    "names in other cases": request().replace(b"Sec-WebSocket-Key", b"sec-WEBSOCKET-key"),
    "a query": request(line=b"GET /chat?room=1 HTTP/1.1"),
    "an empty body": request({"Content-Length": b"0"}),
    "unknown extensions": request({"Sec-WebSocket-Extensions": b"x-unheard-of; a=1, permessage-deflate"}),
    "unknown subprotocols": request({"Sec-WebSocket-Protocol": b"soap, wamp"}),
    "an origin of its own": request({"Origin": b"http://localhost"}),
}
REFUSED = {
    "POST": (request(line=b"POST / HTTP/1.1"), 405),
    "HTTP/1.0": (request(line=b"GET / HTTP/1.0"), 505),
    "no HTTP": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200) + b"\r\n\r\n", 400),
    "no Host": (request({"Host": None}), 400),
    "two Hosts": (request({"Host": [b"a", b"b"]}), 400),
    "no Upgrade": (request({"Upgrade": None}), 426),
    "another Upgrade": (request({"Upgrade": b"h2c"}), 426),
    "two Upgrades": (request({"Upgrade": [b"websocket", b"websocket"]}), 400),
    "no Connection": (request({"Connection": None}), 400),
    "Connection: close": (request({"Connection": b"close"}), 400),
    "two Connections without Upgrade": (request({"Connection": [b"close", b"keep-alive"]}), 400),
    "no version": (request({"Sec-WebSocket-Version": None}), 400),
    "version 8": (request({"Sec-WebSocket-Version": b"8"}), 426),
    "two versions": (request({"Sec-WebSocket-Version": [b"13", b"13"]}), 400),
    "no key": (request({"Sec-WebSocket-Key": None}), 400),
    "a key too short": (request({"Sec-WebSocket-Key": b"c2hvcnQ="}), 400),
    "a key not in base64": (request({"Sec-WebSocket-Key": b"?" * 24}), 400),
    "two keys": (request({"Sec-WebSocket-Key": [KEY, KEY]}), 400),
    "two origins": (request({"Origin": [b"http://localhost", b"http://localhost"]}), 400),
    "a foreign origin": (request({"Origin": b"http://evil.example"}), 403),
    "an origin on another port": (request({"Origin": b"http://localhost:81"}), 403),
    "a body": (request({"Content-Length": b"5"}) + b"hello", 400),
    "chunks": (request({"Transfer-Encoding": b"chunked"}), 400),
    "length and chunks": (request({"Content-Length": b"5", "Transfer-Encoding": b"chunked"}), 400),
    "a field with a space before the colon": (request().replace(b"Upgrade: w", b"Upgrade : w"), 400),
    "a NUL": (request({"X": b"a\x00b"}), 400),
    "a line of 9,000 bytes": (request(line=b"GET /%s HTTP/1.1" % (b"a" * 9000)), 414),
    "a field of 9,000 bytes": (request({"X": b"a" * 9000}), 431),
    "101 fields": (request({f"X{n}": b"a" for n in range(101)}), 431),
    "2,000 fields": (request({f"X{n}": b"a" for n in range(2000)}), 431),
    "40 KiB of fields": (request({f"X{n}": b"a" * 1000 for n in range(40)}), 431),
    "20 MB of field": (b"GET / HTTP/1.1\r\nX: " + b"a" * 20_000_000, 431),
    **{
        f"{name} not ASCII": (request({name: b"caf\xe9"}), 400)
        for name in ("Host", "Upgrade", "Connection", "Sec-WebSocket-Key")
    },
    "version not ASCII": (request({"Sec-WebSocket-Version": b"caf\xe9"}), 426),
    "subprotocol not ASCII": (request({"Sec-WebSocket-Protocol": b"caf\xe9"}), 400),
    "extension not ASCII": (request({"Sec-WebSocket-Extensions": b"caf\xe9"}), 400),
    "lines ended by LF": (request().replace(b"\r\n", b"\n"), 400),
    "one line ended by LF": (request({"X": b"y"}).replace(b"y\r\n", b"y\n"), 400),
    "a folded field": (request({"X": b"a\r\n b"}), 400),
    "a field folded with a tab": (request({"X": b"a\r\n\tb"}), 400),
    "a bare CR": (request({"X": b"a\rb"}), 400),
    "target not ASCII": (request(line=b"GET /caf\xe9 HTTP/1.1"), 400),
}


@pytest.mark.parametrize("data", ACCEPTED.values(), ids=ACCEPTED)
async def test_accepted(server, data):
    assert await status_of(server.port, data) == 101


TOLD = {
    b"400 ": b"this is not a valid WebSocket handshake (RFC 6455 4.2.1)\n",
    b"403 ": b"this origin is not allowed\n",
    b"414 ": b"the request target is too long\n",
    b"405 ": b"only GET and HEAD are allowed\n",
    b"426 ": b"this is a WebSocket server: use a WebSocket client (RFC 6455 4.1)\n",
    b"426 13": b"only WebSocket version 13 is supported\n",
    b"431 ": b"there are too many header fields, or they are too long\n",
    b"505 ": b"only HTTP/1.1 is supported\n",
}


@pytest.mark.parametrize(("data", "status"), REFUSED.values(), ids=REFUSED)
async def test_refused(server, caplog, data, status):
    """The log says what was wrong, without anything that a terminal acts on. The peer reads nothing of what it sent."""
    caplog.set_level("INFO", "trunkline.net")
    async with dialled(server.port) as (reader, writer):
        writer.write(data)
        head = await reader.readuntil(b"\r\n\r\n")
        body = await reader.read()
    assert head.startswith(b"HTTP/1.1 %d " % status)
    version = b"13" if status == 426 and b"\r\nSec-WebSocket-Version: 13\r\n" in head else b""
    assert body == TOLD[b"%d %s" % (status, version)]
    assert b"evil" not in head
    if status == 426:
        assert b"\r\nUpgrade: websocket\r\n" in head
        assert b"\r\nConnection: Upgrade, close\r\n" in head
    [record] = [record for record in caplog.records if record.name == "trunkline.net"]
    assert record.event == "handshake.refused"
    assert record.code == status
    assert record.getMessage().startswith(f"a handshake was refused with {status}: ")
    assert record.getMessage().isprintable()
    assert await status_of(server.port, request()) == 101  # and nobody else is affected


async def test_one_byte_a_segment(server):
    assert await status_of(server.port, *(bytes((byte,)) for byte in request())) == 101


async def test_frames_right_behind_the_request(server):
    async with dialled(server.port) as (reader, writer):
        writer.write(request() + b"\x81\x82\0\0\0\0hi")
        await reader.readuntil(b"\r\n\r\n")
        assert await reader.readexactly(4) == b"\x81\x02hi"


async def test_a_client_that_never_finishes_is_let_go():
    async with trunkline.serve(trunkline.WebSocket.wait_closed, "127.0.0.1", 0, open_timeout=0.05) as server:
        async with dialled(server.port) as (reader, writer):
            writer.write(b"GET / HT")
            with contextlib.suppress(ConnectionResetError):
                assert await reader.read() == b""
        assert (len(server.connections), len(server._pending)) == (0, 0)


async def test_the_answer_proves_that_the_request_was_read(server):
    async with dialled(server.port) as (reader, writer):
        writer.write(request())
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    # The example of RFC 6455 1.3.
    assert "sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=" in head
    assert "sec-websocket-extensions" not in head
    assert "sec-websocket-protocol" not in head


FIELDS = {
    "additional_headers": {"additional_headers": {"X": "a\r\nY: b"}},
    "a name": {"additional_headers": {"X\r\nY": "b"}},
    "subprotocols": {"subprotocols": ["a\r\nY: b"]},
    "origin": {"origin": "http://a\r\nY: b"},
    "user_agent_header": {"user_agent_header": "a\r\nY: b"},
    "a field of the handshake": {"additional_headers": {"sec-websocket-KEY": KEY.decode()}},
    "not ISO 8859-1": {"additional_headers": {"X": "☃"}},
}


@pytest.mark.parametrize("options", FIELDS.values(), ids=FIELDS)
async def test_fields_that_would_be_other_fields_are_not_sent(server, options):
    with pytest.raises(trunkline.LocalProtocolError):
        await trunkline.connect(f"ws://127.0.0.1:{server.port}/", **options)


@pytest.mark.posix
async def test_no_password_in_any_text(server):
    uri = f"ws://user:hunter2@127.0.0.1:{server.port}/"
    async with trunkline.connect(uri, additional_headers={"Cookie": "hunter2"}) as ws:
        assert "hunter2" not in repr(trunkline.connect(uri))
        assert "hunter2" not in repr(ws) + repr(ws.request) + repr(ws.request.headers)
        assert ws.request.headers["authorization"] == "Basic dXNlcjpodW50ZXIy"
    with pytest.raises(trunkline.ConnectError) as caught:
        await trunkline.connect(f"ws://user:hunter2@127.0.0.1:{server.port}/", unix="/nowhere/at/all")
    assert "hunter2" not in str(caught.value) + repr(caught.value)
