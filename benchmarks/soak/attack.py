"""Hostile clients, in a process of their own: `python -m benchmarks.soak.attack KIND PORT COUNT SECONDS`.

halfopen: COUNT handshakes at a byte a second. idle: COUNT good clients that are silent for SECONDS. All others: COUNT
threads that connect, send what the kind says as fast as possible and read nothing; a thread that is disconnected
connects again. It prints "attacking" when all are connected, and at the end a line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import threading
import time
import zlib

import trunkline
from benchmarks.peers.start import run

SLICES = 20  # parts of a second
REQUEST = (
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
)
NO_KEY = b"\x00\x00\x00\x00"  # a masking key of zeros leaves the payload as it is


def frame(first: int, payload: bytes = b"") -> bytes:
    """Return a masked frame of at most 65,535 bytes. first: its first byte."""
    size = len(payload)
    length = bytes([0x80 | size]) if size < 126 else b"\xfe" + size.to_bytes(2, "big")
    return bytes([first]) + length + NO_KEY + payload


def bomb() -> bytes:
    """Return a compressed message of 64 MiB of zeros."""
    deflate = zlib.compressobj(9, wbits=-15)
    zeros = bytes(2**20)
    data = b"".join(deflate.compress(zeros) for _ in range(64)) + deflate.flush(zlib.Z_SYNC_FLUSH)
    return frame(0xC2, data[:65_535])


FLOODS = {
    "pings": frame(0x89, b"p" * 125) * 100,
    "pongs": frame(0x8A, b"p" * 125) * 100,
    "echoes": frame(0x82, b"m" * 1000) * 50,
    "empty": frame(0x81) * 1000,
    "fragments": frame(0x01, b"f") + frame(0x00, b"f") * 2000,
    "bombs": bomb(),
    "connects": b"",
}


class HalfOpen(asyncio.Protocol):
    """A handshake that never ends."""

    def __init__(self, alive: set[HalfOpen], ages: list[float]) -> None:
        self._alive, self._ages = alive, ages
        self.sent = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self._since = time.monotonic()
        self._alive.add(self)

    def step(self) -> None:
        self.transport.write(REQUEST[self.sent : self.sent + 1])  # type: ignore[attr-defined]
        self.sent += 1

    def connection_lost(self, error: Exception | None) -> None:
        self._alive.discard(self)
        self._ages.append(time.monotonic() - self._since)


async def half_open(port: int, count: int, seconds: float) -> None:
    """Run half-open handshakes until the server has ended all of them or the time is up."""
    loop, alive, ages = asyncio.get_running_loop(), set[HalfOpen](), list[float]()
    for begun in range(0, count, 100):
        dials = [loop.create_connection(lambda: HalfOpen(alive, ages), "127.0.0.1", port) for _ in range(100)]
        await asyncio.gather(*dials[: count - begun])
    print("attacking", flush=True)
    until = time.monotonic() + seconds
    while alive and time.monotonic() < until:
        everyone = list(alive)
        for part in range(SLICES):
            for one in everyone[part::SLICES]:
                if one in alive:
                    one.step()
            await asyncio.sleep(1 / SLICES)
    print(json.dumps({"left": len(alive), "first": round(min(ages), 2), "last": round(max(ages), 2)}), flush=True)


async def idle(port: int, count: int, seconds: float) -> None:
    """Run clients that answer pings and are otherwise silent."""
    connections: list[trunkline.WebSocket] = []
    while len(connections) < count:
        dials = [
            trunkline.connect(f"ws://127.0.0.1:{port}/").__aenter__() for _ in range(min(50, count - len(connections)))
        ]
        connections += await asyncio.gather(*dials)
    print("attacking", flush=True)
    await asyncio.sleep(seconds)
    lost = sum(ws.close_info is not None for ws in connections)
    pings = sum(ws.stats().pings_sent for ws in connections)
    await asyncio.gather(*(ws.close() for ws in connections))
    print(json.dumps({"lost": lost, "pings": pings}), flush=True)


class Flood:
    """Threads that send the same bytes again and again."""

    def __init__(self, port: int, data: bytes, until: float) -> None:
        self._port, self._data, self._until = port, data, until
        self.connections = self.sent = 0

    def run(self) -> None:
        """Run one thread until the time is up."""
        while time.monotonic() < self._until:
            try:
                self._attack()
            except OSError:
                continue  # disconnected

    def _attack(self) -> None:
        with socket.create_connection(("127.0.0.1", self._port), timeout=1) as sock:
            self.connections += 1
            if not self._data:
                return
            sock.sendall(REQUEST)
            while b"\r\n\r\n" not in sock.recv(4096):
                pass
            while time.monotonic() < self._until:
                try:
                    self.sent += sock.send(self._data)
                except TimeoutError:
                    continue  # the server does not read, as it may


def flood(kind: str, port: int, count: int, seconds: float) -> None:
    one = Flood(port, FLOODS[kind], time.monotonic() + seconds)
    threads = [threading.Thread(target=one.run) for _ in range(count)]
    print("attacking", flush=True)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps({"connections": one.connections, "mebibytes": round(one.sent / 2**20)}), flush=True)


def main(kind: str, port: int, count: int, seconds: float) -> None:
    if kind in FLOODS:
        flood(kind, port, count, seconds)
    else:
        run((half_open if kind == "halfopen" else idle)(port, count, seconds), "asyncio")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
