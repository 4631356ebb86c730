"""`trunkline doctor` against connections that work and connections that fail, at every step."""

import datetime
import json
import ssl
from typing import Any

import pytest
import trustme

import trunkline
from handlers import echo
from talks import banner, mute, raw

pytestmark = pytest.mark.anyio


async def test_a_connection_that_works(run: Any) -> None:
    async with trunkline.serve(echo, "127.0.0.1", 0, subprotocols=["chat.v2"]) as server:
        command = await run("doctor", f"ws://127.0.0.1:{server.port}/room?token=secret", "--subprotocol", "chat.v2")
        done = await command.finish()
    lines = done.out.splitlines()
    assert [line.split()[:2] for line in lines[:6]] == [
        ["ok", step] for step in ("url", "dns", "tcp", "handshake", "ping", "close")
    ]
    assert "subprotocol chat.v2" in done.out
    assert "secret" not in done.out
    assert lines[-1] == "The connection works."
    assert (done.status, done.err) == (0, "")


async def test_a_connection_that_works_over_tls(run: Any, server_tls, authority, monkeypatch, tmp_path) -> None:
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    async with trunkline.serve(echo, "127.0.0.1", 0, ssl=server_tls) as server:
        done = await (await run("doctor", "--json", f"wss://localhost:{server.port}/")).finish()
    found = json.loads(done.out)
    (tls,) = [step for step in found["steps"] if step["step"] == "tls"]
    assert (found["status"], done.status) == (0, 0)
    assert tls["version"] == "TLSv1.3"
    assert tls["days_left"] > 14
    assert tls["outcome"] == "ok"


async def test_an_unknown_name(run: Any) -> None:
    done = await (await run("doctor", "ws://nowhere.invalid/")).finish()
    assert done.status == 10
    assert "FAULT dns" in done.out
    assert "spelled right" in done.out
    assert "The connection fails at: dns." in done.out


async def test_a_port_that_refuses(run: Any, refusing_port: int) -> None:
    done = await (await run("doctor", f"ws://127.0.0.1:{refusing_port}/")).finish()
    assert done.status == 11
    assert "FAULT tcp" in done.out
    assert "Nothing listens on this port" in done.out


async def test_a_refusal_with_403(run: Any) -> None:
    def refuse(ws: trunkline.WebSocket, request: trunkline.Request) -> Any:
        return trunkline.Response(403, [("Server", "edge \x9b"), ("X-Secret", "s3cret")], b"no")

    async with trunkline.serve(echo, "127.0.0.1", 0, process_request=refuse) as server:
        command = await run("doctor", "--json", f"ws://127.0.0.1:{server.port}/")
        done = await command.finish()
    last = json.loads(done.out)["steps"][-1]
    assert done.status == 14
    assert (last["step"], last["outcome"], last["status"]) == ("handshake", "fault", 403)
    assert last["headers"] == {"server": "edge \\x9b"}
    assert last["category"] == "forbidden"
    assert "s3cret" not in done.out


async def test_a_certificate_of_an_unknown_authority(run: Any, server_tls) -> None:
    async with trunkline.serve(echo, "127.0.0.1", 0, ssl=server_tls) as server:
        done = await (await run("doctor", f"wss://localhost:{server.port}/")).finish()
    assert done.status == 13
    assert "FAULT tls" in done.out
    assert "authority is not known" in done.out


async def test_a_certificate_for_another_name(run: Any, wrong_name_tls, authority, monkeypatch, tmp_path) -> None:
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    async with trunkline.serve(echo, "127.0.0.1", 0, ssl=wrong_name_tls) as server:
        done = await (await run("doctor", f"wss://localhost:{server.port}/")).finish()
    assert done.status == 13
    assert "for another name" in done.out


