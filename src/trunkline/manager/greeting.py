"""The greeting of a new link: the service's `on_connected`, run while the link is read and before others use it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from wsproto.connection import ConnectionState

from trunkline.manager.clock import Signal
from trunkline.manager.failure.issues import categorize
from trunkline.manager.guard import FATAL, Guard
from trunkline.net.websocket import WebSocket
from trunkline.protocol.categories import Verdict
from trunkline.protocol.errors import ConnectionClosed, TrunklineError

__all__ = ["Greeting", "HookError"]


class HookError(TrunklineError):
    """A service's `on_connected` raised or took too long. The exception it raised is the `__cause__`.

    The cause determines whether to retry. If it is not a connection error (a ValueError, say), it is a fault in the
    program that a retry would meet again, so the connection fails.
    """

    def __init__(self, message: str, cause: BaseException | None = None) -> None:
        super().__init__(message)
        if cause is not None:  # a copy keeps the verdict
            self.__cause__ = cause
            issue = categorize(cause)
            self._verdict = Verdict(issue.category, issue.recoverable)


class Greeting:
    """One run of the hook. If it succeeds, `done` is called; otherwise the link is dropped, and `error` says why."""

    def __init__(
        self,
        link: WebSocket,
        greet: Callable[[], Awaitable[None]],
        done: Callable[[], None],
        guard: Guard,
        timeout: float,
    ) -> None:
        self.error: HookError | None = None
        self._link = link
        self._greet = greet
        self._done = done
        self._timeout = timeout
        self._guard = guard
        self._timer = guard.call_later(timeout, self._expire)
        self._task = guard.start(self._run(), "trunkline on_connected")

    async def end(self) -> None:
        """Cancel the hook and wait until it ends. Leave it alone if it is still running after the timeout."""
        self._timer.cancel()
        self._task.cancel()
        is_over = Signal(self._guard)
        self._task.add_done_callback(lambda _: is_over.notify())
        until = self._guard.time() + self._timeout
        while not self._task.done():
            if not await is_over.wait(until):
                text = f"on_connected still runs {self._timeout:g} s after it was cancelled (hook_timeout)"
                self._guard.note(TimeoutError(text))
                return

    async def _run(self) -> None:
        try:
            await self._greet()
        except FATAL as error:
            self._fail(f"on_connected raised {error!r}", error)
            raise
        except BaseException as error:
            self._take_error(error)
            return
        finally:
            self._timer.cancel()
        if self.error is None:
            self._done()

    def _take_error(self, error: BaseException) -> None:
        if isinstance(error, asyncio.CancelledError):
            if self._task.cancelling():
                return  # by us
            # What it waited for was cancelled; the next time may succeed.
            self._fail("on_connected was cancelled, but not by the connection", TimeoutError())
        elif self._link.state is ConnectionState.OPEN or not isinstance(error, ConnectionClosed):
            self._fail(f"on_connected raised {error!r}", error)

    def _expire(self) -> None:
        self._task.cancel()
        self._fail(f"on_connected took more than {self._timeout:g} s (hook_timeout)", TimeoutError())

    def _fail(self, message: str, cause: BaseException) -> None:
        self.error = HookError(message, cause)
        self._link.abort()
