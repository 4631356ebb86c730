"""The compiled connection beside wsproto's, which is the oracle: the same calls give the same events, states and bytes.

Both draw their masking keys from `os.urandom`; where that gives the same key to both, even a client's frames must be
equal byte for byte. The few differences that are meant stand in `DIFFERENCES`, each with its reason.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import pytest
import wsproto.connection
from hypothesis import given, settings
from hypothesis import strategies as st
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Ping,
    Pong,
    RejectConnection,
    Request,
    TextMessage,
)

from rawframes import build, same_keys
from trunkline import protocol
from trunkline.protocol import CLIENT, SERVER, CloseReason, ConnectionType

TEXT, BINARY, CONTINUATION, CLOSE, PING, PONG = 1, 2, 0, 8, 9, 10
ROLES = [CLIENT, SERVER]

Call = Callable[[Any], object]


def outcome(call: Callable[[], object]) -> object:
    """What a call gives, or the name of what it raises: ours are subclasses with the same names."""
    try:
        return call()
    except Exception as error:
        return type(error).__name__


@dataclass(frozen=True)
class Send:
    """Sends an event."""

    event: Event

    def __call__(self, end: Any) -> object:
        return outcome(lambda: bytes(end.send(self.event)))


@dataclass(frozen=True)
class Receive:
    """Receives and reads the events. A fault, which moves no state, has the same code in words of each one's own."""

    data: bytes | None

    def __call__(self, end: Any) -> object:
        seen: list[object] = [outcome(lambda: end.receive_data(self.data))]
        state = end.state
        for event in end.events():
            is_fault = isinstance(event, CloseConnection) and end.state is state
            seen.append(replace(event, reason="in its own words") if is_fault else event)
            state = end.state
        return seen


@dataclass(frozen=True)
class ReceiveAll:
    """Receives one chunk after the other, then reads the events."""

    chunks: tuple[bytes | None, ...]

    def __call__(self, end: Any) -> object:
        for chunk in self.chunks:
            end.receive_data(chunk)
        return list(end.events())


def run(end: Any, calls: list[Call]) -> list[tuple[Any, Any]]:
    with same_keys():
        return [(call(end), end.state) for call in calls]


def both(kind: ConnectionType, calls: list[Call]) -> tuple[list[Any], list[Any]]:
    """What wsproto's connection and ours make of the calls."""
    return run(wsproto.connection.Connection(kind), calls), run(protocol.Connection(kind), calls)


def wire(kind: ConnectionType, *frames: tuple[int, bytes, bool] | tuple[int, bytes]) -> bytes:
    """Frames (opcode, payload and, if it is not True, FIN) as the peer of `kind` sends them."""
    return b"".join(build(op, data, fin=all(fin), masked=kind is SERVER) for op, data, *fin in frames)


SENDING: dict[str, list[Event]] = {
    "text": [TextMessage("žluťoučký kůň 🐎"), TextMessage("")],
    "binary of each kind": [BytesMessage(b"a"), BytesMessage(bytearray(b"b")), BytesMessage(b"")],
    "lengths": [BytesMessage(b"x" * size) for size in (125, 126, 127, 65535, 65536)],
    "fragments": [
        TextMessage("a", message_finished=False),
        Ping(b"between"),
        TextMessage("b", message_finished=False),
        TextMessage("c"),
        BytesMessage(b"d", message_finished=False),
        BytesMessage(b""),
    ],
    "a message that changes its type": [
        TextMessage("a", message_finished=False),
        BytesMessage(b"b"),
        TextMessage("c"),
        BytesMessage(b"d"),
    ],
    "no message": [
        BytesMessage(None, message_finished=False),  # type: ignore[arg-type]
        TextMessage("begins anew"),
        TextMessage("\ud800", message_finished=False),
        BytesMessage(b"begins anew"),
    ],
    "control frames of 125 and 126 bytes": [Ping(b"p" * 125), Pong(b"q" * 125), Ping(b"p" * 126), Pong(b"q" * 126)],
    "events of the handshake": [Request("host", "/"), AcceptConnection(), RejectConnection()],
    **{f"close with {code} and {reason!r}": [CloseConnection(code, reason), Ping(), TextMessage("late"), Pong()]
       for code, reason in [
           (None, None),
           (None, "needs a code"),
           (1000, None),
           (1000, ""),
           (1001, "bye"),
           (4999, "🐎" * 40),
           (CloseReason.NO_STATUS_RCVD, None),
           (CloseReason.NO_STATUS_RCVD, "needs a code"),
           (1006, "local only"),
           (1015, None),
           (70000, None),
       ]},
    "close twice": [CloseConnection(1000), CloseConnection(1001)],
}  # fmt: skip


