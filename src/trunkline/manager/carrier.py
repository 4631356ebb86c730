"""Carries a connection's links, one at a time: greets each, reads it until it ends, and always puts it away."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Callable
from typing import Any

from trunkline.manager.exchange import Exchange
from trunkline.manager.failure.rules import Judgement
from trunkline.manager.greeting import Greeting
from trunkline.manager.guard import Guard
from trunkline.manager.health import Meter
from trunkline.manager.vigil import Vigil
from trunkline.net.websocket import WebSocket
from trunkline.protocol.errors import TrunklineError

__all__ = ["Carrier"]


class Carrier:
    """Carries one connection's links.

    `is_wanted` tells whether a link may still open, and `opened` is called when it does. `judge` is called with what
    ended a link, before the link is put away.

    Attributes:
        link: the present WebSocket, None while there is none that everybody may use.
        held: the same, but also set while the link is greeted.
    """

    def __init__(
        self,
        exchange: Exchange[Any, Any],
        meter: Meter,
        guard: Guard,
        vigil: Vigil,
        *,
        is_wanted: Callable[[], bool],
        opened: Callable[[], object],
        judge: Callable[[BaseException], Judgement],
    ) -> None:
        self.link: WebSocket | None = None
        self.held: WebSocket | None = None
        self._exchange = exchange
        self._meter = meter
        self._guard = guard
        self._vigil = vigil
        self._is_wanted = is_wanted
        self._opened = opened
        self._judge = judge
        self._fault: BaseException | None = None  # why a task or a timer of ours dropped the link
        self._watch: asyncio.Task[None] | None = None  # waits for the end of a link that is not read

    @property
    def tasks(self) -> list[asyncio.Task[None]]:
        """The tasks that run besides the connection's main one."""
        return [task for task in (*self._vigil.tasks, self._watch) if task is not None and not task.done()]

    async def carry(self, link: WebSocket) -> Judgement:
        """Read the link until it is gone, and return how it ended. Raise what is not a connection error."""
        self.held, self._fault = link, None
        greeting = None
        try:
            if not self._is_wanted():
                link.start_closing(1000)  # a callable for credentials ignored its cancellation
            else:
                greeting = self._prepare(link)
            async for batch in link.batches():
                self._vigil.note()
                self._exchange.receive(batch)
                if not self._exchange.has_room:
                    await self._wait_room(link)
            await link.recv()  # raises what ended the link, where the iteration only stops
            raise AssertionError("a message came after the last batch")
        except (TrunklineError, OSError) as error:
            if self._fault is not None:
                raise self._fault from None
            return self._judge(error if greeting is None or greeting.error is None else greeting.error)
        finally:
            try:
                if greeting is not None:
                    await greeting.end()
            finally:
                self.drop()
                await self._exchange.wait_stopped()

    def drop(self) -> None:
        """Put the link away, if there is one."""
        link, self.link, self.held = self.held, None, None
        if link is None:
            return
        with contextlib.ExitStack() as stack:  # all of these, whatever another one raises, from the last to the first
            stack.callback(self._exchange.stop, link)
            if self._watch is not None:
                stack.callback(self._watch.cancel)
            stack.callback(self._vigil.end)
            stack.callback(self._meter.mark_down)
            stack.callback(lambda: self._meter.count_bytes(*link.moved()))
            link.abort()  # does nothing after the closing handshake

    def _prepare(self, link: WebSocket) -> Greeting | None:
        """Open the link for everybody, or for its greeting first."""
        self._watch = None
        self._exchange.prepare(link)
        if not self._exchange.has_greeting:
            self._open(link)
            return None
        opened = functools.partial(self._open, link)
        return Greeting(link, self._exchange.greet, opened, self._guard, self._exchange.greeting_timeout)

    def _open(self, link: WebSocket) -> None:
        if self.held is not link or not self._is_wanted():
            return
        self.link = link
        self._opened()
        link.watch_latency(self._meter.record_latency)
        self._exchange.begin(link)
        self._vigil.begin(link)

    async def _wait_room(self, link: WebSocket) -> None:
        """Wait until there is room to receive more, or the link is closed, which is noticed in any case."""
        if self._watch is None:
            self._watch = self._guard.start(self._watch_end(link), "trunkline watching")
        self._vigil.is_deaf = True
        try:
            await self._exchange.wait_room()
        finally:
            self._vigil.is_deaf = False

    async def _watch_end(self, link: WebSocket) -> None:
        await link.wait_closed()
        self._exchange.call_last()

    def break_link(self, error: BaseException) -> None:
        """Drop the link after one of its tasks or timers failed, as its state is unknown."""
        if self.held is not None:
            self._fault = self._fault or error
            self.held.abort()
