"""The circuit breaker of one endpoint: after failures in a row, one line at a time finds out whether it is back.

    closed ─ failures in a row ─▶ open ─ cooldown ─▶ half-open ─ the probe fails ─▶ open
       ▲                                                 │
       └────────────────── a dial succeeds ──────────────┘

All the lines of a manager to an endpoint share its breaker. What counts is whether the endpoint can be reached and
serves: an answer that refuses this one line (401, 404, ...) is the answer of a healthy endpoint.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, Literal

from trunkline.manager.policies import BreakerPolicy
from trunkline.protocol.categories import ErrorCategory

__all__ = ["UNHEALTHY", "Breaker"]

_C = ErrorCategory

FIRST_SHARE: Final = 1 / 8  # of the cooldown, the first time: a restart is over in seconds

# Failures to connect that speak against the endpoint.
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
    """Counts the failures of one endpoint. `changed` is called when whoever waits should look again."""

    def __init__(self, policy: BreakerPolicy, changed: Callable[[], None]) -> None:
        self.policy = policy
        self.failures = 0  # in a row
        self._changed = changed
        self._openings = 0  # in a row
        self._opens_at: float | None = None  # when it may be probed; None: closed
        self._is_probed = False

    @property
    def state(self) -> Literal["closed", "open", "half-open"]:
        """Half-open while a probe is under way."""
        if self._opens_at is None:
            return "closed"
        return "half-open" if self._is_probed else "open"

    def wait_time(self, now: float) -> float:
        """Seconds until a line may enter: 0 for now, infinity while another one probes."""
        if self._opens_at is None:
            return 0.0
        return math.inf if self._is_probed else max(0.0, self._opens_at - now)

    def enter(self) -> bool:
        """A line goes to dial; whether it is the probe."""
        is_probe = self._opens_at is not None
        self._is_probed = is_probe
        return is_probe

    def succeed(self) -> None:
        """A dial succeeded, or the endpoint answered as a healthy one does."""
        self.failures = self._openings = 0
        was_open, self._opens_at, self._is_probed = self._opens_at is not None, None, False
        if was_open:
            self._changed()

    def fail(self, now: float, cooldown: float, *, is_probe: bool) -> None:
        """A dial failed. `cooldown`: the most seconds to leave the endpoint alone, if it comes to that."""
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
        """The probe went away without a verdict: another line may probe."""
        if self._is_probed:
            self._is_probed = False
            self._changed()

    def hurry(self, now: float) -> None:
        """Something has changed on our side: it may be probed now."""
        if self._opens_at is not None:
            self._opens_at = min(self._opens_at, now)
            self._changed()
