"""How the cost of recording is judged. The figures themselves are for `make recording`."""

from benchmarks.recording.__main__ import LIMIT, faults, table
from benchmarks.recording.works import EMPTY, WORKS, run

NAMES = [work.name for work in WORKS]


def test_what_is_measured_records() -> None:
    for work in WORKS:
        method = work.make()
        run(method, tuple(values[:100] for values in work.arguments))
        recorder = method.__self__
        assert getattr(recorder, "count", None) == 100 or recorder.total == 100
    nothing = EMPTY.make()
    run(nothing, EMPTY.arguments)
    assert nothing.__self__.count == 0


def test_the_limits() -> None:
    times = {EMPTY.name: 20.0, **dict.fromkeys(NAMES, 20.0 + LIMIT - 1)}
    blocks = dict.fromkeys(NAMES, 0)
    assert faults(times, blocks) == []
    times[NAMES[0]] += 1
    blocks[NAMES[2]] = 3
    assert faults(times, blocks) == [f"{NAMES[0]}: 50.0 ns", f"{NAMES[2]}: 3 blocks"]
    assert f"{NAMES[0]}" in table(times, blocks)
