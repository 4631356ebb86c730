"""The servers behind a service: which one a connection dials next, and when.

An `Endpoint` is a host and port with its gate and its breaker. A manager keeps them in `Endpoints`, shared by all its
connections. A `Way` is one connection's list of them: it picks the first healthy one, tries all in turn while they
fail, and avoids those that asked for it as long as there is another.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Final, NamedTuple, Self

from trunkline.manager.clock import Clock, Signal
from trunkline.manager.dialing.breaker import UNHEALTHY, Breaker
from trunkline.manager.dialing.gate import DialGate
from trunkline.manager.failure.issues import ConnectionIssue
from trunkline.manager.policies import BreakerPolicy, GatePolicy
from trunkline.net.uri import parse_uri

__all__ = ["AVOIDANCE", "Endpoint", "Endpoints", "Permit", "Way", "endpoint_name"]

AVOIDANCE: Final = 60.0  # seconds to avoid an endpoint that said 1013, if there is another


def endpoint_name(url: str, unix: str | os.PathLike[str] | None = None) -> str:
    """Return the name by which connections share a gate and a breaker: host and port, or the path of a unix socket."""
    if unix is not None:
        return os.fspath(unix)
    uri = parse_uri(url)
    return f"{uri.host}:{uri.port}"


class Endpoint:
    """A host and port, with the gate and the breaker that all connections to it share."""

    def __init__(self, name: str, gate: DialGate, breaker: Breaker) -> None:
        self.name = name
        self.gate = gate
        self.breaker = breaker
        self.avoided_until = -math.inf

    def __repr__(self) -> str:
        return f"<Endpoint {self.name} {self.breaker.state}>"

    def is_healthy(self, now: float) -> bool:
        """Return whether there is no reason to prefer another one."""
        return self.breaker.state == "closed" and now >= self.avoided_until


class Endpoints:
    """A manager's endpoints, by name."""

    def __init__(self, clock: Clock, gate: GatePolicy, breaker: BreakerPolicy) -> None:
        self.changed = Signal(clock)  # a breaker closed, or may be probed
        self._clock = clock
        self._gate = gate
        self._breaker = breaker
        self._endpoints: dict[str, Endpoint] = {}

    def __iter__(self) -> Iterator[Endpoint]:
        return iter(self._endpoints.values())

    def get(self, name: str) -> Endpoint:
        """Return the endpoint with this name, a new one the first time."""
        endpoint = self._endpoints.get(name)
        if endpoint is None:
            breaker = Breaker(self._breaker, self.changed.notify)
            endpoint = self._endpoints[name] = Endpoint(name, DialGate(self._gate, self._clock), breaker)
        return endpoint

    def hurry(self) -> None:
        """Allow dials to all endpoints now, whatever they did before."""
        now = self._clock.time()
        for endpoint in self._endpoints.values():
            endpoint.avoided_until = -math.inf
            endpoint.breaker.hurry(now)


class Stop(NamedTuple):
    """One of the URLs that a connection may dial."""

    url: str
    endpoint: Endpoint

    def __repr__(self) -> str:
        return f"<Stop {self.endpoint!r}>"  # the URL may hold a password


class Permit:
    """Permission to dial one URL. A context manager; leave it without `succeed` or `fail` if nothing was learned."""

    def __init__(self, url: str, endpoint: Endpoint) -> None:
        self.url = url
        self.endpoint = endpoint
        self._is_probe = endpoint.breaker.enter()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._is_probe:
            self.endpoint.breaker.leave()

    def is_stale(self) -> bool:
        """Return whether the breaker has opened since, because other connections failed."""
        return not self._is_probe and self.endpoint.breaker.state != "closed"

    def succeed(self) -> None:
        """Report that the link is up."""
        self._is_probe = False
        self.endpoint.breaker.succeed()

    def fail(self, issue: ConnectionIssue, now: float, cooldown: float) -> None:
        """Report why there is no link."""
        if issue.phase == "credentials":
            return  # nothing was dialled
        if issue.category in UNHEALTHY:
            self.endpoint.breaker.fail(now, cooldown, is_probe=self._is_probe)
        else:
            self.endpoint.breaker.succeed()
        self._is_probe = False


class Way:
    """One connection's URLs in order of preference, each with its endpoint."""

    def __init__(self, urls: Sequence[str], endpoints: Endpoints, names: Sequence[str], clock: Clock) -> None:
        self._stops = [Stop(url, endpoints.get(name)) for url, name in zip(urls, names, strict=True)]
        self._changed = endpoints.changed
        self._clock = clock
        self._present = self._stops[0]
        self._failures: dict[Stop, int] = {}  # by URL: the number of its last failure since a link was up
        self._count = 0

    @property
    def present(self) -> Stop:
        """The URL dialled last."""
        return self._present

    async def wait_permit(self) -> Permit:
        """Return a permit for the best URL that may be dialled. Wait while all breakers are open."""
        while True:
            now = self._clock.time()
            for stop in self._ranked(now):
                if stop.endpoint.breaker.wait_time(now) <= 0:
                    self._present = stop
                    return Permit(*stop)
            wait = min(stop.endpoint.breaker.wait_time(now) for stop in self._stops)
            await self._changed.wait(None if wait == math.inf else now + wait)

    def note_failure(self, now: float, avoid_for: float) -> None:
        """Note that the URL dialled last has failed or was lost. avoid_for: seconds to prefer others."""
        self._count += 1
        self._failures[self._present] = self._count
        endpoint = self._present.endpoint
        if avoid_for:
            endpoint.avoided_until = max(endpoint.avoided_until, now + avoid_for)

    def note_success(self) -> None:
        """Note that the URL dialled last is up, and forget earlier failures."""
        self._failures.clear()

    def has_other(self, now: float) -> bool:
        """Return whether there is a healthy endpoint other than the present one."""
        present = self._present.endpoint
        return any(stop.endpoint is not present and stop.endpoint.is_healthy(now) for stop in self._stops)

    def _ranked(self, now: float) -> list[Stop]:
        # Sorting is stable, so equals keep the order that the service gave.
        return sorted(self._stops, key=lambda stop: (not stop.endpoint.is_healthy(now), self._failures.get(stop, 0)))
