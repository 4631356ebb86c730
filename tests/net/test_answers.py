"""What servers may answer to our client: refusals, nonsense, too little, too much."""

import asyncio
import socket
from typing import NamedTuple

import pytest

import trunkline
from rawframes import build
from rawhttp import ACCEPT, LIMIT, answer, answering, head
from trunkline import ErrorCategory as Category

pytestmark = pytest.mark.anyio


class Bad(NamedTuple):
    """An answer, and what the HandshakeError says of it. status: None if it is not HTTP."""

    answer: bytes
    words: str
    status: int | None = 101
    category: Category = Category.INVALID_UPGRADE
    recoverable: bool = True


BAD = {
    "somebody else's accept key": Bad(
        answer({"Sec-WebSocket-Accept": b"A" * 27 + b"="}),
        r"Sec-WebSocket-Accept is 'A{27}=', must be '[+/0-9A-Za-z]{27}=' for our key \(RFC 6455 4\.1\)",
    ),
    "no accept key": Bad(answer({"Sec-WebSocket-Accept": None}), "Sec-WebSocket-Accept is missing, must be"),
    "two accept keys": Bad(answer({"Sec-WebSocket-Accept": [ACCEPT, ACCEPT]}), "accept appears twice"),
    "no Upgrade": Bad(answer({"Upgrade": None}), r"Upgrade is missing, must be 'websocket' \(RFC 6455 4\.1\)"),
    "another Upgrade": Bad(answer({"Upgrade": b"h2c"}), "Upgrade is 'h2c', must be 'websocket'"),
    "no Connection": Bad(
        answer({"Connection": b"close"}), r"Connection is 'close', must include 'Upgrade' \(RFC 6455 4\.1\)"
    ),
    "no Connection at all": Bad(answer({"Connection": None}), "Connection is missing, must include 'Upgrade'"),
    "two Connections": Bad(
        answer({"Connection": [b"keep-alive", b"close"]}),
        "Connection is 'keep-alive, close', must include 'Upgrade'",
    ),
    "two Upgrades": Bad(answer({"Upgrade": [b"websocket", b"websocket"]}), "upgrade appears twice"),
    "a long Upgrade": Bad(answer({"Upgrade": b"h" * 5000}), f"Upgrade is '{'h' * 100}', must be"),
    "two extension fields": Bad(
        answer({"Sec-WebSocket-Extensions": [b"permessage-deflate", b"x"]}), "extensions appears twice"
    ),
    "a field with a space before its colon": Bad(answer(more=b"X : y\r\n"), r"illegal header line \(RFC 9112\)$"),
    "HTTP/1.0": Bad(answer(line=b"HTTP/1.0 101 Switching Protocols"), "HTTP/1.0, must be 1.1"),
    "a subprotocol that was not offered": Bad(
        answer({"Sec-WebSocket-Protocol": b"mqtt"}), "the chosen subprotocol, of 4 characters, was not offered"
    ),
    "a subprotocol in another case": Bad(
        answer({"Sec-WebSocket-Protocol": b"CHAT"}), "the chosen subprotocol, of 4 characters, was not offered"
    ),
    "two subprotocols": Bad(
        answer({"Sec-WebSocket-Protocol": b"chat, soap"}), "the chosen subprotocol, of 10 characters, was not offered"
    ),
    "two subprotocol fields": Bad(answer({"Sec-WebSocket-Protocol": [b"chat", b"soap"]}), "protocol appears twice"),
    "a subprotocol beyond ASCII": Bad(
        answer({"Sec-WebSocket-Protocol": b"caf\xe9"}), "of 4 characters, was not offered"
    ),
    "an extension that was not offered": Bad(
        answer({"Sec-WebSocket-Extensions": b"permessage-deflate"}),
        r"extension 'permessage-deflate' was not offered \(RFC 6455 4\.1\)",
    ),
    "an extension beyond ASCII": Bad(
        answer({"Sec-WebSocket-Extensions": b"caf\xe9"}), "extension 'café' was not offered"
    ),
    "a field of 9,000 bytes": Bad(answer({"X": b"x" * 9000}), "header field of 9003 bytes, limit 8192"),
    "2,000 fields": Bad(answer({"X": [b"y"] * 2000}), "2003 header fields, limit 100"),
    "a head of 1 MB": Bad(answer({"X": b"x" * 1_000_000}), "HTTP head is longer than 32768 bytes", None),
    "SSH": Bad(b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "is not HTTP", None),
    "noughts": Bad(bytes(1000) + b"\r\n\r\n", "is not HTTP", None),
    "frames at once": Bad(build(1, b"hello\r\n\r\n", masked=False), "is not HTTP", None),
    "a status of two digits": Bad(head(b"HTTP/1.1 99 Low", {}), "is not HTTP", None),
    "404": Bad(
        head(b"HTTP/1.1 404 Not Found", {"Content-Length": b"0"}),
        r"^the server answered 404 Not Found, expected 101 \(RFC 6455 4\.1\)$",
        404,
        Category.NOT_FOUND,
    ),
    "a status that nobody knows": Bad(
        head(b"HTTP/1.1 599 Whatever", {"Content-Length": b"0"}), "answered 599", 599, Category.SERVICE_UNAVAILABLE
    ),
    "a body that does not end with its chunks": Bad(
        head(b"HTTP/1.1 404 Not Found", {"Transfer-Encoding": b"chunked"}) + b"nonsense\r\n",
        "answered 404",
        404,
        Category.NOT_FOUND,
    ),
    "a body cut short": Bad(
        head(b"HTTP/1.1 403 Forbidden", {"Content-Length": b"1000"}) + b"half",
        "answered 403",
        403,
        Category.FORBIDDEN,
        False,
    ),
}


