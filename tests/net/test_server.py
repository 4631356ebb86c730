"""The options of a server, and what its clients see of them."""

import asyncio
import contextlib
import socket

import pytest

import trunkline
from handlers import echo
from rawhttp import dialled
from turns import until

pytestmark = pytest.mark.anyio


def serving(handler=echo, **options):
    return trunkline.serve(handler, "127.0.0.1", 0, **options)


def at(server, path="/", **options):
    return trunkline.connect(f"ws://127.0.0.1:{server.port}{path}", **options)


async def later(value):
    await asyncio.sleep(0)
    return value


def refuse(ws, request):
    return ws.respond(403, f"no {request.path} for you")


def teapot(ws, request):
    return trunkline.Response(418, {"X-Kind": "teapot"}, b"short and stout")


def shared(server):
    return trunkline.serve(echo, "127.0.0.1", server.port, reuse_port=True)


ANSWERS = {
    "respond": (refuse, 403, b"no /x?y=1 for you"),
    "a coroutine": (lambda ws, request: later(refuse(ws, request)), 403, b"no /x?y=1 for you"),
    "a Response": (teapot, 418, b"short and stout"),
    "raises": (lambda ws, request: 1 / 0, 500, b"internal error\n"),
    "gives something else": (lambda ws, request: "hello", 500, b"internal error\n"),
    "no HTTP": (lambda ws, request: trunkline.Response(403, {"X": "a\r\nb"}), 500, b"internal error\n"),
}


@pytest.mark.parametrize(("process", "status", "body"), ANSWERS.values(), ids=ANSWERS)
async def test_process_request_may_refuse(process, status, body):
    async with serving(process_request=process) as server:
        with pytest.raises(trunkline.HandshakeError) as caught:
            await at(server, "/x?y=1")
        assert server.connections == set()
    assert (caught.value.status, caught.value.body) == (status, body)


@pytest.mark.parametrize("process", [lambda ws, request: None, lambda ws, request: later(None)])
async def test_process_request_may_accept(process):
    seen = []

    def look(ws, request):
        seen.append((request.path, request.headers["x-token"], ws.state.name))
        return process(ws, request)

    async with serving(process_request=look) as server, at(server, "/a?b", additional_headers={"X-Token": "t"}) as ws:
        await ws.send("ok")
        assert await ws.recv() == "ok"
    assert seen == [("/a?b", "t", "CONNECTING")]


async def test_a_client_that_leaves_while_it_is_considered():
    asked, go = asyncio.Event(), asyncio.Event()

    async def consider(ws, request):
        asked.set()
        await go.wait()

    async with serving(process_request=consider) as server:
        attempt = asyncio.ensure_future(at(server)._open())
        await asyncio.wait_for(asked.wait(), 10)
        attempt.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await attempt
        go.set()
        async with at(server):
            assert len(server.connections) == 1


@pytest.mark.parametrize("wrap", [lambda answer: answer, later], ids=["at once", "later"])
async def test_a_health_check_on_the_same_port(wrap):
    def process(ws, request):
        return wrap(ws.respond(200, "fine") if request.path == "/health" else None)

    async def get(server, path):
        async with dialled(server.port) as (reader, writer):
            writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            return await reader.read()

    async with serving(process_request=process) as server:
        good = await get(server, "/health")
        assert good.startswith(b"HTTP/1.1 200 ")
        assert good.endswith(b"\r\n\r\nfine")
        assert (await get(server, "/other")).startswith(b"HTTP/1.1 426 ")
        async with at(server, "/other") as ws:
            await ws.send("still a WebSocket")
            assert await ws.recv() == "still a WebSocket"


ORIGINS = {
    "none allowed but its own": (None, "http://evil.example", False),
    "its own": (None, "http://127.0.0.1:{port}", True),
    "no origin at all": (None, None, True),
    "a list without it": (["https://a.example"], "https://b.example", False),
    "a list with it": (["https://a.example"], "https://a.example", True),
    "a list, no origin": (["https://a.example"], None, False),
    "a list with None, no origin": (["https://a.example", None], None, True),
    "any": ("*", "https://whatever.example", True),
    "null": (None, "null", False),
}


@pytest.mark.parametrize(("allowed", "origin", "welcome"), ORIGINS.values(), ids=ORIGINS)
async def test_origins(allowed, origin, welcome):
    async with serving(origins=allowed) as server:
        attempt = at(server, origin=origin and origin.format(port=server.port))
        if welcome:
            async with attempt:
                pass
        else:
            with pytest.raises(trunkline.HandshakeError) as caught:
                await attempt
            assert caught.value.status == 403


@pytest.mark.parametrize(
    ("offered", "spoken", "chosen"),
    [([], ["a"], None), (None, None, None), (["a"], [], None), (["a", "b"], ["b", "a"], "b"), (["x"], ["a"], None)],
)
async def test_subprotocols(offered, spoken, chosen):
    async with serving(subprotocols=spoken) as server, at(server, subprotocols=offered) as ws:
        (there,) = server.connections
        assert (ws.subprotocol, there.subprotocol) == (chosen, chosen)


async def test_headers_of_the_answer():
    async with serving(additional_headers={"X-Served-By": "me"}) as server, at(server) as ws:
        assert ws.response.headers["x-served-by"] == "me"
        assert ws.response.status == 101


