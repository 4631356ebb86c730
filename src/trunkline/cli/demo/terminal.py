r"""`terminal`: a real shell on a pseudo-terminal, for programs on this machine only.

    client  {"type": "input", "data": "ls\n"}
            {"type": "resize", "rows": 40, "columns": 100}
    server  {"type": "output", "data": "..."}
            {"type": "exit", "status": 0}, then the connection closes

The shell outlives a lost link: a client that returns with the same terminal id finds it as it was, and gets the output
it has missed. The shell ends if no client returns for 30 s, or with the server.
"""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import errno
import fcntl
import logging
import os
import pty
import signal
import struct
import sys
import termios
from typing import Annotated, Final

import msgspec

import trunkline
from trunkline.cli.demo.typed import encode, received
from trunkline.cli.descriptors import wait_readable, wait_writable
from trunkline.net.faults import watch

__all__ = ["Exit", "Input", "Output", "Resize", "Terminals"]

SHELL: Final = "/bin/sh"
# Makes the terminal the session's controlling one, so that Ctrl-C and job control work, then becomes the shell. It runs
# in the child after the exec: code between fork and exec (preexec_fn) is not thread-safe, and uvloop runs it too early.
LAUNCHER: Final = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
)
GRACE: Final = 30.0  # seconds that a shell waits for a client to return
MAX_TERMINALS: Final = 8
CHUNK: Final = 65536  # bytes read from the shell at a time


class Input(msgspec.Struct, frozen=True, tag="input"):
    """Keys pressed."""

    data: str


class Resize(msgspec.Struct, frozen=True, tag="resize"):
    """A new size of the window."""

    rows: Annotated[int, msgspec.Meta(ge=1, le=1000)]
    columns: Annotated[int, msgspec.Meta(ge=1, le=1000)]


class Output(msgspec.Struct, frozen=True, tag="output"):
    """Text that the shell wrote."""

    data: str


class Exit(msgspec.Struct, frozen=True, tag="exit"):
    """The end of the shell. status: its exit status, or -n if signal n ended it."""

    status: int


_commands: msgspec.json.Decoder[Input | Resize] = msgspec.json.Decoder(Input | Resize)


class Terminals:
    """The shells of one server, by terminal id."""

    def __init__(self) -> None:
        self._terminals: dict[str, _Terminal] = {}
        self._grace: dict[str, asyncio.TimerHandle] = {}
        self._closing: set[asyncio.Task[None]] = set()

    async def serve(self, ws: trunkline.WebSocket, terminal_id: str) -> None:
        """Pass messages between a connection and its shell until either ends."""
        terminal = self._terminals.get(terminal_id)
        if terminal is None:
            if len(self._terminals) >= MAX_TERMINALS:
                await ws.close(1013, f"{MAX_TERMINALS} terminals are open, limit {MAX_TERMINALS}")
                return
            terminal = self._terminals[terminal_id] = _Terminal()
        if timer := self._grace.pop(terminal_id, None):
            timer.cancel()
        await terminal.attach(ws)
        if self._terminals.get(terminal_id) is terminal and not terminal.is_attached:
            delay = 0.0 if terminal.has_ended else GRACE
            self._grace[terminal_id] = asyncio.get_running_loop().call_later(delay, self._expire, terminal_id)

    async def close(self) -> None:
        """End every shell."""
        for terminal_id in tuple(self._terminals):
            self._expire(terminal_id)
        if self._closing:
            await asyncio.wait(self._closing)

    def _expire(self, terminal_id: str) -> None:
        if timer := self._grace.pop(terminal_id, None):
            timer.cancel()
        task = asyncio.get_running_loop().create_task(self._terminals.pop(terminal_id).close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
        watch(task, logging.getLogger("trunkline.cli"), "ending a shell")


class _Terminal:
    """One shell and its current connection."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()  # held while one connection replaces another
        self._process: asyncio.subprocess.Process | None = None
        self._master = -1  # our end of the pseudo-terminal; -1 before it is open and after it is closed
        self._tasks: tuple[asyncio.Task[None], ...] = ()  # of the connection
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._unsent = ""  # read from the shell, not yet sent

    @property
    def is_attached(self) -> bool:
        """Whether there is a connection."""
        return bool(self._tasks)

    @property
    def has_ended(self) -> bool:
        """Whether the shell has exited and has been reaped."""
        return self._process is not None and self._process.returncode is not None

    async def attach(self, ws: trunkline.WebSocket) -> None:
        """Serve the shell to `ws` until `ws` ends, the shell ends, or another connection takes over.

        The latest connection always wins: the one before may be dead without knowing it.
        """
        async with self._lock:
            if self._process is None:
                await self._start()
            await self._detach()
            loop = asyncio.get_running_loop()
            tasks = loop.create_task(self._take_input(ws)), loop.create_task(self._send_output(ws))
            self._tasks = tasks
            for task in tasks:  # the end of either ends the connection
                watch(task, ws.logger, "serving a terminal", quiet=(trunkline.ConnectionClosed,))
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if self._tasks is tasks:
                await self._detach()
            ws.abort()

    async def close(self) -> None:
        """End the shell and reap it."""
        await self._detach()
        if self._process is None:
            return
        os.close(self._master)  # the kernel sends the shell SIGHUP: its terminal is gone
        self._master = -1
        try:
            async with asyncio.timeout(1):
                await self._process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            await self._process.wait()

    async def _start(self) -> None:
        self._master, slave = pty.openpty()
        os.set_blocking(self._master, False)
        try:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-ISc",
                LAUNCHER,
                SHELL,
                stdin=slave,
                stdout=slave,
                stderr=slave,
                env={**os.environ, "TERM": "xterm-256color", "PS1": "$ "},
                start_new_session=True,
            )
        finally:
            os.close(slave)

    async def _detach(self) -> None:
        tasks, self._tasks = self._tasks, ()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _take_input(self, ws: trunkline.WebSocket) -> None:
        async for command in received(ws, _commands):
            if isinstance(command, Resize):
                size = struct.pack("HHHH", command.rows, command.columns, 0, 0)
                fcntl.ioctl(self._master, termios.TIOCSWINSZ, size)
            else:
                await self._write(command.data.encode())

    async def _write(self, data: bytes) -> None:
        with contextlib.suppress(OSError):  # the shell has ended; `_send_output` reports it
            while data:
                await wait_writable(self._master)
                data = data[os.write(self._master, data) :]

    async def _send_output(self, ws: trunkline.WebSocket) -> None:
        with contextlib.suppress(trunkline.ConnectionClosed):
            while self._unsent or await self._read():
                await ws.send(encode(Output(self._unsent)))
                self._unsent = ""
            assert self._process is not None
            await ws.send(encode(Exit(await self._process.wait())))
            await ws.close()

    async def _read(self) -> bool:
        """Read what the shell wrote into `_unsent`. Return False if the shell has ended."""
        while not self._unsent:
            await wait_readable(self._master)
            try:
                chunk = os.read(self._master, CHUNK)
            except OSError as error:
                if error.errno != errno.EIO:  # Linux's end of file: nobody has the terminal open any more
                    raise
                chunk = b""
            if not chunk:
                return False
            self._unsent = self._decode(chunk)
        return True
