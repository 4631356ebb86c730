"""Shells on pseudo-terminals, for clients on this machine that have the token.

A shell outlives its WebSocket, and keeps its output for the next one.

server.py [PORT]
"""

import asyncio
import contextlib
import fcntl
import os
import pty
import secrets
import struct
import sys
import termios
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from messages import Exit, Input, Output, Resize, Shown, Typed

import trunkline

CODEC: trunkline.manager.JsonCodec[Shown, Typed] = trunkline.manager.JsonCodec(Shown, Typed)
PAGE = Path(__file__).with_name("page.html")


class Shell:
    """One shell, the WebSocket that shows it, and what the shell wrote while there was none."""

    def __init__(self) -> None:
        self.ws: trunkline.WebSocket | None = None
        self.has_ended = False
        self._unsent = b""
        pid, self._terminal = pty.fork()
        if pid == 0:
            os.execvp("/bin/sh", ["/bin/sh"])
        asyncio.get_running_loop().add_reader(self._terminal, self._read)

    async def attach(self, ws: trunkline.WebSocket) -> None:
        """Show the shell on this WebSocket, and no longer on the one before."""
        if self.ws is not None:
            self.ws.abort()
        self.ws = ws
        self._show(b"")
        with contextlib.suppress(trunkline.ConnectionClosed):
            async for payload in ws:
                match CODEC.decode(payload):
                    case Input(data):
                        os.write(self._terminal, data.encode())
                    case Resize(rows, columns):
                        size = struct.pack("HHHH", rows, columns, 0, 0)
                        fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, size)

    def _read(self) -> None:
        try:
            data = os.read(self._terminal, 65536)
        except OSError:  # how Linux reports that nobody has the terminal open any more
            data = b""
        self.has_ended = not data
        if self.has_ended:
            asyncio.get_running_loop().remove_reader(self._terminal)
        self._show(data)

    def _show(self, data: bytes) -> None:
        self._unsent = (self._unsent + data)[-65536:]
        with contextlib.suppress(trunkline.ConnectionClosed, AttributeError):
            self.ws.send_nowait(CODEC.encode(Output(self._unsent.decode(errors="replace"))))  # type: ignore[union-attr]
            self._unsent = b""
            if self.has_ended:
                self.ws.send_nowait(CODEC.encode(Exit()))  # type: ignore[union-attr]


async def main(port: int = 8803) -> None:
    """Run the server until it is interrupted."""
    token = secrets.token_urlsafe()
    shells: dict[str, Shell] = {}

    def admit(ws: trunkline.WebSocket, request: trunkline.Request) -> trunkline.Response | None:
        shown = parse_qs(urlsplit(request.path).query).get("token", [""])[0]
        if not secrets.compare_digest(shown.encode(), token.encode()):
            return ws.respond(401, "The token is missing or wrong.\n")
        if "Upgrade" in request.headers:
            return None
        return trunkline.Response(200, [("Content-Type", "text/html; charset=utf-8")], PAGE.read_bytes())

    async def handle(ws: trunkline.WebSocket) -> None:
        assert ws.request is not None
        name = urlsplit(ws.request.path).path
        if name not in shells or shells[name].has_ended:
            shells[name] = Shell()
        await shells[name].attach(ws)

    async with trunkline.serve(handle, "127.0.0.1", port, process_request=admit) as server:
        address = f"127.0.0.1:{server.port}"
        print(f"ready ws://{address} {token} and http://{address}/?token={token}", flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(*map(int, sys.argv[1:])))
