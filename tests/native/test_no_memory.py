"""Memory that runs out at each allocation in turn: MemoryError or success, nothing half, no decoder that lives on."""

import contextlib
import ctypes
import gc
import itertools
import socket
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from rawframes import build, deflate
from rawlink import Line
from trunkline import protocol
from trunkline._batch import Encoder
from trunkline._control import Control
from trunkline._deflate import Deflater
from trunkline._frames import Decoder
from trunkline._inbox import Inbox
from trunkline._inflate import Inflater, InflateStream
from trunkline.protocol.backends import find_backend

TEXT, BINARY, CONTINUATION, CLOSE, PING = 1, 2, 0, 8, 9
ZLIB = find_backend("zlib")

PyIter_Send: Any = ctypes.pythonapi.PyIter_Send  # what `await` does
PyIter_Send.argtypes = [ctypes.py_object, ctypes.py_object, ctypes.POINTER(ctypes.py_object)]

Starved = Callable[..., tuple[bool, Any]]


@pytest.fixture(scope="module")
def starved(load: Callable[[str], Any]) -> Starved:
    """starved(n, function, *arguments): calls it, and its n-th allocation fails."""
    function: Starved = load("nomemory").starved
    return function


@pytest.fixture(autouse=True)
def no_collections() -> Iterator[None]:
    """No garbage collection in between: it would fail for want of memory where nobody can be told (gc.callbacks)."""
    gc.disable()
    yield
    gc.enable()


def shown(items: list[object]) -> list[object]:
    return [(item.opcode, item.payload, item.reason) if isinstance(item, Control) else item for item in items]


def squeezed(opcode: int, data: bytes, **bits: bool) -> bytes:
    return build(opcode, deflate(data), rsv=4, **bits)


def decoder() -> Decoder:
    stream = InflateStream(lambda: ZLIB.decompressor(15), ZLIB.error, False)
    return Decoder(False, inflater=Inflater(stream, max_size=2**20))


PLAIN = [
    build(TEXT, b"short") + build(TEXT, "für alle".encode()) + build(BINARY, b"\x00" * 300),
    build(BINARY, b"a" * 70_000, fin=False) + build(PING, b"still there?") + build(CONTINUATION, b"b" * 70_000),
    build(TEXT, "é".encode() * 5000, fin=False)[:9000],
    build(TEXT, "é".encode() * 5000, fin=False)[9000:] + build(CONTINUATION, b"the end"),
    build(CLOSE, b"\x03\xe8" + "schön".encode()),
]
FRAGMENTS = [
    build(TEXT, "für alle".encode())
    + build(BINARY, b"f" * 700, fin=False)
    + build(CONTINUATION, b"f" * 700, fin=False),
    build(CONTINUATION, b"g" * 700, fin=False) * 2,
    build(CONTINUATION, b"h" * 700) + build(TEXT, b"and", fin=False) + build(CONTINUATION, b" more" * 200, fin=False),
    build(CONTINUATION, b"?" * 300),
]
SQUEEZED = [
    squeezed(TEXT, b"the same words " * 40) + squeezed(BINARY, b"x" * 200_000),
    squeezed(TEXT, "für alle ".encode() * 4000)[:100],
    squeezed(TEXT, "für alle ".encode() * 4000)[100:],
]
REFUSED = [build(TEXT, b"first") + build(TEXT, b"\xff"), build(TEXT, b"ignored")]


@pytest.mark.parametrize(
    "chunks", [PLAIN, FRAGMENTS, SQUEEZED, REFUSED], ids=["plain", "fragments", "squeezed", "refused"]
)
def test_a_decoder(starved: Starved, chunks: list[bytes]) -> None:
    whole = decoder()
    expected = [shown(whole.feed(chunk)) for chunk in chunks]
    for index, chunk in enumerate(chunks):
        for n in itertools.count(1):
            tried = decoder()
            for before in chunks[:index]:
                tried.feed(before)
            known = tried.bytes_received
            try:
                failed, items = starved(n, tried.feed, chunk)
            except MemoryError:
                if tried.bytes_received == known:  # it was not taken
                    assert [shown(tried.feed(later)) for later in chunks[index:]] == expected[index:]
                else:
                    assert tried.feed(chunk + build(TEXT, b"more")) == []
                continue
            if failed and tried.fault is not None and whole.fault is None:
                # zlib had no memory, and calls it an error of the data: failed all the same, with nothing half.
                assert (tried.fault.code, items) == (1007, expected[index][: len(items)])
                assert tried.feed(chunk) == []
                continue
            assert shown(items) == expected[index]
            assert [shown(tried.feed(later)) for later in chunks[index + 1 :]] == expected[index + 1 :]
            if not failed:
                break
        assert n > 2 or index  # a decoder that has failed needs no memory


@pytest.mark.parametrize("limit", [None, 10**6])
@pytest.mark.parametrize("size", [1, 40])
def test_a_message_in_many_fragments_takes_few_allocations(starved: Starved, size: int, limit: int | None) -> None:
    first, more, last = (build(opcode, b"x" * size, fin=fin) for opcode, fin in ((2, False), (0, False), (0, True)))
    wire = first + more * 20_000 + last
    failed, items = starved(100, Decoder(False, max_size=limit, max_fragments=None).feed, wire)
    assert (failed, items) == (False, [b"x" * (20_002 * size)])


class Asks:
    """A loop that makes what may be waited for."""

    def create_future(self) -> object:
        return object()


