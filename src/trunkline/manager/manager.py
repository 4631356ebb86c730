"""The registry: one connection for each service and set of parameters, found in one look-up, closed together."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, Self, TypeVar, cast

from trunkline.manager.breaker import BreakerPolicy
from trunkline.manager.budget import RetryBudget, shared_budget
from trunkline.manager.clock import Clock
from trunkline.manager.connection import Connection
from trunkline.manager.context import Context, Dial
from trunkline.manager.endpoints import Endpoints
from trunkline.manager.events import Events, EventStream, StateChange
from trunkline.manager.gate import GatePolicy
from trunkline.manager.health import ConnectionHealth
from trunkline.manager.logs import StateLog
from trunkline.manager.service import Service
from trunkline.manager.states import ConnectionStatus
from trunkline.net.connect import connect

__all__ = ["ConnectionManager"]

Sends = TypeVar("Sends")
Receives = TypeVar("Receives")


class ConnectionManager:
    """Holds typed connections to the services it was given.

        async with ConnectionManager([chat]) as manager:
            room = await manager.connect(chat, room="lobby")

    Leaving the block closes every connection.

    budget: what retries pay into; the default is one for the whole process. gate, breaker: what each endpoint gets.
    For tests: `clock` (default: the running loop), `rng` for the jitter, and `dial` in the place of
    `trunkline.connect`.
    """

    def __init__(
        self,
        services: Iterable[Service[Any, Any]],
        *,
        clock: Clock | None = None,
        rng: random.Random | None = None,
        dial: Dial | None = None,
        logger: logging.Logger | None = None,
        budget: RetryBudget | None = None,
        gate: GatePolicy | None = None,
        breaker: BreakerPolicy | None = None,
    ) -> None:
        self._services: dict[str, Service[Any, Any]] = {}
        for service in services:
            if service.name in self._services:
                raise ValueError(f"two services are called {service.name!r}")
            self._services[service.name] = service
        self._clock = clock
        self._rng = rng if rng is not None else random.Random()
        self._dial = dial if dial is not None else cast(Dial, connect)
        self._logger = logger if logger is not None else logging.getLogger("trunkline.manager")
        self._events = Events(self._logger)
        self._events.subscribe(StateLog(self._logger))
        self._budget = budget
        self._policies = gate or GatePolicy(), breaker or BreakerPolicy()
        self._lent: Context | None = None
        self._connections: dict[str, Connection[Any, Any]] = {}
        self._by_service: dict[str, dict[str, Connection[Any, Any]]] = {name: {} for name in self._services}
        self._waiting: Counter[str] = Counter()  # callers of connect, by connection
        self._closed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def connect(
        self, service: Service[Sends, Receives], /, *, wait: bool = True, **parameters: str | int
    ) -> Connection[Sends, Receives]:
        """The connection to `service` with these parameters: the one there is, or else a new one.

        Returns when it is up, however many attempts that takes; at once if `wait` is False. Raises NotConnected if it
        fails for good, TypeError or ValueError for parameters that do not fit the service. If every caller that waits
        for a connection which was never up is cancelled, that connection is closed.
        """
        connection = self._enrol(service, parameters)
        connection.start()
        if not wait:
            return connection
        self._waiting[connection.id] += 1
        try:
            await connection.wait_connected()
        except asyncio.CancelledError:
            if self._waiting[connection.id] == 1 and connection.generation == 0:
                await connection.close()
            raise
        finally:
            self._waiting[connection.id] -= 1
            if not self._waiting[connection.id]:
                del self._waiting[connection.id]
        return connection

    def get(self, connection_id: str) -> Connection[Any, Any] | None:
        """The connection with this id, None if there is none."""
        return self._connections.get(connection_id)

    def find(self, service: Service[Sends, Receives], /, **parameters: str | int) -> Connection[Sends, Receives] | None:
        """The connection to `service` with these parameters; without any, the oldest one. None if there is none."""
        self._check(service)
        if parameters or not service.parameters:
            return self._connections.get(service.identify(parameters))
        return next(iter(self._by_service[service.name].values()), None)

    def events(self, limit: int = 1024) -> EventStream:
        """Every state change from now on. A reader over `limit` behind loses the oldest, and `dropped` counts them."""
        return self._events.stream(limit)

    def subscribe(self, callback: Callable[[StateChange], object]) -> Callable[[], None]:
        """Call `callback` with every state change, as it happens; it must not block. Returns what ends that."""
        return self._events.subscribe(callback)

    def health(self) -> list[ConnectionHealth]:
        """A snapshot of every connection, in the order in which they were made."""
        return [connection.health() for connection in self._connections.values()]

    async def close(self) -> None:
        """Close every connection, all at once, and end the event streams. Afterwards `connect` raises RuntimeError.

        Cancelled, it drops the links without waiting for their peers.
        """
        self._closed = True
        try:
            await asyncio.gather(*(connection.close() for connection in self._connections.values()))
        finally:
            self._events.end()

    def _enrol(self, service: Service[Any, Any], parameters: Mapping[str, str | int]) -> Connection[Any, Any]:
        if self._closed:
            raise RuntimeError("the manager is closed")
        self._check(service)
        known = self._connections.get(service.identify(parameters))
        if known is not None and known.status is not ConnectionStatus.CLOSING:
            return known
        connection = Connection(service, parameters, self._context(), forget=self._forget)
        self._connections[connection.id] = connection
        self._by_service[service.name][connection.id] = connection
        return connection

    def _check(self, service: Service[Any, Any]) -> None:
        if self._services.get(service.name) is not service:
            raise ValueError(f"the manager was not given the service {service.name!r}")

    def _context(self) -> Context:
        if self._lent is None:
            budget, clock = self._budget, self._clock
            if budget is None:
                # The shared one goes by the real time.
                budget = shared_budget() if clock is None else RetryBudget(clock=clock.time)
            clock = clock or asyncio.get_running_loop()
            endpoints = Endpoints(clock, *self._policies)
            self._lent = Context(
                dial=self._dial,
                clock=clock,
                rng=self._rng,
                budget=budget,
                endpoints=endpoints,
                publish=self._events.publish,
                logger=self._logger,
            )
        return self._lent

    def _forget(self, connection: Connection[Any, Any]) -> None:
        if self._connections.get(connection.id) is connection:
            del self._connections[connection.id]
            del self._by_service[connection.service.name][connection.id]
