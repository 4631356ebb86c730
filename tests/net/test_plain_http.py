"""What comes to a server's port without a WebSocket handshake: probes, browsers, load balancers, other protocols."""

import asyncio

import h11
import pytest

import trunkline
from rawhttp import dialled, request, status_of

pytestmark = pytest.mark.anyio


@pytest.fixture
async def served(caplog):
    """Makes servers. No stranger may cause a log line above INFO, or reach the loop's exception handler."""
    reached = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reached.append(context))
    caplog.set_level("INFO")
    yield lambda **options: trunkline.serve(
        trunkline.WebSocket.wait_closed, "127.0.0.1", 0, **{"open_timeout": 5, "close_timeout": 1, **options}
    )
    assert reached == []
    assert [record for record in caplog.records if record.levelname not in ("INFO", "DEBUG")] == []


async def talk(server, *chunks):
    """What the server answers to these bytes, until it hangs up."""
    async with dialled(server.port) as (reader, writer):
        for chunk in chunks:
            writer.write(chunk)
            await writer.drain()
            await asyncio.sleep(0)
        return await reader.read()


def parsed(answer, method="GET"):
    """Status, fields and body of an answer, as an HTTP client reads them. The connection must end with it."""
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method=method, target="/", headers=[("Host", "a"), ("Connection", "close")]))
    client.send(h11.EndOfMessage())
    client.receive_data(answer)
    client.receive_data(b"")
    response, body = client.next_event(), b""
    assert isinstance(response, h11.Response)
    while isinstance(event := client.next_event(), h11.Data):
        body += event.data
    assert isinstance(event, h11.EndOfMessage)
    assert isinstance(client.next_event(), h11.ConnectionClosed)
    fields = {}
    for name, value in response.headers:
        fields[name] = b", ".join([*([fields[name]] if name in fields else []), value])
    options = {option.strip().lower() for option in fields[b"connection"].split(b",")}
    assert b"close" in options
    assert (b"upgrade" in options) is (b"upgrade" in fields)
    return response.status_code, fields, body


def line(method="GET", target="/healthz", version="1.1", more=""):
    host = "Host: a\r\n" if version == "1.1" else ""
    return f"{method} {target} HTTP/{version}\r\n{host}{more}\r\n".encode()


def fine(ws, request):
    return ws.respond(200, f"{request.method} {request.path}")


async def fine_later(ws, request):
    await asyncio.sleep(0)
    return fine(ws, request)


@pytest.mark.parametrize("process", [fine, fine_later])
@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS", "DELETE", "BREW"])
async def test_process_request_may_answer_any_request(served, process, version, method):
    async with served(process_request=process) as server:
        answer = await talk(server, line(method, "/healthz?a=b", version))
    status, fields, body = parsed(answer, method)
    text = f"{method} /healthz?a=b".encode()
    assert (status, fields[b"content-length"]) == (200, b"%d" % len(text))
    assert body == (b"" if method == "HEAD" else text)


@pytest.mark.parametrize("process", [None, lambda ws, request: None])
@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize(
    ("method", "status", "names"),
    [("GET", 426, {b"upgrade": b"websocket"}), ("HEAD", 426, {b"upgrade": b"websocket"})]
    + [(method, 405, {b"allow": b"GET, HEAD"}) for method in ("POST", "PUT", "OPTIONS", "TRACE", "BREW")],
)
async def test_a_plain_request_that_nobody_answers(served, process, version, method, status, names):
    async with served(process_request=process) as server:
        answer = await talk(server, line(method, "/", version))
        assert server.health().refused == 1
    seen, fields, body = parsed(answer, method)
    assert seen == status
    assert names.items() <= fields.items()
    assert (body == b"") is (method == "HEAD")


async def test_connect_is_no_request_for_a_program(served):
    async with served(process_request=fine) as server:
        status, fields, _ = parsed(await talk(server, line("CONNECT", "a.example:443")))
        assert (status, fields[b"allow"]) == (405, b"GET, HEAD")
        assert parsed(await talk(server, line("CONNECT", "/")))[0] == 405


