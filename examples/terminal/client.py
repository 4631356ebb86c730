"""Use a shell on the server in this terminal: send what you type, and show what it writes, until it ends.

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
    """Put the terminal into raw mode, so that the shell gets every key, Ctrl-C too."""
    if not sys.stdin.isatty():
        yield
        return
    before = termios.tcgetattr(sys.stdin)
    tty.setraw(sys.stdin)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


async def type_keys(connection: trunkline.Connection[Typed, Shown]) -> None:
    """Send what you type."""
    loop, typed = asyncio.get_running_loop(), asyncio.Queue[bytes]()

    def read() -> None:
        while keys := os.read(sys.stdin.fileno(), 1024):
            loop.call_soon_threadsafe(typed.put_nowait, keys)

    threading.Thread(target=read, daemon=True).start()  # a daemon, so that no exit waits for the next key
    while True:
        await connection.send(Input((await typed.get()).decode(errors="replace")))


async def main(url: str, token: str, name: str = "main") -> None:
    """Run the client until the shell ends."""

    async def show_token() -> str:
        return token  # called for each attempt: a token that expires would be renewed here

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
        # Drop a key press that is too old: to type it now would surprise you.
        outbox=trunkline.manager.OutboxPolicy(max_age=5),
    )
    async with trunkline.ConnectionManager([terminal]) as manager:
        connection = await manager.connect(terminal, name=name)
        with raw_keys():
            typing = asyncio.create_task(type_keys(connection))
            async for shown in connection:
                if isinstance(shown, Exit):
                    break
                print(shown.data, end="", flush=True)
            typing.cancel()


if __name__ == "__main__":
    if not sys.argv[2:]:
        sys.exit(__doc__)
    asyncio.run(main(*sys.argv[1:]))
