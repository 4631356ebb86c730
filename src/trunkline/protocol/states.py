"""The life of a connection, as a table.

Legal moves are the keys of `MOVES`; an illegal move is a missing key. `trunkline.WebSocket` follows the table, a test
compares the compiled `trunkline.protocol.Connection` with it, and the diagram in the docs is generated from it.
"""

from __future__ import annotations

import enum
from typing import Final

from wsproto.connection import ConnectionState

from trunkline.protocol.errors import LocalProtocolError

__all__ = ["MOVES", "Happening", "after"]


class Happening(enum.Enum):
    """What moves a connection from one state to the next."""

    ACCEPTED = "the opening handshake succeeded"
    REJECTED = "the opening handshake was refused"
    SENT_CLOSE = "we sent a close frame"
    GOT_CLOSE = "the peer sent a close frame"
    FAILED = "we failed the connection (RFC 6455 7.1.7)"
    LOST = "the transport is gone"


_S, _H = ConnectionState, Happening

MOVES: Final[dict[tuple[ConnectionState, Happening], ConnectionState]] = {
    (_S.CONNECTING, _H.ACCEPTED): _S.OPEN,
    (_S.CONNECTING, _H.REJECTED): _S.REJECTING,
    (_S.CONNECTING, _H.LOST): _S.CLOSED,
    (_S.REJECTING, _H.LOST): _S.CLOSED,
    (_S.OPEN, _H.SENT_CLOSE): _S.LOCAL_CLOSING,
    (_S.OPEN, _H.GOT_CLOSE): _S.REMOTE_CLOSING,
    (_S.OPEN, _H.FAILED): _S.CLOSED,
    (_S.OPEN, _H.LOST): _S.CLOSED,
    # 5.5.1: data may still arrive until the peer's close frame does.
    (_S.LOCAL_CLOSING, _H.GOT_CLOSE): _S.CLOSED,
    (_S.LOCAL_CLOSING, _H.FAILED): _S.CLOSED,
    (_S.LOCAL_CLOSING, _H.LOST): _S.CLOSED,
    # 5.5.1: after the peer's close frame we may send only our own.
    (_S.REMOTE_CLOSING, _H.SENT_CLOSE): _S.CLOSED,
    (_S.REMOTE_CLOSING, _H.LOST): _S.CLOSED,
    (_S.CLOSED, _H.LOST): _S.CLOSED,
}


def after(state: ConnectionState, happening: Happening) -> ConnectionState:
    """Return the next state; raise LocalProtocolError if this cannot happen in `state`."""
    try:
        return MOVES[state, happening]
    except KeyError:
        raise LocalProtocolError(f"cannot happen in state {state.name}: {happening.value}") from None
