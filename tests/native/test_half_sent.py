"""The way out when others' code runs in the middle of a write, or the write fails half-way: whole frames, or the end.

A link without a loop. What its transport and loop are asked runs code that sends, as a finalizer might.
"""

import contextlib
import os
import socket

import pytest

from rawlink import Line, once

LARGE = b"x" * 3_000_000


@pytest.mark.parametrize("hook", ["loop.on_is_closed", "transport.on_asked", "transport.on_write"])
@pytest.mark.parametrize("inner", [b"inner", b"i" * 100_000, LARGE])
def test_code_that_sends_in_the_middle_of_a_write(ends, hook: str, inner: bytes) -> None:
    line = Line(*ends)
    part, name = hook.split(".")

    def send() -> None:
        line.read()
        line.link.send_nowait(inner)
        line.link._flush()
        line.read()

    setattr(getattr(line, part), name, once(send))
    line.link.send_nowait(LARGE)
    line.link.send_nowait(b"last")
    line.link._flush()
    received = line.received()
    assert sorted(received, key=len) == sorted([LARGE, b"last", inner], key=len)
    assert received.index(LARGE) < received.index(b"last")


@pytest.mark.parametrize("hook", ["on_asked", "on_write"])
def test_a_write_that_fails_half_way_is_the_end(ends, hook: str) -> None:
    line = Line(*ends)

    def fail() -> None:
        raise MemoryError

    setattr(line.transport, hook, once(fail))
    with pytest.raises(MemoryError):
        line.link.send_nowait(LARGE)
    assert line.transport.aborted
    line.link.send_nowait(b"lost")
    line.link._flush()
    assert line.received() == []  # not one whole message, and no other in its place


def test_code_that_sends_when_masking_keys_are_drawn(ends, monkeypatch: pytest.MonkeyPatch) -> None:
    line = Line(*ends, client=True)
    urandom = os.urandom
    inner = once(lambda: line.link.send_nowait(b"i" * 4000))

    def draw(n: int) -> bytes:
        inner()
        return urandom(n)

    monkeypatch.setattr("os.urandom", draw)
    line.link.send_nowait(b"o" * 4000)  # both fill a new batch
    line.link._flush()
    assert sorted(line.received()) == [b"i" * 4000, b"o" * 4000]


def test_an_empty_list_behind_an_empty_batch(ends) -> None:
    line = Line(*ends)
    line.link.send_many([])
    line.link.send_many([])
    line.link._flush()
    assert line.received() == []


class Stop(BaseException):
    """As an interrupt of the process: no Exception."""


@pytest.mark.parametrize("error", [MemoryError, Stop])
@pytest.mark.parametrize("hook", ["loop.on_is_closed", "transport.on_asked", "transport.on_write"])
@pytest.mark.parametrize("plain", [True, False], ids=["socket", "transport"])
def test_a_write_that_raises_ends_the_line(ends, hook: str, error: type[BaseException], plain: bool) -> None:
    """What was to be written is lost, so nothing may follow it, whoever sends."""
    line = Line(*ends, plain=plain)
    part, name = hook.split(".")
    raised = []

    def fail() -> None:
        raised.append(error)
        raise error

    setattr(getattr(line, part), name, once(fail))
    line.link.send_nowait(b"first")
    with contextlib.suppress(error):
        line.link.send_nowait(LARGE)
    assert line.transport.aborted == bool(raised)
    if raised:
        line.link.send_nowait(b"lost")
        line.link._flush()
        assert line.received() in ([], [b"first"])


@pytest.mark.parametrize("error", [MemoryError, Stop])
def test_a_flush_that_raises_ends_its_line_and_no_other(ends, error: type[BaseException]) -> None:
    others = socket.socketpair()
    with others[0], others[1]:
        for end in others:
            end.setblocking(False)
        lines = [Line(*ends, plain=False), Line(*others, plain=False)]
        loop_state = lines[0].loop_state
        lines[1].link._join(loop_state, lines[1].life)

        def fail() -> None:
            raise error

        broken = []
        lines[0].life.on_broken = broken.append
        lines[0].transport.on_write = fail
        for line in lines:
            line.link.send_nowait(b"x")
        with contextlib.suppress(Stop):
            loop_state.flush()
        loop_state.flush()  # in the next turn, to which those behind an interrupt are put off
        assert [line.transport.aborted for line in lines] == [True, False]
        assert [type(one) for one in broken] == ([error] if error is MemoryError else [])
        assert lines[1].received() == [b"x"]


@pytest.mark.parametrize("error", [MemoryError, Stop])
def test_a_socket_that_takes_again_when_the_rest_cannot_be_sent(ends, error: type[BaseException]) -> None:
    line, broken = Line(*ends), []
    line.life.on_broken = broken.append
    line.link.send_nowait(LARGE)

    def fail() -> None:
        raise error

    line.transport.on_write = fail
    line.read()
    line.transport.flush()
    with contextlib.suppress(Stop):
        line.link.resume_writing()
    assert [type(one) for one in broken] == [error]
    assert line.transport.aborted
    assert line.link._waiting == 0
