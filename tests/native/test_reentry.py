"""Code of others that comes back into the core from where the core has called it: callbacks, finalizers, buffers,
decompressors, compressors, extensions. It is refused or it works; no byte is made up, torn or out of its place.
"""

import contextlib
import gc
import socket
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from wsproto.events import TextMessage
from wsproto.extensions import Extension
from wsproto.frame_protocol import Opcode, RsvBits

import trunkline
from rawframes import build, deflate
from rawlink import Line
from trunkline._batch import Encoder
from trunkline._deflate import Deflater
from trunkline._frames import Decoder
from trunkline._inflate import Inflater, InflateStream
from trunkline.protocol import Connection, ConnectionType
from trunkline.protocol.backends import find_backend

TEXT, BINARY, CONTINUATION, PING = 1, 2, 0, 9
ZLIB = find_backend("zlib")
Ends = tuple[socket.socket, socket.socket]


LARGE = build(BINARY, b"L" * 200_000)


def shared_buffer(link: Any) -> None:
    view = link.get_buffer(-1)
    frame = build(BINARY, b"by hand")
    view[: len(frame)] = frame
    link.buffer_updated(len(frame))


COMES_BACK: dict[str, Callable[[Any], object]] = {
    "data_received": lambda link: link.data_received(build(BINARY, b"inner")),
    "a buffer": lambda link: link._feed(bytearray(build(BINARY, b"inner"))),
    "the loop's buffer": shared_buffer,
    "a buffer that nobody filled": lambda link: (link.get_buffer(-1), link.buffer_updated(50_000)),
    "no buffer": lambda link: link.buffer_updated(50_000),
}


class TestCallbacks:
    """A callback feeds the connection that it was called for."""

    @pytest.mark.parametrize("come_back", COMES_BACK.values(), ids=COMES_BACK)
    @pytest.mark.parametrize("callback", ["on_message", "on_batch", "pong"])
    def test_it_is_refused(self, ends: Ends, callback: str, come_back: Callable[[Any], object]) -> None:
        line = Line(*ends)
        link: Any = line.link
        got: list[object] = []
        raised: list[BaseException] = []

        def called(*message: object) -> None:
            got.extend(message[1:])
            try:
                come_back(link)
            except (RuntimeError, ValueError) as error:
                raised.append(error)

        link._listen(called if callback == "on_message" else None, called if callback == "on_batch" else None)
        if callback == "pong":
            link._listen(lambda _, message: got.append(message), None)
            line.life.pong_received = called
        link.data_received(build(10, b"") + build(BINARY, b"one") + LARGE[:100_000])
        link.data_received(LARGE[100_000:])
        assert raised
        flat = [one for item in got for one in (item if isinstance(item, list) else [item])]
        assert flat == [b"one", b"L" * 200_000]
        assert line.life.broken is None

    def test_what_is_not_caught_ends_the_connection(self, ends: Ends) -> None:
        line = Line(*ends)
        line.link._listen(lambda link, message: link.data_received(build(BINARY, b"inner")), None)
        line.link.data_received(build(BINARY, b"one") + build(BINARY, b"two"))
        assert isinstance(line.life.broken, RuntimeError)

    def test_bytes_that_come_while_a_body_is_lent(self, ends: Ends) -> None:
        """What the loop then says it has read is not what follows them."""
        line = Line(*ends)
        got: list[object] = []
        line.link._listen(lambda link, message: got.append(message), None)
        line.link.data_received(LARGE[:100_000])
        room = line.link.get_buffer(-1)
        assert len(room) > 32 * 1024
        line.link.data_received(LARGE[100_000:150_000])
        with pytest.raises(ValueError, match="has not asked for"):
            line.link.buffer_updated(50_000)
        line.link.data_received(LARGE[150_000:])
        assert got == [b"L" * 200_000]

    def test_a_buffer_is_filled_once(self, ends: Ends) -> None:
        line = Line(*ends)
        got: list[object] = []
        line.link._listen(lambda link, message: got.append(message), None)
        line.link.data_received(LARGE[:100_000])
        room = line.link.get_buffer(-1)
        room[:50_000] = LARGE[100_000:150_000]
        line.link.buffer_updated(50_000)
        with pytest.raises(ValueError, match="has not asked for"):
            line.link.buffer_updated(50_000)
        line.link.data_received(LARGE[150_000:])
        assert got == [b"L" * 200_000]

    def test_others_are_fed_as_ever(self, ends: Ends) -> None:
        """Of another connection it is no business."""
        first, second = Line(*ends), Line(*ends)
        got: list[object] = []
        first.link._listen(lambda link, message: second.link.data_received(build(BINARY, message)), None)
        second.link._listen(lambda link, message: got.append(message), None)
        first.link.data_received(build(BINARY, b"one") + build(BINARY, b"two"))
        assert got == [b"one", b"two"]


