"""Every callback ends the connection in every way it can: nothing is delivered afterwards, however it arrived."""

import asyncio
import contextlib
import itertools
import logging

import pytest

import trunkline
from rawframes import deflate
from rawhttp import dialled, request
from rawpeer import BINARY, PING, TEXT, Peer
from turns import settle, until

pytestmark = pytest.mark.anyio

QUIET = logging.getLogger("tests.hostile.callbacks")
QUIET.propagate = False
QUIET.addHandler(logging.NullHandler())


def raises(ws):
    raise ZeroDivisionError("a fault of the application's")


def cancelled(ws):
    raise asyncio.CancelledError


def sends_and_closes(ws):
    ws.send_nowait("before the end")
    ws.start_closing()


def closes_and_raises(ws):
    ws.start_closing()
    raise ZeroDivisionError("a fault of the application's")


def closes_twice(ws):
    ws.start_closing(4000)
    ws.start_closing(4001)


def aborts_and_sends(ws):
    ws.abort()
    with pytest.raises(trunkline.ConnectionClosed):
        ws.send_nowait("too late")
    with pytest.raises(trunkline.ConnectionClosed):
        ws.send_many(["too late"])


DEEDS = {
    "closes": lambda ws: ws.start_closing(),
    "aborts": lambda ws: ws.abort(),
    "fails": lambda ws: ws.fail(1008, "enough"),
    "raises": raises,
    "is cancelled": cancelled,
    "sends and closes": sends_and_closes,
    "closes and raises": closes_and_raises,
    "closes twice": closes_twice,
    "aborts and sends": aborts_and_sends,
}


class Recorder(trunkline.Listener):
    """A listener that does its deed at one of its calls, and records all of them."""

    def __init__(self, at, deed):
        self.calls, self._at, self._deed = [], at, deed

    def _note(self, name, ws):
        self.calls.append(name)
        if name == self._at:
            self._deed(ws)

    def on_open(self, ws):
        self._note("open", ws)

    def on_message(self, ws, message):
        self._note("message", ws)

    def on_close(self, ws, close):
        self._note("close", ws)


class Batcher(Recorder):
    """The same, with on_batch."""

    def on_batch(self, ws, messages):
        self._note("batch", ws)


PLACES = {"open": Recorder, "message": Recorder, "batch": Batcher}
CASES = [
    pytest.param(place, deed, id=f"{place} {name}") for place, (name, deed) in itertools.product(PLACES, DEEDS.items())
]


def burst(peer):
    """Messages with control frames between them, one of them large, one in fragments, and a close frame last."""
    parts = [(TEXT, b"1"), (PING, b"?"), (BINARY, b"2"), (TEXT, b"x" * 70_000), (PING, b"!"), (TEXT, b"3")]
    data = b"".join(peer.encode(*part) for part in parts)
    return data + peer.encode(TEXT, b"4", fin=False) + peer.encode(0, b"5") + peer.encode_close(1000)


def end(writer):
    """End our side, unless the other end has hung up before."""
    with contextlib.suppress(OSError):
        writer.write_eof()


def expected(place):
    return ["open", "close"] if place == "open" else ["open", place, "close"]


@pytest.mark.parametrize("step", [None, 7])
@pytest.mark.parametrize(("place", "deed"), CASES)
async def test_in_a_burst(line, place, deed, step):
    """In one write, and in pieces of 7 bytes, except for the large message."""
    listener = PLACES[place](place, deed)
    async with line(listener=listener, logger=QUIET) as (ws, peer):
        data = burst(peer)
        for at in range(0, len(data), step or len(data)):
            if step and at > 200:
                peer.writer.write(data[at:])
                break
            peer.writer.write(data[at : at + (step or len(data))])
        end(peer.writer)
        await ws.wait_closed()
        await settle(5)
    assert listener.calls == expected(place)


@pytest.mark.parametrize(("place", "deed"), CASES)
async def test_of_what_came_with_the_handshake(place, deed):
    """Frames right behind the request, in the same segment."""
    listener, made = PLACES[place](place, deed), []
    async with (
        trunkline.serve(
            listener=lambda: listener,
            host="127.0.0.1",
            port=0,
            logger=QUIET,
            process_request=lambda ws, request: made.append(ws),
        ) as server,
        dialled(server.port) as (_, writer),
    ):
        writer.write(request() + burst(by_hand(writer)))
        end(writer)
        await until(lambda: made)
        await made[0].wait_closed()
    assert listener.calls == expected(place)


def by_hand(writer):
    """A client by hand whose handshake nobody waits for."""
    return Peer(None, writer, b"", is_client=True)


@pytest.mark.parametrize(("place", "deed"), CASES)
async def test_of_compressed_messages_a_thread_inflates(compressed, place, deed):
    listener = PLACES[place](place, deed)
    large = deflate(bytes(600_000))
    async with compressed(listener=listener, logger=QUIET) as (ws, peer):
        peer.writer.write(peer.encode(BINARY, large, rsv=4) * 3 + burst(peer))
        end(peer.writer)
        await ws.wait_closed()
        await settle(5)
    assert listener.calls == expected(place)


def answers_nonsense(ws, request):
    return 5


def answers_a_bad_field(ws, request):
    return trunkline.Response(403, [("X", "a\r\nY: b")])


REQUESTS = {
    "aborts": lambda ws, request: ws.abort(),
    "closes": lambda ws, request: ws.start_closing(),
    "raises": lambda ws, request: raises(ws),
    "refuses": lambda ws, request: ws.respond(403, "no"),
    "answers nonsense": answers_nonsense,
    "answers a bad field": answers_a_bad_field,
}


@pytest.mark.parametrize("later", [False, True], ids=["at once", "later"])
@pytest.mark.parametrize("process", REQUESTS.values(), ids=REQUESTS)
async def test_a_request_that_is_not_accepted_delivers_nothing(process, later):
    """No listener is made for it, whatever came behind the request."""
    made, done = [], []

    async def wait(ws, request):
        await asyncio.sleep(0)
        return process(ws, request)

    def look(ws, request):
        done.append(ws)
        return wait(ws, request) if later else process(ws, request)

    async with (
        trunkline.serve(
            listener=lambda: made.append(1), host="127.0.0.1", port=0, logger=QUIET, process_request=look
        ) as server,
        dialled(server.port) as (reader, writer),
    ):
        writer.write(request() + burst(by_hand(writer)))
        with contextlib.suppress(ConnectionResetError):
            assert b" 101 " not in await reader.readline()
        writer.transport.abort()
        await done[0].wait_closed()
    assert made == []
