"""The life of a connection, as a table.

    idle ─ dial ─▶ connecting ─ opened ─▶ connected
                     ▲    │ lost              │ lost
                     │    ▼                   ▼
                     └─ waiting · suspended · failed · closed

`MOVES` holds every legal move; an illegal move is an absent key. `waiting` has a retry coming; `suspended` has been
down for so long, or for such a reason, that only a slow probe is left, or its service is paused; `failed` will not try
again by itself; `closed` is the end.
"""

from __future__ import annotations

import enum
from typing import Final

__all__ = ["ENDED", "MOVES", "UNDER_WAY", "ConnectionStatus", "DeliveryOutcome", "Event", "IllegalMove", "move"]


class ConnectionStatus(enum.StrEnum):
    """Where a connection stands."""

    IDLE = "idle"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    WAITING = "waiting"
    SUSPENDED = "suspended"
    CLOSING = "closing"
    CLOSED = "closed"
    FAILED = "failed"


class Event(enum.Enum):
    """What moves it."""

    DIAL = "dial"  # an attempt begins
    OPENED = "opened"  # the opening handshake is done
    DEFER = "defer"  # the attempt failed or the link was lost; the next attempt has a time
    SUSPEND = "suspend"  # the same, and the next attempt is a slow probe
    HOLD = "hold"  # the program paused the service: no attempt until it resumes it
    GIVE_UP = "give up"  # the same, and there is no next attempt
    FINISH = "finish"  # the peer ended the connection, as it may
    CLOSE = "close"  # the program wants it closed
    CLOSED = "closed"  # and it is


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
    # A fault outside of an attempt.
    (_S.WAITING, Event.DEFER): _S.WAITING,
    (_S.WAITING, Event.SUSPEND): _S.SUSPENDED,
    (_S.WAITING, Event.GIVE_UP): _S.FAILED,
    (_S.SUSPENDED, Event.SUSPEND): _S.SUSPENDED,
    (_S.SUSPENDED, Event.GIVE_UP): _S.FAILED,
    (_S.CONNECTING, Event.FINISH): _S.CLOSED,  # while the link was greeted
    (_S.CONNECTED, Event.FINISH): _S.CLOSED,
    (_S.IDLE, Event.HOLD): _S.SUSPENDED,
    (_S.CONNECTING, Event.HOLD): _S.SUSPENDED,
    (_S.CONNECTED, Event.HOLD): _S.SUSPENDED,
    (_S.WAITING, Event.HOLD): _S.SUSPENDED,
    (_S.SUSPENDED, Event.HOLD): _S.SUSPENDED,  # it had a probe coming, and has none now
    (_S.FAILED, Event.HOLD): _S.SUSPENDED,  # it was to start over
    (_S.SUSPENDED, Event.DEFER): _S.WAITING,  # resumed before the time that the server had asked for
    (_S.CONNECTING, Event.CLOSE): _S.CLOSING,
    (_S.CONNECTED, Event.CLOSE): _S.CLOSING,
    (_S.WAITING, Event.CLOSE): _S.CLOSING,
    (_S.SUSPENDED, Event.CLOSE): _S.CLOSING,
    (_S.CLOSING, Event.CLOSED): _S.CLOSED,
    # Nothing is under way, so there is nothing to wait for.
    (_S.IDLE, Event.CLOSE): _S.CLOSED,
    (_S.FAILED, Event.CLOSE): _S.CLOSED,
}

ENDED: Final = frozenset({_S.CLOSING, _S.CLOSED, _S.FAILED})  # no link will come by itself
UNDER_WAY: Final = frozenset({_S.CONNECTING, _S.CONNECTED})  # there is a link, or one may come any moment


class IllegalMove(AssertionError):
    """The connection was moved in a way that the table does not have: a fault in trunkline."""


def move(status: ConnectionStatus, event: Event) -> ConnectionStatus:
    """The status that `event` leads to."""
    try:
        return MOVES[status, event]
    except KeyError:
        raise IllegalMove(f"{event.value} while {status}") from None


class DeliveryOutcome(enum.StrEnum):
    """Where a message stands: see `trunkline.manager.delivery`."""

    QUEUED = "queued"  # in the outbox: nothing of it has been written
    WRITTEN = "written"  # given to a link, on its way
    CONFIRMED = "confirmed"  # the peer's WebSocket has read it
    UNKNOWN = "unknown"  # written, and the link was lost: the peer may have it, or not
    DROPPED = "dropped"  # never written: a newer message needed the room
    CONFLATED = "conflated"  # never written: a newer message with its key took its place
    EXPIRED = "expired"  # never written: it waited too long
    CANCELLED = "cancelled"  # never written: whoever sent it was cancelled or waited no longer
    REFUSED = "refused"  # never written: the link would not take it, as it is no valid text for instance
    STALE = "stale"  # never written: it was for one link only, and that is gone
    UNSENT = "unsent"  # never written: the connection ended