def lasting(authority: trustme.CA, days: int) -> ssl.SSLContext:
    """A server context whose certificate expires in `days` days."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    end = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=days, hours=1)
    authority.issue_cert("localhost", not_before=end - datetime.timedelta(days=90), not_after=end).configure_cert(
        context
    )
    return context


@pytest.mark.parametrize(("days", "status", "words"), [(-3, 13, "has expired"), (3, 0, "expires soon")])
async def test_a_certificate_that_has_expired_or_soon_will(
    run: Any, authority, monkeypatch, tmp_path, days: int, status: int, words: str
) -> None:
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    async with trunkline.serve(echo, "127.0.0.1", 0, ssl=lasting(authority, days)) as server:
        done = await (await run("doctor", f"wss://localhost:{server.port}/")).finish()
    assert done.status == status
    assert words in done.out


async def test_a_server_that_does_not_answer(run: Any) -> None:
    async with raw(mute) as port:
        done = await (await run("doctor", "--timeout", "3", f"ws://127.0.0.1:{port}/")).finish()
    assert done.status == 14
    assert f"connected, but ws://127.0.0.1:{port} does not answer: " in done.out


async def test_a_proxy_that_does_not_answer(run: Any) -> None:
    async with raw(mute) as port:
        options = ["--timeout", "3", "--proxy", f"http://user:hunter2@127.0.0.1:{port}"]
        done = await (await run("doctor", *options, "ws://server.example/")).finish()
    assert done.status == 12
    assert f"no answer from proxy 127.0.0.1:{port}" in done.out
    assert "hunter2" not in done.out + done.err


@pytest.mark.parametrize("json_too", [[], ["--json"]])
async def test_the_location_of_a_redirect_is_shown_without_secrets(run: Any, json_too: list[str]) -> None:
    location = "wss://user:hunter2@elsewhere.example/a//b?token=hunter2#hunter2"
    answer = f"HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"
    async with raw(banner(answer.encode())) as port:
        done = await (await run("doctor", *json_too, f"ws://127.0.0.1:{port}/")).finish()
    assert done.status == 14
    assert "wss://elsewhere.example/a//b" in done.out
    assert "hunter2" not in done.out + done.err


async def test_a_port_without_tls(run: Any) -> None:
    async with raw(banner(b"220 mail.example ESMTP\r\n")) as port:
        done = await (await run("doctor", f"wss://127.0.0.1:{port}/")).finish()
    assert done.status == 13
    assert "speak TLS at all" in done.out


@pytest.mark.parametrize(
    "answer",
    [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", b"-ERR unknown command\r\n\r\n", b"\x1b]0;owned\x07\r\n\r\n"],
)
async def test_something_else_that_answers(run: Any, answer: bytes) -> None:
    async with raw(banner(answer)) as port:
        done = await (await run("doctor", f"ws://127.0.0.1:{port}/")).finish()
    assert done.status == 14
    assert "does not speak WebSocket here" in done.out
    assert "\x1b" not in done.out


async def test_a_server_that_does_not_answer_pings(run: Any) -> None:
    async def deaf(ws: trunkline.WebSocket) -> None:
        ws.transport.pause_reading()
        await ws.wait_closed()

    async with trunkline.serve(deaf, "127.0.0.1", 0, close_timeout=0.1) as server:
        command = await run("doctor", "--timeout", "3", f"ws://127.0.0.1:{server.port}/")
        done = await command.finish()
    assert done.status == 15
    assert "no pong within 3 s" in done.out
    assert "5.5.2" in done.out


async def test_a_proxy_that_is_not_there(run: Any, refusing_port: int) -> None:
    command = await run("doctor", "--proxy", f"http://127.0.0.1:{refusing_port}", "ws://far.invalid/")
    done = await command.finish()
    assert f"through 127.0.0.1:{refusing_port}" in done.out
    assert done.status == 11


async def test_a_proxy_that_requires_authentication(run: Any) -> None:
    async with raw(banner(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")) as port:
        command = await run("doctor", "--proxy", f"http://user:secret@127.0.0.1:{port}", "ws://far.invalid/")
        done = await command.finish()
    assert done.status == 12
    assert "needs a user and a password" in done.out
    assert "secret" not in done.out


async def test_an_invalid_url(run: Any) -> None:
    done = await (await run("doctor", "http://host/")).finish()
    assert done.status == 2
    assert "must be ws or wss" in done.out
    assert "begins with ws:// or wss://" in done.out


OFFERS = [
    "permessage-deflate; client_max_window_bits",
    "permessage-deflate; server_no_context_takeover; client_max_window_bits",
    "permessage-deflate; client_no_context_takeover; client_max_window_bits",
    "permessage-deflate; server_max_window_bits=10; client_max_window_bits",
    "permessage-deflate; client_max_window_bits=10",
]


async def extensions(run: Any, port: int) -> tuple[int, list[dict[str, Any]]]:
    """The exit status, and the findings of the extension step."""
    done = await (await run("doctor", "--json", "--timeout", "5", f"ws://127.0.0.1:{port}/")).finish()
    steps = json.loads(done.out)["steps"]
    assert [step["step"] for step in steps[:6]] == ["url", "dns", "tcp", "handshake", "ping", "close"]
    return done.status, steps[6:]


async def test_each_extension_is_offered_and_the_agreed_terms_are_shown(run: Any) -> None:
    seen: list[str] = []

    def note(ws: trunkline.WebSocket, request: trunkline.Request) -> None:
        seen.append(request.headers.get("sec-websocket-extensions") or "none")

    wanted = trunkline.Deflate(server_no_context_takeover=False, client_no_context_takeover=False)
    async with trunkline.serve(echo, "127.0.0.1", 0, compression=wanted, process_request=note) as server:
        status, found = await extensions(run, server.port)
    assert status == 0
    assert seen == ["none", *OFFERS]
    assert [step["offer"] for step in found] == OFFERS
    assert [step["agreed"] for step in found] == [
        "server_max_window_bits=12; client_max_window_bits=12",
        "server_no_context_takeover; server_max_window_bits=12; client_max_window_bits=12",
        "client_no_context_takeover; server_max_window_bits=12; client_max_window_bits=12",
        "server_max_window_bits=10; client_max_window_bits=12",
        "server_max_window_bits=12; client_max_window_bits=10",
    ]


async def test_extensions_that_are_declined(run: Any) -> None:
    async with trunkline.serve(echo, "127.0.0.1", 0) as server:
        status, found = await extensions(run, server.port)
    assert status == 0
    assert [(step["accepted"], step["text"]) for step in found] == [(False, f"{offer}: declined") for offer in OFFERS]


async def test_a_server_that_fails_when_offered_an_extension(run: Any) -> None:
    def refuse(ws: trunkline.WebSocket, request: trunkline.Request) -> Any:
        offered = request.headers.get("sec-websocket-extensions") or ""
        return trunkline.Response(400, [], b"no") if "server_max_window_bits" in offered else None

    async with trunkline.serve(echo, "127.0.0.1", 0, process_request=refuse, compression="deflate") as server:
        done = await (await run("doctor", f"ws://127.0.0.1:{server.port}/")).finish()
    assert done.status == 17
    (broken,) = [line for line in done.out.splitlines() if line.startswith("FAULT")]
    assert broken.split()[1] == "extension"
    assert f"the server fails when offered {OFFERS[3]}: the server answered 400" in broken
    assert "must decline what it does not want" in done.out
    assert f"{OFFERS[4]}: accepted" in done.out  # the others are still offered
    assert done.out.splitlines()[-1] == "The connection works, but fails for clients that offer an extension."


async def test_a_connection_that_fails_with_an_extension(run: Any) -> None:
    async def die(ws: trunkline.WebSocket) -> None:
        if ws.agreement is not None:
            ws.abort()
        await ws.wait_closed()

    async with trunkline.serve(die, "127.0.0.1", 0, compression="deflate") as server:
        status, found = await extensions(run, server.port)
    assert status == 17
    assert {step["outcome"] for step in found} == {"fault"}
    assert all(
        "fails with permessage-deflate" in step["text"] or "fails when offered" in step["text"] for step in found
    )


async def test_info(run: Any) -> None:
    done = await (await run("info", "--json")).finish()
    seen = json.loads(done.out)
    assert seen["trunkline"] == trunkline.__version__
    assert seen["masking"] in ("scalar", "sse2", "avx2", "neon")
    assert seen["transport"] == "stream, with TLS asyncio"
    assert seen["packages"]["wsproto"].startswith("1.")
    told = await (await run("info")).finish()
    assert told.status == done.status == 0
    assert f"trunkline           {trunkline.__version__}" in told.out