@pytest.mark.parametrize("kind", ROLES)
@pytest.mark.parametrize("events", SENDING.values(), ids=SENDING)
def test_what_is_sent_has_the_same_bytes(kind: ConnectionType, events: list[Event]) -> None:
    theirs, ours = both(kind, [Send(event) for event in events])
    assert ours == theirs


RECEIVING: dict[str, list[tuple]] = {
    "messages": [(TEXT, b"a"), (BINARY, b"b"), (TEXT, b""), (BINARY, b"")],
    "a ping between fragments": [(TEXT, b"a", False), (PING, b"?"), (CONTINUATION, b"b", False), (CONTINUATION, b"")],
    "a character in two fragments": [(TEXT, b"\xc5", False), (CONTINUATION, b"\xbe")],
    "empty fragments": [(BINARY, b"", False), (CONTINUATION, b"", False), (CONTINUATION, b"")],
    "a fault behind a message": [(TEXT, b"a"), (CONTINUATION, b"b"), (TEXT, b"never")],
    "not UTF-8": [(TEXT, b"ok"), (TEXT, b"\xff"), (TEXT, b"never")],
    "a character cut off": [(TEXT, b"\xc5", False), (CONTINUATION, b"")],
    "a message inside a message": [(TEXT, b"a", False), (BINARY, b"b")],
    "reserved opcode": [(3, b"")],
    "a ping in fragments": [(PING, b"", False)],
    "a ping of 126 bytes": [(PING, b"x" * 126)],
    **{f"close with {payload!r}": [(CLOSE, payload), (TEXT, b"never")] for payload in (
        b"", b"\x03", b"\x03\xe8", b"\x03\xe9bye", b"\x0f\xa0\xc5\xbe", b"\x13\x87", b"\x03\xe7", b"\x03\xed",
        b"\x03\xee", b"\x03\xf7", b"\x03\xf8", b"\x0b\xb7", b"\x13\x88", b"\x03\xe8\xff",
    )},
}  # fmt: skip


@pytest.mark.parametrize("step", [1, 3, 10**6])
@pytest.mark.parametrize("kind", ROLES)
@pytest.mark.parametrize("frames", RECEIVING.values(), ids=RECEIVING)
def test_what_is_received_gives_the_same_events(kind: ConnectionType, frames: list[tuple], step: int) -> None:
    data = wire(kind, *frames)
    theirs, ours = both(kind, [Receive(data[at : at + step]) for at in range(0, len(data), step)])
    assert in_sum(ours) == in_sum(theirs)


def in_sum(answers: list[tuple[Any, Any]]) -> tuple[list[object], list[object], object]:
    """What each call gave, all events that came, the last state. We may know of a fault some bytes before wsproto."""
    given = [answer[0] if isinstance(answer, list) else answer for answer, _ in answers]
    events = [event for answer, _ in answers if isinstance(answer, list) for event in answer[1:]]
    return given, events, answers[-1][1] if answers else None


@pytest.mark.parametrize("kind", ROLES)
def test_frames_masked_as_the_other_role_does_are_a_fault(kind: ConnectionType) -> None:
    theirs, ours = both(kind, [Receive(build(TEXT, b"a", masked=kind is CLIENT))])
    assert ours == theirs


