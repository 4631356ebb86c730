"""A progress line on standard error: only on a terminal, and only after a second."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
import time
from collections.abc import AsyncIterator, Callable
from typing import Final, TextIO

from trunkline.net.faults import watch

__all__ = ["Progress", "show_progress"]

PATIENCE: Final = 1.0  # seconds before anything is shown
TICK: Final = 0.25  # seconds between two updates
CLEAR: Final = "\r\x1b[K"


class Progress:
    """The progress line of what is under way. stream: where to show it. clock: returns monotonic seconds."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._say: Callable[[float], str] | None = None
        self._began = 0.0
        self._is_shown = False

    def begin(self, say: Callable[[float], str]) -> None:
        """Begin a step. say: makes the line from the seconds that the step has taken so far."""
        self.end()
        self._say, self._began = say, self._clock()

    def end(self) -> None:
        """End the step and clear the line, so that something else can be printed."""
        self._say = None
        if self._is_shown:
            self._stream.write(CLEAR)
            self._stream.flush()
            self._is_shown = False

    def tick(self) -> None:
        """Show the line, if the step has taken longer than PATIENCE."""
        passed = self._clock() - self._began
        if self._say is not None and passed >= PATIENCE:
            self._stream.write(CLEAR + self._say(passed))
            self._stream.flush()
            self._is_shown = True


@contextlib.asynccontextmanager
async def show_progress(stream: TextIO | None = None) -> AsyncIterator[Progress]:
    """Provide a Progress that updates itself while the block runs. If `stream` is not a terminal, it shows nothing."""
    stream = sys.stderr if stream is None else stream
    progress = Progress(stream)
    ticking = asyncio.create_task(_tick(progress)) if stream.isatty() else None
    if ticking is not None:
        watch(ticking, logging.getLogger("trunkline.cli"), "showing progress")
    try:
        yield progress
    finally:
        progress.end()
        if ticking is not None:
            ticking.cancel()


async def _tick(progress: Progress) -> None:
    while True:
        await asyncio.sleep(TICK)
        progress.tick()
