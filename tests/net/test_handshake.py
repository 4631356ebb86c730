"""Opening handshakes from strangers: what a server accepts, what it refuses and with which status."""

import asyncio
import contextlib

import pytest

import trunkline

pytestmark = pytest.mark.anyio

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
GOOD = {
    "Host": "127.0.0.1",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": KEY,
    "Sec-WebSocket-Version": "13",
}


def request(line="GET / HTTP/1.1", **changes):
    """A good request but for these fields; None leaves one out, a list repeats it."""
    fields = GOOD | {name.replace("_", "-"): value for name, value in changes.items()}
    rows = [(name, one) for name, value in fields.items() for one in (value if isinstance(value, list) else [value])]
    return "\r\n".join([line, *(f"{name}: {value}" for name, value in rows if value is not None), "", ""]).encode(
        "latin-1"
    )


@pytest.fixture
async def server():
    """An echo server; hostile bytes may not reach the exception handler of its loop."""
    reached = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reached.append(context))

    async def echo(ws):
        async for message in ws:
            await ws.send(message)

    async with trunkline.serve(echo, "127.0.0.1", 0, open_timeout=5, close_timeout=1) as server:
        yield server
    assert reached == []


@contextlib.asynccontextmanager
async def tcp(server):
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        async with asyncio.timeout(20):
            yield reader, writer
    finally:
        writer.transport.abort()


async def status_of(server, *chunks):
    """The status line that these bytes get, and that the server then hangs up unless it is 101."""
    async with tcp(server) as (reader, writer):
        for chunk in chunks:
            writer.write(chunk)
            with contextlib.suppress(ConnectionError):
                await writer.drain()
        status = int((await reader.readline()).split()[1])
        if status != 101:
            await reader.read()
        return status


ACCEPTED = {
    "as it should be": request(),
    "several tokens": request(Connection="keep-alive, Upgrade"),
    "two Connections, the first with Upgrade": request(Connection=["Upgrade", "keep-alive"]),
    "two Connections, the last with Upgrade": request(Connection=["keep-alive", "Upgrade"]),
    "three Connections": request(Connection=["close", "a, upgrade, b", "keep-alive"]),
    "other cases": request(Upgrade="WebSocket", Connection="upgrade"),
    "names in other cases": request().replace(b"Sec-WebSocket-Key", b"sec-WEBSOCKET-key"),
    "a query": request("GET /chat?room=1 HTTP/1.1"),
    "an empty body": request(Content_Length="0"),
    "unknown extensions": request(Sec_WebSocket_Extensions="x-unheard-of; a=1, permessage-deflate"),
    "unknown subprotocols": request(Sec_WebSocket_Protocol="soap, wamp"),
    "an origin of its own": request(Origin="http://127.0.0.1"),
}
REFUSED = {
    "POST": (request("POST / HTTP/1.1"), 405),
    "HTTP/1.0": (request("GET / HTTP/1.0"), 505),
    "no HTTP": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200) + b"\r\n\r\n", 400),
    "no Host": (request(Host=None), 400),
    "two Hosts": (request(Host=["a", "b"]), 400),
    "no Upgrade": (request(Upgrade=None), 426),
    "another Upgrade": (request(Upgrade="h2c"), 426),
    "two Upgrades": (request(Upgrade=["websocket", "websocket"]), 400),
    "no Connection": (request(Connection=None), 400),
    "Connection: close": (request(Connection="close"), 400),
    "two Connections without Upgrade": (request(Connection=["close", "keep-alive"]), 400),
    "no version": (request(Sec_WebSocket_Version=None), 400),
    "version 8": (request(Sec_WebSocket_Version="8"), 426),
    "two versions": (request(Sec_WebSocket_Version=["13", "13"]), 400),
    "no key": (request(Sec_WebSocket_Key=None), 400),
    "a key too short": (request(Sec_WebSocket_Key="c2hvcnQ="), 400),
    "a key not in base64": (request(Sec_WebSocket_Key="?" * 24), 400),
    "two keys": (request(Sec_WebSocket_Key=[KEY, KEY]), 400),
    "two origins": (request(Origin=["http://127.0.0.1", "http://127.0.0.1"]), 400),
    "a foreign origin": (request(Origin="http://evil.example"), 403),
    "an origin on another port": (request(Origin="http://127.0.0.1:81"), 403),
    "a body": (request(Content_Length="5") + b"hello", 400),
    "chunks": (request(Transfer_Encoding="chunked"), 400),
    "length and chunks": (request(Content_Length="5", Transfer_Encoding="chunked"), 400),
    "a field with a space before the colon": (request().replace(b"Upgrade: w", b"Upgrade : w"), 400),
    "a NUL": (request(X="a\0b"), 400),
    "a line of 9,000 bytes": (request(f"GET /{'a' * 9000} HTTP/1.1"), 414),
    "a field of 9,000 bytes": (request(X="a" * 9000), 431),
    "101 fields": (request(**{f"X{n}": "a" for n in range(101)}), 431),
    "2,000 fields": (request(**{f"X{n}": "a" for n in range(2000)}), 431),
    "40 KiB of fields": (request(**{f"X{n}": "a" * 1000 for n in range(40)}), 431),
    "20 MB of field": (b"GET / HTTP/1.1\r\nX: " + b"a" * 20_000_000, 431),
    **{
        f"{name} not ASCII": (request(**{name.replace("-", "_"): "caf\xe9"}), 400)
        for name in ("Host", "Upgrade", "Connection", "Sec-WebSocket-Key")
    },
    "version not ASCII": (request(Sec_WebSocket_Version="caf\xe9"), 426),
    "subprotocol not ASCII": (request(Sec_WebSocket_Protocol="caf\xe9"), 400),
    "extension not ASCII": (request(Sec_WebSocket_Extensions="caf\xe9"), 400),
    "lines ended by LF": (request().replace(b"\r\n", b"\n"), 400),
    "one line ended by LF": (request(X="y").replace(b"y\r\n", b"y\n"), 400),
    "a folded field": (request(X="a\r\n b"), 400),
    "a field folded with a tab": (request(X="a\r\n\tb"), 400),
    "a bare CR": (request(X="a\rb"), 400),
    "target not ASCII": (request("GET /caf\xe9 HTTP/1.1"), 400),
}