LIVES: dict[str, Callable[[ConnectionType], list[Call]]] = {
    "we close": lambda kind: [
        Send(CloseConnection(1000, "bye")),
        Receive(wire(kind, (TEXT, b"still comes"))),
        Receive(wire(kind, (CLOSE, b"\x03\xe8"))),
        Send(CloseConnection(1000)),
        Receive(b"x"),
        Receive(b""),
        Receive(None),
    ],
    "they close": lambda kind: [
        Receive(wire(kind, (CLOSE, b"\x03\xe9bye"))),
        Send(TextMessage("too late")),
        Send(Ping()),
        Receive(wire(kind, (TEXT, b"ignored"))),
        Send(CloseConnection(1001, "bye")),
        Send(CloseConnection(1001, "bye")),
        Receive(b""),
    ],
    "the transport goes": lambda kind: [Receive(wire(kind, (TEXT, b"a"))), Receive(None), Receive(None), Send(Ping())],
    "the transport goes while we close": lambda kind: [Send(CloseConnection(1000)), Receive(None)],
    "the transport goes while they close": lambda kind: [Receive(wire(kind, (CLOSE, b""))), Receive(None)],
    "the transport goes before the events were read": lambda kind: [
        ReceiveAll((wire(kind, (TEXT, b"a")), None)),
        ReceiveAll((None, None)),
    ],
    "the transport goes behind a close frame that was not read yet": lambda kind: [
        ReceiveAll((wire(kind, (CLOSE, b"\x03\xe8")), None)),
        Send(CloseConnection(1000)),
        Receive(b"more"),
    ],
    "after a fault": lambda kind: [
        Receive(wire(kind, (3, b""))),
        Receive(wire(kind, (TEXT, b"never"))),
        Send(CloseConnection(1002)),
        Receive(wire(kind, (CLOSE, b""))),
    ],
}


@pytest.mark.parametrize("kind", ROLES)
@pytest.mark.parametrize("life", LIVES.values(), ids=LIVES)
def test_a_life_goes_the_same_way(kind: ConnectionType, life: Callable[[ConnectionType], list[Call]]) -> None:
    theirs, ours = both(kind, life(kind))
    assert ours == theirs


@pytest.mark.parametrize("kind", ROLES)
def test_an_iteration_that_was_given_up_is_taken_up_again(kind: ConnectionType) -> None:
    data = wire(kind, *[(TEXT, b"%d" % n) for n in range(3)])
    for end in (wsproto.connection.Connection(kind), protocol.Connection(kind)):
        end.receive_data(data)
        assert next(end.events()) == TextMessage("0")
        end.receive_data(wire(kind, (TEXT, b"3")))
        assert list(end.events()) == [TextMessage("1"), TextMessage("2"), TextMessage("3")]


@pytest.mark.parametrize("kind", ROLES)
def test_chunks_that_were_not_looked_at_between_count_as_one(kind: ConnectionType) -> None:
    data = wire(kind, (BINARY, b"abcdef"))
    for end in (wsproto.connection.Connection(kind), protocol.Connection(kind)):
        for byte in data:
            end.receive_data(bytes((byte,)))
        assert list(end.events()) == [BytesMessage(b"abcdef")]


@pytest.mark.parametrize("kind", ROLES)
def test_what_came_with_the_handshake_is_received(kind: ConnectionType) -> None:
    data = wire(kind, (TEXT, b"early"))
    for module in (wsproto.connection, protocol):
        assert list(module.Connection(kind, None, data).events()) == [TextMessage("early")]


@pytest.mark.parametrize("code", [*CloseReason, 3000])
def test_codes_that_wsproto_names_are_its_members(code: int) -> None:
    for end in (wsproto.connection.Connection(CLIENT), protocol.Connection(CLIENT)):
        end.receive_data(build(CLOSE, int(code).to_bytes(2, "big"), masked=False))
        (event,) = end.events()
        assert isinstance(event, CloseConnection)
        assert type(event.code) is (int if event.code == 3000 else CloseReason)


@pytest.mark.parametrize("module", [wsproto.connection, protocol])
def test_a_refusal_is_of_wsprotos_class_and_names_event_and_state(module: Any) -> None:
    end = module.Connection(CLIENT)
    end.send(CloseConnection(1000))
    with pytest.raises(wsproto.utilities.LocalProtocolError, match=r"Ping\(.*LOCAL_CLOSING"):
        end.send(Ping())


# Random lives

