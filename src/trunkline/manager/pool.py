"""Several connections to one service with one set of parameters, used as one.

A pool has slots, and a slot gets a connection when it is first needed. Each member has its own links, outbox and state;
all share one inbox. A member that has failed or closed is replaced the next time its slot is needed. One that is down
is skipped while another is up, unless the key decides.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Hashable
from typing import Any, Generic, TypeVar

from trunkline.manager.connection import Connection, control_of
from trunkline.manager.context import Context
from trunkline.manager.delivery import Delivery
from trunkline.manager.incoming.inbox import Inbox
from trunkline.manager.outgoing.peer_limit import PeerLimit
from trunkline.manager.policies import PoolPolicy
from trunkline.manager.redacting import redact
from trunkline.manager.states import ENDED, ConnectionStatus

__all__ = ["Pool"]

Sends = TypeVar("Sends")
Receives = TypeVar("Receives")


class Pool(Generic[Sends, Receives]):
    """A pool of connections. Made by `ConnectionManager.pool`.

    Attributes:
        id: the service's name and the parameters; a member's id has its number as well.
        policy: the service's pool policy.
        inbox: the messages that any member has received.
    """

    def __init__(
        self,
        pool_id: str,
        policy: PoolPolicy,
        make: Callable[[int, Pool[Any, Any]], Connection[Any, Any]],
        context: Context,
    ) -> None:
        """make: returns a new connection for a slot of this pool."""
        self.id = pool_id
        self.policy = policy
        self._make = make
        self._home = context.home
        self.inbox: Inbox[Receives] = Inbox(context.clock)
        self.limit = PeerLimit(context.clock)  # one peer, one limit
        self._slots: list[Connection[Sends, Receives] | None] = [None] * policy.size
        self._next = 0
        self._is_closed = False

    def __repr__(self) -> str:
        return f"<Pool {redact(self.id)} {len(self.members)} of {self.policy.size}>"

    @property
    def members(self) -> list[Connection[Sends, Receives]]:
        """The connections in use, in the order of their slots."""
        return [member for member in self._slots if member is not None]

    async def send(
        self, message: Sends, *, key: Hashable = None, timeout: float | None = 30.0, confirm: bool = False
    ) -> Delivery[Sends]:
        """Send a message on a member, as `Connection.send` does.

        Messages may overtake each other, unless the strategy is "hash" and they have the same `key`.
        """
        return await self.pick(key).send(message, timeout=timeout, confirm=confirm)

    def send_nowait(self, message: Sends, *, key: Hashable = None) -> Delivery[Sends]:
        """Send a message on a member without waiting, as `Connection.send_nowait` does."""
        return self.pick(key).send_nowait(message)

    async def request(
        self, message: Sends, *, key: Hashable = None, timeout: float = 30.0, idempotent: bool = False
    ) -> Receives:
        """Send a request on a member and return the reply, as `Connection.request` does."""
        return await self.pick(key).request(message, timeout=timeout, idempotent=idempotent)

    @contextlib.asynccontextmanager
    async def lease(self, key: Hashable = None) -> AsyncIterator[Connection[Sends, Receives]]:
        """Lease a member that is up for the length of a block. Others may lease it too."""
        member = self.pick(key)
        control_of(member).leases.take()
        try:
            await member.wait_connected()
            yield member
        finally:
            member.release()

    def __aiter__(self) -> AsyncIterator[Receives]:
        return self

    async def __anext__(self) -> Receives:
        """Return the next message of any member.

        The iteration ends when the pool is closed. Raise NotConnected if all members failed.
        """
        self._home.check(self)
        while not self.inbox:
            if self._is_closed:
                raise StopAsyncIteration
            members = self.members
            if members and all(member.status is ConnectionStatus.FAILED for member in members):
                raise control_of(members[0]).refusal()
            await self.inbox.changed.wait()
        return self.inbox.take()

    def pick(self, key: Hashable = None) -> Connection[Sends, Receives]:
        """Return the member that the strategy picks, dialling if it is new.

        Raises ValueError for the strategy "hash" without a key, RuntimeError if the pool is closed.
        """
        self._home.check(self)
        if self._is_closed:
            raise RuntimeError(f"pool {redact(self.id)} is closed")
        if self.policy.strategy == "hash":
            if key is None:
                raise ValueError(f'pool {redact(self.id)} has the strategy "hash", which needs a key')
            member = self._fill(hash(key) % self.policy.size)
        elif self.policy.strategy == "round_robin":
            member = self._pick_next()
        else:
            member = self._pick_idlest()
        control_of(member).leases.touch()
        return member

    def close(self) -> None:
        """Hand out no more members. Called by the manager, which closes the members."""
        self._is_closed = True
        self.inbox.changed.notify()

    def forget(self, member: Connection[Any, Any]) -> None:
        """Free the slot of a member that has ended for good."""
        self._slots = [None if other is member else other for other in self._slots]
        self.inbox.changed.notify()

    def _fill(self, slot: int) -> Connection[Sends, Receives]:
        member = self._slots[slot]
        if member is None or member.status in (ConnectionStatus.CLOSING, ConnectionStatus.CLOSED):
            member = self._slots[slot] = self._make(slot, self)
        control_of(member).start()
        return member

    def _pick_next(self) -> Connection[Sends, Receives]:
        # A member that is down is skipped only for one that is up; an empty slot counts as up.
        order = [(self._next + step) % self.policy.size for step in range(self.policy.size)]
        slot = next((slot for slot in order if self._is_good(slot)), order[0])
        self._next = slot + 1
        return self._fill(slot)

    def _is_good(self, slot: int) -> bool:
        member = self._slots[slot]
        return member is None or member.status in (ConnectionStatus.CONNECTED, ConnectionStatus.CLOSED)

    def _pick_idlest(self) -> Connection[Sends, Receives]:
        alive = [member for member in self.members if member.status not in ENDED]
        up = [member for member in alive if member.status is ConnectionStatus.CONNECTED]
        best = min(up or alive, key=_load, default=None)
        if best is not None and (_load(best) == 0 or len(alive) == self.policy.size):
            return best
        dialling = [member for member in alive if member.status is ConnectionStatus.CONNECTING]
        free = [slot for slot, member in enumerate(self._slots) if member is None or member.status in ENDED]
        if not free or (dialling and best is not None):
            return best if best is not None else self._fill(0)
        return self._fill(free[0])


def _load(member: Connection[Any, Any]) -> int:
    return member.pending + member.leases
