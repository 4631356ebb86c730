"""A terminal as a person has it: a pane of tmux's, whose screen can be read."""

import asyncio
import contextlib
import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

PATIENCE = 60.0  # seconds after which what should have come on the screen is taken for missing
POLL = 0.05


class Pane:
    """`python -m trunkline ...` in a pane of so many columns and lines."""

    def __init__(self, folder: Path, width: int, height: int) -> None:
        self._socket = folder / "tmux"
        self._status = folder / "status"
        self.width = width
        self.height = height

    async def _tmux(self, *arguments: str) -> str:
        process = await asyncio.create_subprocess_exec(
            "tmux", "-u", "-f", os.devnull, "-S", str(self._socket), *arguments,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            env=dict(os.environ),  # as Python knows it: readline, which pytest loads, sets COLUMNS and LINES behind it
        )  # fmt: skip
        out, err = await asyncio.wait_for(process.communicate(), PATIENCE)
        assert process.returncode == 0, err.decode()
        return out.decode()

    async def start(self, *words: str) -> None:
        """Run the command. The pane stays when it ends."""
        command = shlex.join([sys.executable, "-m", "trunkline", *words])
        # tmux loses the status of what ends at once, so the shell keeps it; its trap is there to survive Control-C.
        script = f"trap : INT; {command}; echo $? >{self._status}.new; mv {self._status}.new {self._status}; exec cat"
        await self._tmux("new-session", "-d", "-x", str(self.width), "-y", str(self.height), script)

    async def press(self, *keys: str) -> None:
        """Type, by tmux's names of keys."""
        await self._tmux("send-keys", *keys)

    async def resize(self, width: int, height: int) -> None:
        """Make the terminal another size."""
        await self._tmux("resize-window", "-x", str(width), "-y", str(height))
        self.width, self.height = width, height

    async def screen(self) -> str:
        """What stands on it now; lines that the terminal has wrapped are whole again."""
        return await self._tmux("capture-pane", "-p", "-J")

    async def wait_for(self, *texts: str, gone: str = "") -> str:
        """Wait until all these texts stand on the screen, and `gone` does not; gives the screen."""
        shown = ""
        try:
            async with asyncio.timeout(PATIENCE):
                while True:
                    shown = await self.screen()
                    if all(text in shown for text in texts) and not (gone and gone in shown):
                        return shown
                    await asyncio.sleep(POLL)
        except TimeoutError:
            raise AssertionError(f"{texts} did not come (or {gone!r} did not go); the screen:\n{shown}") from None

    async def wait_end(self) -> int:
        """Wait until the command has ended; gives its exit status."""
        async with asyncio.timeout(PATIENCE):
            while not self._status.exists():  # noqa: ASYNC110 - a file of another process has no event
                await asyncio.sleep(POLL)
        return int(self._status.read_text())


@contextlib.asynccontextmanager
async def open_pane(width: int, height: int) -> AsyncIterator[Pane]:
    """A pane, and a tmux of its own around it."""
    assert shutil.which("tmux"), "the terminal tests need tmux: apt-get install tmux"
    with tempfile.TemporaryDirectory(prefix="trunkline-") as folder:
        pane = Pane(Path(folder), width, height)
        try:
            yield pane
        finally:
            with contextlib.suppress(AssertionError):  # it was never started
                await pane._tmux("kill-server")