PAYLOADS = st.binary(max_size=150)
TEXTS = st.text(max_size=40)
CODES = st.sampled_from([1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 3000, 3999, 4000, 4999])
CLOSES = st.builds(CloseConnection, CODES, st.text(max_size=60))
DATA_FRAMES = st.tuples(st.sampled_from([TEXT, BINARY, CONTINUATION]), TEXTS.map(str.encode) | PAYLOADS, st.booleans())
CONTROL_FRAMES = st.tuples(st.sampled_from([PING, PONG]), st.binary(max_size=126), st.just(True))
CLOSE_FRAMES = st.builds(
    lambda code, reason: (CLOSE, code.to_bytes(2, "big") + reason.encode(), True), CODES, st.text(max_size=30)
)
ODD_FRAMES = st.tuples(st.integers(0, 15), PAYLOADS, st.booleans())
FRAMES = st.one_of(DATA_FRAMES, DATA_FRAMES, DATA_FRAMES, CONTROL_FRAMES, CLOSE_FRAMES, ODD_FRAMES)
SENT = st.one_of(
    st.builds(TextMessage, TEXTS, message_finished=st.booleans()),
    st.builds(BytesMessage, PAYLOADS, message_finished=st.booleans()),
    st.builds(Ping, st.binary(max_size=126)),
    st.builds(Pong, st.binary(max_size=126)),
    CLOSES,
)


@st.composite
def lives(draw: st.DrawFn) -> tuple[ConnectionType, list[Call]]:
    """A role, and the calls of a connection's life: frames cut at random, events sent between the cuts."""
    kind = draw(st.sampled_from(ROLES))
    data = wire(kind, *draw(st.lists(FRAMES, max_size=8)))
    cuts = sorted({0, len(data), *draw(st.lists(st.integers(0, len(data)), max_size=12))})
    calls: list[Call] = [Receive(data[start:end]) for start, end in pairwise(cuts)]
    for event in draw(st.lists(SENT, max_size=4)):
        calls.insert(draw(st.integers(0, len(calls))), Send(event))
    return kind, calls + draw(st.sampled_from([[], [Receive(None)]]))


@settings(max_examples=500, deadline=None)
@given(lives())
def test_any_life_goes_the_same_way(life: tuple[ConnectionType, list[Call]]) -> None:
    theirs, ours = both(*life)
    assert in_sum(ours) == in_sum(theirs)


@settings(deadline=None)
@given(st.sampled_from(ROLES), st.lists(DATA_FRAMES, min_size=1, max_size=6))
def test_as_many_pieces_with_the_same_flags(kind: ConnectionType, frames: list[tuple]) -> None:
    data = wire(kind, *frames)
    theirs, ours = both(kind, [Receive(data)])
    assert ours == theirs


# What differs on purpose


@dataclass(frozen=True)
class Difference:
    """Calls, and what wsproto's server and ours make of the last one."""

    calls: list[Call]
    theirs: object
    ours: object
    reason: str


DIFFERENCES = {
    "1014 received": Difference(
        [Receive(build(CLOSE, b"\x03\xf6"))],
        [None, CloseConnection(1002, "in its own words")],
        [None, CloseConnection(1014, "")],
        "1014 (bad gateway) is registered with IANA; wsproto does not know it yet",
    ),
    "1005 sent as a plain number": Difference(
        [Send(CloseConnection(1005))],
        build(CLOSE, b"\x03\xe8", masked=False),
        build(CLOSE, masked=False),
        "1005 means a close frame without a code, whether it is written as a number or as wsproto's member",
    ),
    "the words of a fault": Difference(
        [ReceiveAll((build(TEXT, b"a", rsv=4),))],
        [CloseConnection(1002, "Reserved bit set unexpectedly")],
        [CloseConnection(1002, "reserved bits 100 set, no extension was granted them (RFC 6455 5.2)")],
        "our faults say what was seen and the section",
    ),
    "a fault is known at the byte that brings it": Difference(
        [Receive(build(CONTINUATION, b"abc")[:6])],
        [None],
        [None, CloseConnection(1002, "in its own words")],
        "the header alone breaks the rule, so that nothing is gained by waiting for its payload",
    ),
}


@pytest.mark.parametrize("name", DIFFERENCES)
def test_differences_that_are_meant(name: str) -> None:
    case = DIFFERENCES[name]
    theirs, ours = both(SERVER, case.calls)
    assert (theirs[-1][0], ours[-1][0]) == (case.theirs, case.ours), case.reason
