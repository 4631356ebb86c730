"""Whatever is wrong with an address, a server, a certificate or a message: one error says what it is."""

import asyncio
import contextlib
import encodings.idna
import socket

import pytest

import trunkline
from handlers import echo
from rawpeer import BINARY, TEXT
from trunkline import ErrorCategory as Category

pytestmark = pytest.mark.anyio

ADDRESSES = {
    "http": ("http://localhost/", "scheme is 'http', must be ws or wss"),
    "no scheme": ("localhost:8765", "must be ws or wss"),
    "no host": ("ws:///path", "the URL has no host"),
    "fragment": ("ws://localhost/#top", "cannot have a fragment"),
    "empty fragment": ("ws://localhost/#", "cannot have a fragment"),
    "port too high": ("ws://localhost:65536/", "port is not a number from 1 to 65535"),
    "port 0": ("ws://localhost:0/", "port is 0"),
    "port in words": ("ws://localhost:http/", "not a WebSocket URL"),
    "a space": ("ws://local host/", "cannot contain spaces or control characters"),
    "a line end": ("ws://localhost/\r\nHost: evil", "cannot contain spaces or control characters"),
    "half an IPv6 address": ("ws://[::1/", "not a WebSocket URL"),
    "a label too long": (f"ws://{'a' * 64}.example/", "not a host name"),
    "half a surrogate pair": ("ws://localhost/\ud800", "cannot contain lone surrogates"),
    "not a str": (b"ws://localhost/", "must be a str, not bytes"),
}


@pytest.mark.parametrize(("address", "words"), ADDRESSES.values(), ids=ADDRESSES)
async def test_no_websocket_url(address, words):
    with pytest.raises(trunkline.InvalidURI, match=words) as caught:
        await trunkline.connect(address)
    assert isinstance(caught.value, ValueError)
    assert (caught.value.category, caught.value.recoverable) == (Category.CONNECTION_FAILED, False)


async def test_a_port_that_refuses(refusing_port):
    with pytest.raises(trunkline.ConnectError, match=f"127.0.0.1:{refusing_port}: Connection refused") as caught:
        await trunkline.connect(f"ws://127.0.0.1:{refusing_port}/")
    assert isinstance(caught.value, OSError)
    assert (caught.value.category, caught.value.recoverable) == (Category.CONNECTION_REFUSED, True)
    assert caught.value.phase == "tcp"


async def test_a_name_that_is_not_found():
    with pytest.raises(trunkline.ConnectError, match=r"cannot resolve nowhere\.invalid") as caught:
        await trunkline.connect("ws://nowhere.invalid/")
    assert (caught.value.category, caught.value.phase) == (Category.DNS_FAILED, "dns")
    assert isinstance(caught.value.__cause__, socket.gaierror)


@pytest.mark.posix
async def test_a_unix_socket_that_is_not_there(unix_path):
    with pytest.raises(trunkline.ConnectError, match="No such file") as caught:
        await trunkline.connect("ws://localhost/", unix=unix_path)
    assert caught.value.category is Category.CONNECTION_REFUSED


