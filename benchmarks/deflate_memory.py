"""Bytes that compression keeps for a connection between two messages: `python -m benchmarks.deflate_memory`.

Each figure is from a process of its own, in which a thousand connections have each sent and received one message of
4 KiB. What connections share is allocated before the first figure is taken.
"""

import subprocess
import sys

from benchmarks.bench import resident
from trunkline import Deflate
from trunkline._frames import Decoder
from trunkline._writer import LoopState
from trunkline.protocol.deflate import Agreement, deflater_for, inflater_for

COUNT = 1000
KEEPING = {"server_no_context_takeover": False, "client_no_context_takeover": False}
WAYS = {
    "a server's default": (False, 12, {}),
    "takeover, 9 bits": (True, 9, {"mem_level": 1}),
    "takeover, 12 bits": (True, 12, {}),
    "takeover, 15 bits": (True, 15, {"mem_level": 8}),
}


def measure(way: str, backend: str) -> float:
    """Return the bytes for each connection."""
    keeps, bits, settings = WAYS[way]
    agreement = Agreement(False, keeps, keeps, bits, bits, Deflate(backend=backend, off_thread=None, **settings))
    message = b"".join(b'{"id": %d, "side": "buy"}, ' % number for number in range(160))
    loop_state = LoopState(None)
    kept = []
    for number in range(COUNT + 10):
        if number == 10:
            before = resident()
        deflater = deflater_for(agreement, loop_state)
        payload = deflater.compress(message)
        assert payload is not None
        decoder = Decoder(True, inflater=inflater_for(agreement, None))
        frame = b"\xc2\x7e" + len(payload).to_bytes(2, "big") + payload
        assert decoder.feed(frame) == [message]
        kept.append((deflater, decoder))
    return (resident() - before) / COUNT


if __name__ == "__main__":
    if sys.argv[1:]:
        print(f"{measure(*sys.argv[1:]):10,.0f}", end="", flush=True)
        sys.exit()
    print(f"{'bytes a connection':24}{'zlib':>10}{'isal':>10}")
    for way in WAYS:
        print(f"{way:24}", end="", flush=True)
        for backend in ("zlib", "isal"):
            subprocess.run([sys.executable, "-m", "benchmarks.deflate_memory", way, backend], check=True)
        print()