@pytest.mark.parametrize("batch", [False, True])
@pytest.mark.parametrize("at", [0, 1, 148, 149, 150, 151, 298, 299])
def test_an_inbox_loses_nothing(starved: Starved, ends: Any, batch: bool, at: int) -> None:
    """Each allocation fails in turn while a message is taken that stands behind `at` others."""
    for n in range(1, 40):
        line = Line(*ends())
        inbox = Inbox(None, Asks(), None, None)
        line.link._open(Decoder(False), inbox, write_limit=2**20, control_rate=0)
        line.link.data_received(b"".join(build(TEXT, b"%d" % index) for index in range(300)))
        got = [take(line.link.recv()) for _ in range(at)]
        made: Any = line.link.batches().__anext__() if batch else line.link.recv()
        given = ctypes.py_object()
        with contextlib.suppress(MemoryError, ctypes.ArgumentError):
            starved(n, PyIter_Send, made, None, ctypes.pointer(given))
        with contextlib.suppress(ValueError):  # nothing was given
            got += given.value if batch else [given.value]
        while len(got) < 300:
            got.append(take(line.link.recv()))
        assert got == [str(index) for index in range(300)]


def take(receipt: Any) -> Any:
    """What the receipt gives at once."""
    try:
        next(receipt)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("it waits")


MESSAGES = ["short", "für alle", b"\x00" * 5000, bytearray(b"changing"), "ascii" * 20_000]


@pytest.mark.parametrize("client", [False, True])
def test_an_encoder(starved: Starved, client: bool) -> None:
    for n in itertools.count(1):
        encoder = Encoder(client)
        peer = Decoder(not client)
        try:
            failed, encoded = starved(n, encoder.messages, [*MESSAGES, "ü" * n])
        except MemoryError:
            failed, encoded = True, b""
        assert peer.feed(encoded) == ([*MESSAGES, "ü" * n] if encoded else [])
        try:
            _, encoded = starved(n, encoder.frame, PING, b"p" * 125)
        except MemoryError:
            encoded = b""
        assert [item.payload for item in peer.feed(encoded)] == [b"p" * 125] * bool(encoded)
        assert peer.feed(encoder.messages(["on"])) == ["on"]
        if not failed:
            break
    assert n > 2


@pytest.mark.parametrize("keeps", [False, True])
def test_a_deflater(starved: Starved, keeps: bool) -> None:
    for n in itertools.count(1):
        deflater = Deflater(lambda: ZLIB.compressor(6, 15, 8), keeps)
        peer = zlib.decompressobj(-15)
        data = [b"the same words, and the same words again " * 30] * 3
        known = []
        failed = False
        for index, message in enumerate(data):
            try:
                now, payload = starved(n if index == 1 else 10**6, deflater.compress, message)
            except MemoryError:
                failed = True
            else:
                failed |= now and index == 1
                known.append(peer.decompress(payload + b"\x00\x00\xff\xff"))
        assert known in (data, data[1:])
        if not failed:
            break
    assert n > 2


@pytest.fixture
def ends() -> Iterator[Callable[[], tuple[socket.socket, socket.socket]]]:
    made: list[socket.socket] = []

    def make() -> tuple[socket.socket, socket.socket]:
        pair = socket.socketpair()
        made.extend(pair)
        for sock in pair:
            sock.setblocking(False)
        return pair

    yield make
    for sock in made:
        sock.close()


def send_all(line: Line, messages: list[object]) -> None:
    line.link.send_many(messages)
    line.link._flush()


@pytest.mark.parametrize("client", [False, True])
@pytest.mark.parametrize("how", ["one", "many"])
@pytest.mark.parametrize(
    "message", ["short", "é" * 3_000, b"x" * 40_000, "z" * 600_000], ids=["tiny", "small", "large", "huge"]
)
def test_a_link_that_sends(starved: Starved, ends, client: bool, how: str, message: object) -> None:
    for n in itertools.count(1):
        sockets = ends()
        line = Line(*sockets, client=client)
        line.link.send_nowait("before")
        sent = [message] if how == "one" else [message, "and", message]
        try:
            failed, _ = starved(n, line.link.send_nowait, message) if how == "one" else starved(n, send_all, line, sent)
        except MemoryError:
            failed, came_through = True, False
        else:
            came_through = True
        if not line.transport.aborted:
            line.link.send_nowait("after")
            line.link._flush()
        received = line.received()
        if came_through:
            assert received == ["before", *sent, "after"]
        else:  # whole messages, in order, and what came before them unless the line is gone
            everything = iter(["before", *sent, "after"])
            assert all(item in everything for item in received)
            assert line.transport.aborted or received[-1] == "after"
        for sock in sockets:
            sock.close()
        if not failed:
            break
    assert n > 1 or how == "one"  # what is warm needs no memory at all


def exchange(chunk: bytes, ours: protocol.Connection) -> tuple[list[object], bytes]:
    ours.receive_data(chunk)
    events = list(ours.events())
    return events, ours.send(protocol.TextMessage("für alle", message_finished=False))


def test_a_connection_of_the_protocol(starved: Starved) -> None:
    chunk = (
        build(TEXT, b"short") + build(BINARY, b"b" * 9000, fin=False) + build(PING, b"?") + build(CONTINUATION, b"e")
    )
    expected, _ = exchange(chunk, protocol.Connection(protocol.ConnectionType.SERVER))
    for n in itertools.count(1):
        tried = protocol.Connection(protocol.ConnectionType.SERVER)
        try:
            failed, (events, frame) = starved(n, exchange, chunk, tried)
        except MemoryError:
            left = list(tried.events())  # what was not given yet, or nothing once it is dead
            assert left == expected[len(expected) - len(left) :]
            peer = Decoder(True)
            peer.feed(tried.send(protocol.TextMessage("whole")))
            assert peer.fault is None
            continue
        assert events == expected
        assert frame == b"\x01\x09f\xc3\xbcr alle"
        if not failed:
            break
    assert n > 5