async def test_a_head_that_is_broken_gets_no_body(served):
    async with served(process_request=fine) as server:
        for data in (b"HEAD / HTTP/1.1\r\n\r\n", line("HEAD", "/a#b"), line("HEAD", more="X: a\0b\r\n")):
            status, _, body = parsed(await talk(server, data), "HEAD")
            assert (status, body) == (400, b"")


async def test_a_body_is_read_and_thrown_away(served):
    async with served(process_request=fine_later) as server:
        body = b"x" * 300_000
        for data in (
            line("POST", more="Content-Length: 300000\r\n") + body,
            line("POST", more="Transfer-Encoding: chunked\r\n") + b"493e0\r\n" + body + b"\r\n0\r\n\r\n",
            line("POST", more="Transfer-Encoding: chunked\r\n") + b"nonsense\r\n" + body,
            line("GET", more="Content-Length: 300000\r\n") + body,
        ):
            assert parsed(await talk(server, data))[0] == 200


async def test_an_upgrade_that_cannot_be_is_a_plain_request(served):
    """To HTTP/2, as curl asks for, or in HTTP/1.0, where it is to be ignored (RFC 9110 7.8)."""
    for data, refused in ((request({"Upgrade": b"h2c"}), 426), (request(line=b"GET / HTTP/1.0"), 505)):
        async with served(process_request=fine) as server:
            assert parsed(await talk(server, data))[0] == 200
        async with served() as server:
            assert parsed(await talk(server, data))[0] == refused


async def test_the_request_is_there_for_a_plain_request(served):
    seen = []

    def look(ws, request):
        seen.append((ws.request is request, ws.request.method, ws.request.path, ws.request.headers["x"]))
        return fine(ws, request)

    async with served(process_request=look) as server:
        await talk(server, line("HEAD", "/a?b", more="X: y\r\n"))
    assert seen == [(True, "HEAD", "/a?b", "y")]


async def test_it_is_asked_once_however_the_request_is_cut(served):
    seen = []

    async def look(ws, request):
        seen.append(request.path)
        await asyncio.sleep(0.01)
        return fine(ws, request)

    async with served(process_request=look) as server:
        data = line("POST", more="Content-Length: 5\r\n") + b"hello" + line("GET", "/second")
        assert parsed(await talk(server, *(bytes((byte,)) for byte in data)))[2] == b"POST /healthz"
    assert seen == ["/healthz"]


# A target that is a whole URL


@pytest.mark.parametrize(
    ("target", "host", "origin", "status"),
    [
        ("http://a.example/chat?x=1", "a.example", None, 101),
        ("http://a.example/chat?x=1", "b.example", None, 101),
        ("http://a.example/chat?x=1", "b.example", "http://a.example", 101),
        ("http://a.example/chat?x=1", "b.example", "http://b.example", 403),
        ("ws://a.example:81/chat?x=1", "a.example", "http://a.example:81", 101),
        ("http://a b/chat", "a", None, 400),
        ("http:///chat", "a", None, 400),
    ],
)
async def test_the_host_of_a_target(served, target, host, origin, status):
    seen = []

    def look(ws, request):
        seen.append((request.path, request.headers["host"]))

    async with served(process_request=look) as server:
        fields = {"Host": host.encode(), "Origin": origin and origin.encode()}
        assert await status_of(server.port, request(fields, line=f"GET {target} HTTP/1.1".encode())) == status
    if status == 101:
        assert seen == [("/chat?x=1", target.split("/")[2])]


# What is no HTTP

