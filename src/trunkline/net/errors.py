"""The errors that say why a connection cannot do what it is asked."""

from __future__ import annotations

from typing import Any, Protocol

from wsproto.connection import ConnectionState

from trunkline._link import Link
from trunkline.net import parting
from trunkline.net.settings import Settings
from trunkline.protocol.errors import (
    ConnectionClosedOK,
    LocalProtocolError,
    SlowConsumer,
    WrongThread,
)

__all__ = ["Refusing", "bad_text", "busy", "conclusion", "no_inbox", "refusal", "slow_consumer", "wrong_thread"]


class Refusing(parting.Departing, Protocol):
    """What these functions need of a connection."""

    link: Link
    listener: Any
    settings: Settings


def refusal(life: Refusing) -> Exception:
    """Return the error for a message that cannot be sent now."""
    if life.ending.make_error is not None:
        return life.ending.make_error().of(life.ending.whose or life.link)
    if life.link._is_unfinished:
        return LocalProtocolError("a fragmented message is being sent: another must wait for its end (RFC 6455 5.4)")
    return LocalProtocolError(f"cannot send in state {life.state.name}: the opening handshake is not done")


def slow_consumer(life: Refusing, pending: int) -> Exception:
    """Return the error for a message that would wait behind too many bytes."""
    return SlowConsumer(pending, life.settings.write_limit)


def bad_text(life: Refusing, error: UnicodeEncodeError) -> Exception:
    """Return the error for text with lone surrogates."""
    return LocalProtocolError(f"text is not Unicode at index {error.start}: {error.reason} (RFC 6455 8.1)")


def conclusion(life: Refusing, iterating: bool) -> Exception:
    """Return the error for a message that will not come, or what ends an iteration.

    If the peer has ended its side, the application has now answered all that came before, and our side ends too.
    """
    if life.is_peer_done and life.state is ConnectionState.OPEN:
        parting.end_with_peer(life)
    error = refusal(life)
    return StopAsyncIteration() if iterating and isinstance(error, ConnectionClosedOK) else error


def busy(life: Refusing) -> Exception:
    """Return the error for a second task that receives."""
    return LocalProtocolError("another task is already waiting in recv(); only one may")


def no_inbox(life: Refusing) -> Exception:
    """Return the error for receiving on a connection that has a listener, or is not open yet."""
    if life.listener is not None:
        return LocalProtocolError("messages of this connection go to its listener, not to recv()")
    return refusal(life)


def wrong_thread(life: Refusing) -> Exception:
    """Return the error for a call from another thread than the event loop's."""
    return WrongThread(life.link.__repr__())
