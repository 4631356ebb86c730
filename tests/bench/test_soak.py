"""The soak's arithmetic, and its short form: each kind of section on real sockets."""

import subprocess
import sys
from pathlib import Path

import pytest
from benchmarks.soak.watch import Bounds, Sample, Watch, slope

ROOT = Path(__file__).parents[2]


def sample(done: int, resident: int = 0, **more: int) -> Sample:
    return Sample(done=done, resident=resident, **{"blocks": 0, "files": 7, "tasks": 1, "objects": 2, **more})


def watch(*samples: Sample) -> Watch:
    return Watch(1000, Bounds(resident=1.0, blocks=0.5), list(samples))


def test_the_slope_of_a_line() -> None:
    assert slope([(0, 5), (10, 25), (20, 45)]) == pytest.approx(2)


def test_what_is_flat_has_no_fault() -> None:
    assert watch(*(sample(done, resident=10**6 + done % 3) for done in range(0, 1000, 50))).faults() == []


def test_the_warm_up_is_not_counted() -> None:
    assert watch(*(sample(done, resident=min(done, 200) * 1000) for done in range(0, 1000, 50))).faults() == []


def test_a_leak_of_memory_is_found() -> None:
    (fault,) = watch(*(sample(done, resident=done * 2) for done in range(0, 1000, 50))).faults()
    assert fault == "resident rises by 2000 for each 1,000, limit 1000"


@pytest.mark.parametrize("what", ["files", "tasks", "objects"])
def test_a_leak_of_other_things_is_found(what: str) -> None:
    (fault,) = watch(*(sample(done, **{what: 5 + done // 100}) for done in range(0, 1000, 50))).faults()
    assert fault.startswith(f"{what}: at most ")


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_the_short_form(loop: str) -> None:
    """Without its figures of memory, for which it is too short."""
    sections = ["messages", "deflate", "reconnects", "managed", "pings"]
    told = subprocess.run(
        [sys.executable, "-m", "benchmarks.soak", *sections, "--short", "--loop", loop],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    assert [name for name in sections if f"\n| {name} " not in told.stdout] == []
