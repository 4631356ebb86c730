"""HAProxy before a trunkline server: its health checks of every kind, WebSockets through it, its PROXY protocol."""

import asyncio

import pytest

import trunkline
from handlers import echo

pytestmark = pytest.mark.anyio

CHECKS = {
    "HEAD, HTTP/1.0": "option httpchk HEAD /healthz HTTP/1.0",
    "HEAD, HTTP/1.1": "option httpchk\n    http-check send meth HEAD uri /healthz ver HTTP/1.1 hdr Host a.example",
    "GET, HTTP/1.0": "option httpchk GET /healthz",
    "GET, HTTP/1.1": "option httpchk\n    http-check send meth GET uri /healthz ver HTTP/1.1 hdr Host a.example",
    "OPTIONS, its own default": "option httpchk\n    http-check send meth OPTIONS uri /healthz ver HTTP/1.0",
    "POST with a body": (
        "option httpchk\n    http-check send meth POST uri /healthz ver HTTP/1.1 hdr Host a.example body alive?"
    ),
}


def admit(ws, request):
    return ws.respond(200, "fine") if request.path == "/healthz" else None


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
async def test_a_health_check(haproxy, health, caplog, check):
    caplog.set_level("WARNING")
    serving = trunkline.serve(echo, "127.0.0.1", 0, process_request=admit)
    async with serving as server, haproxy(server.port, check) as port:
        assert await health() == "UP L7OK 200"
        async with trunkline.connect(f"ws://127.0.0.1:{port}/") as ws:
            await ws.send("through")
            assert await ws.recv() == "through"
    assert caplog.records == []


async def test_a_health_check_that_nobody_answers(haproxy, health, caplog):
    """HAProxy counts 426 as an answer, and takes what is expected of it."""
    caplog.set_level("WARNING")
    check = "option httpchk HEAD / HTTP/1.0\n    http-check expect status 426"
    async with trunkline.serve(echo, "127.0.0.1", 0) as server, haproxy(server.port, check):
        assert await health() == "UP L7OK 426"
    assert caplog.records == []


@pytest.mark.parametrize(("option", "version"), [("send-proxy", 1), ("send-proxy-v2", 2)])
async def test_the_log_names_the_proxy_protocol(haproxy, caplog, option, version):
    caplog.set_level("INFO", "trunkline.net")
    async with trunkline.serve(echo, "127.0.0.1", 0) as server, haproxy(server.port, options=option) as port:
        with pytest.raises(trunkline.HandshakeError) as caught:
            await trunkline.connect(f"ws://127.0.0.1:{port}/")
        assert caught.value.status == 400
    told = {record.getMessage() for record in caplog.records if record.event == "handshake.refused"}
    assert any(f"the PROXY protocol, version {version}, which is not supported" in text for text in told)


async def test_a_check_that_only_connects(haproxy, health, caplog):
    caplog.set_level("INFO", "trunkline.net")
    async with trunkline.serve(echo, "127.0.0.1", 0) as server, haproxy(server.port):
        assert await health() == "UP L4OK "
        assert server.health().refused == 0
    assert caplog.records == []


async def test_the_end_of_the_server_is_seen_through_it(haproxy):
    async with trunkline.serve(echo, "127.0.0.1", 0) as server, haproxy(server.port) as port:
        ws = await trunkline.connect(f"ws://127.0.0.1:{port}/")
        await asyncio.wait_for(server.close(), 20)
        await ws.wait_closed()
        assert ws.close_code == 1001
