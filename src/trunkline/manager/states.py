"""The states of a connection, as a table of moves.

    idle ─ dial ─▶ connecting ─ opened ─▶ connected
                     ▲    │ lost              │ lost
                     │    ▼                   ▼
                     └─ waiting · suspended · failed · closed

`MOVES` holds every legal move; an illegal move is an absent key. A `waiting` connection has a time for its next
attempt. A `suspended` one is only probed slowly, because of how long it has been down or why, or its service is paused.
A `failed` one does not try again by itself, and `closed` is the end.
"""

from __future__ import annotations

import enum
from typing import Final

__all__ = ["ENDED", "MOVES", "UNDER_WAY", "ConnectionStatus", "DeliveryOutcome", "Event", "IllegalMove", "move"]


class ConnectionStatus(enum.StrEnum):
    """The status of a connection."""

    IDLE = "idle"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    WAITING = "waiting"
    SUSPENDED = "suspended"
    CLOSING = "closing"
    CLOSED = "closed"
    FAILED = "failed"


class Event(enum.Enum):
    """What changes the status."""

    DIAL = "dial"  # an attempt begins
    OPENED = "opened"  # the opening handshake is done
    DEFER = "defer"  # the attempt failed or the link was lost; the next attempt has a time
    SUSPEND = "suspend"  # the same, but the next attempt is a slow probe
    HOLD = "hold"  # the program paused the service: no attempt until it resumes it
    GIVE_UP = "give up"  # the same, but there is no next attempt
    FINISH = "finish"  # the peer closed normally
    CLOSE = "close"  # the program closes it
    CLOSED = "closed"  # nothing is left of it


_S = ConnectionStatus

MOVES: Final[dict[tuple[ConnectionStatus, Event], ConnectionStatus]] = {
    (_S.IDLE, Event.DIAL): _S.CONNECTING,
    (_S.WAITING, Event.DIAL): _S.CONNECTING,
    (_S.SUSPENDED, Event.DIAL): _S.CONNECTING,
    (_S.FAILED, Event.DIAL): _S.CONNECTING,
    (_S.CONNECTING, Event.OPENED): _S.CONNECTED,
    (_S.CONNECTING, Event.DEFER): _S.WAITING,
    (_S.CONNECTING, Event.SUSPEND): _S.SUSPENDED,
    (_S.CONNECTING, Event.GIVE_UP): _S.FAILED,
    (_S.CONNECTED, Event.DEFER): _S.WAITING,
    (_S.CONNECTED, Event.SUSPEND): _S.SUSPENDED,
    (_S.CONNECTED, Event.GIVE_UP): _S.FAILED,
    # A fault outside an attempt.
    (_S.WAITING, Event.DEFER): _S.WAITING,
    (_S.WAITING, Event.SUSPEND): _S.SUSPENDED,
    (_S.WAITING, Event.GIVE_UP): _S.FAILED,
    (_S.SUSPENDED, Event.SUSPEND): _S.SUSPENDED,
    (_S.SUSPENDED, Event.GIVE_UP): _S.FAILED,
    (_S.CONNECTING, Event.FINISH): _S.CLOSED,  # during the greeting
    (_S.CONNECTED, Event.FINISH): _S.CLOSED,
    (_S.IDLE, Event.HOLD): _S.SUSPENDED,
    (_S.CONNECTING, Event.HOLD): _S.SUSPENDED,
    (_S.CONNECTED, Event.HOLD): _S.SUSPENDED,
    (_S.WAITING, Event.HOLD): _S.SUSPENDED,
    (_S.SUSPENDED, Event.HOLD): _S.SUSPENDED,  # cancels the next probe
    (_S.FAILED, Event.HOLD): _S.SUSPENDED,  # instead of starting over
    (_S.SUSPENDED, Event.DEFER): _S.WAITING,  # resumed, but the server asked for a longer wait
    (_S.CONNECTING, Event.CLOSE): _S.CLOSING,
    (_S.CONNECTED, Event.CLOSE): _S.CLOSING,
    (_S.WAITING, Event.CLOSE): _S.CLOSING,
    (_S.SUSPENDED, Event.CLOSE): _S.CLOSING,
    (_S.CLOSING, Event.CLOSED): _S.CLOSED,
    # Nothing is running, so there is nothing to wait for.
    (_S.IDLE, Event.CLOSE): _S.CLOSED,
    (_S.FAILED, Event.CLOSE): _S.CLOSED,
}

ENDED: Final = frozenset({_S.CLOSING, _S.CLOSED, _S.FAILED})  # no link will come up by itself
UNDER_WAY: Final = frozenset({_S.CONNECTING, _S.CONNECTED})  # there is a link, or an attempt


class IllegalMove(AssertionError):
    """A move that is not in the table: a fault in trunkline."""


def move(status: ConnectionStatus, event: Event) -> ConnectionStatus:
    """Return the status that `event` leads to."""
    try:
        return MOVES[status, event]
    except KeyError:
        raise IllegalMove(f"{event.value} while {status}") from None


class DeliveryOutcome(enum.StrEnum):
    """What became of a message: see `trunkline.manager.delivery`."""

    QUEUED = "queued"  # in the outbox, not written yet
    WRITTEN = "written"  # written to a link, on its way
    CONFIRMED = "confirmed"  # the peer's WebSocket has read it
    UNKNOWN = "unknown"  # written, but the link was lost: the peer may have it or not
    DROPPED = "dropped"  # never written: a newer message needed its place
    CONFLATED = "conflated"  # never written: a newer message with the same key replaced it
    EXPIRED = "expired"  # never written: it waited too long
    CANCELLED = "cancelled"  # never written: its sender was cancelled or stopped waiting
    REFUSED = "refused"  # never written: the link rejected it, for example as invalid text
    STALE = "stale"  # never written: it was for one link only, and that link is gone
    UNSENT = "unsent"  # never written: the connection ended
