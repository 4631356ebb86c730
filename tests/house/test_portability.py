"""Where there is no POSIX: trunkline with what Windows lacks taken away, and Windows' own errors and console."""

import asyncio
import errno
import json
import os
import signal
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path

import pytest

from trunkline.cli.descriptors import read
from trunkline.cli.signals import calling
from trunkline.cli.top import console
from trunkline.manager import categorize
from trunkline.protocol import oserrors
from trunkline.protocol.errors import ConnectError, ErrorCategory

ROOT = Path(__file__).parents[2]
NO_UNIX = "unix is 'x', but Python has no unix sockets on this system (unix)"


@pytest.mark.parametrize("loop", ["selector", "proactor"])
def test_it_works_with_what_windows_has(loop: str) -> None:
    command = [sys.executable, ROOT / "tests" / "without_posix.py", loop]
    told = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert (told.stderr, told.returncode) == ("", 0)
    assert json.loads(told.stdout) == {
        "echo": 1000,
        "manager": "connection_refused",
        "unix": [NO_UNIX, NO_UNIX],
        "serve": [0, "ready ws"],
        "demo": [5, "trunkline: the demo runs a shell on a pseudo-terminal, and Windows has none\n"],
    }


def windows_error(kind: type[OSError], winerror: int, number: int = errno.EINVAL) -> OSError:
    """As Windows raises it. Nobody but Windows can make one with a winerror."""
    error = kind(number, "words of the system, in its language")
    error.winerror = winerror  # type: ignore[attr-defined]
    return error


@pytest.mark.parametrize(
    ("error", "category", "number"),
    [
        (windows_error(ConnectionRefusedError, 1225), ErrorCategory.CONNECTION_REFUSED, errno.ECONNREFUSED),
        (windows_error(ConnectionRefusedError, 10061, 10061), ErrorCategory.CONNECTION_REFUSED, errno.ECONNREFUSED),
        (windows_error(OSError, 1234), ErrorCategory.CONNECTION_REFUSED, errno.ECONNREFUSED),
        (windows_error(OSError, 1231), ErrorCategory.UNREACHABLE, errno.ENETUNREACH),
        (windows_error(OSError, 1232), ErrorCategory.UNREACHABLE, errno.EHOSTUNREACH),
        (windows_error(OSError, 10065, 10065), ErrorCategory.UNREACHABLE, errno.EHOSTUNREACH),
        (windows_error(OSError, 121), ErrorCategory.TIMEOUT, errno.ETIMEDOUT),
        (windows_error(TimeoutError, 10060, 10060), ErrorCategory.TIMEOUT, errno.ETIMEDOUT),
        (windows_error(OSError, 64), ErrorCategory.NETWORK_ERROR, errno.ECONNRESET),
        (windows_error(ConnectionResetError, 10054, 10054), ErrorCategory.NETWORK_ERROR, errno.ECONNRESET),
        (windows_error(ConnectionAbortedError, 1236), ErrorCategory.NETWORK_ERROR, errno.ECONNABORTED),
        (windows_error(PermissionError, 10013, errno.EACCES), ErrorCategory.FORBIDDEN, errno.EACCES),
        # asyncio's own for a selector loop: Winsock's number, and no winerror
        (ConnectionRefusedError(10061, "Connect call failed"), ErrorCategory.CONNECTION_REFUSED, errno.ECONNREFUSED),
        (ConnectionRefusedError("no number"), ErrorCategory.CONNECTION_REFUSED, None),
    ],
    ids=str,
)
def test_an_error_of_windows_is_judged_as_posix_has_it(
    error: OSError, category: ErrorCategory, number: int | None
) -> None:
    wrapped = ConnectError.wrap(error, "tcp", "host:1")
    assert (wrapped.category, wrapped.errno) == (category, number)
    issue = categorize(error)
    assert (issue.category, issue.code, issue.recoverable) == (category, number, wrapped.recoverable)


def test_it_is_told_in_words() -> None:
    said = str(ConnectError.wrap(windows_error(ConnectionRefusedError, 1225), "tcp", "host:1"))
    assert said == "cannot connect to host:1: Connection refused"


def test_a_number_that_the_c_library_has_no_words_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "strerror", lambda number: "Unknown error")
    assert oserrors.words_for(windows_error(OSError, 1232)) == "No route to host"
    assert oserrors.words_for(OSError(9999, "its own words")) == "its own words"


@pytest.mark.anyio
async def test_keys_of_a_console(monkeypatch: pytest.MonkeyPatch) -> None:
    waiting = [*"s/ä\xe0H\xe0P\x00I\xe0Q\xe0G\xe0K\x08\r\x1bq"]
    msvcrt = types.ModuleType("msvcrt")
    msvcrt.kbhit = lambda: bool(waiting)  # type: ignore[attr-defined]
    msvcrt.getwch = lambda: waiting.pop(0)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "msvcrt", msvcrt)
    monkeypatch.setattr(sys, "platform", "win32")
    pressed: list[str] = []
    enough = asyncio.Event()

    def press(key: str) -> None:
        pressed.append(key)
        if key == "q":
            enough.set()

    with console.typing(press):
        await enough.wait()
    names = ["up", "down", "page up", "page down", "home", "escape", "backspace", "enter", "escape"]
    assert pressed == ["s", "/", "ä", *names, "q"]


class Deaf:
    """A loop without signal handlers, as on Windows."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.call_soon_threadsafe = loop.call_soon_threadsafe

    def add_signal_handler(self, number: int, call: Callable[[], object]) -> None:
        raise NotImplementedError


@pytest.mark.anyio
async def test_signals_on_a_loop_that_has_no_handlers_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    loop, heard = asyncio.get_running_loop(), asyncio.Event()
    before = signal.getsignal(signal.SIGUSR1)
    with monkeypatch.context() as patched:
        patched.setattr(asyncio, "get_running_loop", lambda: Deaf(loop))
        begun = calling((signal.SIGUSR1,), heard.set)
        begun.__enter__()
    os.kill(os.getpid(), signal.SIGUSR1)
    await heard.wait()
    begun.__exit__(None, None, None)
    assert signal.getsignal(signal.SIGUSR1) is before


@pytest.mark.anyio
async def test_reading_a_descriptor_that_the_loop_does_not_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = os.pipe()

    def refuse(*arguments: object) -> None:
        raise NotImplementedError

    monkeypatch.setattr("trunkline.cli.descriptors.wait_readable", refuse)
    reading = asyncio.create_task(read(ours, 3))
    os.write(theirs, b"12345")
    assert await reading == b"123"
    assert await read(ours, 3) == b"45"
    os.close(theirs)
    assert await read(ours, 3) == b""
    os.close(ours)
    with pytest.raises(OSError, match="Bad file descriptor"):
        await read(ours, 3)