TLS = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(300)
STRANGERS = {
    "TLS": (TLS, "this is TLS, but this port expects plain HTTP: it begins with b'\\x16\\x03\\x01"),
    "PROXY protocol 1": (
        b"PROXY TCP4 192.0.2.1 192.0.2.2 40000 80\r\n" + request(),
        "this is the PROXY protocol, version 1, which is not supported: it begins with b'PROXY TCP4 192.0.2.1",
    ),
    "PROXY protocol 2": (
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c" + bytes(12) + request(),
        "this is the PROXY protocol, version 2, which is not supported",
    ),
    "SSH": (b"SSH-2.0-OpenSSH_9.2\r\n", "this is not HTTP: it begins with b'SSH-2.0-OpenSSH_9.2'"),
    "SMB": (b"\0\0\0\x85\xffSMBr" + bytes(100), "this is not HTTP: it begins with b'\\x00\\x00\\x00\\x85\\xffSMBr"),
    "RDP": (b"\x03\0\0\x13\x0e\xe0\0\0\0\0\0\1\0\x08\0\3\0\0\0", "this is not HTTP: it begins with b'\\x03"),
    "Redis": (b"*1\r\n$4\r\nPING\r\n", "this is not HTTP: it begins with b'*1'"),
    "version 8": (
        request({"Sec-WebSocket-Version": b"8"}),
        "Sec-WebSocket-Version is b'8', must be 13 (RFC 6455 4.2.1)",
    ),
    "no Host": (b"GET / HTTP/1.1\r\n\r\n", "Missing mandatory Host: header"),
}


@pytest.mark.parametrize("name", STRANGERS)
async def test_the_log_names_what_was_seen(served, caplog, name):
    data, words = STRANGERS[name]
    async with served() as server:
        parsed(await talk(server, data))
    [told] = [record for record in caplog.records if record.name == "trunkline.net"]
    assert told.event == "handshake.refused"
    assert told.remote[0] == "127.0.0.1"
    assert words in told.getMessage()
    assert len(told.getMessage()) < 600
    assert told.getMessage().isprintable()


# Bounds on the head

COOKIE = b"x" * 20_000


async def test_long_lines_where_they_are_asked_for(served):
    async with served() as server:
        assert parsed(await talk(server, request({"Cookie": COOKIE})))[0] == 431
    async with served(max_line=32_768, max_head=65_536, max_fields=7) as server:
        uri = f"ws://127.0.0.1:{server.port}/" + "y" * 20_000
        async with trunkline.connect(uri, additional_headers={"Cookie": COOKIE.decode()}) as ws:
            assert ws.request.headers["cookie"] == COOKIE.decode()
        assert parsed(await talk(server, request({"Cookie": [COOKIE] * 4})))[0] == 431
        assert parsed(await talk(server, request({"X": [b"y"] * 3})))[0] == 431


async def test_long_lines_of_an_answer(served):
    options = {"max_line": 32_768, "max_head": 65_536}
    async with served(additional_headers={"Set-Cookie": COOKIE.decode()}) as server:
        uri = f"ws://127.0.0.1:{server.port}/"
        async with trunkline.connect(uri, **options) as ws:
            assert trunkline.Headers(ws.response.headers)["set-cookie"] == COOKIE.decode()
        with pytest.raises(trunkline.HandshakeError, match=r"field of 20012 bytes, limit 8192 \(max_line\)"):
            await trunkline.connect(uri)
        service = trunkline.Service("a", uri, sends=str, receives=str, codec=trunkline.manager.RawCodec, **options)
        async with trunkline.ConnectionManager([service]) as manager:
            await asyncio.wait_for(manager.connect(service), 20)


async def test_a_refusal_with_a_long_line_is_still_a_refusal(served):
    def refuse(ws, request):
        return trunkline.Response(403, {"Content-Security-Policy": COOKIE.decode()}, b"no")

    async with served(process_request=refuse) as server:
        with pytest.raises(trunkline.HandshakeError) as caught:
            await trunkline.connect(f"ws://127.0.0.1:{server.port}/")
    assert (caught.value.status, caught.value.body) == (403, b"no")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"max_line": 0}, "max_line is 0, must be 1 or more"),
        ({"max_head": None}, "max_head is None, must be 1 or more"),
        ({"max_fields": 1.5}, "max_fields is 1.5, must be 1 or more"),
        ({"max_line": 40_000}, "max_line is 40000 bytes, must be at most max_head, 32768"),
    ],
)
async def test_bounds_that_cannot_be(served, options, words):
    with pytest.raises(ValueError, match=words):
        served(**options)
    with pytest.raises(ValueError, match=words):
        trunkline.connect("ws://127.0.0.1:1/", **options)
