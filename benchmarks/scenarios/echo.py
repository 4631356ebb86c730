"""Echo servers: plain, over TLS, and with permessage-deflate."""

from functools import partial

from benchmarks.bench import Bench
from benchmarks.figures import Sample
from benchmarks.scenario import LIMIT, Case, Scenario

TRUNKLINE = ("trunkline on_message", "trunkline on_batch", "trunkline async for")
SHAPED = ("picows.websockets", "websockets", "aiohttp", "wsproto")


def load(connections: int, size: int, depth: int) -> Case:
    return Case(f"{connections},{size},{depth}", size, connections, depth)


def measure(mode: str, bench: Bench, subject: str, case: Case) -> Sample:
    """Measure one echo server under one load. mode: "", "tls" or "deflate"."""
    certificate = [bench.certificate] if mode == "tls" else []
    words = {"": [], "tls": ["--tls", *certificate], "deflate": ["--deflate"]}[mode]
    server = bench.python("servers", subject, bench.loop, *words)
    if subject == LIMIT:
        server = bench.c("echo", 0, *certificate)
    numbers = [case.connections, case.size, case.depth, bench.seconds]
    return bench.measure_server(server, bench.c("load", "PORT", *numbers, *([mode] if mode else [])))


ECHO = Scenario(
    name="echo",
    title="Echo",
    text="A server sends every message back. The cases are [connections, bytes, in flight]: the number of connections, "
    "the size of each binary message, and how many of them are under way on each connection.",
    unit="messages/s",
    cases=(load(1, 64, 1), load(1, 64, 64), load(100, 64, 1), load(100, 64, 16), load(10, 4096, 8), load(4, 2**20, 1)),
    subjects=("picows", *TRUNKLINE, *SHAPED, LIMIT),
    base="picows",
    short=("100,64,16",),
    measure=partial(measure, ""),
)

TLS = Scenario(
    name="tls",
    title="Echo over TLS",
    text="The same over TLS 1.3. The load generator encrypts as much as the server. Where a row is near the limit, the "
    "load generator's core may be what limits it, so trust the CPU time for a message.",
    unit="messages/s",
    cases=(load(100, 64, 1), load(100, 64, 16), load(10, 4096, 8)),
    subjects=("picows", *TRUNKLINE, *SHAPED, LIMIT),
    base="picows",
    short=("100,64,16",),
    measure=partial(measure, "tls"),
)

DEFLATE = Scenario(
    name="deflate",
    title="Echo, compressed",
    text="permessage-deflate in both directions, on texts like the records of a service. Each library keeps its "
    "context and uses its default window. The load generator compresses beforehand, and decompresses "
    "only during the warm-up.",
    unit="messages/s",
    cases=(load(10, 1024, 8),),
    subjects=("websockets", *TRUNKLINE, "picows.websockets", "aiohttp", "wsproto"),
    base="websockets",
    short=("10,1024,8",),
    measure=partial(measure, "deflate"),
)
