"""Dialling for one connection: which endpoint, when, with which credentials, and what its answer means.

The manager's connections share the budget, the breakers and the gates. The order of the endpoints is each one's own.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from wsproto.connection import ConnectionState

from trunkline.manager.clock import Deadline
from trunkline.manager.context import Context
from trunkline.manager.dialing.endpoints import AVOIDANCE, Endpoint, Permit, Way, endpoint_name
from trunkline.manager.failure.issues import CredentialsError, categorize
from trunkline.manager.failure.rules import Judgement
from trunkline.manager.guard import FATAL
from trunkline.manager.service import Service
from trunkline.net.connect import time_out
from trunkline.net.websocket import WebSocket
from trunkline.protocol.errors import TrunklineError

__all__ = ["Dialer"]


class Dialer:
    """Dials for one connection. `begins` is called when everything allows the attempt and it really begins.

    is_plain: whether to offer no extensions, because the peer rejects them.
    """

    def __init__(
        self, service: Service[Any, Any], urls: Sequence[str], context: Context, begins: Callable[[], None]
    ) -> None:
        self.is_plain = False
        self._service = service
        self._context = context
        self._clock = context.clock
        self._begins = begins
        self._spare: WebSocket | None = None
        self._fresh: WebSocket | None = None  # a link that has not been returned yet
        names = [endpoint_name(url, service.options.get("unix")) for url in urls]
        self._way = Way(urls, context.endpoints, names, context.clock)

    async def dial(self, cost: float) -> WebSocket:
        """Open a link, once the budget, the breaker and the gate allow it. cost: what the budget is charged.

        Raises whatever prevented the link.
        """
        try:
            return await self._dial(cost)
        except BaseException:
            if self._fresh is not None:
                self._fresh.abort()
            raise
        finally:
            self._fresh = None

    async def _dial(self, cost: float) -> WebSocket:
        self._fresh, self._spare = self._spare, None
        if self._fresh is not None and self._fresh.state is ConnectionState.OPEN:
            self._begins()
            return self._fresh
        if cost:
            await self._context.budget.pay(self._clock, cost)
        while True:
            with await self._way.wait_permit() as permit:
                async with permit.endpoint.gate.slot():
                    if permit.is_stale():
                        continue
                    self._begins()
                    return await self._shake_hands(permit)

    async def dial_beside(self) -> WebSocket:
        """Open another link to the server that was dialled last. It pays like a retry; its failure counts for nothing.

        Raises whatever prevented the link.
        """
        await self._context.budget.pay(self._clock)
        present = self._way.present
        async with present.endpoint.gate.slot():
            link = await self._reach(present.url, present.endpoint)
            try:
                self._context.budget.succeed()
            except BaseException:
                link.abort()
                raise
        return link

    def keep(self, link: WebSocket) -> None:
        """Return this link from the next dial, if it is still open."""
        self.drop_spare()
        self._spare = link

    def drop_spare(self) -> None:
        """Drop the link that was kept, if there is one."""
        spare, self._spare = self._spare, None
        if spare is not None:
            spare.abort()

    def note_failure(self, judgement: Judgement, now: float) -> bool:
        """Move on to the next endpoint after a failure. Return whether there is another one that may be dialled."""
        avoidance = AVOIDANCE if judgement.hint.elsewhere else 0.0
        asked = min(judgement.issue.retry_after or 0.0, self._service.retry.longest_retry_after)
        self._way.note_failure(now, asked or avoidance)
        return self._way.has_other(now)

    async def _shake_hands(self, permit: Permit) -> WebSocket:
        try:
            link = self._fresh = await self._reach(permit.url, permit.endpoint)
        except Exception as error:
            cooldown = min(permit.endpoint.breaker.policy.cooldown, self._service.retry.cap)
            cooldown *= self._context.rng.uniform(0.5, 1.0)
            permit.fail(self._service.rules.judge(error).issue, self._clock.time(), cooldown)
            raise
        permit.succeed()
        self._way.note_success()
        self._context.budget.succeed()
        return link

    async def _reach(self, url: str, endpoint: Endpoint) -> WebSocket:
        limit = self._service.retry.attempt_timeout
        opening: Awaitable[WebSocket] | None = None
        try:
            with contextlib.ExitStack() as on_fault:
                async with Deadline(self._clock, limit):
                    headers, url = await self._ask_credentials(url)
                    await endpoint.gate.wait_moment()
                    opening = self._context.dial(url, additional_headers=headers, **self._options())
                    link = await opening
                    on_fault.callback(link.abort)
                on_fault.pop_all()
                return link
        except TimeoutError as error:
            if isinstance(error, TrunklineError):
                raise
            raise time_out(opening, endpoint.name, limit, "attempt_timeout") from error

    async def _ask_credentials(self, url: str) -> tuple[Mapping[str, str], str]:
        """Return the headers and the URL for this attempt."""
        try:
            return await self._service.ask_headers(), await self._service.ask_url(url)
        except FATAL:
            raise
        except BaseException as error:
            recoverable = categorize(error).recoverable
            if isinstance(error, asyncio.CancelledError):
                task = asyncio.current_task()
                if task is not None and task.cancelling():
                    raise
                recoverable = True  # what it waited for was cancelled; the next time may succeed
            text = f"the headers or fresh parameters of service {self._service.name} failed: {error!r}"
            raise CredentialsError(text, recoverable=recoverable) from error

    def _options(self) -> dict[str, Any]:
        options: dict[str, Any] = {**self._service.options}
        return options | {"compression": None} if self.is_plain else options