class TestDecompressors:
    """A back end's decompressor comes back."""

    @staticmethod
    def decoder(come_back: Callable[[Decoder, InflateStream], object]) -> Decoder:
        class Hostile:
            def __init__(self) -> None:
                self._real = ZLIB.decompressor(15)

            def __getattr__(self, name: str) -> Any:
                return getattr(self._real, name)

            def decompress(self, data: bytes, most: int) -> bytes:
                come_back(decoder, stream)
                return self._real.decompress(data, most)

        stream = InflateStream(Hostile, ZLIB.error, False)
        decoder = Decoder(False, inflater=Inflater(stream, max_size=2**20))
        return decoder

    @pytest.mark.parametrize("data", [build(BINARY, b"inner"), build(BINARY, deflate(b"inner"), rsv=4)])
    @pytest.mark.parametrize("size", [10, 100_000])
    def test_it_cannot_feed_its_decoder(self, data: bytes, size: int) -> None:
        decoder = self.decoder(lambda decoder, _: decoder.feed(data))
        with pytest.raises(RuntimeError, match="by something that it calls"):
            decoder.feed(build(BINARY, deflate(bytes(size)), rsv=4))
        assert decoder.feed(build(BINARY, b"more")) == []

    def test_what_it_catches_changes_nothing(self) -> None:
        def come_back(decoder: Decoder, _: InflateStream) -> None:
            with contextlib.suppress(RuntimeError):
                decoder.feed(build(BINARY, b"inner"))
            assert decoder.inflater is not None
            with contextlib.suppress(RuntimeError):
                decoder.inflater.work()

        decoder = self.decoder(come_back)
        wire = build(BINARY, deflate(bytes(100_000)), rsv=4) + build(TEXT, b"behind")
        assert decoder.feed(wire) == [bytes(100_000), "behind"]

    def test_only_one_works(self) -> None:
        inflater = Inflater(InflateStream(lambda: ZLIB.decompressor(15), ZLIB.error, False), max_size=None)
        with pytest.raises(RuntimeError, match="work"):
            inflater.work()


class TestCompressors:
    """A compressor, or a finalizer while it works, comes back."""

    def test_what_it_sends_goes_as_it_is(self, ends: Ends) -> None:
        chosen: list[object] = []

        class Hostile:
            def __init__(self) -> None:
                self._real = ZLIB.compressor(6, 15, 8)

            def compress(self, data: bytes) -> bytes:
                chosen.append(deflater.choose(b"inner" * 1000))
                with pytest.raises(RuntimeError, match="by something that it calls"):
                    deflater.compress(b"inner" * 1000)
                return self._real.compress(data)

            def flush(self, mode: int) -> bytes:
                return self._real.flush(mode)

        deflater = Deflater(Hostile, True)
        peer = zlib.decompressobj(-15)
        for _ in range(3):
            assert peer.decompress(deflater.compress(b"outer" * 1000) + b"\0\0\xff\xff") == b"outer" * 1000
            assert peer.decompress(deflater.part(b"parts" * 1000)) == b"parts" * 1000
        assert chosen == [None] * 6
        assert deflater.choose(b"outer") == b"outer"

    @pytest.mark.parametrize("way", ["send_nowait", "send_many"])
    @pytest.mark.parametrize("first", [False, True], ids=["one", "many before it"])
    def test_a_compressor_that_sends(self, ends: Ends, way: str, first: bool) -> None:
        line = Line(*ends)

        class Hostile:
            def __init__(self) -> None:
                self._real = ZLIB.compressor(6, 15, 8)

            def compress(self, data: bytes) -> bytes:
                if first:
                    line.link.send_many([])
                line.link.send_nowait(b"inner" * 1000)
                return self._real.compress(data)

            def flush(self, mode: int) -> bytes:
                return self._real.flush(mode)

        line.link._deflate(Deflater(Hostile, True))
        line.inflate()
        for _ in range(3):
            if way == "send_nowait":
                line.link.send_nowait(b"outer" * 1000)
            else:
                line.link.send_many([b"outer" * 1000, b"outer" * 1001])
        line.link._flush()
        received = line.received()
        assert [one for one in received if one[:1] == b"o"] == (
            [b"outer" * 1000] * 3 if way == "send_nowait" else [b"outer" * 1000, b"outer" * 1001] * 3
        )
        assert received.count(b"inner" * 1000) == len(received) / 2


