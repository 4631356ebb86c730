"""The life of a connection: every state with everything that can happen in it."""

from collections.abc import Callable

import pytest
from wsproto.connection import ConnectionState
from wsproto.utilities import LocalProtocolError as WsprotoError

from rawframes import build
from trunkline.protocol import CloseConnection, Connection, ConnectionType
from trunkline.protocol.errors import LocalProtocolError
from trunkline.protocol.states import MOVES, Happening, after

# Rows: the state; columns: what happens; "-": cannot happen there.
GRID = """
                ACCEPTED  REJECTED   SENT_CLOSE     GOT_CLOSE       FAILED  LOST
CONNECTING      OPEN      REJECTING  -              -               -       CLOSED
REJECTING       -         -          -              -               -       CLOSED
OPEN            -         -          LOCAL_CLOSING  REMOTE_CLOSING  CLOSED  CLOSED
LOCAL_CLOSING   -         -          -              CLOSED          CLOSED  CLOSED
REMOTE_CLOSING  -         -          CLOSED         -               -       CLOSED
CLOSED          -         -          -              -               -       CLOSED
"""
HEAD, *ROWS = GRID.strip().splitlines()
PAIRS = {
    (row.split()[0], happening): cell
    for row in ROWS
    for happening, cell in zip(HEAD.split(), row.split()[1:], strict=True)
}


def test_the_grid_holds_every_pair() -> None:
    assert set(PAIRS) == {(state.name, happening.name) for state in ConnectionState for happening in Happening}
    assert len(MOVES) == sum(cell != "-" for cell in PAIRS.values())


@pytest.mark.parametrize(("state", "happening"), [pair for pair, cell in PAIRS.items() if cell != "-"])
def test_a_move_leads_where_it_should(state: str, happening: str) -> None:
    assert after(ConnectionState[state], Happening[happening]).name == PAIRS[state, happening]


@pytest.mark.parametrize(("state", "happening"), [pair for pair, cell in PAIRS.items() if cell == "-"])
def test_what_cannot_happen_says_so(state: str, happening: str) -> None:
    with pytest.raises(LocalProtocolError) as caught:
        after(ConnectionState[state], Happening[happening])
    assert str(caught.value) == f"cannot happen in state {state}: {Happening[happening].value}"
    assert isinstance(caught.value, WsprotoError)


def test_from_every_state_there_is_a_way_out() -> None:
    assert {state for state, happening in MOVES if happening is Happening.LOST} == set(ConnectionState)


def connection_in(state: str) -> Connection:
    end = Connection(ConnectionType.SERVER)
    end._state = ConnectionState[state]
    return end


HAPPENINGS: dict[str, Callable[[Connection], object]] = {
    "SENT_CLOSE": lambda end: end.send(CloseConnection(1000)),
    "GOT_CLOSE": lambda end: (end.receive_data(build(8, b"\x03\xe8")), list(end.events())),
    "LOST": lambda end: end.receive_data(None),
}
OPEN_STATES = ["OPEN", "LOCAL_CLOSING", "REMOTE_CLOSING", "CLOSED"]


@pytest.mark.parametrize("happening", HAPPENINGS)
@pytest.mark.parametrize("state", OPEN_STATES)
def test_the_compiled_connection_makes_the_same_moves(state: str, happening: str) -> None:
    end = connection_in(state)
    cell = PAIRS[state, happening]
    if cell == "-" and (state, happening) != ("REMOTE_CLOSING", "GOT_CLOSE"):
        with pytest.raises(LocalProtocolError):
            HAPPENINGS[happening](end)
        assert end.state.name == state
    else:
        HAPPENINGS[happening](end)
        # What follows a close frame is not read at all, so that a second one moves nothing.
        assert end.state.name == (state if cell == "-" else cell)