@pytest.mark.parametrize("name", BAD)
async def test_an_answer_that_is_no_good_101(name: str) -> None:
    bad = BAD[name]
    async with answering(bad.answer) as uri:
        with pytest.raises(trunkline.HandshakeError, match=bad.words) as caught:
            await trunkline.connect(uri, subprotocols=["chat", "soap"])
    seen = caught.value.status, caught.value.category, caught.value.recoverable
    assert seen == (bad.status, bad.category, bad.recoverable)


GOOD = {
    "the least": (answer(), None),
    "other cases": (answer({"Upgrade": b"WebSocket", "Connection": b"keep-alive, UPGRADE"}), None),
    "two Connections, the first with Upgrade": (answer({"Connection": [b"Upgrade", b"keep-alive"]}), None),
    "two Connections, the last with Upgrade": (answer({"Connection": [b"keep-alive", b"a, upgrade"]}), None),
    "Connections far apart": (answer({"Connection": b"Upgrade", "X": b"y", "connection": b"keep-alive"}), None),
    "a subprotocol": (answer({"Sec-WebSocket-Protocol": b"soap"}), "soap"),
    "interim answers before it": (
        head(b"HTTP/1.1 100 Continue", {}) + head(b"HTTP/1.1 103 Early Hints", {"Link": b"</x>"}) + answer(),
        None,
    ),
    "lines ended by LF": (answer().replace(b"\r\n", b"\n"), None),
}


@pytest.mark.parametrize("step", [None, 1, 7])
@pytest.mark.parametrize(("data", "subprotocol"), GOOD.values(), ids=GOOD)
async def test_a_good_answer_however_it_is_cut(data: bytes, subprotocol: str | None, step: int | None) -> None:
    frames = build(1, b"at once", masked=False) + build(8, b"\x03\xe8", masked=False)
    async with answering(data + frames, step=step) as uri:
        async with trunkline.connect(uri, subprotocols=["chat", "soap"]) as ws:
            assert ws.subprotocol == subprotocol
            assert [message async for message in ws] == ["at once"]
        assert ws.close_code == 1000