class TestFinalizers:
    """An object's finalizer sends, whenever it is collected, in the middle of anything."""

    @pytest.mark.parametrize("plain", [True, False])
    @pytest.mark.parametrize("keeps", [None, False, True], ids=["plain", "no-takeover", "takeover"])
    @pytest.mark.parametrize("inner", [b"inner", b"inner" * 30_000])
    def test_that_sends(self, ends: Ends, inner: bytes, keeps: bool | None, plain: bool) -> None:
        line = Line(*ends, plain=plain)
        if keeps is not None:
            line.link._deflate(Deflater(lambda: ZLIB.compressor(6, 15, 8), keeps))
            line.inflate()
        sent, stop = [0], []

        class Last:
            def __init__(self) -> None:
                self.me = self

            def __del__(self) -> None:
                if not stop and sent[0] < 100:
                    Last()
                    sent[0] += 1
                    line.link.send_nowait(inner)

        thresholds = gc.get_threshold()
        gc.set_threshold(1, 0)
        try:
            Last()
            for index in range(20):
                _ = [[] for _ in range(600)]  # without the GIL each thread counts them by the 512
                line.link.send_nowait(b"%d " % index + b"o" * 5000)
                line.link.send_many([b"%d " % index + b"m" * 50_000, f"{index} " + "t" * 50_000])
                line.link._flush()
                line.read()
        finally:
            stop.append(True)
            gc.set_threshold(*thresholds)
            gc.collect()
        line.link._flush()
        received = line.received()
        assert received.count(inner) == sent[0] > 0
        outer = [one for one in received if one != inner]
        assert [len(one) for one in outer] == [
            len(str(index)) + 1 + size for index in range(20) for size in (5000, 50_000, 50_000)
        ]

    def test_that_feeds(self) -> None:
        """The decoder it was collected in refuses it, or was not at work."""
        stop, refused = [], [0]
        stream = InflateStream(lambda: ZLIB.decompressor(15), ZLIB.error, False)
        decoder = Decoder(False, inflater=Inflater(stream, max_size=2**20))

        class Last:
            def __init__(self) -> None:
                self.me = self

            def __del__(self) -> None:
                if not stop:
                    Last()
                    try:
                        decoder.feed(b"")
                    except RuntimeError:
                        refused[0] += 1

        thresholds = gc.get_threshold()
        gc.set_threshold(1, 0)
        try:
            Last()
            for _ in range(50):
                wire = build(BINARY, deflate(bytes(100_000)), rsv=4) + build(TEXT, "é".encode()) + build(PING, b"?")
                got = decoder.feed(wire)
                assert (got[0], got[1], got[2].payload) == (bytes(100_000), "é", b"?")
        finally:
            stop.append(True)
            gc.set_threshold(*thresholds)
            gc.collect()


class TestBuffers:
    """A message that runs code when it is asked for its bytes, and when they are let go of."""

    @pytest.fixture
    def hooked(self, load: Callable[[str], Any]) -> Any:
        return load("hooks").Hooked

    @pytest.mark.parametrize("when", ["get", "release"])
    @pytest.mark.parametrize("way", ["send_nowait", "send_many", "parts"])
    @pytest.mark.parametrize("inner", [b"inner", b"inner" * 30_000])
    @pytest.mark.parametrize("keeps", [None, False, True], ids=["plain", "no-takeover", "takeover"])
    def test_that_sends(self, ends: Ends, hooked: Any, when: str, way: str, inner: bytes, keeps: bool | None) -> None:
        line = Line(*ends)
        if keeps is not None:
            line.link._deflate(Deflater(lambda: ZLIB.compressor(6, 15, 8), keeps))
            line.inflate()
        outer = b"outer" * 2000

        def send() -> None:
            line.link.send_nowait(inner)
            line.link._flush()

        def nothing() -> None:
            pass

        message = hooked(outer, send if when == "get" else nothing, send if when == "release" else nothing)
        for _ in range(3):
            if way == "send_nowait":
                line.link.send_nowait(message)
            elif way == "send_many":
                line.link.send_many([b"first", message, b"last"])
            else:
                line.link.send_many(message for _ in range(2))
        line.link._flush()
        received = line.received()
        assert received.count(outer) == (6 if way == "parts" else 3)
        assert received.count(inner) >= received.count(outer)
        if way == "send_many":
            at = received.index(b"first")
            assert received[at : at + 3] == [b"first", outer, b"last"]

    def test_that_cannot_be_had(self, ends: Ends, hooked: Any) -> None:
        line = Line(*ends)

        def fail() -> None:
            raise BufferError("not now")

        with pytest.raises(BufferError, match="not now"):
            line.link.send_many([b"never", hooked(b"outer", fail, fail)])
        line.link.send_nowait(b"next")
        line.link._flush()
        assert line.received() == [b"next"]

    @pytest.mark.parametrize("when", ["get", "release"])
    def test_an_encoder_keeps_frames_apart(self, hooked: Any, when: str) -> None:
        encoder = Encoder(True)
        inner: list[bytes] = []

        def encode() -> None:
            inner.append(encoder.frame(BINARY, b"inner"))

        def nothing() -> None:
            pass

        payload = hooked(b"outer", encode if when == "get" else nothing, encode if when == "release" else nothing)
        assert Decoder(False).feed(encoder.frame(BINARY, payload)) == [b"outer"]
        assert Decoder(False).feed(inner[0]) == [b"inner"]
        assert Decoder(False).feed(encoder.messages([payload, "more"])) == [b"outer", "more"]
        assert encoder.bytes_sent == 2 * 11 + 11 + 21

    @pytest.mark.parametrize("when", ["get", "release"])
    def test_a_decoder_is_fed_one_after_the_other(self, hooked: Any, when: str) -> None:
        decoder = Decoder(False)
        inner: list[object] = []

        def feed() -> None:
            inner.extend(decoder.feed(build(BINARY, b"inner")))

        def nothing() -> None:
            pass

        data = hooked(
            build(BINARY, b"outer"), feed if when == "get" else nothing, feed if when == "release" else nothing
        )
        assert (decoder.feed(data), inner) == ([b"outer"], [b"inner"])

    def test_a_frame_of_the_protocol(self, hooked: Any) -> None:
        connection, peer = Connection(ConnectionType.CLIENT), Connection(ConnectionType.SERVER)
        inner: list[bytes] = []

        def send() -> None:
            inner.append(connection.send(TextMessage("inner")))

        ping = trunkline.protocol.Ping(hooked(b"outer", send, send))
        outer = connection.send(ping)
        for data in [outer, *inner]:
            peer.receive_data(data)
        events = list(peer.events())
        assert events[0].payload == b"outer"
        assert [event.data for event in events[1:]] == ["inner", "inner"]


