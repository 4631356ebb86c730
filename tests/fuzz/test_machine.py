"""Two ends on the compiled connection beside two on wsproto, which is the model: any event in any state, any split.

Each pair talks over a line of its own. Both draw the same masking keys, so that what is on the lines must be equal byte
for byte, whatever was sent, however it is cut, and in whichever order the two sides close.
"""

from typing import Any

import wsproto
import wsproto.connection
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
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

from rawframes import same_keys
from trunkline import protocol
from trunkline.protocol import CLIENT, SERVER, ConnectionState

SIDES = st.sampled_from([0, 1])
PAYLOADS = st.binary(max_size=40) | st.sampled_from([b"x" * 125, b"x" * 126, b"x" * 300])
CODES = st.sampled_from([None, 999, 1000, 1001, 1006, 1011, 1015, 3000, 4999, 70000])
EVENTS = st.one_of(
    st.builds(TextMessage, st.text(max_size=20), message_finished=st.booleans()),
    st.builds(BytesMessage, PAYLOADS, message_finished=st.booleans()),
    st.builds(Ping, st.binary(max_size=126)),
    st.builds(Pong, st.binary(max_size=126)),
)
CLOSES = st.builds(CloseConnection, CODES, st.none() | st.text(max_size=60))
HANDSHAKES = st.sampled_from([Request("example.org", "/"), AcceptConnection(), RejectConnection(status_code=403)])


class Pair:
    """A client and a server of one library, and the bytes between them."""

    def __init__(self, client: Any, server: Any) -> None:
        self.ends = (client, server)
        self.lines = [b"", b""]  # to the client, to the server

    def send(self, side: int, event: Event) -> object:
        """Puts what an event is on the line; gives the name of what was raised."""
        try:
            data = bytes(self.ends[side].send(event))
        except AssertionError:
            return "LocalProtocolError"  # wsproto asserts that there is no handshake where we say whose fault it is
        except Exception as error:
            return type(error).__name__
        self.lines[1 - side] += data
        return None

    def receive(self, side: int, data: bytes | None) -> list[object]:
        """The events of a chunk, and the name of what was raised."""
        end = self.ends[side]
        seen: list[object] = []
        try:
            end.receive_data(data)
        except Exception as error:
            seen.append(type(error).__name__)
        state = end.state
        try:
            for event in end.events():
                seen.append(plain(event, end.state is state))
                state = end.state
        except Exception as error:
            seen.append(type(error).__name__)
        return seen


def plain(event: Event, same_state: bool) -> Event:
    """An event without what each library words by itself: a fault, and the list of a request's headers."""
    if isinstance(event, CloseConnection) and same_state:
        return CloseConnection(event.code, "a fault")
    return Request(event.host, event.target) if isinstance(event, Request) else event


class Connections(RuleBasedStateMachine):
    """From the first frame on."""

    def __init__(self) -> None:
        super().__init__()
        self.keys = same_keys()
        self.keys.start()
        self.pairs = self.make()

    def make(self) -> tuple[Pair, Pair]:
        """wsproto's pair and ours."""
        theirs, ours = wsproto.connection.Connection, protocol.Connection
        return Pair(theirs(CLIENT), theirs(SERVER)), Pair(ours(CLIENT), ours(SERVER))

    def teardown(self) -> None:
        self.keys.stop()

    @rule(side=SIDES, event=EVENTS)
    def send(self, side: int, event: Event) -> None:
        theirs, ours = (pair.send(side, event) for pair in self.pairs)
        assert ours == theirs

    @rule(side=SIDES, event=CLOSES)
    def close(self, side: int, event: Event) -> None:
        theirs, ours = (pair.send(side, event) for pair in self.pairs)
        assert ours == theirs

    @precondition(lambda self: any(self.pairs[0].lines))
    @rule(side=SIDES, share=st.integers(1, 100))
    def receive(self, side: int, share: int) -> None:
        """A part of what is on the line, in hundredths."""
        line = self.pairs[0].lines[side]
        cut = -(-len(line) * share // 100)
        theirs, ours = (pair.receive(side, line[:cut]) for pair in self.pairs)
        assert ours == theirs
        for pair in self.pairs:
            pair.lines[side] = line[cut:]

    @rule(side=SIDES)
    def lose(self, side: int) -> None:
        """The transport of one side goes."""
        theirs, ours = (pair.receive(side, None) for pair in self.pairs)
        assert ours == theirs

    @invariant()
    def same_lines_and_states(self) -> None:
        theirs, ours = self.pairs
        assert ours.lines == theirs.lines
        assert [end.state for end in ours.ends] == [end.state for end in theirs.ends]


class WSConnections(Connections):
    """From the opening handshake on, whose events are out of place from then on."""

    def make(self) -> tuple[Pair, Pair]:
        theirs, ours = wsproto.WSConnection, protocol.WSConnection
        return Pair(theirs(CLIENT), theirs(SERVER)), Pair(ours(CLIENT), ours(SERVER))

    @initialize()
    def open(self) -> None:
        for pair in self.pairs:
            for side, event in ((0, Request("example.org", "/")), (1, AcceptConnection())):
                assert pair.send(side, event) is None
                assert len(pair.receive(1 - side, pair.lines[1 - side])) == 1
                pair.lines[1 - side] = b""
            assert {end.state for end in pair.ends} == {ConnectionState.OPEN}

    @rule(side=SIDES, event=HANDSHAKES)
    def shake_hands(self, side: int, event: Event) -> None:
        theirs, ours = (pair.send(side, event) for pair in self.pairs)
        assert ours == theirs


TestConnections = Connections.TestCase
TestConnections.settings = settings(max_examples=30, stateful_step_count=20, deadline=None)
TestWSConnections = WSConnections.TestCase
TestWSConnections.settings = settings(max_examples=30, stateful_step_count=20, deadline=None)
