"""The program that runs under callgrind: it repeats every piece of work and has it counted.

    driver.py MARKS    MARKS: the library built from benchmarks/c/marks.c

It prints one line of JSON: the masking kernel, and for each piece its number in the order of counting, its name, its
side and its messages.
"""

import asyncio
import ctypes
import gc
import json
import socket
import sys
from collections.abc import Callable

import trunkline
from benchmarks.instructions.works import (
    EchoBatch,
    EchoEach,
    Work,
    decoding,
    echoing,
    echoing_task,
    encoding,
    pin_masks,
    sans_io,
)
from trunkline.net.serve import Serving

WARM_UP, TIMES = 3, 4  # warm-up is not counted: caches fill, tables grow, the interpreter specializes

REQUEST = (
    b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


def count(marks: ctypes.CDLL, work: Work) -> None:
    """Run a piece of work and have all but its warm-up counted."""
    for _ in range(WARM_UP):
        work.run()
    marks.marks_begin()
    for _ in range(TIMES):
        work.run()
    marks.marks_end(work.name.encode())


Open = Callable[[trunkline.WebSocket, socket.socket], Work]


async def count_echo(marks: ctypes.CDLL, listener: type[EchoEach], name: str, a_read: int) -> Work:
    """Count reads of a connection with a listener. The driver makes them in place of the loop."""
    opened: list[trunkline.WebSocket] = []
    serving = trunkline.serve(listener=lambda: listener(opened), host="127.0.0.1", port=0)
    return await count_open(marks, serving, opened, lambda ws, peer: echoing(ws, peer, name, 64, a_read))


async def count_task(marks: ctypes.CDLL) -> Work:
    """Count reads of a connection with a handler, whose coroutine the driver runs, too."""
    opened: list[trunkline.WebSocket] = []

    async def handler(ws: trunkline.WebSocket) -> None:
        opened.append(ws)
        await ws.wait_closed()

    serving = trunkline.serve(handler, "127.0.0.1", 0)
    return await count_open(marks, serving, opened, lambda ws, peer: echoing_task(ws, peer, 64))


async def count_open(marks: ctypes.CDLL, serving: Serving, opened: list[trunkline.WebSocket], make: Open) -> Work:
    """Open a real connection and count the work on it."""
    async with serving as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(REQUEST)
        await reader.readuntil(b"\r\n\r\n")
        while not opened:  # noqa: ASYNC110  # a turn or two
            await asyncio.sleep(0)
        peer = writer.get_extra_info("socket").dup()
        writer.transport.pause_reading()  # this function reads the answers itself
        peer.setblocking(True)
        work = make(opened[0], peer)
        count(marks, work)
        peer.close()
        opened[0].abort()
        writer.transport.abort()
    return work


async def main(path: str) -> None:
    marks = ctypes.CDLL(path)
    if not marks.marks_counting():
        sys.exit("this runs under valgrind --tool=callgrind; see `make instructions`")
    kernel = pin_masks()
    gc.disable()
    works = [*decoding(), *encoding(), *sans_io()]
    for work in works:
        count(marks, work)
    works.append(await count_echo(marks, EchoEach, "on_message", 100))
    works.append(await count_echo(marks, EchoEach, "on_message", 1))
    works.append(await count_echo(marks, EchoBatch, "on_batch", 100))
    works.append(await count_task(marks))
    done = [[work.name, work.side, work.messages * TIMES] for work in works]
    print(json.dumps({"kernel": kernel, "works": done}), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