class Words(str):
    """A str that says of itself what is not so."""

    def __len__(self) -> int:
        return 2**40

    def encode(self, *_: object) -> bytes:
        return b"lies"

    def __str__(self) -> str:
        return "lies"


@pytest.mark.parametrize("keeps", [None, True])
def test_a_str_that_lies(ends: Ends, keeps: bool | None) -> None:
    line = Line(*ends)
    if keeps is not None:
        line.link._deflate(Deflater(lambda: ZLIB.compressor(6, 15, 8), keeps))
        line.inflate()
    line.link.send_nowait(Words("truth"))
    line.link.send_many([Words("truth" * 20_000), "and more"])
    line.link._flush()
    assert line.received() == ["truth", "truth" * 20_000, "and more"]


class Feeder(Extension):
    """An extension that comes back while it is given what was received."""

    name = "feeder"

    def __init__(self, come_back: Callable[[], object]) -> None:
        self._come_back = come_back

    def offer(self) -> bool:
        return True

    def enabled(self) -> bool:
        return True

    def frame_inbound_header(self, proto: Any, opcode: Opcode, rsv: RsvBits, length: int) -> RsvBits:
        self._come_back()
        return RsvBits(False, False, False)

    def frame_inbound_payload_data(self, proto: Any, data: bytes) -> bytes:
        self._come_back()
        return data

    def frame_inbound_complete(self, proto: Any, fin: bool) -> None:
        self._come_back()


class TestProtocol:
    """trunkline.protocol, from within its own events."""

    def test_bytes_that_come_between_two_events(self) -> None:
        connection = Connection(ConnectionType.SERVER)
        connection.receive_data(build(TEXT, b"one") + build(TEXT, b"two"))
        got = []
        for event in connection.events():
            got.append(event.data)
            if len(got) < 5:
                connection.receive_data(build(TEXT, b"more"))
                got += [inner.data for inner in connection.events()] if len(got) == 3 else []
        assert got == ["one", "two", "more", "more", "more", "more"][: len(got)]
        assert len(got) >= 5

    def test_an_extension_that_feeds(self) -> None:
        feeds = [build(TEXT, b"inner %d" % index) for index in range(3)]
        extension = Feeder(lambda: feeds and connection.receive_data(feeds.pop(0)))
        connection = Connection(ConnectionType.SERVER, extensions=[extension])
        connection.receive_data(build(TEXT, b"outer"))
        assert [event.data for event in connection.events()] == ["outer", "inner 0", "inner 1", "inner 2"]

    def test_an_extension_that_asks_for_events(self) -> None:
        extension = Feeder(lambda: list(connection.events()))
        connection = Connection(ConnectionType.SERVER, extensions=[extension])
        connection.receive_data(build(TEXT, b"outer"))
        with pytest.raises(ValueError, match="asks for the next piece"):
            list(connection.events())
        assert list(connection.events()) == []
