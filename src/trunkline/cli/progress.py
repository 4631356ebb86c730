"""A line on standard error that tells what takes so long: only on a terminal, and only after a second."""

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

PATIENCE: Final = 1.0  # seconds in which nothing is shown
TICK: Final = 0.25
CLEAR: Final = "\r\x1b[K"


class Progress:
    """What is under way, and since when.

    stream: where it is shown, if that is a terminal. clock: seconds, monotonic.
    """

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._say: Callable[[float], str] | None = None
        self._began = 0.0
        self._is_shown = False

    def begin(self, say: Callable[[float], str]) -> None:
        """Something begins. say: makes the line from the seconds that it has taken so far."""
        self.end()
        self._say, self._began = say, self._clock()

    def end(self) -> None:
        """It is over: the line vanishes, and other things may be printed."""
        self._say = None
        if self._is_shown:
            self._stream.write(CLEAR)
            self._stream.flush()
            self._is_shown = False

    def tick(self) -> None:
        """Show how far it is by now."""
        passed = self._clock() - self._began
        if self._say is not None and passed >= PATIENCE:
            self._stream.write(CLEAR + self._say(passed))
            self._stream.flush()
            self._is_shown = True


@contextlib.asynccontextmanager
async def show_progress(stream: TextIO | None = None) -> AsyncIterator[Progress]:
    """A Progress that shows itself while the block runs; it shows nothing where nobody looks."""
    stream = sys.stderr if stream is None else stream
    progress = Progress(stream)
    ticking = asyncio.create_task(_tick(progress)) if stream.isatty() else None
    if ticking is not None:
        watch(ticking, logging.getLogger("trunkline.cli"), "showing how far it is")
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
