"""Clients: receiving, sending, and round trips."""

from functools import partial

from benchmarks.bench import Bench, BenchError
from benchmarks.figures import Sample
from benchmarks.peers.clients import CLIENTS
from benchmarks.scenario import LIMIT, Case, Scenario

SERVERS = {"feed": "feed", "push": "sink", "wait": "echo"}


def measure(work: str, bench: Bench, subject: str, case: Case) -> Sample:
    """Measure one client against the C server for its work. The client counts; a sink reports what really arrived."""
    words = [case.size] if work == "feed" else []
    with bench.other(bench.c(SERVERS[work], 0, *words)) as server:
        port = server.line("ready").split()[1]
        client = bench.python("clients", work, subject, bench.loop, port, case.size, bench.seconds)
        if subject == LIMIT:
            client = bench.c("client", work, port, case.size, bench.seconds)
        with bench.subject(client) as program:
            seen = program.result()
        if work == "push":
            check_arrival(int(server.line("took").split()[1]), seen["sent"], case.size)
    return Sample(seen["messages"] / seen["seconds"], seen["cpu"] / seen["messages"] * 1e6)


def check_arrival(took: int, sent: int, size: int) -> None:
    """Fail unless what a client sent has arrived, except for at most 8 MiB that was in buffers when it ended."""
    if took < sent - 8 * 2**20 / size:
        raise BenchError(f"the client reports {sent} messages sent, but {took} arrived")


def make(work: str, title: str, text: str, sizes: tuple[int, ...]) -> Scenario:
    return Scenario(
        name=work,
        title=title,
        text=text,
        unit="messages/s",
        cases=tuple(Case(str(size), size) for size in sizes),
        subjects=(*CLIENTS[work], LIMIT),
        base="picows",
        short=(str(sizes[0]),),
        measure=partial(measure, work),
    )


FEED = make(
    "feed",
    "Receiving a feed",
    "A client receives what a server pushes. The case is the size of a message in bytes.",
    (64, 65536),
)
PUSH = make(
    "push",
    "Sending",
    "A client sends a hundred messages in each turn of its loop. The case is their size in bytes.",
    (64,),
)
WAIT = make(
    "wait",
    "Round trips of a client",
    "A client sends the next message when the echo of the last one arrives. The case is their size in bytes.",
    (64, 65536),
)