async def test_the_answer_can_be_looked_at() -> None:
    async with answering(answer({"X-Served-By": b"caf\xe9", "Set-Cookie": [b"a=1", b"b=2"]})) as uri:
        ws = await trunkline.connect(uri)
    assert ws.response is not None
    headers = trunkline.Headers(ws.response.headers)
    assert ws.response.status == 101
    assert headers["x-served-by"] == "café"
    assert headers.get_all("set-cookie") == ["a=1", "b=2"]
    await ws.wait_closed()


async def test_a_listener_gets_the_frames_that_came_with_the_answer() -> None:
    heard: list[object] = []

    class Ear(trunkline.Listener):
        def on_open(self, ws: trunkline.WebSocket) -> None:
            heard.append("open")

        def on_message(self, ws: trunkline.WebSocket, message: str | bytes) -> None:
            heard.append(message)

        def on_close(self, ws: trunkline.WebSocket, close: trunkline.Close) -> None:
            heard.append(close.code)

    frames = build(1, b"a", masked=False) + build(2, b"b", masked=False) + build(8, b"\x03\xe9", masked=False)
    async with answering(answer() + frames) as uri:
        ws = await trunkline.connect(uri, listener=Ear())
        await ws.wait_closed()
    assert heard == ["open", "a", b"b", 1001]


# What a refusal says is kept


@pytest.mark.parametrize("step", [None, 1])
async def test_status_fields_and_body_of_a_refusal(step: int | None) -> None:
    data = head(b"HTTP/1.1 503 Busy", {"Retry-After": b"7", "Content-Length": b"9"}) + b"come back"
    async with answering(data, step=step) as uri:
        with pytest.raises(trunkline.HandshakeError, match="503 Service Unavailable") as caught:
            await trunkline.connect(uri)
    error = caught.value
    assert (error.status, error.body, error.retry_after) == (503, b"come back", 7.0)
    assert ("retry-after", "7") in list(error.headers)
    assert (error.category, error.recoverable) == (Category.SERVICE_UNAVAILABLE, True)


BODIES = {
    "of a length": head(b"HTTP/1.1 200 OK", {"Content-Length": b"6"}) + b"<html>",
    "in chunks": head(b"HTTP/1.1 200 OK", {"Transfer-Encoding": b"chunked"}) + b"2\r\n<h\r\n4\r\ntml>\r\n0\r\n\r\n",
    "up to the end": head(b"HTTP/1.1 200 OK", {}) + b"<html>",
    "of HTTP/1.0": head(b"HTTP/1.0 200 OK", {}) + b"<html>",
}


@pytest.mark.parametrize("data", BODIES.values(), ids=BODIES)
async def test_bodies(data: bytes) -> None:
    async with answering(data) as uri:
        with pytest.raises(trunkline.HandshakeError, match="200 OK, expected 101") as caught:
            await trunkline.connect(uri)
    assert (caught.value.status, caught.value.body) == (200, b"<html>")


@pytest.mark.parametrize("fields", [{}, {"Content-Length": b"5000000"}], ids=["no length", "5 MB"])
async def test_a_huge_body_is_cut(fields: dict[str, bytes]) -> None:
    async with answering(head(b"HTTP/1.1 500 Oops", fields) + b"x" * 5_000_000) as uri:
        with pytest.raises(trunkline.HandshakeError) as caught:
            await trunkline.connect(uri)
    assert caught.value.body == b"x" * 65536


async def test_a_refusal_whose_body_never_ends_is_still_a_refusal() -> None:
    data = head(b"HTTP/1.1 403 Forbidden", {"Content-Length": b"100"}) + b"because"
    async with answering(data, then_closes=False) as uri:
        with pytest.raises(trunkline.HandshakeError) as caught:
            await trunkline.connect(uri, open_timeout=1)
    assert (caught.value.status, caught.value.body) == (403, b"because")


@pytest.mark.parametrize("fields", [{}, {"Content-Length": b"100"}, {"Transfer-Encoding": b"chunked"}])
async def test_a_refusal_without_an_end_does_not_wait_for_one(fields: dict[str, bytes]) -> None:
    """Not even if there is no limit for the opening: its status is known."""
    data = head(b"HTTP/1.1 403 Forbidden", fields) + (b"7\r\nbecause" if "Transfer-Encoding" in fields else b"because")
    async with answering(data, then_closes=False) as uri:
        with pytest.raises(trunkline.HandshakeError) as caught:
            await trunkline.connect(uri, open_timeout=None)
    assert (caught.value.status, caught.value.body) == (403, b"because")


