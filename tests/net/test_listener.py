"""Listeners: each callback doing each thing it should not, nothing delivered after the end, one write for a read."""

import asyncio
import logging
from typing import Any

import pytest

import trunkline
from rawpeer import BINARY, PING, PONG, TEXT, Frame
from trunkline import Close, ConnectionClosed, ConnectionClosedOK
from turns import settle, until

pytestmark = pytest.mark.anyio

QUIET = logging.getLogger("tests.listener")
QUIET.propagate = False
QUIET.addHandler(logging.NullHandler())


class Recorder(trunkline.Listener):
    """A listener that records every call, and does what it was told at one of them."""

    def __init__(self, at: str = "", deed: Any = None) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.ws: trunkline.WebSocket | None = None
        self._at = at
        self._deed = deed

    def note(self, name: str, *details: Any) -> None:
        self.calls.append((name, *details))
        if name == self._at:
            self._deed(self.ws)

    def on_open(self, ws: trunkline.WebSocket) -> None:
        self.ws = ws
        self.note("open")

    def on_message(self, ws: trunkline.WebSocket, message: str | bytes) -> None:
        self.note("message", message)

    def on_close(self, ws: trunkline.WebSocket, close: Close) -> None:
        self.note("close", close)

    def names(self) -> list[str]:
        return [name for name, *_ in self.calls]

    @property
    def close(self) -> Close:
        """How it ended; a second on_close fails the test."""
        (close,) = [details[0] for name, *details in self.calls if name == "close"]
        return close


class Batcher(Recorder):
    """The same, with on_batch, which is then called in place of on_message."""

    def on_batch(self, ws: trunkline.WebSocket, messages: list[str | bytes]) -> None:
        self.note("batch", messages)


def fail(ws: Any) -> None:
    raise ZeroDivisionError("a fault of the application's")


def close(ws: Any) -> None:
    ws.start_closing(4001, "enough")


def abort(ws: Any) -> None:
    ws.abort()


def send(ws: Any) -> None:
    ws.send_nowait("from a callback")


def refuse(ws: Any) -> None:
    ws.fail(1008, "not here")


@pytest.fixture(params=["message", "batch"])
def kind(request):
    """The callback that takes messages."""
    return request.param


def recorder(kind: str, at: str = "", deed: Any = None) -> Recorder:
    return (Batcher if kind == "batch" else Recorder)(kind if at == "receipt" else at, deed)


def burst(peer: Any) -> None:
    """Three messages, a ping in their midst, and two more, in one write."""
    parts = [(TEXT, b"1"), (BINARY, b"2"), (TEXT, b"3"), (PING, b"?"), (TEXT, b"4"), (TEXT, b"5")]
    peer.writer.write(b"".join(peer.encode(*part) for part in parts))


# In order


async def test_messages_come_in_order(line):
    listener = Recorder()
    async with line(listener=listener) as (_, peer):
        burst(peer)
        assert await peer.frame() == Frame(PONG, b"?")
        assert listener.calls == [("open",), *(("message", m) for m in ("1", b"2", "3", "4", "5"))]


async def test_batches_are_what_one_read_brought_between_control_frames(line):
    listener = Batcher()
    async with line(listener=listener) as (_, peer):
        burst(peer)
        assert await peer.frame() == Frame(PONG, b"?")
        assert listener.calls == [("open",), ("batch", ["1", b"2", "3"]), ("batch", ["4", "5"])]


async def test_messages_that_came_with_the_handshake_come_after_on_open(raw_server):
    listener = Recorder()
    done = asyncio.Event()

    async def script(peer):
        # Written before the loop has sent the answer to the handshake: both leave in one write.
        peer.send(TEXT, b"first")
        await done.wait()

    async with raw_server(script) as uri, trunkline.connect(uri, listener=listener):
        await until(lambda: len(listener.calls) == 2)
        assert listener.calls == [("open",), ("message", "first")]
        done.set()


