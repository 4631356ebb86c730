"""Reading keys from a POSIX terminal."""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import os
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from typing import Final

__all__ = ["typing"]

assert sys.platform != "win32"  # console.py is for Windows

NAMES: Final = {  # by what terminals send
    "\x1b[A": "up",
    "\x1b[B": "down",
    "\x1bOA": "up",
    "\x1bOB": "down",
    "\x1b[5~": "page up",
    "\x1b[6~": "page down",
    "\x1b[H": "home",
    "\r": "enter",
    "\n": "enter",
    "\x7f": "backspace",
    "\x08": "backspace",
}


@contextlib.contextmanager
def typing(press: Callable[[str], object]) -> Iterator[None]:
    """Hand each key to `press` while the block runs, without an echo. Restores the terminal's settings afterwards."""
    fd, loop = sys.stdin.fileno(), asyncio.get_running_loop()
    before = termios.tcgetattr(fd)
    decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def read() -> None:
        chunk = os.read(fd, 1024)
        if not chunk:  # the terminal is gone
            loop.remove_reader(fd)
        for key in _keys(decoder.decode(chunk)):
            press(key)

    tty.setcbreak(fd)  # not raw: Control-C still interrupts
    loop.add_reader(fd, read)
    try:
        yield
    finally:
        loop.remove_reader(fd)
        termios.tcsetattr(fd, termios.TCSADRAIN, before)


def _keys(text: str) -> Iterator[str]:
    """Yield the keys in what one read returned. An unknown escape sequence counts as Escape."""
    while text:
        found = next((sequence for sequence in NAMES if text.startswith(sequence)), None)
        if found is not None:
            yield NAMES[found]
            text = text[len(found) :]
        elif text[0] == "\x1b":
            yield "escape"
            text = "" if len(text) > 1 and text[1] in "[O" else text[1:]
        else:
            yield text[0]
            text = text[1:]
