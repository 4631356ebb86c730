"""The broadcasters: `python -m benchmarks.peers.casters NAME LOOP CLIENTS BYTES BURST`.

It listens on a free port of 127.0.0.1, prints "ready PORT", and once all CLIENTS are connected sends each of them BURST
texts in each turn of the loop. If a client has more than 64 KiB waiting, all wait for it; trunkline does so itself.
"""

import asyncio
import socket
import sys
from collections.abc import Callable, Collection, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any

from benchmarks.peers.start import listening_socket, run, tell_ready

WAITING = 64 * 1024  # bytes in a transport's buffer
LOOK = 100  # turns between two looks at the buffers
TICK = 0.001  # seconds between two polls

Caster = Callable[[socket.socket, "Cast"], Coroutine[Any, Any, None]]


@dataclass(frozen=True)
class Cast:
    """What to send, and to how many clients."""

    clients: int
    message: str
    burst: int

    async def wait_for(self, clients: Collection[object]) -> None:
        """Wait until all clients are connected: earlier messages would fill the buffers of those that came first."""
        while len(clients) < self.clients:  # noqa: ASYNC110  # no library has an event for this
            await asyncio.sleep(TICK)

    async def repeat(self, cast: Callable[[], None], transports: Callable[[], list[asyncio.WriteTransport]]) -> None:
        """Cast once in each turn, and wait for clients that do not read."""
        while True:
            for _ in range(LOOK):
                for _ in range(self.burst):
                    cast()
                await asyncio.sleep(0)
            while any(transport.get_write_buffer_size() > WAITING for transport in transports()):  # noqa: ASYNC110
                await asyncio.sleep(TICK)


async def trunkline_broadcast(listening: socket.socket, cast: Cast) -> None:
    import trunkline

    clients: set[trunkline.WebSocket] = set()

    class Client(trunkline.Listener):
        def on_open(self, ws: trunkline.WebSocket) -> None:
            clients.add(ws)

        def on_close(self, ws: trunkline.WebSocket, close: trunkline.Close) -> None:
            clients.discard(ws)

    async with trunkline.serve(listener=Client, sock=listening):
        tell_ready(listening)
        await cast.wait_for(clients)
        while True:
            for _ in range(cast.burst):
                await trunkline.broadcast(clients, cast.message, slow="wait")
            await asyncio.sleep(0)


async def picows_loop(listening: socket.socket, cast: Cast) -> None:
    import picows

    clients: set[picows.WSTransport] = set()
    payload = cast.message.encode()

    class Client(picows.WSListener):
        def on_ws_connected(self, transport: picows.WSTransport) -> None:
            clients.add(transport)

        def on_ws_disconnected(self, transport: picows.WSTransport) -> None:
            clients.discard(transport)

    def send_all() -> None:
        for transport in clients:
            transport.send(picows.WSMsgType.TEXT, payload)

    server = await picows.ws_create_server(lambda request: Client(), sock=listening)
    await server.start_serving()
    tell_ready(listening)
    await cast.wait_for(clients)
    await cast.repeat(send_all, lambda: [client.underlying_transport for client in clients])


async def websockets_broadcast(listening: socket.socket, cast: Cast) -> None:
    from websockets.asyncio.server import ServerConnection, broadcast, serve

    clients: set[ServerConnection] = set()

    async def handler(ws: ServerConnection) -> None:
        clients.add(ws)
        await ws.wait_closed()
        clients.discard(ws)

    async with serve(handler, sock=listening, compression=None):
        tell_ready(listening)
        await cast.wait_for(clients)
        send_all = partial(broadcast, clients, cast.message)
        await cast.repeat(send_all, lambda: [client.transport for client in clients])


CASTERS: dict[str, Caster] = {
    "trunkline": trunkline_broadcast,
    "picows in a loop": picows_loop,
    "websockets": websockets_broadcast,
}

if __name__ == "__main__":
    name, loop, clients, size, burst = sys.argv[1:]
    run(CASTERS[name](listening_socket(), Cast(int(clients), "x" * int(size), int(burst))), loop)
