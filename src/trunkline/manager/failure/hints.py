"""How to come back from a kind of failure, as a table.

A category says what went wrong. A `Hint` says how a retry should differ from plain jittered backoff: another first
pause, a limited number of tries, a slow probe, new credentials. `HINTS` has a row for each category that needs one, and
`HINTS_BY_CODE` for categories whose causes need different ones.
"""

from __future__ import annotations

import errno
import socket
from dataclasses import dataclass
from typing import ClassVar, Final

from trunkline.manager.failure.issues import ConnectionIssue
from trunkline.protocol.categories import ErrorCategory

__all__ = ["HINTS", "HINTS_BY_CODE", "Hint", "hint_for"]


@dataclass(frozen=True, slots=True)
class Hint:
    """How to come back from a kind of failure, if plain jittered backoff is not right.

    Args:
        words: a description for people.
        tries: retries for this category before the connection stops; None for no limit.
        first: the first pause is drawn between these, in seconds.
        of_life: limits the first pause to this share of the lost link's lifetime; None for no limit beyond `first`.
        slowness: multiplies the ceiling of the backoff.
        probe: suspend the connection and probe slowly.
        refresh: retry only with new credentials.
        set_aside: do not send the message again that may have upset the peer.
        elsewhere: dial another endpoint, if there is one.
        plain: offer no extensions.
        keeps: probe a connection slowly that has been up, where another one stops.
        is_final: stop whatever the policy says, because the service's own rules say so.
    """

    words: str
    tries: int | None = None
    first: tuple[float, float] | None = None
    of_life: float | None = None
    slowness: float = 1.0
    probe: bool = False
    refresh: bool = False
    set_aside: bool = False
    elsewhere: bool = False
    plain: bool = False
    keeps: bool = False
    is_final: bool = False

    JITTER: ClassVar[Hint]
    FAST: ClassVar[Hint]
    LOST: ClassVar[Hint]
    SPREAD: ClassVar[Hint]
    RESTART: ClassVar[Hint]
    ONCE: ClassVar[Hint]
    THREE_STRIKES: ClassVar[Hint]
    REFRESH: ClassVar[Hint]
    REFUSED: ClassVar[Hint]
    SET_ASIDE: ClassVar[Hint]
    PROBE: ClassVar[Hint]
    LIMITED_PROBE: ClassVar[Hint]
    UNWANTED: ClassVar[Hint]
    DENIED: ClassVar[Hint]
    STOP: ClassVar[Hint]


_STOP: Final = "then stop; suspended if the connection has been up"

Hint.JITTER = Hint("backoff")
# A broken network path, not a busy server: one quick try.
Hint.FAST = Hint("one fast retry, then backoff", first=(0.0, 0.05))
# A broken network path, or a server that all clients lost: we cannot tell. A fleet's links are usually old, so old
# links come back spread out, while a link that breaks often costs little each time.
Hint.LOST = Hint(
    "first after 0 to 1 s, or to a 7,200th of the link's life, then backoff", first=(0.0, 1.0), of_life=1 / 7200
)
# All clients were told the same: come back spread out.
Hint.SPREAD = Hint("first after 0 to 1 s, then backoff", first=(0.0, 1.0))
# The registry's 5 to 30 s would cost more than the jitter, the gate and the breaker save.
Hint.RESTART = Hint(
    "first after 0 to 5 s, or to a 360th of the link's life, then backoff", first=(0.0, 5.0), of_life=1 / 360
)
Hint.ONCE = Hint(f"one retry, {_STOP}", tries=1, keeps=True)
Hint.THREE_STRIKES = Hint(f"three retries, {_STOP}", tries=3, keeps=True)
Hint.REFRESH = Hint("one retry with new credentials, if the service asks for them, then stop", tries=1, refresh=True)
Hint.REFUSED = Hint(
    f"one retry with new credentials, if the service asks for them, {_STOP}", tries=1, refresh=True, keeps=True
)
Hint.SET_ASIDE = Hint(f"the suspect message is set aside; one retry, {_STOP}", tries=1, set_aside=True, keeps=True)
Hint.PROBE = Hint("suspended, a slow probe", probe=True, keeps=True)
Hint.LIMITED_PROBE = Hint(
    "suspended, five slow probes, then stop unless the connection has been up", tries=5, probe=True, keeps=True
)
Hint.UNWANTED = Hint("stop; suspended if the connection has been up", tries=0, keeps=True)
Hint.DENIED = Hint("stop", tries=0)
Hint.STOP = Hint("stop, whatever the policy says", tries=0, is_final=True)

