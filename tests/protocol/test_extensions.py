"""Extensions: their hooks run as wsproto runs them, and `max_size` holds whatever they make of a payload."""

import tracemalloc
import zlib
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import wsproto.connection
from hypothesis import given, settings
from hypothesis import strategies as st
from wsproto.events import BytesMessage, CloseConnection, Event, Ping, TextMessage
from wsproto.extensions import Extension, PerMessageDeflate
from wsproto.frame_protocol import CloseReason, Opcode, RsvBits

from rawframes import build, same_keys
from trunkline import protocol
from trunkline.protocol import CLIENT, SERVER, Connection, ConnectionType

TEXT, BINARY, CONTINUATION, CLOSE, PING, PONG = 1, 2, 0, 8, 9, 10
ROLES = [CLIENT, SERVER]
MODULES = [wsproto.connection, protocol]


class Recorder(Extension):
    """Notes every call of a hook, grants some bits, and marks what goes through it."""

    def __init__(self, name: str, calls: list[object], bits: str = "", mark: bytes = b"", refuses: str = "") -> None:
        self.name = name
        self.calls = calls
        self.bits = RsvBits("1" in bits, "2" in bits, "3" in bits)
        self.mark = mark
        self.refuses = refuses

    def enabled(self) -> bool:
        return self.name != "disabled"

    def offer(self) -> bool:
        return True

    def note(self, hook: str, *args: object) -> bool:
        self.calls.append((self.name, hook, *[(type(arg), arg) for arg in args]))
        return hook == self.refuses

    def frame_inbound_header(self, proto: Any, opcode: Opcode, rsv: RsvBits, payload_length: int) -> Any:
        return (
            CloseReason.MANDATORY_EXT if self.note("header", proto.client, opcode, rsv, payload_length) else self.bits
        )

    def frame_inbound_payload_data(self, proto: Any, data: bytes) -> Any:
        return CloseReason.POLICY_VIOLATION if self.note("payload", proto.client, data) else bytearray(self.mark + data)

    def frame_inbound_complete(self, proto: Any, fin: bool) -> Any:
        return CloseReason.UNSUPPORTED_DATA if self.note("complete", proto.client, fin) else self.mark or None

    def frame_outbound(self, proto: Any, opcode: Opcode, rsv: RsvBits, data: bytes, fin: bool) -> Any:
        self.note("outbound", proto.client, opcode, rsv, data, fin)
        return RsvBits(*(one or other for one, other in zip(rsv, self.bits, strict=True))), bytearray(self.mark + data)


Extensions = Callable[[list[object]], list[Extension]]
SETS: dict[str, Extensions] = {
    "two": lambda calls: [Recorder("a", calls, "1", b"<a>"), Recorder("b", calls, "23", b"<b>")],
    "a disabled one": lambda calls: [Recorder("disabled", calls, "1"), Recorder("b", calls, "2")],
    **{
        f"one that refuses a {hook}": lambda calls, hook=hook: [  # type: ignore[misc]
            Recorder("a", calls, "123"),
            Recorder("b", calls, "123", refuses=hook),
        ]
        for hook in ("header", "payload", "complete")
    },
}
STREAMS: dict[str, list[tuple[Any, ...]]] = {
    "messages": [(TEXT, b"a", True, 4), (BINARY, b"b" * 200, True, 1), (TEXT, b""), (BINARY, b"", True, 6)],
    "fragments": [(TEXT, b"a", False, 4), (PING, b"?"), (CONTINUATION, b"", False), (CONTINUATION, b"b")],
    "a character in two": [(TEXT, b"\xc5", False), (CONTINUATION, b"\xbe")],
    "control frames": [(PING, b""), (PONG, b"?", True, 2), (CLOSE, b"\x03\xe8")],
    "not UTF-8": [(TEXT, b"\xff\xff")],
}


def wire(kind: ConnectionType, frames: list[tuple[Any, ...]]) -> bytes:
    def one(opcode: int, payload: bytes, fin: bool = True, rsv: int = 0) -> bytes:
        return build(opcode, payload, fin=fin, rsv=rsv, masked=kind is SERVER)

    return b"".join(one(*frame) for frame in frames)


