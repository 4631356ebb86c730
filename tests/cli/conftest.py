"""Commands run as a user runs them: as processes with their output and exit status."""

import asyncio
import re
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import pytest

PATIENCE = 60.0  # seconds after which a command counts as hung


@dataclass(frozen=True)
class Finished:
    status: int
    out: str
    err: str


class Command:
    """A running `python -m trunkline ...`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def read_line(self) -> str:
        assert self.process.stdout is not None
        return (await asyncio.wait_for(self.process.stdout.readline(), PATIENCE)).decode()

    async def read_error_line(self) -> str:
        assert self.process.stderr is not None
        while line := await asyncio.wait_for(self.process.stderr.readline(), PATIENCE):
            if told := _without_slow_steps(line.decode()):
                return told
        return ""

    async def write(self, text: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(text.encode())
        await self.process.stdin.drain()

    async def finish(self, text: str = "") -> Finished:
        """Write `text` to its input, close the input, and wait for the command to end."""
        typed = text.encode() if self.process.stdin is not None else None
        out, err = await asyncio.wait_for(self.process.communicate(typed), PATIENCE)
        assert self.process.returncode is not None
        return Finished(self.process.returncode, out.decode(), _without_slow_steps(err.decode()))


def _without_slow_steps(text: str) -> str:
    """Remove what asyncio's debug mode says about steps over 100 ms: on a busy machine, any step may take that long."""
    return re.sub(r"^Executing <.* took \d+\.\d+ seconds\n", "", text, flags=re.MULTILINE)


Run = Callable[..., Awaitable[Command]]


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, bool]]:
    """One loop is enough: the command under test is another process, which chooses its own."""
    return "asyncio", {"use_uvloop": False}


@pytest.fixture
async def run() -> AsyncIterator[Run]:
    """Start commands. Those that still run at the end of the test are killed."""
    started: list[Command] = []

    async def run(*arguments: str, stdin: int = asyncio.subprocess.PIPE) -> Command:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-X", "dev", "-m", "trunkline", *arguments,
            stdin=stdin, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        started.append(Command(process))
        return started[-1]

    yield run
    for command in started:
        if command.process.returncode is None:
            command.process.kill()
            await command.process.communicate()
