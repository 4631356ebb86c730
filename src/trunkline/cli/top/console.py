"""Reading keys from the Windows console."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
from collections.abc import Callable, Iterator
from typing import Final

from trunkline.net.faults import watch

__all__ = ["typing"]

LOOKS: Final = 0.05  # seconds between two polls of the console: loops cannot watch it
# Function and arrow keys are one of these and a second character (Microsoft's documentation of _getwch).
SPECIAL: Final = ("\x00", "\xe0")
SPECIALS: Final = {"H": "up", "P": "down", "I": "page up", "Q": "page down", "G": "home"}
NAMES: Final = {"\r": "enter", "\x08": "backspace", "\x1b": "escape"}


@contextlib.contextmanager
def typing(press: Callable[[str], object]) -> Iterator[None]:
    """Hand each key to `press` while the block runs, without an echo. Control-C still interrupts."""
    looking = asyncio.get_running_loop().create_task(_look(press))
    watch(looking, logging.getLogger("trunkline.cli"), "reading keys")
    try:
        yield
    finally:
        looking.cancel()


async def _look(press: Callable[[str], object]) -> None:
    if sys.platform == "win32":  # msvcrt exists on Windows only
        import msvcrt

        while True:
            while msvcrt.kbhit():
                press(_key(msvcrt.getwch))
            await asyncio.sleep(LOOKS)


def _key(getwch: Callable[[], str]) -> str:
    typed = getwch()
    if typed in SPECIAL:
        return SPECIALS.get(getwch(), "escape")
    return NAMES.get(typed, typed)
