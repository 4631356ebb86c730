"""The examples, run as they stand: each server and each client in a process of its own."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a program of the examples; all are ended with the test."""
    running: list[subprocess.Popen[str]] = []

    def start(program: str, *arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, str(EXAMPLES / program), *arguments]
        pipe = subprocess.PIPE
        running.append(subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True))
        return running[-1]

    yield start
    for process in running:
        process.kill()
        process.communicate()


def line_of(stream: IO[str] | None) -> str:
    assert stream is not None
    return stream.readline().rstrip("\n")


def say(process: "subprocess.Popen[str]", text: str) -> None:
    assert process.stdin is not None
    process.stdin.write(text)
    process.stdin.flush()


def until(process: "subprocess.Popen[str]", text: str) -> str:
    """What the program prints, up to a line that has the text."""
    assert process.stdout is not None
    told = ""
    for line in process.stdout:
        told += line
        if text in line:
            return told
    raise AssertionError(f"the program ended without {text!r}: {told}{process.communicate()}")


@pytest.mark.parametrize("program", sorted(EXAMPLES.glob("*/*.py")), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_an_example_is_short(program: Path) -> None:
    assert len(program.read_text().splitlines()) < 120


def test_the_feed_goes_on_where_it_was(start: Start) -> None:
    server = start("main_feed/feed.py", "serve", "0")
    _, url = line_of(server.stdout).split()
    client = start("main_feed/feed.py", "follow", url, "5")
    first = line_of(client.stdout)
    # The port is the same, the server another: what it numbers goes on above what the client has seen.
    os.kill(server.pid, signal.SIGINT)
    server.wait(60)
    start("main_feed/feed.py", "serve", url.rstrip("/").rpartition(":")[2])
    numbers = [int(line.split()[0]) for line in [first, *(line_of(client.stdout) for _ in range(4))]]
    assert numbers == sorted(set(numbers))
    assert client.wait(60) == 0


def test_two_chat(start: Start) -> None:
    server = start("chat/server.py", "0")
    url = line_of(server.stdout).split()[1]
    ann = start("chat/client.py", "lobby", "ann", url)
    assert "ann" in until(ann, "Entered")
    bob = start("chat/client.py", "lobby", "bob", url)
    assert "['ann', 'bob']" in until(bob, "Entered")
    say(bob, "hello, ann\n")
    until(ann, "bob: hello, ann")
    until(bob, "bob: hello, ann")
    bob.communicate(timeout=60)
    assert bob.returncode == 0
    until(ann, "Left(who='bob')")


def test_a_shell_in_a_terminal(start: Start) -> None:
    server = start("terminal/server.py", "0")
    _, url, token, *_ = line_of(server.stdout).split()
    client = start("terminal/client.py", url, token)
    say(client, "echo $((6 * 7)) tty=$(tty)\n")
    assert "/dev/" in until(client, "42 tty=")
    say(client, "exit\n")
    client.communicate(timeout=60)
    assert client.returncode == 0


def test_a_shell_outlives_its_line(start: Start) -> None:
    server = start("terminal/server.py", "0")
    _, url, token, *_ = line_of(server.stdout).split()
    first = start("terminal/client.py", url, token, "t1")
    say(first, "n=41; echo is $n\n")
    until(first, "is 41")
    first.kill()
    second = start("terminal/client.py", url, token, "t1")
    say(second, "echo now $((n + 1))\n")
    until(second, "now 42")


def test_a_terminal_without_the_token(start: Start) -> None:
    server = start("terminal/server.py", "0")
    url = line_of(server.stdout).split()[1]
    client = start("terminal/client.py", url, "wrong")
    _, errors = client.communicate(timeout=60)
    assert client.returncode == 1
    assert "401" in errors