async def test_a_listener_needs_no_base_class(line):
    class Bare:
        def __init__(self) -> None:
            self.messages: list[Any] = []

        def on_open(self, ws: Any) -> None:
            pass

        def on_message(self, ws: Any, message: Any) -> None:
            self.messages.append(message)

        def on_close(self, ws: Any, close: Close) -> None:
            self.messages.append(close.code)

    listener = Bare()
    async with line(listener=listener) as (ws, peer):
        peer.send(TEXT, b"1")
        peer.send_close(1000)
        peer.writer.write_eof()
        await ws.wait_closed()
    assert listener.messages == ["1", 1000]


async def test_each_connection_has_a_listener_of_its_own(raw_client):
    made = []

    def make() -> Recorder:
        made.append(Recorder())
        return made[-1]

    async with trunkline.serve(listener=make, host="127.0.0.1", port=0) as server:
        async with raw_client(server) as first, raw_client(server) as second:
            first.send(TEXT, b"1")
            second.send(TEXT, b"2")
            await until(lambda: all(len(listener.calls) == 2 for listener in made))
        assert [listener.calls[1] for listener in made] == [("message", "1"), ("message", "2")]


# What a callback does


async def finished(ws: Any, peer: Any) -> None:
    """Lets the connection end, whatever ends it."""
    peer.writer.write_eof()
    await ws.wait_closed()


async def test_a_callback_that_raises_ends_the_connection_with_1011(line, kind, caplog):
    listener = recorder(kind, "receipt", fail)
    async with line(listener=listener, logger=logging.getLogger("tests.broken")) as (ws, peer):
        burst(peer)
        assert (await peer.frame()).close == (1011, "internal error")
        await finished(ws, peer)
        assert await peer.rest() == b""
    assert listener.names() == ["open", kind, "close"]
    assert listener.close == Close(1011, "a callback raised ZeroDivisionError", False, "local")
    (record,) = [record for record in caplog.records if record.name == "tests.broken"]
    assert "a fault of the application's" in str(record.exc_info[1])


async def test_a_callback_that_closes_gets_nothing_more(line, kind):
    listener = recorder(kind, "receipt", close)
    async with line(listener=listener) as (ws, peer):
        burst(peer)
        assert (await peer.frame()).close == (4001, "enough")
        peer.send(TEXT, b"late")
        peer.send_close(4001)
        await finished(ws, peer)
    assert listener.names() == ["open", kind, "close"]
    assert listener.close == Close(4001, "", True, "local")
    assert ws.stats().messages_discarded == (3 if kind == "batch" else 5)


async def test_a_callback_that_fails_the_connection_gets_nothing_more(line, kind):
    listener = recorder(kind, "receipt", refuse)
    async with line(listener=listener) as (ws, peer):
        burst(peer)
        assert (await peer.frame()).close == (1008, "not here")
        await finished(ws, peer)
    assert listener.names() == ["open", kind, "close"]
    assert listener.close == Close(1008, "not here", False, "local")


async def test_a_callback_that_aborts_gets_nothing_more(line, kind):
    listener = recorder(kind, "receipt", abort)
    async with line(listener=listener) as (ws, peer):
        burst(peer)
        await ws.wait_closed()
    assert listener.names() == ["open", kind, "close"]
    assert listener.close == Close(1006, "", False, None)


async def test_a_callback_that_sends_is_heard(line, kind):
    listener = recorder(kind, "receipt", send)
    async with line(listener=listener) as (_, peer):
        burst(peer)
        frames = await peer.frames(3 if kind == "batch" else 6)
        pong = frames.index(Frame(PONG, b"?"))
        assert pong == (1 if kind == "batch" else 3)
        assert {frame.payload for frame in frames} == {b"?", b"from a callback"}


@pytest.mark.parametrize("deed", [fail, close, abort, refuse])
async def test_on_open_that_ends_the_connection_gets_on_close_and_nothing_between(line, kind, deed):
    listener = recorder(kind, "open", deed)
    async with line(listener=listener, logger=QUIET) as (ws, peer):
        if deed is not abort:
            burst(peer)
            assert (await peer.frame()).close[0] == {fail: 1011, close: 4001, refuse: 1008}[deed]
            peer.send_close(1000)
            peer.writer.write_eof()
        await ws.wait_closed()
    assert listener.names() == ["open", "close"]