@pytest.mark.parametrize("data", ACCEPTED.values(), ids=ACCEPTED)
async def test_accepted(server, data):
    assert await status_of(server, data) == 101


@pytest.mark.parametrize(("data", "status"), REFUSED.values(), ids=REFUSED)
async def test_refused(server, data, status):
    assert await status_of(server, data) == status
    assert await status_of(server, request()) == 101  # and nobody else is the worse for it


TOLD = {
    b"400 ": b"this is no WebSocket handshake (RFC 6455 4.2.1)\n",
    b"403 ": b"this origin is not allowed\n",
    b"414 ": b"the request target is too long\n",
    b"405 ": b"the methods allowed here are GET and HEAD\n",
    b"426 ": b"this is a WebSocket server: a handshake is wanted (RFC 6455 4.1)\n",
    b"426 13": b"the WebSocket version spoken here is 13\n",
    b"431 ": b"the header fields are too many or too long\n",
    b"505 ": b"the HTTP version spoken here is 1.1\n",
}


@pytest.mark.parametrize(("data", "status"), REFUSED.values(), ids=REFUSED)
async def test_the_refused_are_told_fixed_texts(server, caplog, data, status):
    """What was wrong is in the log, without anything a terminal acts upon; the peer reads nothing of what it sent."""
    caplog.set_level("INFO", "trunkline.net")
    async with tcp(server) as (reader, writer):
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


async def test_one_byte_a_segment(server):
    assert await status_of(server, *(bytes((byte,)) for byte in request())) == 101


async def test_frames_right_behind_the_request(server):
    async with tcp(server) as (reader, writer):
        writer.write(request() + b"\x81\x82\0\0\0\0hi")
        await reader.readuntil(b"\r\n\r\n")
        assert await reader.readexactly(4) == b"\x81\x02hi"


async def test_a_client_that_never_finishes_is_let_go():
    async with trunkline.serve(trunkline.WebSocket.wait_closed, "127.0.0.1", 0, open_timeout=0.05) as server:
        async with tcp(server) as (reader, writer):
            writer.write(b"GET / HT")
            with contextlib.suppress(ConnectionResetError):
                assert await reader.read() == b""
        assert (len(server.connections), len(server._pending)) == (0, 0)


async def test_the_answer_proves_that_the_request_was_read(server):
    async with tcp(server) as (reader, writer):
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
    "a field of the handshake": {"additional_headers": {"sec-websocket-KEY": KEY}},
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
