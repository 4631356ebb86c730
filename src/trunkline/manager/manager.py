"""The connection manager: one connection for each service and set of parameters, made, found and closed together."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import random
import weakref
from collections.abc import AsyncIterator, Callable, Hashable, Iterable, Mapping
from types import TracebackType
from typing import Any, Self, TypeVar, cast

from trunkline.manager.clock import Clock, wait_all
from trunkline.manager.connection import Connection, control_of
from trunkline.manager.context import Context, Dial
from trunkline.manager.delivery import Delivery
from trunkline.manager.dialing.budget import RetryBudget, shared_budget
from trunkline.manager.dialing.endpoints import Endpoint, Endpoints
from trunkline.manager.errors import WaitTimeout
from trunkline.manager.events import Callbacks, Events, EventStream, StateChange
from trunkline.manager.health import ConnectionHealth
from trunkline.manager.logs import StateLog
from trunkline.manager.network import NetworkWatch
from trunkline.manager.policies import BreakerPolicy, GatePolicy
from trunkline.manager.pool import Pool
from trunkline.manager.service import Service
from trunkline.manager.sleep import SleepWatch, time_asleep
from trunkline.manager.states import ConnectionStatus
from trunkline.manager.totals import ServiceHealth, Totals
from trunkline.net.connect import connect
from trunkline.net.logs import log_fields
from trunkline.net.loops import Home

__all__ = ["ConnectionManager"]

Sends = TypeVar("Sends")
Receives = TypeVar("Receives")


class ConnectionManager:
    """Keeps typed connections to a list of services.

        async with ConnectionManager([chat]) as manager:
            room = await manager.connect(chat, room="lobby")

    Leaving the block closes every connection.

    Args:
        services: their names must differ.
        budget: limits retries; by default one budget for the whole process.
        gate, breaker: policies of each endpoint.
        watch_network: call `network_changed` when Linux reports that a reachable address or a default route has come
            or gone. This takes one netlink socket while there are connections, none with a `clock` or a virtual loop.
        clock, rng, dial, asleep: for tests, in place of the running loop, the random generator of the jitter,
            `trunkline.connect`, and the seconds for which the machine has been suspended.
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
        watch_network: bool = True,
        asleep: Callable[[], float] = time_asleep,
    ) -> None:
        self._services: dict[str, Service[Any, Any]] = {}
        for service in services:
            if service.name in self._services:
                raise ValueError(f"two services have the name {service.name!r}")
            self._services[service.name] = service
        self._clock = clock
        self._rng = rng if rng is not None else random.Random()
        self._dial = dial if dial is not None else cast(Dial, connect)
        self._logger = logger if logger is not None else logging.getLogger("trunkline.manager")
        self._events = Events(self._logger)
        self._events.subscribe(StateLog(self._logger))
        self._totals = Totals(self._services)
        self._events.subscribe(self._totals.note)
        self._watch_network, self._asleep = watch_network, asleep
        self._budget = budget
        self._policies = gate or GatePolicy(), breaker or BreakerPolicy()
        self._lent: Context | None = None
        self._home = Home()
        self._connections: dict[str, Connection[Any, Any]] = {}
        self._by_service: dict[str, dict[str, Connection[Any, Any]]] = {name: {} for name in self._services}
        self._undelivered: Callbacks[Delivery[Any]] = Callbacks(self._logger)
        # A pool lives as long as somebody uses it or it has members.
        self._pools: weakref.WeakValueDictionary[str, Pool[Any, Any]] = weakref.WeakValueDictionary()
        self._watches: list[SleepWatch | NetworkWatch] = []
        self._closed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def connect(
        self,
        service: Service[Sends, Receives],
        /,
        *,
        wait: bool = True,
        timeout: float | None = None,
        key: Hashable = None,
        **parameters: str | int,
    ) -> Connection[Sends, Receives]:
        """Return the connection to `service` with these parameters, an existing one or a new one.

        Each call takes a lease; `Connection.release` releases it, which matters only if the service has an
        `idle_timeout`. If the service has a pool, you get a member, picked by the pool's strategy.

        Args:
            wait: return when the connection is up, however many attempts that takes; False to return at once.
            timeout: seconds to wait; None to wait until the connection is up or has failed for good.
            key: picks the member of a pool with the strategy "hash".

        Raises:
            NotConnected: the connection failed for good.
            WaitTimeout: the connection was not up in time.
            TypeError, ValueError: the parameters do not fit the service, or the timeout is negative.

        After a timeout or a cancellation, the lease is released. A connection that was never up is then closed, unless
        somebody else has leased it or a message waits to be sent on it. Any other one goes on dialling.
        """
        connection: Connection[Sends, Receives] = self._take_lease(service, parameters, key, timeout)
        if wait:
            await self._wait_leased(connection, timeout)
        return connection

    @contextlib.asynccontextmanager
    async def lease(
        self,
        service: Service[Sends, Receives],
        /,
        *,
        timeout: float | None = None,
        key: Hashable = None,
        **parameters: str | int,
    ) -> AsyncIterator[Connection[Sends, Receives]]:
        """Lease a connection for the length of a block: `async with manager.lease(chat, room="lobby") as room`."""
        connection: Connection[Sends, Receives] = self._take_lease(service, parameters, key, timeout)
        await self._wait_leased(connection, timeout)
        try:
            yield connection
        finally:
            connection.release()

    def pool(self, service: Service[Sends, Receives], /, **parameters: str | int) -> Pool[Sends, Receives]:
        """Return the pool of connections to `service` with these parameters, an existing one or a new one.

        Raises ValueError if the service has no `pool`, TypeError or ValueError for parameters that do not fit it.
        """
        if self._closed:
            raise RuntimeError("the manager is closed")
        self._check(service)
        pool_id = service.identify(parameters)
        pool = self._pools.get(pool_id)
        if pool is None:
            if service.pool is None:
                raise ValueError(f"service {service.name} has no pool")
            make = functools.partial(self._make, service, parameters)
            pool = self._pools[pool_id] = Pool(pool_id, service.pool, make, self._context())
        return pool

    def _take_lease(
        self, service: Service[Any, Any], parameters: Mapping[str, str | int], key: Hashable, timeout: float | None
    ) -> Connection[Any, Any]:
        if timeout is not None and not timeout >= 0:
            raise ValueError(f"timeout is {timeout} s, wanted 0 or more, or None for no limit")
        connection = self._enrol(service, parameters, key)
        control = control_of(connection)
        control.start()
        control.leases.take()
        return connection

    async def _wait_leased(self, connection: Connection[Any, Any], timeout: float | None) -> None:
        try:
            await connection.wait_connected(timeout=timeout)
        except BaseException as error:
            is_unused = connection.leases == 1 and connection.generation == 0 and not connection.pending
            if is_unused and isinstance(error, (asyncio.CancelledError, WaitTimeout)):
                control_of(connection).abort()  # there is no link to close, and a timeout waits for nobody
            connection.release()
            raise

    def get(self, connection_id: str) -> Connection[Any, Any] | None:
        """Return the connection with this id, None if there is none."""
        return self._connections.get(connection_id)

    def find(self, service: Service[Sends, Receives], /, **parameters: str | int) -> Connection[Sends, Receives] | None:
        """Return the connection to `service` with these parameters, the oldest one without any, None if there is none.

        If the service has a pool, return the first member of the pool with these parameters.
        """
        self._check(service)
        if service.pool is not None and (parameters or not service.parameters):
            pool = self._pools.get(service.identify(parameters))
            return None if pool is None else next(iter(pool.members), None)
        if parameters or not service.parameters:
            return self._connections.get(service.identify(parameters))
        return next(iter(self._by_service[service.name].values()), None)

    def connections(self) -> list[Connection[Any, Any]]:
        """Return all connections, oldest first."""
        return list(self._connections.values())

    def time(self) -> float:
        """Return the time in seconds by the monotonic clock that changes and reports use."""
        return self._context().clock.time()

    def events(self, limit: int = 1024) -> EventStream:
        """Stream all state changes from now on. A reader more than `limit` behind loses the oldest (`dropped`)."""
        return self._events.stream(limit, self._home)

    def subscribe(self, callback: Callable[[StateChange], object]) -> Callable[[], None]:
        """Call `callback` with every state change; it must not block. Return a function that unsubscribes it."""
        return self._events.subscribe(callback)

    @property
    def budget(self) -> RetryBudget:
        """The budget that limits retries."""
        return self._context().budget

    def endpoints(self) -> list[Endpoint]:
        """Return the hosts and ports dialled so far, each with its gate and its breaker."""
        return list(self._context().endpoints)

    def pools(self) -> list[Pool[Any, Any]]:
        """Return all pools."""
        return list(self._pools.values())

    def service(self, name: str) -> Service[Any, Any]:
        """Return the service with this name. Raise KeyError if there is none."""
        return self._services[name]

    def service_health(self) -> list[ServiceHealth]:
        """Return a snapshot of every service: the sum of its connections, past ones included."""
        return [self._totals.report(name, held) for name, held in self._by_service.items()]

    def health(self) -> list[ConnectionHealth]:
        """Return a snapshot of every connection, oldest first."""
        return [connection.health() for connection in self.connections()]

    def subscribe_undelivered(self, callback: Callable[[Delivery[Any]], object]) -> Callable[[], None]:
        """Call `callback` with every undelivered message; it must not block. Return a function that unsubscribes it."""
        return self._undelivered.subscribe(callback)

    def network_changed(self) -> None:
        """Report that the network has changed, or may be back.

        Waiting connections dial now, through the gate, but not before a Retry-After. Open links are checked, and those
        that show no sign of life within 5 s are replaced. The manager calls this itself after the machine was suspended
        and, on Linux, when the network changes (`watch_network`). Elsewhere, call it from your platform's notifier.
        """
        self._home.check(self)
        if self._lent is not None:
            self._lent.endpoints.hurry()
        for connection in tuple(self._connections.values()):
            control_of(connection).hurry()

    def pause(self, service: Service[Any, Any]) -> None:
        """Close the links of all connections to `service`, and do not dial until `resume`.

        Meanwhile the connections are suspended and messages wait in their outboxes. New connections wait as well.
        Raises ValueError if the manager does not have the service.
        """
        self._direct(service, "service.paused", is_paused=True)

    def resume(self, service: Service[Any, Any]) -> None:
        """End `pause`: let all connections dial, through the gate, but not before the time a server asked for."""
        self._direct(service, "service.resumed", is_paused=False)

    def is_paused(self, service: Service[Any, Any]) -> bool:
        """Return whether the service is paused."""
        return service.name in self._context().paused

    def _direct(self, service: Service[Any, Any], event: str, *, is_paused: bool) -> None:
        self._check(service)
        paused = self._context().paused
        if is_paused == (service.name in paused):
            return
        (paused.add if is_paused else paused.discard)(service.name)
        self._logger.info("%s: %s", service.name, event, extra=log_fields(event, service=service.name))
        for connection in tuple(self._by_service[service.name].values()):
            control_of(connection).apply_pause()

    async def close(self, *, drain: float = 0.0) -> list[Delivery[Any]]:
        """Close all connections together, and end the event streams. Afterwards, `connect` raises RuntimeError.

        drain: seconds for the connections to write what waits in their outboxes and have it confirmed; they accept no
        more messages meanwhile. Return the messages that were not delivered from then on, with the outcome `unsent` or
        `unknown`. If `close` is cancelled, it drops the links without waiting for their peers.
        """
        self._home.check(self)
        self._closed = True
        left: list[Delivery[Any]] = []
        unsubscribe = self._undelivered.subscribe(left.append)
        connections = tuple(self._connections.values())
        try:
            if drain > 0:
                await wait_all(connection.drain(drain) for connection in connections)
            await wait_all(connection.close() for connection in connections)
        finally:
            for connection in connections:  # does nothing unless that was cut short
                control_of(connection).abort()
            unsubscribe()
            for pool in tuple(self._pools.values()):
                pool.close()
            self._events.end()
        return left

    def _enrol(
        self, service: Service[Any, Any], parameters: Mapping[str, str | int], key: Hashable
    ) -> Connection[Any, Any]:
        if self._closed:
            raise RuntimeError("the manager is closed")
        self._check(service)
        if service.pool is not None:
            return self.pool(service, **parameters).pick(key)
        known = self._connections.get(service.identify(parameters))
        if known is not None and known.status is not ConnectionStatus.CLOSING:
            return known
        return self._make(service, parameters)

    def _make(
        self,
        service: Service[Any, Any],
        parameters: Mapping[str, str | int],
        member: int | None = None,
        pool: Pool[Any, Any] | None = None,
    ) -> Connection[Any, Any]:
        forget = functools.partial(self._forget, pool)
        shared: dict[str, Any] = {} if pool is None else {"inbox": pool.inbox, "limit": pool.limit, "member": member}
        connection: Connection[Any, Any] = Connection(service, parameters, self._context(), forget=forget, **shared)
        for watch in self._watches:
            watch.start()
        self._connections[connection.id] = connection
        self._by_service[service.name][connection.id] = connection
        return connection

    def _check(self, service: Service[Any, Any]) -> None:
        self._home.check(self)
        if self._services.get(service.name) is not service:
            raise ValueError(f"the manager does not have the service {service.name!r}: pass it to ConnectionManager")

    def _context(self) -> Context:
        if self._lent is None:
            budget, clock = self._budget, self._clock
            if budget is None:  # the shared one uses real time
                budget = shared_budget() if clock is None else RetryBudget(clock=clock.time)
            loop = self._home.bind()
            hears = self._watch_network and clock is None and not getattr(loop, "is_virtual", False)
            clock = clock or loop
            endpoints = Endpoints(clock, *self._policies)
            self._watches.append(SleepWatch(clock, self._woke, self._asleep))
            if hears:
                self._watches.append(NetworkWatch(clock, self._heard))
            self._lent = Context(
                dial=self._dial,
                clock=clock,
                rng=self._rng,
                budget=budget,
                endpoints=endpoints,
                publish=self._events.publish,
                undelivered=self._undelivered.publish,
                logger=self._logger,
                home=self._home,
            )
        return self._lent

    def _woke(self, slept: float) -> None:
        count, text = len(self._connections), "the machine was suspended for %.0f s: checking %d connections"
        self._logger.info(text, slept, count, extra=log_fields("manager.woke", slept=slept, count=count))
        self.network_changed()

    def _heard(self) -> None:
        extra = log_fields("manager.network_changed", count=len(self._connections))
        self._logger.info("the network changed: checking %d connections", len(self._connections), extra=extra)
        self.network_changed()

    def _forget(self, pool: Pool[Any, Any] | None, connection: Connection[Any, Any]) -> None:
        if self._connections.get(connection.id) is connection:
            self._totals.forget(connection, self._by_service[connection.service.name])
            del self._connections[connection.id]
        if not self._connections:
            for watch in self._watches:
                watch.stop()
        if pool is not None:
            pool.forget(connection)
