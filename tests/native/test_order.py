"""Nothing that is sent overtakes what was sent before, and what waits for a slow peer takes the memory that it needs.

A link without a loop, on a transport that does what it may at the most awkward moment.
"""

import contextlib
import socket
import tracemalloc
from collections.abc import Callable, Iterator

import pytest

from rawlink import Line, once

LARGE = b"x" * 3_000_000
Ends = tuple[socket.socket, socket.socket]


def drain(line: Line) -> None:
    """Throws away what has arrived."""
    with contextlib.suppress(BlockingIOError):
        while line.peer.recv(2**20):
            pass


def empty(line: Line) -> None:
    """The transport's piece leaves; that it did, the transport does not say yet."""
    while line.transport.get_write_buffer_size():
        line.read()
        line.transport.flush()


SENDS: dict[str, Callable[[Line], object]] = {
    "short": lambda line: line.link.send_nowait(b"last"),
    "large": lambda line: line.link.send_nowait(b"last" * 20_000),
    "large text": lambda line: line.link.send_nowait("last" * 20_000),
    "many": lambda line: line.link.send_many([b"last", b"last" * 20_000]),
    "control": lambda line: line.link._send_control(9, b"last"),
}


@pytest.mark.parametrize("send", SENDS.values(), ids=SENDS)
@pytest.mark.parametrize("looks", [False, True])
def test_a_transport_that_is_empty_and_has_not_said_so(ends: Ends, send: Callable[[Line], object], looks: bool) -> None:
    line = Line(*ends)
    line.link.send_nowait(LARGE)
    assert line.link._waiting
    empty(line)
    if looks:
        assert line.link._waiting  # the backlog is still there
    send(line)
    line.link._flush()
    line.link.resume_writing()
    received = line.received()
    assert received[0] == LARGE
    assert len(received) > 1


@pytest.mark.parametrize("hook", ["on_asked", "on_write"])
@pytest.mark.parametrize("inner", [b"i", b"i" * 100_000])
@pytest.mark.parametrize("outer", [b"o" * 100_000, "o" * 100_000, "é" * 100_000])
def test_under_tls_no_frame_is_torn_by_another(ends: Ends, hook: str, inner: bytes, outer: str | bytes) -> None:
    """A large message is handed over in two parts, its header with what was before it, and itself."""
    line = Line(*ends, plain=False)

    def send() -> None:
        line.link.send_nowait(inner)
        line.link._flush()

    setattr(line.transport, hook, once(send))
    line.link.send_nowait(b"first")
    line.link.send_nowait(outer)
    line.link.send_nowait(b"last")
    line.link._flush()
    assert line.received() == [b"first", outer, inner, b"last"]


@pytest.mark.parametrize("inner", [b"i", b"i" * 100_000])
def test_what_is_sent_while_the_transport_gets_the_rest_waits_behind_it(ends: Ends, inner: bytes) -> None:
    line = Line(*ends)
    for _ in range(3):
        line.link.send_nowait(LARGE)
    empty(line)

    def send() -> None:
        line.link.send_nowait(inner)
        line.link._flush()

    line.transport.on_write = once(send)
    line.link._release_socket()
    line.link.send_nowait(b"last")
    line.link._flush()
    assert line.received() == [LARGE, LARGE, LARGE, inner, b"last"]


def test_a_socket_that_is_released_in_the_middle_of_a_write(ends: Ends) -> None:
    line = Line(*ends)
    line.transport.on_write = once(line.link._release_socket)
    line.link.send_nowait(LARGE)
    line.link.send_nowait(b"last")
    line.link._flush()
    assert line.received() == [LARGE, b"last"]


def test_a_write_that_fails_while_the_transport_gets_the_rest_is_the_end(ends: Ends) -> None:
    line = Line(*ends)
    line.link.send_nowait(LARGE)

    def fail() -> None:
        raise MemoryError

    line.transport.on_write = once(fail)
    with pytest.raises(MemoryError):
        line.link._release_socket()
    assert line.transport.aborted
    line.link.send_nowait(b"lost")
    line.link._flush()
    assert line.received() == []


class TestMemory:
    """Bytes that are held for a peer that does not read, beside those that wait for it."""

    @staticmethod
    def held(do: Callable[[], object]) -> int:
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            do()
            return tracemalloc.get_traced_memory()[0] - before
        finally:
            tracemalloc.stop()

    @pytest.fixture
    def lines(self, ends: Ends) -> Iterator[tuple[Line, Line]]:
        """Two lines of one loop; the first is that of a peer that does not read."""
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.setblocking(False)
            theirs.setblocking(False)
            slow, other = Line(*ends), Line(ours, theirs)
            other.link._join(slow.loop_state, other.life)
            slow.link.send_nowait(LARGE)
            yield slow, other

    def test_a_batch_that_another_has_grown(self, lines: tuple[Line, Line]) -> None:
        slow, other = lines
        kept: list[int] = []

        def send() -> None:
            for _ in range(10):
                # A batch of one large piece and what follows it, as a client's or a compressed message makes it.
                other.link.send_many([b"y" * 20_000] * 10)
                other.link._flush()
                drain(other)
                before = slow.link._waiting
                slow.link.send_many([b"x" * 22_000] * 3)
                slow.link._flush()
                kept.append(slow.link._waiting - before)

        held = self.held(send)
        assert sum(kept) > 600_000
        assert held < 1.25 * sum(kept) + 256 * 1024  # and the batch that the loop keeps for the next one that sends

    def test_small_writes_that_join_a_batch(self, lines: tuple[Line, Line]) -> None:
        slow, _ = lines
        before = slow.link._waiting

        def send() -> None:
            for _ in range(700):
                slow.link.send_nowait(b"z" * 500)
                slow.link._flush()

        held = self.held(send)
        assert held < 1.25 * (slow.link._waiting - before) + 64 * 1024

    @pytest.mark.parametrize("text", ["a" * 400_000, "é" * 200_000, "語" * 133_000, "a" * 400_000 + "😀"])
    def test_text_is_not_held_twice(self, lines: tuple[Line, Line], text: str) -> None:
        slow, _ = lines
        before = slow.link._waiting
        parts = [text[:-1], text[-1]]
        del text

        def send() -> None:
            slow.link.send_nowait("".join(parts))

        held = self.held(send)
        waits = slow.link._waiting - before
        assert waits >= 399_000
        assert held < 1.25 * waits + 8192


@pytest.mark.parametrize(("payload", "error"), [(None, TypeError), (b"x" * 126, ValueError)], ids=["none", "long"])
def test_a_payload_that_no_control_frame_can_carry(ends: Ends, payload: bytes, error: type[Exception]) -> None:
    line = Line(*ends)
    with pytest.raises(error, match=r"payload|126 bytes, limit 125"):
        line.link._send_control(9, payload)
    line.link._send_control(9, b"x" * 125)
    line.link._flush()
    assert line.link._counters()["pings_sent"] == 1
