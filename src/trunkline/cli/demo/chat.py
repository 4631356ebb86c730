"""`chat`: rooms. Everybody in a room receives what anybody says in it, the speaker included.

client  {"text": "hello"}
server  {"type": "said", "who": "guest 1", "text": "hello"}
        {"type": "joined", "who": "guest 2", "here": 2}
        {"type": "left", "who": "guest 2", "here": 1}
"""

from __future__ import annotations

import itertools

import msgspec

import trunkline
from trunkline.cli.demo.typed import encode, received

__all__ = ["Heard", "Joined", "Left", "Rooms", "Said", "Say"]


class Say(msgspec.Struct, frozen=True):
    """What the client sends."""

    text: str


class Said(msgspec.Struct, frozen=True, tag="said"):
    """A guest in the room said something."""

    who: str
    text: str


class Joined(msgspec.Struct, frozen=True, tag="joined"):
    """A guest came in; `here` guests are in the room now."""

    who: str
    here: int


class Left(msgspec.Struct, frozen=True, tag="left"):
    """A guest left; `here` guests are in the room now."""

    who: str
    here: int


Heard = Said | Joined | Left

_says = msgspec.json.Decoder(Say)


class Rooms:
    """The guests in each room. A room exists while somebody is in it."""

    def __init__(self) -> None:
        self._rooms: dict[str, set[trunkline.WebSocket]] = {}
        self._guests = itertools.count(1)

    async def serve(self, ws: trunkline.WebSocket, room: str) -> None:
        """Serve a guest in a room until the connection ends."""
        who = f"guest {next(self._guests)}"
        self._rooms.setdefault(room, set()).add(ws)
        self._tell(room, Joined(who, len(self._rooms[room])))
        try:
            async for say in received(ws, _says):
                self._tell(room, Said(who, say.text))
        finally:
            self._rooms[room].remove(ws)
            if self._rooms[room]:
                self._tell(room, Left(who, len(self._rooms[room])))
            else:
                del self._rooms[room]

    def _tell(self, room: str, message: Said | Joined | Left) -> None:
        # Encoded once for the whole room. A slow consumer is closed, so that nobody waits for it.
        trunkline.broadcast(self._rooms[room], encode(message), slow="close")
