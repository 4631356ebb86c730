"""A stream through a `Link`: received into its buffers, as a loop does, and inflated where it has stalled."""

import weakref
from typing import Any

from fuzz import sides
from fuzz.sides import Decoded
from fuzz.streams import CLOSE, PONG, Stream
from trunkline._control import Fault
from trunkline._inflate import Inflater
from trunkline._link import Link
from trunkline._writer import LoopState

OFF_THREAD = 16  # bytes inflated of a message: then the rest is another thread's


class Turn:
    """What a loop_state asks of a loop; nothing is ever sent here."""

    def call_soon(self, callback: Any) -> None:
        """Nothing waits for the end of the turn."""

    def is_closed(self) -> bool:
        return False

    def time(self) -> float:
        return 0.0


LOOP_STATE = LoopState(Turn())  # one, as on a loop: its buffer is that of all links


class Life:
    """Keeps what its link tells it."""

    def __init__(self, link: Link, items: list[Any]) -> None:
        self.link = weakref.ref(link)  # no cycle
        self.items = items
        self.fault: Fault | None = None
        self.waits: Inflater | None = None

    def inflate(self, inflater: Inflater) -> None:
        self.waits = inflater

    def on_pong(self, payload: bytes) -> None:
        self.items.append((PONG, payload))

    def on_close_frame(self, code: int, reason: str) -> None:
        self.items.append((CLOSE, (code, reason)))

    def on_fault(self, fault: Fault) -> None:
        self.fault = fault
        link = self.link()
        assert link is not None
        link._end()

    def on_broken(self, error: BaseException) -> None:
        raise error


class Receiver(Link):
    """Keeps what it is given, in the shape of all; but pings, which a link answers by itself."""

    def __init__(self, stream: Stream) -> None:
        self.items: list[Any] = []
        self.life = Life(self, self.items)
        self._join(LOOP_STATE, self.life)
        self._open(sides.decoder(stream, limited=True, off_thread=OFF_THREAD), None, write_limit=0, control_rate=0)
        items = self.items  # no cycle
        if len(stream.data) & 1:
            self._listen(None, lambda link, messages: items.extend(messages))
        else:
            self._listen(lambda link, message: items.append(message), None)

    def receive(self, chunk: bytes) -> None:
        """What a loop does with bytes that have come."""
        while chunk:
            room = self.get_buffer(-1)
            n = min(len(room), len(chunk))
            room[:n] = chunk[:n]
            self.buffer_updated(n)
            chunk = chunk[n:]

    def inflate(self) -> None:
        """What a thread does, and the loop when it is done."""
        while self.life.waits is not None:
            inflater, self.life.waits = self.life.waits, None
            inflater.work()
            self._inflated()


def decode(stream: Stream) -> Decoded:
    """What a link gives for the chunks, each second of which comes while the one before it is being inflated."""
    link = Receiver(stream)
    for number, chunk in enumerate(stream.chunks()):
        if number & 1:
            link.data_received(chunk)
            link.inflate()
        else:
            link.receive(chunk)
    link.inflate()
    fault = link.life.fault
    return Decoded(link.items, fault.code, fault.text) if fault else Decoded(link.items, None, None)
