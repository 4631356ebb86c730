"""What a compression bomb costs in memory: a process gets one, and its memory is measured after each inflated piece.

What counts is what malloc has handed out; all of Python's memory is made to come from it. The pages of the process
would include holes in the heap, which each C library fills in its own way. Without the GIL Python takes memory from
mimalloc, which cannot be asked: there the pages count.
"""

import json
import os
import subprocess
import sys

import pytest

from loops import is_free_threaded

PROGRAM = """
import asyncio, ctypes, json, os, sys, zlib

asked = json.loads(sys.argv[1])
import trunkline
from trunkline.protocol.backends import find_backend

limit = asked["limit"]
WARM = 400_000

pages = os.open("/proc/self/smaps_rollup", os.O_RDONLY)
told = bytearray(4096)

def resident():
    os.preadv(pages, [told], 0)
    at = told.index(b"Anonymous:") + 10
    return int(told[at : told.index(b"kB", at)]) * 1024

class Told(ctypes.Structure):  # mallinfo2(3)
    names = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"
    _fields_ = [(name, ctypes.c_size_t) for name in names.split()]

ask = ctypes.CDLL(None).mallinfo2
ask.restype = Told

def given():
    told = ask()
    return told.uordblks + told.hblkhd

held = given if os.environ.get("PYTHONMALLOC") == "malloc" else resident

class Watched:
    peak = 0  # bytes that were held when a piece was inflated, at most

    def __init__(self, stream):
        self.stream = stream

    def __getattr__(self, name):
        return getattr(self.stream, name)

    def decompress(self, data, most):
        piece = self.stream.decompress(data, most)
        Watched.peak = max(Watched.peak, held())
        return piece

class Backend:
    name = "watched"

    def __init__(self, real):
        self.error, self.compressor = real.error, real.compressor
        self.decompressor = lambda bits: Watched(real.decompressor(bits))

async def main():
    settings = trunkline.Deflate(backend=Backend(find_backend(asked["backend"])))
    made, warm = asyncio.get_running_loop().create_future(), asyncio.Event()
    async def handle(ws):
        try:
            async for message in ws:
                warm.set() if len(message) == WARM else made.set_result(len(message))
        except trunkline.ConnectionClosedError as error:
            made.set_result(error.code)
    async with trunkline.serve(handle, "127.0.0.1", 0, compression=settings, max_size=limit) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET / HTTP/1.1\\r\\nHost: localhost\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\n"
                     b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\\r\\nSec-WebSocket-Version: 13\\r\\n"
                     b"Sec-WebSocket-Extensions: permessage-deflate\\r\\n\\r\\n")
        await reader.readuntil(b"\\r\\n\\r\\n")
        stream = zlib.compressobj(9, zlib.DEFLATED, -15)
        parts = [stream.compress(bytes(size)) + stream.flush(zlib.Z_SYNC_FLUSH) for size in asked["sizes"]]
        parts[-1] = parts[-1][:-4]
        frames = [bytes([(0xC2 if index == 0 else 0x80) & (0xFF if index == len(parts) - 1 else 0x7F), 0xFE])
                  + len(part).to_bytes(2, "big") + bytes(4) + part for index, part in enumerate(parts)]
        wire = b"".join(frames)
        # What only the first message ever costs is not the bomb's: code that is loaded, a thread, the buffer that all
        # connections read into. And what is free of the heap is given back, so that the bomb cannot hide in it.
        first = zlib.compressobj(9, zlib.DEFLATED, -15)
        first = (first.compress(os.urandom(WARM)) + first.flush(zlib.Z_SYNC_FLUSH))[:-4]
        writer.write(bytes([0xC2, 0xFF]) + len(first).to_bytes(8, "big") + bytes(4) + first)
        await warm.wait()
        await asyncio.sleep(0)
        ctypes.CDLL(None).malloc_trim(0)
        before, Watched.peak = held(), 0
        writer.write(wire)
        outcome = await made
        print(json.dumps({"outcome": outcome, "grown": Watched.peak - before}))
        writer.transport.abort()

asyncio.run(main())
"""


@pytest.mark.parametrize("backend", ["zlib", "isal"])
@pytest.mark.parametrize("limit", [2**20, 2**22, 3 * 2**24 // 2 + 1], ids=["1 MiB", "4 MiB", "24 MiB"])
@pytest.mark.parametrize("left", ["all of it", "one byte", "nothing", "exact"])
def test_a_bomb_costs_little_more_than_the_limit(backend: str, limit: int, left: str) -> None:
    sizes = {
        "all of it": [40_000_000],
        "one byte": [limit - 1, 20_000_000],
        "nothing": [limit, 20_000_000],
        "exact": [limit],
    }[left]
    # mimalloc copies what grows, and rounds it up: a message has its memory twice for that moment.
    most = 2 * limit + 2**20 if is_free_threaded() else limit + 2**18
    allocator = {"MIMALLOC_PURGE_DELAY": "0"} if is_free_threaded() else {"PYTHONMALLOC": "malloc"}
    asked = json.dumps({"limit": limit, "backend": backend, "sizes": sizes})
    told = subprocess.run(
        [sys.executable, "-c", PROGRAM, asked],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
        env=os.environ | allocator,
    )
    seen = json.loads(told.stdout)
    assert seen["outcome"] == (limit if left == "exact" else 1009)
    assert limit - 2**18 < seen["grown"] <= most
