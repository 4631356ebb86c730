"""What a service's `on_connected` gets for each new link."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Generic, Protocol, TypeVar

__all__ = ["Session"]

Sends = TypeVar("Sends")
Receives = TypeVar("Receives")
Sends_contra = TypeVar("Sends_contra", contravariant=True)
Receives_co = TypeVar("Receives_co", covariant=True)


class _First(Protocol[Sends_contra, Receives_co]):
    """What can write to the new link before everybody else."""

    async def send_first(self, message: Sends_contra) -> None: ...

    async def request_first(self, message: Sends_contra, timeout: float) -> Receives_co: ...


class Session(Generic[Sends, Receives]):
    """A new link before anything was sent on it: the place to log in, subscribe, or ask for what was missed.

    Attributes:
        connection_id, parameters, metadata: those of the connection.
        generation: the number of the link, 1 for the first.
        position: the position of the last message that had one, by the service's `position`; None if none had.
        member: the number of the connection in its pool, from 0; 0 without a pool.
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
        """Whether this is the first link of the connection."""
        return self.generation == 1

    async def send(self, message: Sends) -> None:
        """Send on this link, before everything that waits in the outbox. Raise ConnectionClosed."""
        await self._exchange.send_first(message)

    async def request(self, message: Sends, *, timeout: float = 10.0) -> Receives:
        """Send a request on this link, before everything that waits in the outbox, and return the reply.

        timeout: seconds to wait for it. Raise what `Connection.request` raises.
        """
        return await self._exchange.request_first(message, timeout)
