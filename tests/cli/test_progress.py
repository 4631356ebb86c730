"""The progress line."""

import io

from clocks import Clock
from trunkline.cli.progress import CLEAR, Progress


def test_quick_steps_are_not_shown() -> None:
    clock, stream = Clock(), io.StringIO()
    progress = Progress(stream, clock.time)
    progress.begin(lambda passed: f"dialling: {passed:.0f} s")
    clock.now = 0.9
    progress.tick()
    progress.end()
    clock.now = 5
    progress.tick()
    assert stream.getvalue() == ""


def test_longer_steps_are_shown_until_they_end() -> None:
    clock, stream = Clock(), io.StringIO()
    progress = Progress(stream, clock.time)
    progress.begin(lambda passed: f"looking up: {passed:.0f} s")
    clock.now = 1
    progress.tick()
    clock.now = 2
    progress.tick()
    progress.begin(lambda passed: f"dialling: {passed:.0f} s")
    clock.now = 4
    progress.tick()
    progress.end()
    shown = ["looking up: 1 s", CLEAR, "looking up: 2 s", CLEAR, CLEAR, "dialling: 2 s", CLEAR]
    assert stream.getvalue() == CLEAR + "".join(shown)
