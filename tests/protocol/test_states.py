"""The life of a connection: every state with everything that can happen in it."""

import pytest
from wsproto.connection import ConnectionState
from wsproto.utilities import LocalProtocolError as WsprotoError

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