async def test_on_open_that_sends_is_heard_first(line):
    async with line(listener=Recorder("open", send)) as (ws, peer):
        ws.send_nowait("next")
        assert await peer.frames(2) == [Frame(TEXT, b"from a callback"), Frame(TEXT, b"next")]


@pytest.mark.parametrize("deed", [fail, close, abort, refuse])
async def test_on_close_may_do_what_it_likes(line, kind, deed):
    listener = recorder(kind, "close", deed)
    async with line(listener=listener, logger=QUIET) as (ws, peer):
        peer.send_close(4000, "bye")
        await finished(ws, peer)
        await settle()
    assert listener.names() == ["open", "close"]
    assert listener.close == Close(4000, "bye", True, "remote")
    assert ws.close_info == listener.close


async def test_on_close_cannot_send(line):
    def sends(ws: Any) -> None:
        with pytest.raises(ConnectionClosedOK, match="received 1000"):
            ws.send_nowait("too late")
        listener.note("refused")

    listener = Recorder("close", sends)
    async with line(listener=listener) as (ws, peer):
        peer.send_close(1000)
        await finished(ws, peer)
    assert listener.names() == ["open", "close", "refused"]


async def test_a_callback_cannot_send_after_it_has_closed(line, kind):
    def both(ws: Any) -> None:
        ws.start_closing(1000)
        for send in (ws.send_nowait, lambda text: ws.send_many([text])):
            with pytest.raises(ConnectionClosed, match="sent 1000"):
                send("too late")

    async with line(listener=recorder(kind, "receipt", both)) as (_, peer):
        burst(peer)
        assert (await peer.frame()).close == (1000, "")


# on_close comes once for every on_open


@pytest.mark.parametrize("ending", ["closed", "aborted", "failed", "end of file", "reset", "bad frame"])
async def test_on_close_comes_once(line, kind, ending):
    listener = recorder(kind)
    async with line(listener=listener) as (ws, peer):
        match ending:
            case "closed":
                ws.start_closing()
                peer.send_close(1000)
                peer.send_close(1000)
            case "aborted":
                ws.abort()
                ws.abort()
            case "failed":
                ws.fail(1008, "")
                ws.fail(1011, "")
            case "end of file":
                pass
            case "reset":
                peer.reset()
            case "bad frame":
                peer.send(3)
                peer.send(3)
        if ending not in ("reset", "aborted"):
            peer.writer.write_eof()
        await ws.wait_closed()
        await settle()
    assert listener.names() == ["open", "close"]


async def test_a_refused_handshake_calls_nothing(raw_client):
    made = []
    serving = trunkline.serve(
        listener=lambda: made.append(1) or Recorder(),
        host="127.0.0.1",
        port=0,
        process_request=lambda ws, request: ws.respond(403, "no"),
    )
    async with serving as server:
        listener = Recorder()
        with pytest.raises(trunkline.HandshakeError):
            await trunkline.connect(f"ws://127.0.0.1:{server.port}/", listener=listener)
        assert (made, listener.calls) == ([], [])


# One read, one write


@pytest.mark.parametrize("count", [2, 100, 1000])
async def test_answers_to_one_read_leave_in_one_write(line, kind, count):
    def answer(ws: Any) -> None:
        name, messages = listener.calls[-1]
        for message in messages if name == "batch" else [messages]:
            ws.send_nowait(message)

    listener = recorder(kind, "receipt", answer)
    async with line(listener=listener) as (ws, peer):
        peer.writer.write(b"".join(peer.encode(TEXT, b"%d" % index) for index in range(count)))
        assert [frame.payload for frame in await peer.frames(count)] == [b"%d" % index for index in range(count)]
        assert (ws.stats().messages_sent, ws.stats().writes) == (count, 1)


async def test_pongs_leave_with_the_answers(line):
    listener = Recorder("message", send)
    async with line(listener=listener) as (ws, peer):
        burst(peer)
        assert len(await peer.frames(6)) == 6
        assert (ws.stats().pongs_sent, ws.stats().writes) == (1, 1)
