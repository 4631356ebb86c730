"""The processes of a measurement: each on a core of its own, with CPU time and memory read from outside."""

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

from benchmarks.figures import Sample

PROGRAMS = Path(__file__).parents[1] / "build" / "bench"


class BenchError(Exception):
    """A program failed. The text says which, and what it printed last."""


class Program:
    """A running program that reports on its standard output."""

    def __init__(self, process: subprocess.Popen[str], command: Sequence[str]) -> None:
        self.pid = process.pid
        self._process = process
        self._command = command

    def line(self, first: str) -> str:
        """Return the next line, which must begin with `first`."""
        assert self._process.stdout is not None
        text = self._process.stdout.readline()
        if not text.startswith(first):
            raise BenchError(f"{' '.join(self._command)} printed {text!r}, expected {first!r}")
        return text

    def result(self) -> dict[str, Any]:
        """Return the result, a line of JSON. It must count at least one message."""
        seen: dict[str, Any] = json.loads(self.line("{"))
        if not seen["messages"]:
            raise BenchError(f"{' '.join(self._command)} counted no message")
        return seen

    @property
    def cpu(self) -> float:
        """Seconds of CPU time so far, of all threads, user and system; the kernel counts in nanoseconds."""
        return cpu_seconds(Path(f"/proc/{self.pid}/task"))

    @property
    def resident(self) -> int:
        """Bytes of resident memory."""
        return resident(self.pid)


def resident(pid: int | str = "self") -> int:
    """Return the bytes of a process's resident memory."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:")) * 1024


def cpu_seconds(tasks: Path) -> float:
    """Return the CPU seconds of all tasks in a folder of /proc: `schedstat` begins with each task's nanoseconds."""
    return sum(int(path.read_text().split()[0]) for path in tasks.glob("*/schedstat")) / 1e9


@dataclass(frozen=True)
class Bench:
    """How to measure: on which loop, for how long, and where."""

    loop: str  # asyncio or uvloop, for every Python program
    seconds: float  # of each round
    cores: tuple[int, int]  # of the subject, and of its counterpart

    @cached_property
    def certificate(self) -> Path:
        """A PEM file with a certificate for 127.0.0.1 and its key, made for this run."""
        import trustme

        folder = tempfile.TemporaryDirectory(prefix="bench-")
        object.__setattr__(self, "_folder", folder)  # removed with the bench
        issued = trustme.CA().issue_cert("127.0.0.1")
        path = Path(folder.name) / "certificate.pem"
        issued.private_key_and_cert_chain_pem.write_to_path(path)
        return path

    def python(self, module: str, *words: object) -> list[str]:
        """Return the command of a measured Python program."""
        return [sys.executable, "-m", f"benchmarks.peers.{module}", *map(str, words)]

    def c(self, program: str, *words: object) -> list[str]:
        """Return the command of a C program."""
        return [str(PROGRAMS / program), *map(str, words)]

    @contextmanager
    def subject(self, command: Sequence[str]) -> Iterator[Program]:
        """Run the measured program on the first core, and kill it at the end."""
        with running(command, self.cores[0]) as program:
            yield program

    @contextmanager
    def other(self, command: Sequence[str]) -> Iterator[Program]:
        """Run the subject's counterpart on the second core, and kill it at the end."""
        with running(command, self.cores[1]) as program:
            yield program

    def measure_server(self, server: Sequence[str], load: Sequence[str]) -> Sample:
        """Measure a server under `load`, in which PORT stands for the server's port."""
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
    """Run a program pinned to a core, and kill it at the end. If it fails, the error has its standard error."""
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