def in_own_words(event: Event) -> Event:
    """Both tell a fault in words of their own."""
    is_fault = isinstance(event, CloseConnection) and event.reason
    return CloseConnection(event.code, "a fault") if is_fault and isinstance(event, CloseConnection) else event


def events_of(end: Any, chunks: list[bytes]) -> list[Event]:
    events: list[Event] = []
    for chunk in chunks:
        end.receive_data(chunk)
        events += map(in_own_words, end.events())
    return events


@pytest.mark.parametrize("kind", ROLES)
@pytest.mark.parametrize("make", SETS.values(), ids=SETS)
@pytest.mark.parametrize("frames", STREAMS.values(), ids=STREAMS)
def test_what_comes_goes_through_the_same_hooks(
    kind: ConnectionType, make: Extensions, frames: list[tuple[Any, ...]]
) -> None:
    answers = []
    for module in MODULES:
        calls: list[object] = []
        events = events_of(module.Connection(kind, make(calls)), [wire(kind, frames)])
        answers.append((events, calls))
    assert answers[1] == answers[0]
    assert answers[1][1]


@pytest.mark.parametrize("kind", ROLES)
@pytest.mark.parametrize("make", SETS.values(), ids=SETS)
def test_what_goes_out_goes_through_the_same_hooks(kind: ConnectionType, make: Extensions) -> None:
    answers = []
    for module in MODULES:
        calls: list[object] = []
        end = module.Connection(kind, make(calls))
        with same_keys():
            sent = [
                end.send(event)
                for event in [
                    TextMessage("ž"),
                    BytesMessage(bytearray(b"b"), message_finished=False),
                    Ping(b"p"),
                    BytesMessage(memoryview(b"cd")),
                    CloseConnection(1000, "bye"),
                ]
            ]
        answers.append((sent, calls))
    assert answers[1] == answers[0]


@pytest.mark.parametrize("module", MODULES)
def test_a_bit_that_no_extension_was_granted_is_a_fault(module: Any) -> None:
    end = module.Connection(SERVER, [Recorder("a", [], "1"), Recorder("b", [], "3")])
    assert events_of(end, [build(TEXT, b"a", rsv=5)]) == [TextMessage("a")]
    assert events_of(end, [build(TEXT, b"a", rsv=7)]) == [CloseConnection(1002, "a fault")]


class Broken(Recorder):
    def frame_inbound_payload_data(self, proto: Any, data: bytes) -> Any:
        raise KeyError("broken")


@pytest.mark.parametrize("module", MODULES)
def test_an_extension_that_raises_ends_it(module: Any) -> None:
    end = module.Connection(SERVER, [Broken("a", [])])
    end.receive_data(build(TEXT, b"a") + build(TEXT, b"b"))
    with pytest.raises(KeyError, match="broken"):
        next(end.events())
    assert list(end.events()) == []


def test_an_extension_cannot_ask_for_what_it_is_given() -> None:
    class Greedy(Recorder):
        def frame_inbound_payload_data(self, proto: Any, data: bytes) -> Any:
            return next(proto.received_frames())

    end = Connection(SERVER, [Greedy("a", [])])
    end.receive_data(build(TEXT, b"a") + build(TEXT, b"b"))
    with pytest.raises(ValueError, match="asks for the next piece"):
        next(end.events())


def test_an_extension_may_feed_what_it_is_given_from() -> None:
    class Feeding(Recorder):
        def frame_inbound_payload_data(self, proto: Any, data: bytes) -> Any:
            if data == b"first":
                proto.receive_bytes(build(BINARY, b"fed"))
            return data

    end = Connection(SERVER, [Feeding("a", [])])
    assert events_of(end, [build(BINARY, b"first") + build(BINARY, b"second")]) == [
        BytesMessage(b"first"),
        BytesMessage(b"second"),
        BytesMessage(b"fed"),
    ]


# wsproto's permessage-deflate


def deflated(kind: ConnectionType, **settings: Any) -> PerMessageDeflate:
    """wsproto's extension as it is after the handshake."""
    extension = PerMessageDeflate(**settings)
    if kind is CLIENT:
        extension.finalize(extension.offer() if isinstance(extension.offer(), str) else "")  # type: ignore[arg-type]
    else:
        extension.accept(f"permessage-deflate; {extension.offer()}")
    return extension


