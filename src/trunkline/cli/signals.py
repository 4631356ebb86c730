"""Signal handlers, also on loops that do not support them, as on Windows."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Iterator, Sequence

__all__ = ["calling"]


@contextlib.contextmanager
def calling(numbers: Sequence[signal.Signals], call: Callable[[], object]) -> Iterator[None]:
    """Call `call` on the running loop for each of these signals while the block runs. Works in the main thread only."""
    loop = asyncio.get_running_loop()
    with contextlib.ExitStack() as after:
        for number in numbers:
            try:
                loop.add_signal_handler(number, call)
                after.callback(loop.remove_signal_handler, number)
            except NotImplementedError:
                before = signal.signal(number, lambda *_: loop.call_soon_threadsafe(call))
                after.callback(signal.signal, number, before)
        yield