_C = ErrorCategory

HINTS: Final[dict[ErrorCategory, Hint]] = {
    _C.NORMAL_CLOSURE: Hint("stop; backoff if the policy reopens what the peer closed"),
    _C.GOING_AWAY: Hint.SPREAD,
    _C.PROTOCOL_ERROR: Hint.ONCE,
    _C.UNSUPPORTED_DATA: Hint.SET_ASIDE,
    _C.INVALID_DATA: Hint.SET_ASIDE,
    _C.MESSAGE_TOO_BIG: Hint.SET_ASIDE,
    _C.EXTENSION_REQUIRED: Hint(f"one retry without compression, {_STOP}", tries=1, plain=True, keeps=True),
    _C.POLICY_VIOLATION: Hint.REFUSED,
    _C.SERVICE_RESTART: Hint.RESTART,
    _C.OVERLOADED: Hint("another endpoint, backoff four times as slow", slowness=4.0, elsewhere=True),
    _C.RESERVED: Hint.ONCE,
    _C.APPLICATION: Hint.THREE_STRIKES,
    _C.AUTHENTICATION_FAILED: Hint.REFRESH,
    _C.PROXY_AUTHENTICATION: Hint.DENIED,
    _C.FORBIDDEN: Hint.DENIED,
    _C.CONNECTION_FAILED: Hint.UNWANTED,
    _C.REDIRECT: Hint.UNWANTED,
    _C.NOT_FOUND: Hint.LIMITED_PROBE,
    _C.INVALID_UPGRADE: Hint.ONCE,
    _C.THROTTLED: Hint("not before Retry-After, backoff twice as slow, twice the budget", slowness=2.0),
    _C.DNS_FAILED: Hint.LIMITED_PROBE,
    _C.NETWORK_ERROR: Hint.FAST,
    _C.TLS_CERTIFICATE: Hint.PROBE,
    _C.TLS_FAILED: Hint.THREE_STRIKES,
}

# Windows has no EAI_SYSTEM.
_BUSY: Final = [getattr(socket, name) for name in ("EAI_AGAIN", "EAI_MEMORY", "EAI_SYSTEM") if hasattr(socket, name)]

HINTS_BY_CODE: Final[dict[tuple[ErrorCategory, int], Hint]] = {
    (_C.NETWORK_ERROR, 1006): Hint.LOST,
    (_C.TIMEOUT, 1011): Hint.FAST,
    (_C.TIMEOUT, 408): Hint.FAST,
    # A front end also sends this while its back end is away; 3003 comes from the application.
    (_C.FORBIDDEN, 403): Hint.REFUSED,
    (_C.FORBIDDEN, errno.EACCES): Hint.UNWANTED,
    (_C.FORBIDDEN, errno.EPERM): Hint.UNWANTED,
    # The name server is busy, or we are: the name may exist.
    **{(_C.DNS_FAILED, code): Hint.JITTER for code in _BUSY},
    # Out of descriptors or memory: a fast retry would spin.
    **{(_C.NETWORK_ERROR, code): Hint.JITTER for code in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)},
}


def hint_for(issue: ConnectionIssue) -> Hint:
    """Return the hint for an issue; `Hint.JITTER`, plain backoff, if the tables have none."""
    if issue.phase == "credentials":
        return Hint.JITTER  # the callback's exception decides whether to retry
    if issue.code is not None:
        by_code = HINTS_BY_CODE.get((issue.category, issue.code))
        if by_code is not None:
            return by_code
    return HINTS.get(issue.category, Hint.JITTER)
