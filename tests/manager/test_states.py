"""The table of moves: nothing is unreachable, nothing illegal goes through."""

import itertools

import pytest

from trunkline.manager.states import ENDED, MOVES, ConnectionStatus, Event, IllegalMove, move


def test_every_status_can_be_reached_from_idle() -> None:
    reached = {ConnectionStatus.IDLE}
    while new := {after for (before, _), after in MOVES.items() if before in reached} - reached:
        reached |= new
    assert reached == set(ConnectionStatus)


def test_every_status_but_closed_can_be_left_for_closed() -> None:
    for status in set(ConnectionStatus) - {ConnectionStatus.CLOSED}:
        left = MOVES[status, Event.CLOSED if status is ConnectionStatus.CLOSING else Event.CLOSE]
        assert left in (ConnectionStatus.CLOSING, ConnectionStatus.CLOSED)


def test_closed_is_the_end() -> None:
    assert not [event for event in Event if (ConnectionStatus.CLOSED, event) in MOVES]


def test_only_the_program_leads_out_of_an_ended_status() -> None:
    ways_out = {event for (before, event) in MOVES if before in ENDED}
    assert ways_out == {Event.DIAL, Event.HOLD, Event.CLOSE, Event.CLOSED}


@pytest.mark.parametrize(("status", "event"), list(itertools.product(ConnectionStatus, Event)))
def test_a_move_is_in_the_table_or_refused(status: ConnectionStatus, event: Event) -> None:
    if (status, event) in MOVES:
        assert move(status, event) is MOVES[status, event]
    else:
        with pytest.raises(IllegalMove, match=f"{event.value} while {status}"):
            move(status, event)
