"""What a service's hook is handed on each new link."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Generic, Protocol, TypeVar

__all__ = ["Session"]

Sends = TypeVar("Sends")
Receives = TypeVar("Receives")
Sends_contra = TypeVar("Sends_contra", contravariant=True)
Receives_co = TypeVar("Receives_co", covariant=True)


class _First(Protocol[Sends_contra, Receives_co]):
    """What can write on the new link before everybody else."""

    async def send_first(self, message: Sends_contra) -> None: ...

    async def request_first(self, message: Sends_contra, timeout: float) -> Receives_co: ...


class Session(Generic[Sends, Receives]):
    """A new link, before anything was sent on it: where a service subscribes, or says where it wants to go on.

    connection_id, parameters, metadata: those of the connection. generation: 1 for its first link.
    position: the last one that a received message told, by the service's `position`; None if none did.
    member: number of the link in its pool, from 0; 0 without a pool.
    """

    def __init__(
        self,
        exchange: _First[Sends, Receives],
        connection_id: str,
        parameters: Mapping[str, str | int],
        metadata: dict[str, Any],
        *,
        generation: int,
        position: Any,
        member: int,
    ) -> None:
        self.connection_id = connection_id
        self.parameters = parameters
        self.metadata = metadata
        self.generation = generation
        self.position = position
        self.member = member
        self._exchange = exchange

    @property
    def is_first(self) -> bool:
        """Whether the connection never had a link before."""
        return self.generation == 1

    async def send(self, message: Sends) -> None:
        """Send on this link, in front of everything that waits in the outbox. Raises ConnectionClosed."""
        await self._exchange.send_first(message)

    async def request(self, message: Sends, *, timeout: float = 10.0) -> Receives:
        """As `Connection.request`, on this link, in front of everything that waits in the outbox."""
        return await self._exchange.request_first(message, timeout)
