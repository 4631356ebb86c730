"""A chat with rooms: what a client says in /ROOM is sent to everybody there.

The same port serves a web page.

server.py [PORT]
"""

import asyncio
import contextlib
import sys
from pathlib import Path

import msgspec
from messages import Asked, Enter, Entered, Heard, Left, Said, Say

import trunkline

PAGE = Path(__file__).with_name("page.html")


class Rooms:
    """The guests in each room."""

    def __init__(self) -> None:
        self._codec: trunkline.manager.JsonCodec[Heard, Asked] = trunkline.manager.JsonCodec(Heard, Asked)
        self._rooms: dict[str, dict[trunkline.WebSocket, str]] = {}

    async def serve(self, ws: trunkline.WebSocket) -> None:
        """Serve one guest until the connection ends."""
        assert ws.request is not None
        room = self._rooms.setdefault(ws.request.path, {})
        try:
            async for payload in ws:
                message = self._codec.decode(payload)
                if isinstance(message, Say) and ws in room:
                    self._tell(room, Said(room[ws], message.text))
                elif isinstance(message, Enter):
                    room[ws] = message.name[:40] if message.name not in room.values() else f"{message.name[:40]}'"
                    await ws.send(self._codec.encode(Entered(message.id or 0, room[ws], list(room.values()))))
        except trunkline.ConnectionClosed:
            pass
        except msgspec.DecodeError as error:
            await ws.close(1007, str(error)[:100])
        finally:
            self._tell(room, Left(room.pop(ws, "somebody")))

    def _tell(self, room: dict[trunkline.WebSocket, str], message: Heard) -> None:
        trunkline.broadcast(room, self._codec.encode(message), slow="close")


def show_page(ws: trunkline.WebSocket, request: trunkline.Request) -> trunkline.Response | None:
    """Return the page, unless the request asks for a WebSocket."""
    if "Upgrade" in request.headers:
        return None
    return trunkline.Response(200, [("Content-Type", "text/html; charset=utf-8")], PAGE.read_bytes())


async def main(port: int = 8802) -> None:
    """Run the server until it is interrupted."""
    async with trunkline.serve(Rooms().serve, "127.0.0.1", port, process_request=show_page) as server:
        print(f"ready ws://127.0.0.1:{server.port} and http://127.0.0.1:{server.port}/", flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(*map(int, sys.argv[1:])))
