"""Hostile opening handshakes, in both roles: those that are not in `tests/net/test_handshake.py`."""

import pytest

import trunkline
from rawhttp import ACCEPT, ASKED, answer, answering, request, status_of

pytestmark = pytest.mark.anyio


@pytest.fixture
async def server():
    """A server that takes pages of any origin."""
    async with trunkline.serve(
        trunkline.WebSocket.wait_closed, "127.0.0.1", 0, origins="*", open_timeout=5
    ) as listening:
        yield listening


# A server's

NAMES = [
    *ASKED,
    "Origin",
    "Sec-WebSocket-Protocol",
    "Sec-WebSocket-Extensions",
    "Cookie",
    "User-Agent",
    "Authorization",
]
ANY = {"Origin", "Cookie", "User-Agent", "Authorization"}  # fields in which HTTP allows such bytes (RFC 9110 5.5)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [b"caf\xe9", "café".encode(), b"\xff", b"\x80\x81"])
async def test_bytes_beyond_ascii_in_every_field(server, name, value):
    wanted = 101 if name in ANY else 426 if name.endswith("Version") else 400
    assert await status_of(server.port, request({name: value})) == wanted


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("byte", [b"\0", b"\r", b"\n", b"\x0b", b"\x0c"])
async def test_control_bytes_in_every_field(server, name, byte):
    assert await status_of(server.port, request({name: b"a" + byte + b"b"})) in (400, 426)


@pytest.mark.parametrize("name", NAMES)
async def test_every_field_folded(server, name):
    for fold in (b"\r\n ", b"\r\n\t"):
        assert await status_of(server.port, request({name: b"a" + fold + b"b"})) == 400


async def test_twenty_megabytes_of_fields_in_segments(server):
    """Refused at the limit: what comes after it is not kept."""
    chunks = [b"GET / HTTP/1.1\r\n"] + [b"X-%d: %s\r\n" % (n, b"a" * 4000) for n in range(5000)]
    assert await status_of(server.port, *chunks) == 431
    assert await status_of(server.port, *[b"GET / HTTP/1.1\r\nX: "] + [b"a" * 65_536] * 320) == 431


@pytest.mark.parametrize("connection", [b"Upgrade,keep-alive", b"keep-alive , upgrade", b"a,b,UPGRADE"])
async def test_an_upgrade_among_other_tokens(server, connection):
    assert await status_of(server.port, request({"Connection": connection})) == 101


@pytest.mark.parametrize("connection", [b"keep-alive", b"UpgradeX", b"xUpgrade", b"Upgrade;q=1", b'"Upgrade"', b""])
async def test_no_upgrade_among_other_tokens(server, connection):
    assert await status_of(server.port, request({"Connection": connection})) == 400


@pytest.mark.parametrize("version", [b"0", b"12", b"14", b"013", b"13.0", b"+13", b"1 3", b"13;", b"", b"9" * 5000])
async def test_a_wrong_version(server, version):
    assert await status_of(server.port, request({"Sec-WebSocket-Version": version})) in (400, 426)


SMUGGLED = {
    "chunks, and no": {"Transfer-Encoding": b"identity"},
    "chunks twice": {"Transfer-Encoding": b"chunked, chunked"},
    "two lengths": {"Content-Length": [b"0", b"5"]},
    "a list of lengths": {"Content-Length": b"0, 5"},
    "a length below zero": {"Content-Length": b"-1"},
    "a length with a sign": {"Content-Length": b"+0"},
    "a length in hexadecimal": {"Content-Length": b"0x0"},
}


@pytest.mark.parametrize("fields", SMUGGLED.values(), ids=SMUGGLED)
async def test_a_body_in_any_dress(server, fields):
    assert await status_of(server.port, request(fields) + b"0\r\n\r\n") in (400, 501)


# A client's: what a hostile server answers

HUGE = {
    "20 MB of one field": answer(more=b"X: " + b"a" * 20_000_000 + b"\r\n"),
    "20 MB of fields": answer(more=b"".join(b"X-%d: %s\r\n" % (n, b"a" * 4000) for n in range(5000))),
    "2,000 fields": answer(more=b"X: y\r\n" * 2000),
    "101 fields": answer(more=b"X: y\r\n" * 101),
    "a field of 9,000 bytes": answer(more=b"X: " + b"a" * 9000 + b"\r\n"),
    "a reason of 9,000 bytes": answer(line=b"HTTP/1.1 101 " + b"a" * 9000),
    "no end": answer()[:-2] + b"X: y\r\n" * 100_000,
    "nothing but empty lines": b"\r\n" * 100_000,
    "a number without end": b"HTTP/1.1 " + b"1" * 100_000,
}
BROKEN = {
    "two accept keys": answer({"Sec-WebSocket-Accept": [ACCEPT, ACCEPT]}),
    "two Upgrades": answer({"Upgrade": [b"websocket", b"websocket"]}),
    "a NUL": answer({"X": b"a\0b"}),
    "a bare CR": answer({"X": b"a\rb"}),
    "HTTP/1.0": answer(line=b"HTTP/1.0 101 Switching Protocols"),
    "HTTP/2": b"HTTP/2 101\r\n\r\n",
    "another accept key": answer({"Sec-WebSocket-Accept": b"AAAAAAAAAAAAAAAAAAAAAAAAAAA="}),
    "a subprotocol nobody offered": answer({"Sec-WebSocket-Protocol": b"soap"}),
    "an extension nobody offered": answer({"Sec-WebSocket-Extensions": b"permessage-deflate"}),
    "a body of chunks that are none": b"HTTP/1.1 400 No\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "a length that is none": b"HTTP/1.1 400 No\r\nContent-Length: many\r\n\r\n",
    **{
        f"{name} not ASCII": answer({name: b"caf\xe9"})
        for name in (
            "Upgrade",
            "Connection",
            "Sec-WebSocket-Accept",
            "Sec-WebSocket-Protocol",
            "Sec-WebSocket-Extensions",
        )
    },
}