@pytest.mark.posix
async def test_a_unix_socket(unix_path):
    async with trunkline.serve(echo, unix=unix_path) as server:
        with pytest.raises(RuntimeError, match="no port"):
            _ = server.port
        async with trunkline.connect("ws://localhost/", unix=unix_path) as ws:
            await ws.send("ok")
            assert await ws.recv() == "ok"


@pytest.mark.posix
async def test_two_servers_on_one_port():
    async with serving(reuse_port=True) as one, at(one), shared(one) as two:
        assert one.port == two.port
        links = [await at(one) for _ in range(40)]
        assert len(one.connections) + len(two.connections) == 41
        for ws in links:
            ws.abort()


async def test_ipv6():
    async with trunkline.serve(echo, "::1", 0) as server, trunkline.connect(f"ws://[::1]:{server.port}/") as ws:
        await ws.send("ok")
        assert await ws.recv() == "ok"


async def test_a_full_server_says_so():
    async with serving(max_connections=1) as server, at(server):
        with pytest.raises(trunkline.HandshakeError) as caught:
            await at(server)
        assert (caught.value.status, caught.value.retry_after, server.turned_away) == (503, 1.0, 1)


async def test_too_many_half_open_handshakes():
    async with serving(max_pending_handshakes=1) as server:
        with socket.create_connection(("127.0.0.1", server.port)):
            await until(lambda: server._pending)
            with pytest.raises(trunkline.HandshakeError) as caught:
                await at(server)
            assert caught.value.status == 503


async def test_the_handlers_end_closes_with_1000():
    async with serving(lambda ws: ws.send("bye")) as server, at(server) as ws:
        assert [message async for message in ws] == ["bye"]
        assert ws.close_code == 1000


async def test_a_handler_that_raises_closes_with_1011(caplog):
    async def broken(ws):
        raise KeyError("secret")

    async with serving(broken) as server, at(server) as ws:
        with pytest.raises(trunkline.ConnectionClosedError, match="1011") as caught:
            await ws.recv()
        assert "secret" not in str(caught.value)
    assert "secret" in caplog.text


async def test_close_tells_every_client():
    async with serving() as server:
        links = [await at(server) for _ in range(5)]
        await asyncio.wait_for(server.close(1012, "back soon"), 10)
        for ws in links:
            with pytest.raises(trunkline.ConnectionClosedError, match=r"received 1012 .* back soon"):
                await ws.recv()
        assert (server.connections, list(server.sockets)) == (set(), [])
        await server.wait_closed()
    with pytest.raises(RuntimeError):
        _ = server.port


async def test_close_cancels_a_handler_that_does_not_end():
    cancelled = asyncio.Event()

    async def stubborn(ws):
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async with serving(stubborn, close_timeout=0.1) as server, at(server):
        await asyncio.wait_for(server.close(), 10)
        assert cancelled.is_set()


async def test_serve_forever_closes_when_it_is_cancelled():
    server = await serving()
    task = asyncio.ensure_future(server.serve_forever())
    async with at(server) as ws:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        with pytest.raises(trunkline.ConnectionClosedOK):
            await ws.recv()
        assert ws.close_code == 1001


async def test_a_port_that_is_taken():
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
        await trunkline.serve(echo, "127.0.0.1", taken.getsockname()[1])


@pytest.mark.parametrize("options", [{}, {"handler": echo, "listener": trunkline.Listener}])
async def test_a_handler_or_a_listener(options):
    with pytest.raises(TypeError, match="exactly one"):
        trunkline.serve(host="127.0.0.1", port=0, **options)


async def test_a_listener_is_made_for_each_connection():
    with pytest.raises(TypeError, match="callable"):
        trunkline.serve(listener=trunkline.Listener(), host="127.0.0.1", port=0)


async def test_origins_in_words():
    with pytest.raises(ValueError, match="origins"):
        serving(origins="https://a.example")


@pytest.mark.parametrize("name", ["max_connections", "max_pending_handshakes"])
def test_a_bound_that_cannot_be_is_refused_when_serve_is_called(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} is 0, must be 1 or more, or None for no limit"):
        trunkline.serve(listener=trunkline.Listener, port=0, **{name: 0})


async def test_a_server_without_bounds_takes_connections() -> None:
    async with trunkline.serve(
        lambda ws: ws.wait_closed(), "127.0.0.1", 0, max_connections=None, max_pending_handshakes=None
    ) as server:
        async with trunkline.connect(f"ws://127.0.0.1:{server.port}/") as ws:
            await ws.ping()
        assert server.turned_away == 0


@pytest.mark.posix  # one connects before the server is there, and has what the listening socket had then
@pytest.mark.parametrize("tls", [False, True], ids=["tcp", "tls"])
async def test_no_end_waits_for_acknowledgements_before_it_sends(tls, server_tls, client_tls):
    """TCP_NODELAY, also on sockets made without IPPROTO_TCP, on which asyncio does not set it."""
    delays = []

    async def look(ws):
        delays.append(ws.transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        await ws.wait_closed()

    bound, given = socket.socket(), socket.socket()
    bound.bind(("127.0.0.1", 0))
    bound.listen()
    given.connect(bound.getsockname())
    uri = f"{'wss' if tls else 'ws'}://localhost:{bound.getsockname()[1]}/"
    options = {"ssl": client_tls} if tls else {}
    async with trunkline.serve(look, sock=bound, ssl=server_tls if tls else None):
        for sock in (given, None):
            async with trunkline.connect(uri, sock=sock, **options) as ws:
                delays.append(ws.transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
    assert delays == [1] * 4
