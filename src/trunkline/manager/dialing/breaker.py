"""The circuit breaker of one endpoint: after failures in a row, one connection at a time probes it.

    closed ─ failures in a row ─▶ open ─ cooldown ─▶ half-open ─ the probe fails ─▶ open
       ▲                                                 │
       └────────────────── a dial succeeds ──────────────┘

All connections of a manager to an endpoint share its breaker. It counts whether the endpoint can be reached and
serves: an answer that refuses one connection (401, 404, ...) comes from a healthy endpoint.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, Literal

from trunkline.manager.policies import BreakerPolicy
from trunkline.protocol.categories import ErrorCategory

__all__ = ["UNHEALTHY", "Breaker"]

_C = ErrorCategory

FIRST_SHARE: Final = 1 / 8  # of the cooldown, the first time: a restart takes seconds

# Failed dials that count against the endpoint.
UNHEALTHY: Final = frozenset(
    {
        _C.CONNECTION_REFUSED,
        _C.UNREACHABLE,
        _C.NETWORK_ERROR,
        _C.TIMEOUT,
        _C.DNS_FAILED,
        _C.TLS_FAILED,
        _C.PROXY_FAILED,
        _C.SERVICE_UNAVAILABLE,
        _C.BAD_GATEWAY,
        _C.OVERLOADED,
    }
)


class Breaker:
    """Counts the failures of one endpoint. `changed` is called when those that wait should ask again."""

    def __init__(self, policy: BreakerPolicy, changed: Callable[[], None]) -> None:
        self.policy = policy
        self.failures = 0  # in a row
        self._changed = changed
        self._openings = 0  # in a row
        self._opens_at: float | None = None  # when it may be probed; None: closed
        self._is_probed = False

    @property
    def state(self) -> Literal["closed", "open", "half-open"]:
        """The state; "half-open" while a probe runs."""
        if self._opens_at is None:
            return "closed"
        return "half-open" if self._is_probed else "open"

    def wait_time(self, now: float) -> float:
        """Return the seconds until a connection may dial: 0 for now, infinity while another one probes."""
        if self._opens_at is None:
            return 0.0
        return math.inf if self._is_probed else max(0.0, self._opens_at - now)

    def enter(self) -> bool:
        """Begin a dial. Return whether it is the probe."""
        is_probe = self._opens_at is not None
        self._is_probed = is_probe
        return is_probe

    def succeed(self) -> None:
        """Close the breaker: a dial succeeded, or the endpoint answered as a healthy one does."""
        self.failures = self._openings = 0
        was_open, self._opens_at, self._is_probed = self._opens_at is not None, None, False
        if was_open:
            self._changed()

    def fail(self, now: float, cooldown: float, *, is_probe: bool) -> None:
        """Count a failed dial, and open the breaker if it is one too many. cooldown: the longest time it stays open."""
        self.failures += 1
        limit = self.policy.failures
        if is_probe and self._opens_at is not None:
            self._open(now, cooldown)
            self._changed()
        elif self._opens_at is None and limit is not None and self.failures >= limit:
            self._open(now, cooldown)

    def _open(self, now: float, cooldown: float) -> None:
        self._opens_at = now + cooldown * min(1.0, FIRST_SHARE * 2.0 ** min(self._openings, 10))
        self._is_probed = False
        self._openings += 1

    def leave(self) -> None:
        """End a probe without a result, so that another connection may probe."""
        if self._is_probed:
            self._is_probed = False
            self._changed()

    def hurry(self, now: float) -> None:
        """Allow a probe now, as something has changed on our side."""
        if self._opens_at is not None:
            self._opens_at = min(self._opens_at, now)
            self._changed()