@contextlib.asynccontextmanager
async def answering(answer):
    """A TCP server that reads a request, answers it and closes."""

    async def talk(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        with contextlib.suppress(ConnectionError):
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    try:
        async with asyncio.timeout(20):
            yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    finally:
        server.close()


def plain(status, body=b"", fields=""):
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{fields}\r\n".encode() + body


SWITCH = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
ANSWERS = {
    "404": (plain("404 Not Found", b"nothing here"), 404, "the server answered 404 Not Found", Category.NOT_FOUND),
    "plain HTTP": (
        plain("200 OK", b"<html>"),
        200,
        "the server answered 200 OK, expected 101",
        Category.INVALID_UPGRADE,
    ),
    "503": (plain("503 No", fields="Retry-After: 7\r\n"), 503, "answered 503", Category.SERVICE_UNAVAILABLE),
    "401": (plain("401 Who"), 401, "answered 401 Unauthorized", Category.AUTHENTICATION_FAILED),
    "redirect": (plain("302 Found", fields="Location: ws://x/\r\n"), 302, "answered 302 Found", Category.REDIRECT),
    "no accept key": (f"{SWITCH}\r\n".encode(), 101, "Sec-WebSocket-Accept is missing", Category.INVALID_UPGRADE),
    "wrong key": (
        f"{SWITCH}Sec-WebSocket-Accept: x\r\n\r\n".encode(),
        101,
        "Sec-WebSocket-Accept is 'x'",
        Category.INVALID_UPGRADE,
    ),
    "101 to something else": (
        b"HTTP/1.1 101 Switching\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
        101,
        "Upgrade is 'h2c'",
        Category.INVALID_UPGRADE,
    ),
    "no HTTP": (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", None, "is not HTTP", Category.INVALID_UPGRADE),
}


@pytest.mark.parametrize(("answer", "status", "words", "category"), ANSWERS.values(), ids=ANSWERS)
async def test_a_server_that_answers_something_else(answer, status, words, category):
    async with answering(answer) as uri:
        with pytest.raises(trunkline.HandshakeError, match=words) as caught:
            await trunkline.connect(uri)
    assert (caught.value.status, caught.value.category) == (status, category)


async def test_the_answer_is_kept():
    async with answering(plain("503 Busy", b"come back", "Retry-After: 7\r\n")) as uri:
        with pytest.raises(trunkline.HandshakeError) as caught:
            await trunkline.connect(uri)
    assert (caught.value.body, caught.value.retry_after) == (b"come back", 7.0)
    assert dict(caught.value.headers)["retry-after"] == "7"


async def test_a_body_without_end_is_cut():
    async with answering(b"HTTP/1.1 500 Oops\r\n\r\n" + b"x" * 300_000) as uri:
        with pytest.raises(trunkline.HandshakeError) as caught:
            await trunkline.connect(uri)
    assert caught.value.body == b"x" * 65536


async def test_a_server_that_hangs_up():
    async with answering(b"") as uri:
        with pytest.raises(trunkline.ConnectError, match="without an answer") as caught:
            await trunkline.connect(uri)
    assert (caught.value.category, caught.value.recoverable) == (Category.NETWORK_ERROR, True)


async def test_a_server_that_says_nothing():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(trunkline.OpenTimeout, match=r"not open after 0\.5 s, .*handshake.*open_timeout") as caught:
            await trunkline.connect(f"ws://127.0.0.1:{port}/", open_timeout=0.5)
    assert isinstance(caught.value, TimeoutError)
    assert caught.value.category is Category.TIMEOUT


async def test_a_certificate_for_another_host(wrong_name_tls, client_tls):
    async with trunkline.serve(trunkline.WebSocket.wait_closed, "127.0.0.1", 0, ssl=wrong_name_tls) as server:
        with pytest.raises(
            trunkline.ConnectError, match=r"cannot set up TLS with localhost:.*[Hh]ostname mismatch"
        ) as caught:
            await trunkline.connect(f"wss://localhost:{server.port}/", ssl=client_tls)
    assert (caught.value.category, caught.value.recoverable) == (Category.TLS_CERTIFICATE, False)
    assert caught.value.phase == "tls"


async def test_a_message_over_the_limit(line):
    async with line(max_size=1000) as (ws, peer):
        peer.send(BINARY, b"fits".ljust(1000))
        peer.send(BINARY, b"x" * 1001)
        peer.send(TEXT, b"behind it")
        assert await ws.recv() == b"fits".ljust(1000)  # nothing that was received before is lost
        with pytest.raises(trunkline.MessageTooBig, match=r"message of 1001 bytes.*max_size 1000 .*RFC 6455") as caught:
            await ws.recv()
        assert (caught.value.code, caught.value.initiator) == (1009, "local")
        assert caught.value.category is Category.MESSAGE_TOO_BIG
        assert (await peer.frame()).close[0] == 1009


async def test_a_peer_that_goes_on_sending_still_reads_the_close_code(line):
    async with line(max_size=1000) as (ws, peer):
        for _ in range(50):
            peer.send(BINARY, b"x" * 100_000)
        assert (await peer.frame()).close[0] == 1009
        with pytest.raises(trunkline.MessageTooBig):
            await ws.recv()


async def test_text_that_is_not_utf8(line):
    async with line() as (ws, peer):
        peer.send(TEXT, b"good")
        peer.send(TEXT, b"bad \xff")
        assert await ws.recv() == "good"
        with pytest.raises(trunkline.RemoteProtocolError, match=r"not UTF-8 at byte 4 \(RFC 6455 8\.1\)") as caught:
            await ws.recv()
        assert (caught.value.code, caught.value.category) == (1007, Category.INVALID_DATA)
        assert (await peer.frame()).close[0] == 1007


async def test_the_server_goes_on_for_the_others(raw_client):
    async with trunkline.serve(echo, "127.0.0.1", 0, max_size=1000) as server, raw_client(server) as good:
        for opcode, payload in ((BINARY, b"x" * 2000), (TEXT, b"\xff"), (5, b"")):
            async with raw_client(server) as bad:
                bad.send(opcode, payload)
                assert (await bad.frame()).opcode == 8
            good.send(TEXT, b"still there")
            assert (await good.frame()).payload == b"still there"


@pytest.mark.parametrize(
    "options",
    [
        {"open_timeout": 0},
        {"close_timeout": -1},
        {"close_timeout": None},
        {"ping_interval": 0},
        {"max_size": -1},
        {"max_fragments": 0},
        {"max_control_rate": 0},
        {"max_queue": (1, 2)},
        {"write_limit": 0},
        {"compression": "gzip"},
    ],
    ids=str,
)
async def test_settings_that_make_no_sense(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        trunkline.connect("ws://localhost/", **options)
    with pytest.raises(ValueError, match=next(iter(options))):
        trunkline.serve(trunkline.WebSocket.wait_closed, "127.0.0.1", 0, **options)


@pytest.mark.parametrize("host", ["é" * 8000, "a." * 4000, "xn--" + "7u" * 4000], ids=["é", "labels", "Punycode"])
async def test_a_host_without_end_is_not_encoded(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    """IDNA takes quadratic time, and the host may come from a redirect."""
    encoded: list[str] = []
    monkeypatch.setattr(encodings.idna, "ToASCII", encoded.append)
    with pytest.raises(trunkline.InvalidURI, match=r"the host has \d+ characters, limit 255 \(RFC 1035 2\.3\.4\)"):
        trunkline.connect(f"ws://{host}/")
    assert encoded == []