MESSAGES = st.one_of(
    st.builds(TextMessage, st.text(max_size=300), message_finished=st.booleans()),
    st.builds(BytesMessage, st.binary(max_size=300), message_finished=st.booleans()),
    st.builds(Ping, st.binary(max_size=125)),
)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(MESSAGES, max_size=8),
    st.lists(st.integers(0, 2000), max_size=10),
    st.sampled_from(ROLES),
    st.booleans(),
    st.sampled_from([None, 10**6]),
)
def test_deflate_gives_the_same_frames_and_the_same_events(
    messages: list[Event], cuts: list[int], kind: ConnectionType, forgets: bool, max_size: int | None
) -> None:
    options = {"client_no_context_takeover": forgets, "server_no_context_takeover": forgets}
    peer = CLIENT if kind is SERVER else SERVER
    with same_keys():
        theirs, ours = (module.Connection(peer, [deflated(peer, **options)]) for module in MODULES)
        sent = [[(sends(end, event)) for event in messages] for end in (theirs, ours)]
    assert sent[1] == sent[0]
    stream = b"".join(sent[0])
    at = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    chunks = [stream[start:end] for start, end in pairwise(at)]
    limits = [{}, {"max_size": max_size}]
    received = [
        events_of(module.Connection(kind, [deflated(kind, **options)], **limit), chunks)
        for module, limit in zip(MODULES, limits, strict=True)
    ]
    assert received[1] == received[0]


def sends(end: Any, event: Event) -> bytes:
    try:
        return end.send(event)
    except TypeError:  # a message that changes its type half-way
        return b""


def compressed(size: int, level: int = 9) -> bytes:
    deflate = zlib.compressobj(level, zlib.DEFLATED, -15)
    return deflate.compress(bytes(size)) + deflate.flush(zlib.Z_SYNC_FLUSH)[:-4]


@pytest.mark.parametrize("size", [10**6, 64 * 10**6])
@pytest.mark.parametrize("max_size", [0, 1000, 2**20])
def test_what_is_inflated_stays_in_proportion_to_max_size(size: int, max_size: int) -> None:
    frame = build(BINARY, compressed(size), rsv=4)
    end = Connection(SERVER, [deflated(SERVER)], max_size=max_size)
    tracemalloc.start()
    try:
        end.receive_data(frame)
        events = list(end.events())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    if size <= max_size:
        assert events == [BytesMessage(bytes(size))]
    else:
        (event,) = events
        assert isinstance(event, CloseConnection)
        assert event.code is CloseReason.MESSAGE_TOO_BIG
        assert f"max_size {max_size} (RFC 6455 7.4.1)" in str(event.reason)
    # A slice inflates to as much as the room that is left, and zlib grows what it makes by doubling; pieces are joined.
    assert peak < 4 * max_size + 2**21 + len(frame)


@pytest.mark.parametrize("over", [0, 1])
@pytest.mark.parametrize("cut", [1, 700, 10**9])
def test_the_limit_on_what_is_inflated_is_exact(over: int, cut: int) -> None:
    size = 100_000 + over
    frame = build(BINARY, compressed(size), rsv=4)
    end = Connection(SERVER, [deflated(SERVER)], max_size=100_000)
    events = events_of(end, [frame[at : at + cut] for at in range(0, len(frame), cut)])
    if over:
        assert events[-1] == CloseConnection(CloseReason.MESSAGE_TOO_BIG, "a fault")
    else:
        assert b"".join(event.data for event in events if isinstance(event, BytesMessage)) == bytes(size)


def test_an_incompressible_message_of_the_limit_passes() -> None:
    noise = zlib.compress(b"".join(number.to_bytes(4, "big") for number in range(100_000)))
    client, server = (Connection(kind, [deflated(kind)], max_size=len(noise)) for kind in ROLES)
    server.receive_data(client.send(BytesMessage(noise)))
    (event,) = server.events()
    assert event == BytesMessage(noise)
