"""The codec without I/O: `trunkline.protocol` and wsproto, both in this process, taking turns.

They have the same interface: `receive_data`, `events` and `send`. A burst is what a server gets from a busy client in
one read; every event is looked at. A round trip goes from client to server and back, with an event at each end.
"""

import gc
import os
import time
from collections.abc import Callable

import wsproto.connection
from wsproto.connection import ConnectionType
from wsproto.events import BytesMessage

import trunkline.protocol
from benchmarks.bench import Bench
from benchmarks.figures import Sample
from benchmarks.scenario import Case, Scenario

CODECS = {"wsproto": wsproto.connection.Connection, "trunkline.protocol": trunkline.protocol.Connection}
BURST = 100  # frames in one read


def burst(subject: str, size: int) -> Callable[[], int]:
    """Return work that decodes a burst of masked frames and returns the number of messages."""
    client, server = CODECS[subject](ConnectionType.CLIENT), CODECS[subject](ConnectionType.SERVER)
    chunk = b"".join(client.send(BytesMessage(data=bytes(i % 251 for i in range(size)))) for _ in range(BURST))

    def work() -> int:
        server.receive_data(chunk)
        messages = sum(len(event.data) == size for event in server.events())
        assert messages == BURST
        return messages

    return work


def round_trip(subject: str, size: int) -> Callable[[], int]:
    """Return work that sends a message, echoes it, and returns 1."""
    client, server = CODECS[subject](ConnectionType.CLIENT), CODECS[subject](ConnectionType.SERVER)
    message = BytesMessage(data=bytes(i % 251 for i in range(size)))

    def work() -> int:
        server.receive_data(client.send(message))
        for event in server.events():
            client.receive_data(server.send(event))
        messages = sum(len(event.data) == size for event in client.events())
        assert messages == 1
        return messages

    return work


def measure(bench: Bench, subject: str, case: Case) -> Sample:
    """Measure a codec's messages a second of CPU time for a third of a round, pinned, without garbage collection."""
    work = (burst if case.label.startswith("burst") else round_trip)(subject, case.size)
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {bench.cores[0]})
    gc.disable()
    try:
        repeat(work, bench.seconds / 30)
        return repeat(work, bench.seconds / 3)
    finally:
        gc.enable()
        os.sched_setaffinity(0, cores)


def repeat(work: Callable[[], int], seconds: float) -> Sample:
    """Repeat work until it has taken `seconds` of CPU time. It never waits, and other work on the machine does not
    count.
    """
    messages, start = 0, time.process_time()
    while True:
        messages += work()
        taken = time.process_time() - start
        if taken >= seconds:
            return Sample(messages / taken, taken / messages * 1e6)


CODEC = Scenario(
    name="codec",
    title="Codec, without I/O",
    text="`trunkline.protocol` and wsproto, used through the interface that they share. Burst: a server decodes a "
    "hundred masked messages from one read. Round trip: a message goes from a client to a server and back. "
    "Seconds are CPU time.",
    unit="messages/s",
    cases=(
        Case("burst 64", 64),
        Case("burst 4096", 4096),
        Case("round trip 64", 64),
        Case("round trip 65536", 65536),
        Case("round trip 1048576", 2**20),
    ),
    subjects=tuple(CODECS),
    base="wsproto",
    short=("burst 64", "round trip 64", "round trip 65536"),
    measure=measure,
)
