"""The two ends of the measurement, each a process: `party server`, and `party client SETUP PORT SERVER_PID`.

The client stands for many users, each of whom sends a small message every tick. It waits until the server has sent all
of them back, and prints the cost as JSON.
"""

import asyncio
import json
import socket
import struct
import sys
import time
from pathlib import Path
from typing import Any, Final

import msgspec

import trunkline
from benchmarks.bench import cpu_seconds

USERS: Final = 64
TICKS: Final = 400
TICK: Final = 0.005  # seconds
SEGMENT: Final = 52  # bytes of IP and TCP headers with time stamps; Ethernet would add 38

# Linux's struct tcp_info: tcpi_segs_out and tcpi_segs_in.
SEGMENTS: Final = struct.Struct("@136xII")


class Note(msgspec.Struct):
    """A user's message."""

    user: int
    number: int
    text: str = "what a user may say in a line of chat"


SETUPS: Final[dict[str, dict[str, Any]]] = {
    "sockets": {},
    "pool": {"pool": trunkline.manager.PoolPolicy(size=2, strategy="hash")},
    "envelopes": {
        "pool": trunkline.manager.PoolPolicy(size=2, strategy="hash"),
        "batch": trunkline.manager.BatchPolicy(envelope=True),
    },
}


class Echo(trunkline.Listener):
    """A listener that sends everything back: an envelope for an envelope."""

    def on_batch(self, ws: trunkline.WebSocket, messages: list[str | bytes]) -> None:
        ws.send_many(messages)


async def serve() -> None:
    """Run the server."""
    async with trunkline.serve(listener=Echo, host="127.0.0.1", port=0) as server:
        print(server.port, flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


async def measure(setup: str, port: int, server: int) -> dict[str, float]:
    """Run the users and return the cost."""
    options = SETUPS[setup]
    path = "" if "pool" in options else "{user}"
    notes = trunkline.Service("notes", f"ws://127.0.0.1:{port}/{path}", sends=Note, receives=Note, **options)
    gate = trunkline.manager.GatePolicy(per_second=10_000)
    async with trunkline.ConnectionManager([notes], gate=gate) as manager:
        if "pool" in options:
            pool = manager.pool(notes)
            connections = [await manager.connect(notes, key=user) for user in range(USERS)]
            readers = [asyncio.create_task(count(pool, USERS * TICKS))]
        else:
            connections = [await manager.connect(notes, user=user) for user in range(USERS)]
            readers = [asyncio.create_task(count(connection, TICKS)) for connection in connections]
        links = {connection.websocket for connection in connections if connection.websocket is not None}
        before, cpu = totals(links), cpu_time(server)
        for number in range(TICKS):
            for user, connection in enumerate(connections):
                connection.send_nowait(Note(user, number))
            await asyncio.sleep(TICK)
        await asyncio.gather(*readers)
        spent = cpu_time(server) - cpu
        moved, segments = (after - earlier for after, earlier in zip(totals(links), before, strict=True))
    messages = 2 * USERS * TICKS  # there and back
    payload = sum(2 * len(notes.encode(Note(user, number))) for user in range(USERS) for number in range(TICKS))
    return {
        "sockets": len(links) / USERS,
        "cpu": spent / messages,
        "segments": segments / messages,
        "bytes": (moved - payload + SEGMENT * segments) / messages,
    }


async def count(connection: Any, messages: int) -> None:
    """Take `messages` messages."""
    for _ in range(messages):
        await anext(connection)


def totals(links: set[trunkline.WebSocket]) -> tuple[int, int]:
    """Return the bytes and TCP segments of these links, in both directions."""
    moved = segments = 0
    for link in links:
        stats = link.stats()
        moved += stats.bytes_sent + stats.bytes_received
        assert link.transport is not None
        info = link.transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
        segments += sum(SEGMENTS.unpack_from(info))
    return moved, segments


def cpu_time(server: int) -> float:
    """Return the seconds of CPU time of this process and the server so far."""
    return time.process_time() + cpu_seconds(Path(f"/proc/{server}/task"))


if __name__ == "__main__":
    if sys.argv[1] == "server":
        asyncio.run(serve())
    else:
        print(json.dumps(asyncio.run(measure(sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))))
