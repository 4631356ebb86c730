"""Echo programs of the libraries that build on wsproto, run on trunkline.protocol in its place.

    programs.py uvicorn | hypercorn | trio_websocket | simple_websocket

Each serves on a port of its own and talks to itself through a client: text, binary, empty, large and split messages, a
ping, a close. Prints as JSON what came back, the close code and reason that the client got, and the module whose
connection did the work.
"""

import asyncio
import json
import socket
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from swap import swap

swap()

SAID: list[str | bytes] = ["text: ✓ 🐎", b"\x00\xff", "", b"", "x" * 126, b"y" * 70_000, "ž" * 200_000]


def shown(message: str | bytes) -> list[object]:
    """A message as JSON can hold it."""
    return ["text", message] if isinstance(message, str) else ["binary", message.hex()]


async def asgi_echo(scope: dict[str, Any], receive: Callable[[], Any], send: Callable[[Any], Any]) -> None:
    """An ASGI application that sends every message back, and closes with 4001 when told to."""
    if scope["type"] != "websocket":
        return
    assert (await receive())["type"] == "websocket.connect"
    await send({"type": "websocket.accept"})
    while (event := await receive())["type"] == "websocket.receive":
        if event.get("text") == "close":
            await send({"type": "websocket.close", "code": 4001, "reason": "as told"})
            return
        await send({"type": "websocket.send", "text": event.get("text"), "bytes": event.get("bytes")})


async def talk(port: int, **options: Any) -> dict[str, object]:
    """A conversation with an echo server, by `websockets`, with compression unless it is switched off."""
    from websockets.asyncio.client import connect
    from websockets.exceptions import ConnectionClosed

    came = []
    async with connect(f"ws://127.0.0.1:{port}/", **options) as ws:
        for message in SAID:
            await ws.send(message)
            came.append(shown(await ws.recv()))
        await ws.send(iter(["in ", "three ", "parts ✓"]))
        assert await ws.recv() == "in three parts ✓"
        await (await ws.ping())
        await ws.send("close")
        with suppress(ConnectionClosed):
            await ws.recv()
        extensions = [type(extension).__name__ for extension in ws.protocol.extensions]
    return {"came": came, "close": [ws.close_code, ws.close_reason], "extensions": extensions}


def listener() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))


async def both_ways(serving: Callable[[socket.socket], Any]) -> dict[str, object]:
    """The conversation with compression and without."""
    with listener() as sock:
        port = sock.getsockname()[1]
        async with serving(sock):
            plain = await talk(port, compression=None)
            compressed = await talk(port)
    assert compressed["extensions"] == ["PerMessageDeflate"], compressed["extensions"]
    assert plain["came"] == compressed["came"]
    return plain


@asynccontextmanager
async def on_uvicorn(sock: socket.socket) -> AsyncIterator[None]:
    import uvicorn

    config = uvicorn.Config(asgi_echo, ws="wsproto", log_level="warning", lifespan="off", loop="asyncio")
    server = uvicorn.Server(config)
    task = asyncio.ensure_future(server.serve(sockets=[sock]))
    yield
    server.should_exit = True
    await task


def uvicorn() -> dict[str, object]:
    from uvicorn.protocols.websockets import wsproto_impl

    return {**asyncio.run(both_ways(on_uvicorn)), "module": wsproto_impl.wsproto.WSConnection.__module__}


@asynccontextmanager
async def on_hypercorn(sock: socket.socket) -> AsyncIterator[None]:
    from hypercorn.asyncio import serve
    from hypercorn.config import Config

    config = Config()
    config.bind = [f"fd://{sock.detach()}"]
    config.accesslog = config.errorlog = None
    stop = asyncio.Event()
    task = asyncio.ensure_future(serve(asgi_echo, config, shutdown_trigger=stop.wait))  # type: ignore[arg-type]
    yield
    stop.set()
    await task


def hypercorn() -> dict[str, object]:
    from hypercorn.protocol import ws_stream

    return {**asyncio.run(both_ways(on_hypercorn)), "module": ws_stream.Connection.__module__}


def trio_websocket() -> dict[str, object]:
    import trio
    import trio_websocket as library
    from trio_websocket import _impl

    async def echo(request: Any) -> None:
        ws = await request.accept()
        with suppress(library.ConnectionClosed):
            while (message := await ws.get_message()) != "close":
                await ws.send_message(message)
            await ws.aclose(4001, "as told")

    async def converse() -> dict[str, object]:
        came = []
        async with trio.open_nursery() as nursery:
            server = await nursery.start(library.serve_websocket, echo, "127.0.0.1", 0, None)
            async with library.open_websocket_url(f"ws://127.0.0.1:{server.port}/") as ws:
                for message in SAID:
                    await ws.send_message(message)
                    came.append(shown(await ws.get_message()))
                await ws.ping(b"are you there")
                await ws.send_message("close")
                with suppress(library.ConnectionClosed):
                    await ws.get_message()
                close = [ws.closed.code, ws.closed.reason]
            nursery.cancel_scope.cancel()
        return {"came": came, "close": close, "module": _impl.WSConnection.__module__}

    return trio.run(converse)


def simple_websocket() -> dict[str, object]:
    import simple_websocket as library
    from simple_websocket import ws as implementation

    def serve(sock: socket.socket) -> None:
        accepted, _ = sock.accept()
        fields = dict(read_request(accepted))
        ws = library.Server.accept({"werkzeug.socket": accepted, **fields})
        with suppress(library.ConnectionClosed):
            while (message := ws.receive()) != "close":
                ws.send(message)
            ws.close(4001, "as told")

    with listener() as sock:
        server = threading.Thread(target=serve, args=[sock])
        server.start()
        ws = library.Client.connect(f"ws://127.0.0.1:{sock.getsockname()[1]}/")
        came = []
        for message in SAID:
            ws.send(message)
            came.append(shown(ws.receive()))
        ws.send("close")
        try:
            ws.receive()
        except library.ConnectionClosed as closed:
            close = [closed.reason, closed.message]
        server.join()
    return {"came": came, "close": close, "module": implementation.WSConnection.__module__}


def read_request(sock: socket.socket) -> Iterator[tuple[str, str]]:
    """The fields of a request as WSGI names them."""
    data = b""
    while not data.endswith(b"\r\n\r\n"):
        data += sock.recv(1)
    for line in data.decode().split("\r\n")[1:-2]:
        name, _, value = line.partition(":")
        yield f"HTTP_{name.upper().replace('-', '_')}", value.strip()


PROGRAMS = {program.__name__: program for program in (uvicorn, hypercorn, trio_websocket, simple_websocket)}

if __name__ == "__main__":
    print(json.dumps(PROGRAMS[sys.argv[1]]()))
