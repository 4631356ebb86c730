"""The life of a line: dial, read until the link is lost, decide, wait, dial again.

A line has one task, which does just that. Whoever sends looks at the link of the moment; what is received goes to the
`Traffic` that the line was made for. No caller ever holds on to a link.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Callable, Sequence
from typing import Any, Final

from wsproto.connection import ConnectionState

from trunkline.manager.clock import Signal
from trunkline.manager.context import Context
from trunkline.manager.dialer import Dialer
from trunkline.manager.errors import NotConnected, WaitTimeout
from trunkline.manager.events import PAUSED, StateChange
from trunkline.manager.greeting import Greeting
from trunkline.manager.health import Meter
from trunkline.manager.logs import redact
from trunkline.manager.retry import AT_ONCE, Pause, Retries
from trunkline.manager.rules import Judgement
from trunkline.manager.service import Service
from trunkline.manager.states import ENDED, UNDER_WAY, ConnectionStatus, Event, move
from trunkline.manager.taxonomy import ConnectionIssue
from trunkline.manager.traffic import Traffic
from trunkline.manager.vigil import Vigil
from trunkline.net.logs import log_fields
from trunkline.net.websocket import WebSocket
from trunkline.protocol.categories import ErrorCategory
from trunkline.protocol.errors import TrunklineError
from trunkline.protocol.traces import forget_frames

__all__ = ["Line"]

# What a retry takes from the budget after this, where it is not 1: there are too many of us.
COSTS: Final = {ErrorCategory.THROTTLED: 2.0}


class Line:
    """One line, across its links. `forget` is called when it has ended for good.

    status: where it stands. link: the WebSocket of the moment, None while there is none.
    last_error: the latest issue, kept when the line is up again; cause: the exception it was made from.
    """

    def __init__(
        self,
        connection_id: str,
        service: Service[Any, Any],
        urls: Sequence[str],
        context: Context,
        *,
        traffic: Traffic,
        meter: Meter,
        forget: Callable[[], None],
    ) -> None:
        self.status = ConnectionStatus.IDLE
        self.last_change: StateChange | None = None
        self.link: WebSocket | None = None
        self.last_error: ConnectionIssue | None = None
        self.cause: BaseException | None = None
        self._id = connection_id
        self._service = service
        self._context = context
        self._clock = context.clock
        self._dialer = Dialer(service, urls, context, self._begin_dial)
        dial_beside = self._dialer.dial_beside if service.seeks_opinions else None
        self._vigil = Vigil(context.clock, meter.latencies, dial_beside, self._replace)
        self._traffic = traffic
        self._meter = meter
        self._forget = forget
        self._task: asyncio.Task[None] | None = None
        self._retries = self._make_retries()
        self._moved = Signal(context.clock)
        self._hurried = Signal(context.clock)
        self._held: WebSocket | None = None  # the link that is read, also while it is greeted
        self._is_trying = False  # from the wait for a permit to the end of the link
        self._order: str | None = None  # why the program ends the attempt that is under way

    @property
    def attempts(self) -> int:
        """Failed attempts and lost links since the line was last stable (`RetryPolicy.reset_after`)."""
        return self._retries.count

    @property
    def is_paused(self) -> bool:
        """Whether the program has paused the service, so that nothing is dialled."""
        return self._service.name in self._context.paused

    def start(self) -> None:
        """Begin to dial, unless that is done already; a failed line starts over."""
        if self.status is ConnectionStatus.IDLE or self.status is ConnectionStatus.FAILED:
            self._retries = self._make_retries(has_been_up=self._retries.has_been_up)
            self._apply(Event.HOLD if self.is_paused else Event.DIAL, note=PAUSED if self.is_paused else None)
            self._task = asyncio.get_running_loop().create_task(self._hold(), name=f"trunkline {redact(self._id)}")
            self._task.add_done_callback(self._ended)

    async def wait_link(self, timeout: float | None) -> None:
        """Until there is an open link, or was one meanwhile. Raises NotConnected if there will be none, WaitTimeout."""
        until, links = None if timeout is None else self._clock.time() + timeout, self._meter.links
        while self.link is None or self.link.state is not ConnectionState.OPEN:
            if self.status in ENDED:
                raise self.refusal() from self.cause
            if self._meter.links > links:
                return  # lost again already
            if not await self._moved.wait(until) and timeout is not None:
                raise WaitTimeout(self._id, self.status, self.last_error, timeout) from self.cause

    def refusal(self) -> NotConnected:
        """The error for whoever wants to use a line that has ended."""
        return NotConnected(self._id, self.status, self.last_error)

    async def close(self, code: int, reason: str) -> None:
        """End it for good: the link by the closing handshake, and no retry. Returns when nothing is left of it.

        Cancelled, it drops the link without waiting for the peer.
        """
        if self.status is ConnectionStatus.CLOSING:
            while self.status is ConnectionStatus.CLOSING:
                await self._moved.wait()
            return
        if self.status is ConnectionStatus.CLOSED:
            return
        self._apply(Event.CLOSE)
        try:
            if self.link is not None and self._task is not None:
                await self.link.close(code, reason)
                self._traffic.call_last()
                await asyncio.wait([self._task])
        finally:
            await self._end_tasks()

    def abort(self) -> None:
        """End it for good now, waiting for nobody: the link is dropped, and the tasks end in the next turns."""
        if self.status is ConnectionStatus.CLOSED:
            return
        if self.status is not ConnectionStatus.CLOSING:
            self._apply(Event.CLOSE)
        if self._held is not None:
            self._held.abort()
        if not self._cancel_tasks():
            self._finish_closing()

    def reconnect(self, note: str) -> None:
        """Take a new link in the place of the present one, or dial now. `note` says why."""
        if self.status is ConnectionStatus.CONNECTED and self._order is None:
            self._interrupt(note)
        self.start()
        self._hurried.notify()

    def obey(self) -> None:
        """The service was paused, or resumed."""
        if self.is_paused and self._is_trying and self._order is None:
            self._interrupt(PAUSED)
        self._hurried.notify()

    def _interrupt(self, note: str) -> None:
        """End the attempt that is under way: an open link by the closing handshake."""
        self._order = note
        if self._held is not None:
            self._held.start_closing(1000)
        elif self._task is not None:
            self._task.cancel()

    def hurry(self) -> None:
        """Our side has changed: dial now rather than when it was said, and ask an open link for a sign of life.

        What the server has asked for is waited out all the same. A link that gives no sign in time is dropped.
        """
        self._hurried.notify()
        self._vigil.inquire()

    # The task

    async def _hold(self) -> None:
        cost = 0.0  # the first dial is no retry
        while True:
            judgement = None if self.is_paused else await self._try(cost)
            if self.status is ConnectionStatus.CLOSING:
                return
            if judgement is None:
                await self._wait(AT_ONCE)
                cost = 0.0  # the program wants it, nothing has failed
                continue
            pause = self._decide(judgement)
            if pause is None:
                return
            await self._wait(pause)
            cost = COSTS.get(judgement.issue.category, 1.0)

    async def _wait(self, pause: Pause) -> None:
        now = self._clock.time()
        until, earliest = now + pause.delay, now + pause.not_before
        while self.is_paused or self._clock.time() < until:
            if self.is_paused:
                await self._wait_resumed(earliest)
            elif not await self._hurried.wait(until):
                return
            until = max(earliest, self._clock.time())

    async def _wait_resumed(self, earliest: float) -> None:
        if self.last_change is None or self.last_change.note != PAUSED:
            self._apply(Event.HOLD, note=PAUSED)
        self._dialer.drop_spare()
        while self.is_paused:
            await self._hurried.wait()
        left = earliest - self._clock.time()
        if left > 0:  # the server's time has not come
            self._apply(Event.DEFER, pause=Pause(self._retries.count, left), note="resumed")

    async def _try(self, cost: float) -> Judgement | None:
        """An attempt; how it ended, or None if the program ended it."""
        judgement = None
        self._is_trying = True
        try:
            judgement = await self._attempt(cost)
        except asyncio.CancelledError:
            if self._order is None or self._task is None or self.status is ConnectionStatus.CLOSING:
                raise
            self._task.uncancel()
        finally:
            self._is_trying = False
        note, self._order = self._order, None
        if note is None or self.status is ConnectionStatus.CLOSING:
            return judgement
        self._retries.left(self._clock.time())
        if not self.is_paused and self.status in UNDER_WAY:
            self._apply(Event.DEFER, pause=AT_ONCE, note=note)
        return None

    async def _attempt(self, cost: float) -> Judgement:
        """Dial, and read until the link is gone: how it ended. cost: what the dial takes from the budget."""
        try:
            link = await self._dialer.dial(cost)
        except Exception as error:
            return self._note(error)
        self._held = link
        greeting = None
        try:
            if self.status is ConnectionStatus.CLOSING:
                link.abort()  # the credentials callable would not be cancelled
            elif self._order is not None:
                link.start_closing(1000)
            greeting = self._prepare(link)
            async for batch in link.batches():
                self._vigil.note()
                self._traffic.receive(batch)
                self._vigil.is_deaf = True
                await self._traffic.wait_room()
                self._vigil.is_deaf = False
            await link.recv()  # raises what ended the link, where the iteration only stops
            raise AssertionError("a message came after the last batch")
        except Exception as error:
            return self._note(error if greeting is None or greeting.error is None else greeting.error)
        finally:
            try:
                if greeting is not None:
                    await greeting.end()
            finally:
                self._drop(link)
                await self._traffic.wait_stopped()

    def _begin_dial(self) -> None:
        if self.status is not ConnectionStatus.CONNECTING:
            self._apply(Event.DIAL)

    def _prepare(self, link: WebSocket) -> Greeting | None:
        """Open the link for all, or for its greeting first."""
        self._traffic.prepare(link)
        if not self._traffic.has_greeting:
            self._open(link)
            return None
        opened = functools.partial(self._open, link)
        return Greeting(link, self._traffic.greet, opened, self._clock, self._traffic.greeting_timeout)

    def _open(self, link: WebSocket) -> None:
        if self.status is not ConnectionStatus.CONNECTING or self._order is not None:
            return  # it was closed while it was greeted
        self.link = link
        self._retries.opened(self._clock.time())
        self._apply(Event.OPENED, downtime=self._meter.mark_up())
        link.watch_latency(self._meter.record_latency)
        self._traffic.begin(link)
        self._vigil.begin(link)

    def _replace(self, other: WebSocket, silence: float) -> None:
        """Take another link in the place of the present one, which is dead."""
        if self._held is None or self._order is not None or self.status is not ConnectionStatus.CONNECTED:
            other.abort()
            return
        self._order = f"silent for {silence:.1f} s while the server answers others"
        self._dialer.keep(other)
        self._held.abort()

    def _drop(self, link: WebSocket) -> None:
        self.link = self._held = None
        with contextlib.ExitStack() as stack:  # each of these, whatever another one raises; the first is the last here
            stack.callback(self._traffic.stop, link)
            stack.callback(self._vigil.end)
            stack.callback(self._meter.mark_down)
            stack.callback(lambda: self._meter.count_bytes(*link.moved()))
            link.abort()  # nothing, if the closing handshake is done

    def _note(self, error: BaseException) -> Judgement:
        if not isinstance(error, (TrunklineError, OSError)):
            extra = log_fields("connection.fault", connection=redact(self._id))
            self._context.logger.error("unexpected %r", error, exc_info=error, extra=extra)
        judgement = self._service.rules.judge(error, refreshable=self._service.refreshes_headers)
        if judgement.issue.category is not ErrorCategory.NORMAL_CLOSURE:
            self._meter.count_error()
        if self._order is None:  # what the program ended has not failed
            self.last_error, self.cause = judgement.issue, forget_frames(error)
        self._dialer.is_plain = self._dialer.is_plain or judgement.hint.plain
        if judgement.hint.set_aside and judgement.issue.initiator == "remote":
            self._traffic.set_aside(judgement.issue)
        return judgement

    def _decide(self, judgement: Judgement) -> Pause | None:
        """Move on from how an attempt ended."""
        issue, now = judgement.issue, self._clock.time()
        has_other = self._dialer.note_failure(judgement, now)
        pause = self._retries.after(issue, now, judgement.hint, elsewhere=has_other)
        if pause is not None:
            self._apply(Event.SUSPEND if pause.suspended else Event.DEFER, issue, pause)
        elif issue.category is ErrorCategory.NORMAL_CLOSURE:
            self._apply(Event.FINISH, issue)
            self._forget()
        else:
            self._apply(Event.GIVE_UP, issue)
        return pause

    def _make_retries(self, *, has_been_up: bool = False) -> Retries:
        refreshable = self._service.refreshes_headers
        return Retries(self._service.retry, self._context.rng, refreshable=refreshable, has_been_up=has_been_up)

    def _apply(
        self,
        event: Event,
        issue: ConnectionIssue | None = None,
        pause: Pause | None = None,
        note: str | None = None,
        *,
        downtime: float | None = None,
    ) -> None:
        before, self.status = self.status, move(self.status, event)
        change = StateChange(
            connection_id=self._id,
            service=self._service.name,
            before=before,
            after=self.status,
            at=self._clock.time(),
            generation=self._meter.links,
            issue=issue,
            retry=self._retries.count or None,
            delay=None if pause is None else pause.delay,
            downtime=downtime,
            note=note,
        )
        self.last_change = change
        self._moved.notify()
        if self.status in ENDED:
            self._traffic.end()
        self._context.publish(change)

    async def _end_tasks(self) -> None:
        try:
            if tasks := self._cancel_tasks():
                await asyncio.wait(tasks)
        finally:
            self._finish_closing()

    def _cancel_tasks(self) -> list[asyncio.Task[None]]:
        """Those that there are."""
        tasks = [task for task in (self._task, *self._vigil.tasks) if task is not None and not task.done()]
        for task in tasks:
            task.cancel()
        return tasks

    def _finish_closing(self) -> None:
        self._dialer.drop_spare()
        try:
            if self.status is ConnectionStatus.CLOSING:
                self._apply(Event.CLOSED)
        finally:
            self._forget()

    def _ended(self, task: asyncio.Task[None]) -> None:
        """The line's task is over."""
        if task is self._task and self.status is ConnectionStatus.CLOSING:
            self._finish_closing()
