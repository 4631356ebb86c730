"""The server's end of a connection, which the steps of a script control."""

from __future__ import annotations

import asyncio
import http
from collections.abc import Mapping
from typing import Final, cast

from wsproto.connection import ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, TextMessage
from wsproto.utilities import generate_accept_token

from trunkline._frames import OPCODE_BINARY, OPCODE_CLOSE, OPCODE_PONG, OPCODE_TEXT
from trunkline.protocol.wsproto.connection import Connection
from trunkline.testing.proxy import reset

__all__ = ["PeerGone", "ScriptedPeer"]

MAX_HEAD: Final = 64 * 1024  # bytes of a request


class PeerGone(Exception):
    """The client has closed or is gone. code: that of its close frame, None if there was none."""

    def __init__(self, code: int | None = None, reason: str = "") -> None:
        super().__init__("the client is gone" if code is None else f"the client closed with {code} {reason}".rstrip())
        self.code = code
        self.reason = reason


class ScriptedPeer:
    """One connection of a ScriptedServer.

    Attributes:
        number: counted from 0.
        at: the loop's time when it was accepted.
        request: the head of the request as it was received; empty before it was read.
        target, headers: of the request; header names are in lower case.
        messages: the messages received.
        closed: (code, reason) of the client's close frame, None if there was none.
    """

    def __init__(self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.number = number
        self.at = asyncio.get_running_loop().time()
        self.request = b""
        self.target = ""
        self.headers: dict[str, str] = {}
        self.messages: list[str | bytes] = []
        self.closed: tuple[int, str] | None = None
        self.reader = reader
        self.writer = writer
        self._frames = Connection(ConnectionType.SERVER)
        self._parts: list[str | bytes] = []
        self._ready: list[str | bytes] = []

    async def read_request(self) -> None:
        """Read the head of the request. Raise PeerGone if the client leaves before it is complete."""
        if self.request:
            return
        try:
            self.request = await self.reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
            raise PeerGone from None
        first, *lines = self.request.decode("latin-1").split("\r\n")
        self.target = first.split(" ")[1] if first.count(" ") > 1 else ""
        pairs = [line.partition(":") for line in lines if ":" in line]
        self.headers = {name.strip().lower(): value.strip() for name, _, value in pairs}

    async def answer(self, status: int, headers: Mapping[str, str] | None = None, body: bytes | str = b"") -> None:
        """Read the request and answer it with any status."""
        await self.read_request()
        data = body.encode() if isinstance(body, str) else body
        fields: dict[str, str] = {}
        if status >= 200:
            fields = {"Content-Length": str(len(data)), "Connection": "close"}
        fields.update(headers or {})
        await self.write(_head(status, fields) + data)

    async def accept(self, subprotocol: str | None = None, headers: Mapping[str, str] | None = None) -> None:
        """Read the request and accept it, whatever it asks for."""
        await self.read_request()
        token = generate_accept_token(self.headers.get("sec-websocket-key", "").encode()).decode()
        fields = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Accept": token}
        if subprotocol is not None:
            fields["Sec-WebSocket-Protocol"] = subprotocol
        fields.update(headers or {})
        await self.write(_head(101, fields))

    async def send(self, message: str | bytes) -> None:
        """Send a message."""
        is_text = isinstance(message, str)
        await self.send_frame(
            OPCODE_TEXT if is_text else OPCODE_BINARY, message.encode() if isinstance(message, str) else message
        )

    async def send_frame(self, opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0) -> None:
        """Send a frame, legal or not (RFC 6455 5.2)."""
        await self.write(frame(opcode, payload, fin=fin, rsv=rsv))

    async def receive(self) -> str | bytes:
        """Return the next message, and answer pings and a close meanwhile. Raise PeerGone if there will be none."""
        while not self._ready:
            if self.closed is not None:
                raise PeerGone(*self.closed)
            try:
                data = await self.reader.read(65_536)
            except ConnectionError:
                raise PeerGone from None
            if not data:
                raise PeerGone
            self._frames.receive_data(data)
            for event in self._frames.events():
                await self._take(event)
        message = self._ready.pop(0)
        self.messages.append(message)
        return message

    async def close(self, code: int | None = 1000, reason: str = "") -> None:
        """Send a close frame with any code, and read until the client has answered it."""
        payload = b"" if code is None else code.to_bytes(2, "big") + reason.encode()
        await self.send_frame(OPCODE_CLOSE, payload)
        try:
            while True:
                await self.receive()
        except PeerGone:
            pass

    async def write(self, data: bytes) -> None:
        """Send raw bytes. Raise PeerGone if the connection is gone."""
        if self.writer.transport.is_closing():
            raise PeerGone
        self.writer.write(data)
        try:
            await self.writer.drain()
        except ConnectionError:
            raise PeerGone from None

    async def drop(self) -> None:
        """End the connection with an end of file."""
        self.writer.close()

    async def reset(self) -> None:
        """End the connection with a TCP reset."""
        reset(cast(asyncio.Transport, self.writer.transport))

    async def _take(self, event: object) -> None:
        if isinstance(event, Ping):
            await self.send_frame(OPCODE_PONG, bytes(event.payload))
        elif isinstance(event, CloseConnection):
            self.closed = (int(event.code), event.reason or "")
            if not self.writer.transport.is_closing():
                self.writer.write(
                    frame(OPCODE_CLOSE, b"" if event.code == 1005 else int(event.code).to_bytes(2, "big"))
                )
        elif isinstance(event, (TextMessage, BytesMessage)):
            self._parts.append(event.data if isinstance(event.data, str) else bytes(event.data))
            if event.message_finished:
                parts, self._parts = self._parts, []
                self._ready.append("".join(map(str, parts)) if isinstance(parts[0], str) else b"".join(parts))  # type: ignore[arg-type]


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0) -> bytes:
    """Return the bytes of a frame as a server sends it, unmasked."""
    size = len(payload)
    short = size if size < 126 else 126 if size < 65_536 else 127
    wide = b"" if size < 126 else size.to_bytes(2 if size < 65_536 else 8, "big")
    return bytes((fin << 7 | rsv << 4 | opcode, short)) + wide + payload


def _head(status: int, fields: Mapping[str, str]) -> bytes:
    try:
        phrase = http.HTTPStatus(status).phrase
    except ValueError:
        phrase = "Status"
    lines = [f"HTTP/1.1 {status} {phrase}", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")
