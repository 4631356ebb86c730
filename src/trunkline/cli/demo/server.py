"""One server for the three services: it admits connections and hands each to its service."""

from __future__ import annotations

import ipaddress
import secrets
from urllib.parse import unquote, urlsplit

import trunkline
from trunkline.cli.demo.chat import Rooms
from trunkline.cli.demo.main import serve_main
from trunkline.cli.demo.terminal import Terminals

__all__ = ["DemoServer"]


class DemoServer:
    """Serves `/main`, `/chat/{room}` and `/terminal/{terminal_id}` on loopback.

    A terminal is a shell: it opens only for programs on this machine that send the token as `Authorization: Bearer`.
    """

    def __init__(self, port: int = 0) -> None:
        self.port = port
        self.token = ""
        self.is_refusing = False  # answers 503 to every opening handshake
        self._server: trunkline.Server | None = None
        self._rooms = Rooms()
        self._terminals = Terminals()

    async def start(self) -> None:
        """Listen with a new token, on the same port as before. Raise OSError if the port is taken."""
        self._server = await trunkline.serve(
            self._serve, "127.0.0.1", self.port, process_request=self._admit, close_timeout=1
        )
        self.port = self._server.port
        self.token = secrets.token_urlsafe()

    async def stop(self, code: int = 1001, reason: str = "") -> None:
        """Close every connection and end the shells."""
        if self._server is not None:
            await self._server.close(code, reason)
            await self._terminals.close()

    def _admit(self, ws: trunkline.WebSocket, request: trunkline.Request) -> trunkline.Response | None:
        if self.is_refusing:
            return trunkline.Response(503, [("Retry-After", "1")], b"busy\n")
        kind, name = _split(request.path)
        if kind == "main" and not name:
            return None
        if kind == "chat" and name:
            return None
        if kind == "terminal" and name:
            return self._admit_to_terminal(ws, request)
        return ws.respond(404, "The paths are /main, /chat/{room} and /terminal/{terminal_id}.\n")

    def _admit_to_terminal(self, ws: trunkline.WebSocket, request: trunkline.Request) -> trunkline.Response | None:
        address = ws.remote_address
        if not isinstance(address, tuple) or not ipaddress.ip_address(address[0]).is_loopback:
            return ws.respond(403, "Terminals are for programs on this machine.\n")
        shown = request.headers.get("Authorization") or ""
        # In constant time: how long the comparison takes must not reveal how much of a guess was right.
        if not secrets.compare_digest(shown.encode(), f"Bearer {self.token}".encode()):
            return ws.respond(401, "Terminals need the token.\n")
        return None

    async def _serve(self, ws: trunkline.WebSocket) -> None:
        assert ws.request is not None
        kind, name = _split(ws.request.path)
        if kind == "main":
            await serve_main(ws)
        elif kind == "chat":
            await self._rooms.serve(ws, name)
        else:
            await self._terminals.serve(ws, name)


def _split(path: str) -> tuple[str, str]:
    """Return the service and the rest of the path: ("chat", "lobby") for "/chat/lobby"."""
    kind, _, name = urlsplit(path).path.removeprefix("/").partition("/")
    return kind, unquote(name)
