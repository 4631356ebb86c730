"""The pieces of work to count: on the compiled core, and on wsproto where it has a counterpart.

Every payload is the same in every run. One kernel does the masking (`pin_masks`), since the widest differs from CPU to
CPU.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import wsproto.connection
from wsproto.connection import ConnectionType
from wsproto.events import BytesMessage

import trunkline
import trunkline.protocol
from trunkline._batch import Encoder
from trunkline._frames import Decoder
from trunkline._kernels import use_mask_variant

SIZES = {64: 100, 4096: 100, 65536: 10}  # bytes of a message: messages in a piece of work
KERNELS = ["sse2", "neon", "scalar"]  # the first that the CPU has is used


@dataclass(frozen=True)
class Work:
    """One piece of work. side: trunkline or wsproto. run: does it once, for `messages` messages."""

    name: str
    side: str
    messages: int
    run: Callable[[], object]


def pin_masks() -> str:
    """Choose the masking kernel to count, and return its name."""
    for name in KERNELS:
        try:
            use_mask_variant(name)
        except ValueError:
            continue
        return name
    raise AssertionError("every build has the scalar kernel")


def binary(size: int) -> bytes:
    return bytes(i % 251 for i in range(size))


def ascii_text(size: int) -> str:
    return "".join(chr(97 + i % 26) for i in range(size))


def wide_text(size: int) -> str:
    """Return text with two bytes for each character."""
    return "".join(chr(0x410 + i % 32) for i in range(size // 2))


def decoding() -> list[Work]:
    """Return works that decode a burst of masked frames, as a server reads it."""
    kinds: dict[str, Callable[[int], str | bytes]] = {"binary": binary, "ASCII text": ascii_text, "Cyrillic": wide_text}
    works = []
    for kind, make in kinds.items():
        for size, count in SIZES.items():
            chunk, decoder = Encoder(True).messages([make(size)] * count), Decoder(False)
            works.append(Work(f"decode {kind}, {size:,} bytes", "trunkline", count, partial(decoder.feed, chunk)))
    return works


def encoding() -> list[Work]:
    """Return works that encode messages together: masked, as a client does, and unmasked, as a server does."""
    works = []
    for side, client in {"masked": True, "unmasked": False}.items():
        for size, count in SIZES.items():
            messages, encoder = [binary(size)] * count, Encoder(client)
            works.append(
                Work(f"encode {side}, {size:,} bytes", "trunkline", count, partial(encoder.messages, messages))
            )
    return works


def sans_io() -> list[Work]:
    """Return works for `trunkline.protocol` and wsproto: decode a burst into events, encode messages one by one."""
    works = []
    codecs = {"wsproto": wsproto.connection.Connection, "trunkline": trunkline.protocol.Connection}
    for side, codec in codecs.items():
        client, server = codec(ConnectionType.CLIENT), codec(ConnectionType.SERVER)
        message, count = BytesMessage(data=binary(64)), SIZES[64]
        chunk = b"".join(client.send(message) for _ in range(count))

        def decode(server: wsproto.connection.Connection = server, chunk: bytes = chunk) -> list[object]:
            server.receive_data(chunk)
            return list(server.events())

        def encode(client: wsproto.connection.Connection = client, message: BytesMessage = message) -> list[bytes]:
            return [client.send(message) for _ in range(SIZES[64])]

        works += [Work("protocol decode, 64 bytes", side, count, decode)]
        works += [Work("protocol encode, 64 bytes", side, count, encode)]
    return works


class EchoEach(trunkline.Listener):
    """A listener that sends every message back, and puts its connection into `opened`."""

    def __init__(self, opened: list[trunkline.WebSocket]) -> None:
        self._opened = opened

    def on_open(self, ws: trunkline.WebSocket) -> None:
        self._opened.append(ws)

    def on_message(self, ws: trunkline.WebSocket, message: str | bytes) -> None:
        ws.send_nowait(message)


class EchoBatch(EchoEach):
    """A listener that sends all messages of a read back together."""

    def on_batch(self, ws: trunkline.WebSocket, messages: list[str | bytes]) -> None:
        ws.send_many(messages)


def echoing(ws: trunkline.WebSocket, peer: socket.socket, name: str, size: int, a_read: int) -> Work:
    """Return the work of reads with `a_read` messages each on a server's connection: from the loop's call to the answer
    on the socket, which `peer` reads.
    """
    count = 100
    chunk = Encoder(True).messages([binary(size)] * a_read)
    answer = bytearray(len(Encoder(False).messages([binary(size)] * a_read)))

    def run() -> None:
        for _ in range(count // a_read):
            ws.data_received(chunk)
            if peer.recv_into(answer, 0, socket.MSG_WAITALL) != len(answer):
                raise AssertionError("an answer is missing")

    single = ", one a read" if a_read == 1 else ""
    return Work(f"echo by {name}{single}, {size:,} bytes", "trunkline", count, run)


async def echo(ws: trunkline.WebSocket) -> None:
    async for message in ws:
        await ws.send(message)


def echoing_task(ws: trunkline.WebSocket, peer: socket.socket, size: int) -> Work:
    """Return the same work for a coroutine. It is resumed by hand, without the cost of the loop and asyncio's Task."""
    count = 100
    chunk = Encoder(True).messages([binary(size)] * count)
    answer = bytearray(len(Encoder(False).messages([binary(size)] * count)))
    task = echo(ws)
    task.send(None)

    def run() -> None:
        ws.data_received(chunk)
        task.send(None)
        ws._flush()
        if peer.recv_into(answer, 0, socket.MSG_WAITALL) != len(answer):
            raise AssertionError("an answer is missing")

    return Work(f"echo by async for, {size:,} bytes", "trunkline", count, run)
