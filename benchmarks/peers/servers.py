"""The echo servers: `python -m benchmarks.peers.servers NAME LOOP [--tls PEM] [--deflate]`.

It listens on a free port of 127.0.0.1, prints "ready PORT", and serves until it is killed. Nothing is compressed unless
--deflate is given; then each library negotiates its defaults. Limits on the size of a message are at least 16 MiB, so
that all do the same work.
"""

import argparse
import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from benchmarks.peers.start import listening_socket, run, tell_ready

MAX_SIZE = 16 * 2**20


@dataclass(frozen=True)
class Setting:
    """How a server should serve."""

    sock: socket.socket
    tls: ssl.SSLContext | None
    deflate: bool

    @property
    def compression(self) -> Literal["deflate"] | None:
        return "deflate" if self.deflate else None


async def trunkline_on_message(setting: Setting) -> object:
    """Serve with trunkline's callbacks, a message at a time."""
    import trunkline

    class Echo(trunkline.Listener):
        def on_message(self, ws: trunkline.WebSocket, message: str | bytes) -> None:
            ws.send_nowait(message)

    return await serve_trunkline(setting, listener=Echo)


async def trunkline_on_batch(setting: Setting) -> object:
    """Serve with trunkline's callbacks, all messages of a read at a time."""
    import trunkline

    class Echo(trunkline.Listener):
        def on_batch(self, ws: trunkline.WebSocket, messages: list[str | bytes]) -> None:
            ws.send_many(messages)

    return await serve_trunkline(setting, listener=Echo)


async def trunkline_async_for(setting: Setting) -> object:
    """Serve with trunkline's coroutines."""
    import trunkline

    async def echo(ws: trunkline.WebSocket) -> None:
        async for message in ws:
            await ws.send(message)

    return await serve_trunkline(setting, echo)


async def serve_trunkline(setting: Setting, *handler: object, **listener: object) -> object:
    import trunkline

    # With context takeover, which is the others' default.
    contexts = {"server_no_context_takeover": False, "client_no_context_takeover": False}
    keeping = trunkline.Deflate(**contexts) if setting.deflate else None
    return await trunkline.serve(  # type: ignore[call-overload]
        *handler, **listener, sock=setting.sock, ssl=setting.tls, compression=keeping, max_size=MAX_SIZE
    )


async def picows_core(setting: Setting) -> object:
    """Serve with picows' callbacks, its fastest interface; it does not compress."""
    import picows

    class Echo(picows.WSListener):
        def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
            if frame.msg_type == picows.WSMsgType.CLOSE:
                transport.send_close(frame.get_close_code())
                transport.disconnect()
            else:  # the load sends no ping, and each message as one frame
                transport.send(frame.msg_type, frame.get_payload_as_memoryview())

    server = await picows.ws_create_server(
        lambda request: Echo(), sock=setting.sock, ssl=setting.tls, max_frame_size=MAX_SIZE
    )
    await server.start_serving()
    return server


async def picows_websockets(setting: Setting) -> object:
    """Serve with picows' coroutines, whose interface is that of websockets."""
    from picows.websockets.asyncio.server import serve

    return await serve(
        echo_websockets, sock=setting.sock, ssl=setting.tls, compression=setting.compression, max_size=MAX_SIZE
    )


async def websockets(setting: Setting) -> object:
    from websockets.asyncio.server import serve

    return await serve(
        echo_websockets, sock=setting.sock, ssl=setting.tls, compression=setting.compression, max_size=MAX_SIZE
    )


async def echo_websockets(ws):  # type: ignore[no-untyped-def]
    async for message in ws:
        await ws.send(message)


async def aiohttp(setting: Setting) -> object:
    from aiohttp import WSMsgType, web

    async def echo(request: web.Request) -> web.WebSocketResponse:
        ws = web.WebSocketResponse(compress=setting.deflate, max_msg_size=MAX_SIZE)
        await ws.prepare(request)
        async for message in ws:
            if message.type is WSMsgType.BINARY:
                await ws.send_bytes(message.data)
            elif message.type is WSMsgType.TEXT:
                await ws.send_str(message.data)
        return ws

    application = web.Application()
    application.router.add_get("/", echo)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.SockSite(runner, setting.sock, ssl_context=setting.tls).start()
    return runner


async def wsproto(setting: Setting) -> object:
    """Serve with wsproto on a bare asyncio.Protocol, which answers each read with one write."""
    from wsproto import ConnectionType, WSConnection, events
    from wsproto.extensions import Extension, PerMessageDeflate

    def extensions() -> list[Extension]:
        return [PerMessageDeflate()] if setting.deflate else []

    class Echo(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = transport
            self.ws = WSConnection(ConnectionType.SERVER)

        def data_received(self, data: bytes) -> None:
            self.ws.receive_data(data)
            self.transport.write(b"".join([self.answer(event) for event in self.ws.events()]))  # type: ignore[attr-defined]

        def answer(self, event: events.Event) -> bytes:
            if isinstance(event, events.BytesMessage | events.TextMessage):
                return self.ws.send(type(event)(data=event.data, message_finished=event.message_finished))
            if isinstance(event, events.Request):
                return self.ws.send(events.AcceptConnection(extensions=extensions()))
            return self.ws.send(event.response()) if isinstance(event, events.Ping | events.CloseConnection) else b""

    return await asyncio.get_running_loop().create_server(Echo, sock=setting.sock, ssl=setting.tls)


async def no_websocket(setting: Setting) -> object:
    """Serve with only the loop's transport: answer the opening handshake and ignore what follows."""
    from benchmarks.peers.bare import Bare

    return await asyncio.get_running_loop().create_server(Bare, sock=setting.sock, ssl=setting.tls)


SERVERS: dict[str, Callable[[Setting], Awaitable[object]]] = {
    "trunkline on_message": trunkline_on_message,
    "trunkline on_batch": trunkline_on_batch,
    "trunkline async for": trunkline_async_for,
    "picows": picows_core,
    "picows.websockets": picows_websockets,
    "websockets": websockets,
    "aiohttp": aiohttp,
    "wsproto": wsproto,
    "no WebSocket": no_websocket,
}


def tls_of(certificate: str | None) -> ssl.SSLContext | None:
    if certificate is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    return context


async def main(options: argparse.Namespace) -> None:
    setting = Setting(listening_socket(), tls_of(options.tls), options.deflate)
    server = await SERVERS[options.name](setting)
    tell_ready(setting.sock)
    await asyncio.Event().wait()
    del server  # kept alive until here


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("name", choices=SERVERS)
    parser.add_argument("loop", choices=["asyncio", "uvloop"])
    parser.add_argument("--tls", metavar="PEM")
    parser.add_argument("--deflate", action="store_true")
    chosen = parser.parse_args()
    run(main(chosen), chosen.loop)
