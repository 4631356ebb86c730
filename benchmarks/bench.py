"""Processes under measurement: each on a core of its own, its CPU time and its memory read from outside."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from benchmarks.sample import Sample

PROGRAMS = Path(__file__).parents[1] / "build" / "bench"


class BenchError(Exception):
    """A program did not do what it is here for. The text says which, and what it said last."""


class Program:
    """A program that runs and says on its standard output how far it is."""

    def __init__(self, process: subprocess.Popen[str], command: Sequence[str]) -> None:
        self.pid = process.pid
        self._process = process
        self._command = command

    def line(self, first: str) -> str:
        """The next line, which must begin with `first`."""
        assert self._process.stdout is not None
        text = self._process.stdout.readline()
        if not text.startswith(first):
            raise BenchError(f"{' '.join(self._command)} said {text!r} and not {first!r}")
        return text

    def result(self) -> dict[str, Any]:
        """The line of JSON that says what was measured; some message must be in it."""
        seen: dict[str, Any] = json.loads(self.line("{"))
        if not seen["messages"]:
            raise BenchError(f"{' '.join(self._command)} saw no message")
        return seen

    @property
    def cpu(self) -> float:
        """Seconds of CPU time so far, of all threads, user and system; the kernel counts nanoseconds."""
        return cpu_seconds(Path(f"/proc/{self.pid}/task"))

    @property
    def resident(self) -> int:
        """Bytes of memory that are resident."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:")) * 1024


def cpu_seconds(tasks: Path) -> float:
    """The CPU time of all tasks in a folder of /proc: the first number of each `schedstat`, in nanoseconds."""
    return sum(int(path.read_text().split()[0]) for path in tasks.glob("*/schedstat")) / 1e9


@dataclass(frozen=True)
class Bench:
    """How to measure: on which loop, for how long, and where."""

    loop: str  # asyncio or uvloop, under every Python program
    seconds: float  # measured a round
    cores: tuple[int, int]  # of the subject, and of what puts it under load

    @cached_property
    def certificate(self) -> Path:
        """A PEM file with a certificate for 127.0.0.1 and its key, made for this run."""
        import trustme

        folder = tempfile.TemporaryDirectory(prefix="bench-")
        object.__setattr__(self, "_folder", folder)  # goes with the bench
        issued = trustme.CA().issue_cert("127.0.0.1")
        path = Path(folder.name) / "certificate.pem"
        issued.private_key_and_cert_chain_pem.write_to_path(path)
        return path

    def python(self, module: str, *words: object) -> list[str]:
        """The command of a measured Python program."""
        return [sys.executable, "-m", f"benchmarks.peers.{module}", *map(str, words)]

    def c(self, program: str, *words: object) -> list[str]:
        """The command of a C program."""
        return [str(PROGRAMS / program), *map(str, words)]

    @contextmanager
    def subject(self, command: Sequence[str]) -> Iterator[Program]:
        """A program that is measured, on the first core; killed at the end."""
        with running(command, self.cores[0]) as program:
            yield program

    @contextmanager
    def other(self, command: Sequence[str]) -> Iterator[Program]:
        """A program that works against the subject, on the second core; killed at the end."""
        with running(command, self.cores[1]) as program:
            yield program

    def measure_server(self, server: Sequence[str], load: Sequence[str]) -> Sample:
        """Puts `load` (PORT stands for the server's port) on a server: messages a second and the server's CPU time."""
        with self.subject(server) as subject:
            port = subject.line("ready").split()[1]
            with self.other([port if word == "PORT" else word for word in load]) as program:
                program.line("measuring")
                before = subject.cpu
                seen = program.result()
                used = subject.cpu - before
        return Sample(
            seen["messages"] / seen["seconds"],
            used / seen["messages"] * 1e6,
            seen.get("p50_us"),
            seen.get("p99_us"),
        )


@contextmanager
def running(command: Sequence[str], core: int) -> Iterator[Program]:
    """A program pinned to a core; killed at the end. What it says on standard error is kept for when it fails."""
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            ["taskset", "-c", str(core), *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**os.environ, "PYTHONHASHSEED": "0"},
        )
        with process:
            try:
                yield Program(process, command)
            except BenchError as error:
                process.kill()
                process.wait()
                errors.seek(0)
                raise BenchError(f"{error}\n{errors.read().strip()[-2000:]}") from None
            finally:
                process.kill()
