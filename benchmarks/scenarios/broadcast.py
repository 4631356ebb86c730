"""Broadcast: one text to many clients."""

from benchmarks.bench import Bench
from benchmarks.figures import Sample
from benchmarks.peers.casters import CASTERS
from benchmarks.scenario import LIMIT, Case, Scenario

SIZE = 100  # bytes of a message
CLIENTS = 500


def measure(bench: Bench, subject: str, case: Case) -> Sample:
    """Measure one broadcaster. Every delivery counts as a message."""
    server = bench.python("casters", subject, bench.loop, case.connections, case.size, case.depth)
    if subject == LIMIT:
        server = bench.c("cast", 0, case.connections, case.size, case.depth)
    return bench.measure_server(server, bench.c("subscribe", "PORT", case.connections, case.size, bench.seconds))


BROADCAST = Scenario(
    name="broadcast",
    title="Broadcast",
    text=f"A server sends texts of {SIZE} bytes to {CLIENTS} clients, one or ten a turn of its loop. Deliveries count.",
    unit="messages/s",
    cases=tuple(Case(f"{burst} a turn", SIZE, CLIENTS, burst) for burst in (1, 10)),
    subjects=(*CASTERS, LIMIT),
    base="picows in a loop",
    short=("10 a turn",),
    measure=measure,
)