# No answer at all


@pytest.mark.parametrize("data", [b"", b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: web"], ids=["none", "half"])
async def test_a_server_that_hangs_up(data: bytes) -> None:
    async with answering(data) as uri:
        address = uri.removeprefix("ws://").rstrip("/")
        with pytest.raises(trunkline.ConnectError, match=f"{address}: the server ended .* without an answer") as caught:
            await trunkline.connect(uri)
    assert (caught.value.category, caught.value.recoverable) == (Category.NETWORK_ERROR, True)


BANNERS = {"SSH": b"SSH-2.0-OpenSSH_9.2\r\n", "SMTP": b"220 mail.example ESMTP\r\n", "one byte": b"\x15"}


@pytest.mark.parametrize("then_closes", [True, False], ids=["hangs up", "waits"])
@pytest.mark.parametrize("banner", BANNERS.values(), ids=BANNERS)
async def test_a_banner_of_another_protocol(banner: bytes, then_closes: bool) -> None:
    """Without an empty line there is no HTTP head, but the error still says what came."""
    async with answering(banner, then_closes=then_closes) as uri:
        with pytest.raises(trunkline.HandshakeError, match="the server's answer is not HTTP: it begins with") as caught:
            await trunkline.connect(uri, open_timeout=LIMIT if then_closes else 1)
    assert repr(banner)[1:] in str(caught.value)
    assert (caught.value.status, caught.value.category) == (None, Category.INVALID_UPGRADE)


async def test_no_more_of_a_banner_is_told_than_a_line() -> None:
    async with answering(b"x" * 5000) as uri:
        with pytest.raises(trunkline.HandshakeError, match=f"begins with b'{'x' * 64}', must be HTTP/1.1$"):
            await trunkline.connect(uri)


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 101 Switching Pro"], ids=["nothing", "half"])
async def test_a_server_that_falls_silent(said: bytes) -> None:
    async with answering(said, then_closes=False) as uri:
        text = r"not open after 0\.5 s, in phase handshake: no answer to the request \(open_timeout\)"
        with pytest.raises(trunkline.OpenTimeout, match=text) as caught:
            await trunkline.connect(uri, open_timeout=0.5)
    assert isinstance(caught.value, TimeoutError)
    assert caught.value.phase == "handshake"
    assert (caught.value.category, caught.value.recoverable) == (Category.TIMEOUT, True)


async def test_a_server_that_accepts_nobody() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(trunkline.OpenTimeout, match=r"0\.05 s .*open_timeout|open_timeout"):
            await trunkline.connect(f"ws://127.0.0.1:{port}/", open_timeout=0.05)


async def test_a_server_that_falls_silent_before_tls() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        where = f"127.0.0.1:{silent.getsockname()[1]}"
        text = f"in phase tls: waiting for the TLS handshake with {where} "
        with pytest.raises(trunkline.OpenTimeout, match=text) as caught:
            await trunkline.connect(f"wss://{where}/", open_timeout=0.5)
    assert caught.value.phase == "tls"


async def test_a_resolver_that_falls_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    async def getaddrinfo(self: object, *_: object, **hints: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(type(asyncio.get_running_loop()), "getaddrinfo", getaddrinfo, raising=False)
    with pytest.raises(trunkline.OpenTimeout, match=r"in phase dns: looking up a\.test \(open_timeout\)") as caught:
        await trunkline.connect("ws://a.test/", open_timeout=0.05)
    assert caught.value.phase == "dns"


async def test_a_caller_who_gives_up_leaves_nothing_open() -> None:
    async with asyncio.timeout(LIMIT), answering(b"HTTP/1.1 101 ", then_closes=False) as uri:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(trunkline.connect(uri)._open(), 0.05)
        # `answering` ends only when the client has closed its connection.
