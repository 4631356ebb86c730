"""The echo servers that are measured, each the fastest its library offers without tuning: `servers.py NAME LOOP`.

It listens on a free port of 127.0.0.1, prints "ready PORT", and serves until it is killed. LOOP is asyncio or uvloop.
No library compresses, and none limits the size of a message below 16 MiB, so that all do the same work.
"""

import asyncio
import socket
import sys
from collections.abc import Awaitable, Callable

MAX_SIZE = 16 * 2**20


async def trunkline_on_message(listening: socket.socket) -> object:
    """trunkline's callbacks, a message at a time."""
    import trunkline

    class Echo(trunkline.Listener):
        def on_message(self, ws: trunkline.WebSocket, message: str | bytes) -> None:
            ws.send_nowait(message)

    return await trunkline.serve(listener=Echo, sock=listening, max_size=MAX_SIZE)


async def trunkline_on_batch(listening: socket.socket) -> object:
    """trunkline's callbacks, all messages of one read at a time."""
    import trunkline

    class Echo(trunkline.Listener):
        def on_batch(self, ws: trunkline.WebSocket, messages: list[str | bytes]) -> None:
            ws.send_many(messages)

    return await trunkline.serve(listener=Echo, sock=listening, max_size=MAX_SIZE)


async def trunkline_async_for(listening: socket.socket) -> object:
    """trunkline's coroutines."""
    import trunkline

    async def echo(ws: trunkline.WebSocket) -> None:
        async for message in ws:
            await ws.send(message)

    return await trunkline.serve(echo, sock=listening, max_size=MAX_SIZE)


async def picows_core(listening: socket.socket) -> object:
    """picows' callbacks, its fastest interface."""
    import picows

    class Echo(picows.WSListener):
        def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
            if frame.msg_type == picows.WSMsgType.CLOSE:
                transport.send_close(frame.get_close_code())
                transport.disconnect()
            else:  # load.c sends no ping, and each message as one frame
                transport.send(frame.msg_type, frame.get_payload_as_memoryview())

    server = await picows.ws_create_server(lambda request: Echo(), sock=listening, max_frame_size=MAX_SIZE)
    await server.start_serving()
    return server


async def picows_async_for(listening: socket.socket) -> object:
    """picows' coroutines, shaped like websockets'."""
    from picows.websockets.asyncio.server import serve

    async def echo(ws):  # type: ignore[no-untyped-def]
        async for message in ws:
            await ws.send(message)

    return await serve(echo, sock=listening, compression=None, max_size=MAX_SIZE)


async def websockets_async_for(listening: socket.socket) -> object:
    from websockets.asyncio.server import ServerConnection, serve

    async def echo(ws: ServerConnection) -> None:
        async for message in ws:
            await ws.send(message)

    return await serve(echo, sock=listening, compression=None, max_size=MAX_SIZE)


async def aiohttp_async_for(listening: socket.socket) -> object:
    from aiohttp import WSMsgType, web

    async def echo(request: web.Request) -> web.WebSocketResponse:
        ws = web.WebSocketResponse(compress=False, max_msg_size=MAX_SIZE)
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
    await web.SockSite(runner, listening).start()
    return runner


SERVERS: dict[str, Callable[[socket.socket], Awaitable[object]]] = {
    "picows": picows_core,
    "trunkline-on-message": trunkline_on_message,
    "trunkline-on-batch": trunkline_on_batch,
    "trunkline-async-for": trunkline_async_for,
    "picows-async-for": picows_async_for,
    "websockets": websockets_async_for,
    "aiohttp": aiohttp_async_for,
}


async def main(name: str) -> None:
    listening = socket.create_server(("127.0.0.1", 0), backlog=1024)
    listening.setblocking(False)
    server = await SERVERS[name](listening)
    print("ready", listening.getsockname()[1], flush=True)
    await asyncio.Event().wait()
    del server  # kept until here


if __name__ == "__main__":
    if sys.argv[2] == "uvloop":
        import uvloop

        uvloop.run(main(sys.argv[1]))
    else:
        asyncio.run(main(sys.argv[1]))
