"""Connections: opening and holding many."""

import time

from benchmarks.bench import Bench
from benchmarks.figures import Sample
from benchmarks.scenario import LIMIT, Case, Scenario

PEERS = ("picows", "picows.websockets", "websockets", "aiohttp", "wsproto")
SERVERS = ("trunkline on_message", "trunkline async for", *PEERS)
SETTLE = 0.5  # seconds to wait before reading a server's memory


def handshakes(bench: Bench, subject: str, case: Case) -> Sample:
    """Measure how fast a server accepts connections, up to 64 handshakes at a time."""
    server = bench.c("echo", 0) if subject == LIMIT else bench.python("servers", subject, bench.loop)
    return bench.measure_server(server, bench.c("open", "PORT", case.connections))


def memory(bench: Bench, subject: str, case: Case) -> Sample:
    """Measure by how much a server's resident memory grows for each open, silent connection."""
    with bench.subject(bench.python("servers", subject, bench.loop)) as server:
        port = server.line("ready").split()[1]
        with bench.other(bench.c("open", port, 100)) as first:  # so that what is allocated only once does not count
            first.line("measuring")
            first.result()
        time.sleep(SETTLE)
        before = server.resident
        with bench.other(bench.c("open", port, case.connections)) as program:
            program.line("measuring")
            program.result()
            time.sleep(SETTLE)
            return Sample((server.resident - before) / case.connections)


HANDSHAKES = Scenario(
    name="handshakes",
    title="Opening handshakes",
    text="A server accepts connections, up to 64 of them at a time; they stay open.",
    unit="handshakes/s",
    cases=(Case("3000", connections=3000),),
    subjects=(*SERVERS, LIMIT),
    base="websockets",
    short=("3000",),
    measure=handshakes,
    per="handshake",
)

MEMORY = Scenario(
    name="memory",
    title="Idle memory",
    text="How much a server's resident memory grows for each connection, with 5,000 open and silent. `no WebSocket` is "
    "the loop's transport with the smallest possible protocol.",
    unit="bytes",
    cases=(Case("5000", connections=5000),),
    subjects=(*SERVERS, "no WebSocket"),
    base="websockets",
    short=("5000",),
    measure=memory,
    smaller_is_better=True,
)
