"""Echo servers: plain, over TLS, and with permessage-deflate."""

from functools import partial

from benchmarks.bench import Bench
from benchmarks.sample import Sample
from benchmarks.scenario import LIMIT, Case, Scenario

TRUNKLINE = ("trunkline on_message", "trunkline on_batch", "trunkline async for")
SHAPED = ("picows.websockets", "websockets", "aiohttp", "wsproto")


def load(connections: int, size: int, depth: int) -> Case:
    return Case(f"{connections},{size},{depth}", size, connections, depth)


def measure(mode: str, bench: Bench, subject: str, case: Case) -> Sample:
    """One echo server under one load. mode: "", "tls" or "deflate"."""
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
    text="A server sends every message back. [connections, bytes, in flight]: so many connections, each with so many "
    "binary messages of so many bytes on their way.",
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
    text="The same over TLS 1.3. The load has as much to encrypt as the server: where a row is near the limit, the "
    "load's core may be what limits it, and the CPU time a message is the figure to trust.",
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
    text="permessage-deflate both ways, texts like a service's records; each library keeps its context and chooses "
    "its window as it does by default. The load compresses beforehand and decompresses during the warm-up only.",
    unit="messages/s",
    cases=(load(10, 1024, 8),),
    subjects=("websockets", *TRUNKLINE, "picows.websockets", "aiohttp", "wsproto"),
    base="websockets",
    short=("10,1024,8",),
    measure=partial(measure, "deflate"),
)
