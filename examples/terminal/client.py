"""A terminal in this terminal: types into a shell of the server, and shows what it writes. Ends with the shell.

client.py URL TOKEN [NAME]
"""

import asyncio
import contextlib
import os
import sys
import termios
import threading
import tty
from collections.abc import Iterator

from messages import Exit, Input, Resize, Shown, Typed

import trunkline


@contextlib.contextmanager
def raw_keys() -> Iterator[None]:
    """Keys as they are pressed, Ctrl-C too: they are the shell's."""
    if not sys.stdin.isatty():
        yield
        return
    before = termios.tcgetattr(sys.stdin)
    tty.setraw(sys.stdin)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


async def type_keys(line: trunkline.Connection[Typed, Shown]) -> None:
    """Send what is typed."""
    loop, typed = asyncio.get_running_loop(), asyncio.Queue[bytes]()

    def read() -> None:
        while keys := os.read(sys.stdin.fileno(), 1024):
            loop.call_soon_threadsafe(typed.put_nowait, keys)

    threading.Thread(target=read, daemon=True).start()  # a daemon: no exit waits for the next key
    while True:
        await line.send(Input((await typed.get()).decode(errors="replace")))


async def main(url: str, token: str, name: str = "main") -> None:
    """Be the terminal."""

    async def show_token() -> str:
        return token  # asked for at each attempt: one that expires would be had anew here

    async def tell_size(session: trunkline.manager.Session[Typed, Shown]) -> None:
        if sys.stdout.isatty():
            size = os.get_terminal_size()
            await session.send(Resize(size.lines, size.columns))

    terminal: trunkline.Service[Typed, Shown] = trunkline.Service(
        "terminal",
        url + "/{name}?token={token}",
        sends=Typed,
        receives=Shown,
        fresh={"token": show_token},
        on_connected=tell_size,
        # A key that was pressed long ago is better forgotten than typed now.
        outbox=trunkline.manager.OutboxPolicy(max_age=5),
    )
    async with trunkline.ConnectionManager([terminal]) as manager:
        line = await manager.connect(terminal, name=name)
        with raw_keys():
            typing = asyncio.create_task(type_keys(line))
            async for shown in line:
                if isinstance(shown, Exit):
                    break
                print(shown.data, end="", flush=True)
            typing.cancel()


if __name__ == "__main__":
    if not sys.argv[2:]:
        sys.exit(__doc__)
    asyncio.run(main(*sys.argv[1:]))