@pytest.mark.parametrize("data", (HUGE | BROKEN).values(), ids=HUGE | BROKEN)
async def test_a_bad_answer(data):
    async with answering(data) as uri:
        with pytest.raises((trunkline.HandshakeError, trunkline.ConnectError)) as caught:
            await trunkline.connect(uri, proxy=None, open_timeout=10)
    assert len(str(caught.value)) < 1000
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("step", [None, 1])
@pytest.mark.parametrize(
    "data",
    [
        answer({"Connection": b"keep-alive, Upgrade"}),
        answer({"X": b"caf\xe9"}),
        answer({"X": b"a\r\n b"}),  # a client has nobody behind it who could read a fold in another way
        answer().replace(b"\r\n", b"\n"),
        b"HTTP/1.1 100 Continue\r\n\r\n" * 20 + answer(),
        b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + answer(),
    ],
)
async def test_an_odd_answer_that_will_do(data, step):
    async with answering(data, step=step, then_closes=False) as uri:
        ws = await trunkline.connect(uri, proxy=None)
        assert ws.response.status == 101
        ws.abort()


async def test_informational_answers_without_end():
    """To read them takes a third of a second for each read of 256 KiB, as long as they come."""
    async with answering(b"HTTP/1.1 100 Continue\r\n\r\n" * 50_000) as uri:
        with pytest.raises(trunkline.HandshakeError, match="more than 100 interim answers"):
            await trunkline.connect(uri, proxy=None)


async def test_as_many_informational_answers_as_may_be():
    async with answering(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 100 + answer(), then_closes=False) as uri:
        ws = await trunkline.connect(uri, proxy=None)
        ws.abort()


# What may be set: a line end in it would be another field

BREAKS = ["\r\n", "\n", "\r", "\0", "\u2028"]
SETTABLE = {
    "a value": lambda bad: {"additional_headers": {"X": f"a{bad}Y: b"}},
    "a value's end": lambda bad: {"additional_headers": {"X": f"a{bad}"}},
    "a name": lambda bad: {"additional_headers": {f"X{bad}Y": "b"}},
    "a subprotocol": lambda bad: {"subprotocols": [f"a{bad}Y: b"]},
    "the origin": lambda bad: {"origin": f"http://a{bad}Y: b"},
    "the user agent": lambda bad: {"user_agent_header": f"a{bad}Y: b"},
}


@pytest.mark.parametrize("bad", BREAKS, ids=repr)
@pytest.mark.parametrize("options", SETTABLE.values(), ids=SETTABLE)
async def test_a_line_end_in_what_a_client_sets(options, bad):
    with pytest.raises(trunkline.LocalProtocolError):
        trunkline.connect("ws://127.0.0.1:1/", proxy=None, **options(bad))


@pytest.mark.parametrize("bad", BREAKS[:4], ids=repr)
async def test_a_line_end_in_an_address(bad):
    for address in (f"ws://ho{bad}st/", f"ws://host/{bad}X: y", f"ws://us{bad}er:pw@host/", f"ws://host/?{bad}X: y"):
        with pytest.raises(trunkline.InvalidURI):
            trunkline.connect(address)


async def test_line_ends_that_are_escaped_stay_so():
    """In the path, the query, the user and the password, and in the parameters of a service."""
    asked = []
    async with trunkline.serve(
        trunkline.WebSocket.wait_closed, "127.0.0.1", 0, process_request=lambda ws, request: asked.append(request)
    ) as server:
        where = f"127.0.0.1:{server.port}"
        async with trunkline.connect(f"ws://a%0d%0aX:b%0d%0aY@{where}/%0d%0aZ:?%0d%0aZ:", proxy=None):
            pass
        service = trunkline.Service("a", f"ws://{where}/{{room}}?x={{x}}", sends=str, receives=str)
        async with trunkline.ConnectionManager([service]) as manager:
            await manager.connect(service, room="a\r\nX: y", x="b\r\nZ: y")
    assert [request.path for request in asked] == ["/%0d%0aZ:?%0d%0aZ:", "/a%0D%0AX%3A%20y?x=b%0D%0AZ%3A%20y"]
    for request_seen in asked:
        assert not {name for name, _ in request_seen.headers} & {"x", "y", "z"}


@pytest.mark.parametrize("bad", BREAKS[:4], ids=repr)
async def test_a_line_end_in_what_a_server_sets(bad):
    """In the fields of every answer: refused when it starts. In those of one refusal: logged, and it is a 500."""
    for headers in ({"X": f"a{bad}Y: b"}, {f"X{bad}Y": "b"}):
        with pytest.raises(trunkline.LocalProtocolError):
            trunkline.serve(trunkline.WebSocket.wait_closed, "127.0.0.1", 0, additional_headers=headers)
        response = trunkline.Response(403, headers)
        async with trunkline.serve(
            trunkline.WebSocket.wait_closed, "127.0.0.1", 0, process_request=lambda *_, it=response: it
        ) as server:
            with pytest.raises(trunkline.HandshakeError) as caught:
                await trunkline.connect(f"ws://127.0.0.1:{server.port}/", proxy=None)
            assert caught.value.status == 500
