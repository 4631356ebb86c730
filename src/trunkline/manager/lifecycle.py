"""The life of a managed connection: dial, read until the link is lost, decide, wait, dial again.

One task does just that. Senders use the link that is up at the moment; what is received goes to the `Exchange`. No
caller keeps a link.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final

from wsproto.connection import ConnectionState

from trunkline.manager.carrier import Carrier
from trunkline.manager.clock import Signal
from trunkline.manager.context import Context
from trunkline.manager.dialer import Dialer
from trunkline.manager.errors import NotConnected, WaitTimeout
from trunkline.manager.events import PAUSED, StateChange
from trunkline.manager.exchange import Exchange
from trunkline.manager.failure.hints import Hint
from trunkline.manager.failure.issues import ConnectionIssue
from trunkline.manager.failure.retry import AT_ONCE, Pause, Retries
from trunkline.manager.failure.rules import Judgement
from trunkline.manager.guard import Guard
from trunkline.manager.health import Meter
from trunkline.manager.logs import redact
from trunkline.manager.service import Service
from trunkline.manager.states import ENDED, UNDER_WAY, ConnectionStatus, Event, move
from trunkline.manager.supervisor import Supervisor, describe_fault
from trunkline.manager.vigil import Vigil
from trunkline.net.websocket import WebSocket
from trunkline.protocol.categories import ErrorCategory
from trunkline.protocol.errors import TrunklineError
from trunkline.protocol.traces import forget_frames

__all__ = ["Lifecycle"]

# What a retry takes from the budget after this, where it is not 1: there are too many of us.
COSTS: Final = {ErrorCategory.THROTTLED: 2.0}


class Lifecycle:
    """The life of one connection, across its links. `forget` is called when it has ended for good.

    Attributes:
        status: the present status.
        last_change: the latest change of it.
        last_error: the latest issue, kept when the connection is up again.
        cause: the exception that `last_error` describes.
    """

    def __init__(
        self,
        connection_id: str,
        service: Service[Any, Any],
        urls: Sequence[str],
        context: Context,
        *,
        exchange: Exchange[Any, Any],
        meter: Meter,
        guard: Guard,
        forget: Callable[[], None],
    ) -> None:
        self.status = ConnectionStatus.IDLE
        self.last_change: StateChange | None = None
        self.last_error: ConnectionIssue | None = None
        self.cause: BaseException | None = None
        self._id = connection_id
        self._service = service
        self._context = context
        self._clock = context.clock
        self._dialer = Dialer(service, urls, context, self._begin_dial)
        dial_beside = self._dialer.dial_beside if service.seeks_opinions else None
        self._vigil = Vigil(guard, meter.latencies, dial_beside, self._replace)
        self._exchange = exchange
        guard.tear = self._break
        self._carrier = Carrier(
            exchange, meter, guard, self._vigil, is_wanted=self._is_wanted, opened=self._open, judge=self._note
        )
        self._meter = meter
        self._guard = guard
        self._forget = forget
        self._supervisor = Supervisor(self._live, self._survive, self._ended)
        self._retries = self._make_retries()
        self._moved = Signal(context.clock)
        self._hurried = Signal(context.clock)
        self._is_trying = False  # from waiting for a permit to the end of the link
        self._order: str | None = None  # why the program ends the current attempt

    @property
    def link(self) -> WebSocket | None:
        """The present WebSocket, None while there is none."""
        return self._carrier.link

    @property
    def attempts(self) -> int:
        """Failed attempts and lost links since the connection was last stable (`RetryPolicy.reset_after`)."""
        return self._retries.count

    @property
    def is_paused(self) -> bool:
        """Whether the program has paused the service."""
        return self._service.name in self._context.paused

    def start(self) -> None:
        """Begin to dial, unless that was done already; a failed connection starts over."""
        if self.status is ConnectionStatus.IDLE or self.status is ConnectionStatus.FAILED:
            if self.status is ConnectionStatus.FAILED:
                self._exchange.sender.start_over()
            self._retries = self._make_retries(has_been_up=self._retries.has_been_up)
            try:
                self._apply(Event.HOLD if self.is_paused else Event.DIAL, note=PAUSED if self.is_paused else None)
            finally:
                self._supervisor.start(f"trunkline {redact(self._id)}")

    async def wait_link(self, timeout: float | None) -> None:
        """Wait until a link is open, or was meanwhile. Raise NotConnected if there will be none, and WaitTimeout."""
        until, links = None if timeout is None else self._clock.time() + timeout, self._meter.links
        while self.link is None or self.link.state is not ConnectionState.OPEN:
            if self.status in ENDED:
                raise self.refusal() from self.cause
            if self._meter.links > links:
                return  # lost again already
            if not await self._moved.wait(until) and timeout is not None:
                raise WaitTimeout(self._id, self.status, self.last_error, timeout) from self.cause

    def refusal(self) -> NotConnected:
        """Return the error for a caller that uses a connection that has ended."""
        return NotConnected(self._id, self.status, self.last_error)

    async def close(self, code: int, reason: str) -> None:
        """Close the link with the closing handshake, and do not retry. Return when nothing is left.

        If it is cancelled, it drops the link without waiting for the peer.
        """
        if self.status is ConnectionStatus.CLOSING:
            while self.status is ConnectionStatus.CLOSING:
                await self._moved.wait()
            return
        if self.status is ConnectionStatus.CLOSED:
            return
        self._apply(Event.CLOSE)
        try:
            if self.link is not None and self._supervisor.task is not None:
                await self.link.close(code, reason)
                self._exchange.call_last()
                await asyncio.wait([self._supervisor.task])
        finally:
            await self._end_tasks()

    def abort(self) -> None:
        """Drop the link now and do not retry. The tasks end within the next turns."""
        if self.status is ConnectionStatus.CLOSED:
            return
        if self.status is not ConnectionStatus.CLOSING:
            self._apply(Event.CLOSE)
        if self._carrier.held is not None:
            self._carrier.held.abort()
        if not self._cancel_tasks():
            self._finish_closing()

    def reconnect(self, note: str) -> None:
        """Replace the link, or dial now. `note` says why."""
        if self.status is ConnectionStatus.CONNECTED and self._order is None:
            self._interrupt(note)
        self.start()
        self._hurried.notify()

    def apply_pause(self) -> None:
        """Stop or start dialling: the service was paused or resumed."""
        if self.is_paused and self._is_trying and self._order is None:
            self._interrupt(PAUSED)
        self._hurried.notify()

    def _interrupt(self, note: str) -> None:
        """End the current attempt; an open link with the closing handshake."""
        self._order = note
        if self._carrier.held is not None:
            self._carrier.held.start_closing(1000)
        else:
            self._supervisor.interrupt()

    def hurry(self) -> None:
        """End a wait for the next attempt, except for what the server asked for, and check an open link.

        A link that shows no sign of life in time is dropped. Called when our side's network has changed.
        """
        self._hurried.notify()
        self._vigil.inquire()

    async def _live(self, pause: Pause | None) -> None:
        """Dial, read, decide and wait until the connection has ended. pause: before the first dial, after a fault."""
        cost = 0.0  # the first dial is not a retry
        if pause is not None:
            await self._wait(pause)
            cost = 1.0
        while True:
            judgement = None if self.is_paused else await self._try(cost)
            if self.status is ConnectionStatus.CLOSING:
                return
            if judgement is None:
                await self._wait(AT_ONCE)
                cost = 0.0  # the program asked for it; nothing has failed
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
        if left > 0:  # the server asked for a longer wait
            self._apply(Event.DEFER, pause=Pause(self._retries.count, left), note="resumed")

    async def _try(self, cost: float) -> Judgement | None:
        """Make an attempt. Return how it ended, or None if the program ended it."""
        judgement = None
        self._is_trying = True
        try:
            judgement = await self._attempt(cost)
        except asyncio.CancelledError:
            if not self._supervisor.take_interruption() or self.status is ConnectionStatus.CLOSING:
                raise
        finally:
            self._is_trying = False
            self._supervisor.take_interruption()
        note, self._order = self._order, None
        if note is None or self.status is ConnectionStatus.CLOSING:
            return judgement
        self._retries.left(self._clock.time())
        if not self.is_paused and self.status in UNDER_WAY:
            self._apply(Event.DEFER, pause=AT_ONCE, note=note)
        return None

    async def _attempt(self, cost: float) -> Judgement:
        """Dial, and read until the link is gone. Return how it ended. cost: what the dial takes from the budget."""
        try:
            link = await self._dialer.dial(cost)
        except Exception as error:
            return self._note(error)
        try:
            return await self._carrier.carry(link)
        finally:
            link.abort()  # does nothing unless the carrier never had it

    def _begin_dial(self) -> None:
        if self.status is not ConnectionStatus.CONNECTING:
            self._apply(Event.DIAL)

    def _is_wanted(self) -> bool:
        """Return whether a link may open: the program has not ended the attempt meanwhile."""
        return self.status is ConnectionStatus.CONNECTING and self._order is None

    def _open(self) -> None:
        self._retries.opened(self._clock.time())
        self._apply(Event.OPENED, downtime=self._meter.mark_up())

    def _replace(self, other: WebSocket, silence: float) -> None:
        """Replace the present link, which is dead, with another one that is open."""
        present = self._carrier.held
        if present is None or self._order is not None or self.status is not ConnectionStatus.CONNECTED:
            other.abort()
            return
        self._order = f"silent for {silence:.1f} s while the server answers others"
        self._dialer.keep(other)
        present.abort()

    def _break(self, error: BaseException) -> None:
        """Take a new link, or dial now, after a task or a timer of the connection has failed."""
        self._carrier.break_link(error)
        self._hurried.notify()

    def _survive(self, error: BaseException) -> Pause | None:
        """Drop the link after a fault, and go on after a growing pause. Return None if the connection has ended."""
        self._guard.note(error)
        self._guard.tell("connection.fault", self._carrier.drop)
        self._order = None
        if self.status in ENDED:
            return None
        issue = self.last_error = describe_fault(error, recoverable=True)
        self.cause = forget_frames(error)
        try:
            return self._decide(Judgement(issue, Hint.JITTER))
        except Exception as worse:  # in a policy's own method, a rule or the random generator
            self._guard.note(worse)
        pause = Pause(self._retries.count, self._service.retry.cap)
        self._apply(Event.DEFER, issue, pause)
        return pause

    def _ended(self, error: BaseException | None) -> None:
        """Set the final status when the task is over, whatever ended it."""
        self._guard.tell("connection.fault", self._carrier.drop)
        if self.status is ConnectionStatus.CLOSING:
            self._finish_closing()
        elif self.status not in ENDED and error is not None:
            self._guard.note(error)
            self.last_error, self.cause = describe_fault(error, recoverable=False), forget_frames(error)
            self._apply(Event.GIVE_UP, self.last_error)

    def _note(self, error: BaseException) -> Judgement:
        if not isinstance(error, (TrunklineError, OSError)):
            self._guard.note(error)
        judgement = self._service.rules.judge(error, refreshable=self._service.refreshes_headers)
        if judgement.issue.category is not ErrorCategory.NORMAL_CLOSURE:
            self._meter.count_error()
        if self._order is None:  # what the program ended did not fail
            self.last_error, self.cause = judgement.issue, forget_frames(error)
        self._dialer.is_plain = self._dialer.is_plain or judgement.hint.plain
        if judgement.hint.set_aside and judgement.issue.initiator == "remote":
            self._exchange.set_aside(judgement.issue)
        return judgement

    def _decide(self, judgement: Judgement) -> Pause | None:
        """Decide what follows an attempt that ended. Return the pause before the next one, None if there is none."""
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
        self._moved.notify()
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
        try:
            if change.after in ENDED:
                self._exchange.end()
        finally:
            self._meter.count_fault(self._context.publish(change))

    async def _end_tasks(self) -> None:
        try:
            if tasks := self._cancel_tasks():
                await asyncio.wait(tasks)
        finally:
            self._finish_closing()

    def _cancel_tasks(self) -> list[asyncio.Task[None]]:
        """Cancel the tasks that still run, and return them."""
        tasks = [task for task in (self._supervisor.task, *self._carrier.tasks) if task is not None and not task.done()]
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
