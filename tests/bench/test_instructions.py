"""The gate on instruction counts: what passes it, and what does not."""

from dataclasses import replace
from pathlib import Path

import pytest
from benchmarks.instructions.__main__ import judge, total
from benchmarks.instructions.baseline import (
    Count,
    Counts,
    allowances,
    compare,
    differences,
    read_baseline,
    write_baseline,
)

BASE = Counts(
    {"compiler": "gcc 12", "Python": "3.11.2"},
    (
        Count("decode", "trunkline", 1000),
        Count("events", "wsproto", 8000),
        Count("events", "trunkline", 1000),
    ),
)


def with_count(work: str, instructions: float, base: Counts = BASE) -> Counts:
    counts = [
        replace(one, instructions=instructions) if (one.work, one.side) == (work, "trunkline") else one
        for one in base.counts
    ]
    return replace(base, counts=tuple(counts))


def test_the_same_counts_pass() -> None:
    assert compare(BASE, BASE) == compare(BASE, with_count("decode", 1029))
    assert compare(BASE, BASE).faults == ()


def test_three_percent_more_fail_and_the_text_says_by_how_much() -> None:
    assert compare(BASE, with_count("decode", 1031)).faults == (
        "decode: 1,031.0 instructions a message, 1,000.0 in the baseline (+3.1%)",
    )
    assert judge(BASE, with_count("decode", 1031)) == 1


def test_fewer_pass_and_are_told() -> None:
    verdict = compare(BASE, with_count("decode", 900))
    assert (len(verdict.faults), len(verdict.gains)) == (0, 1)
    assert judge(BASE, with_count("decode", 900)) == 0


def test_wsproto_s_own_counts_are_not_judged() -> None:
    slower = replace(BASE, counts=(*BASE.counts[:1], Count("events", "wsproto", 9000), BASE.counts[2]))
    assert compare(BASE, slower).faults == ()


def test_under_another_compiler_a_commit_that_was_counted_there_decides() -> None:
    elsewhere = replace(BASE, environment={"compiler": "clang 19"})
    assert compare(elsewhere, with_count("decode", 1029, elsewhere), "at 0a1b2c3d").faults == ()
    assert compare(elsewhere, with_count("decode", 1031, elsewhere), "at 0a1b2c3d").faults == (
        "decode: 1,031.0 instructions a message, 1,000.0 at 0a1b2c3d (+3.1%)",
    )


def test_what_the_baseline_was_raised_by_is_allowed_beside_the_base() -> None:
    raised = allowances(BASE, with_count("decode", 1100))
    assert raised == {"decode": pytest.approx(1.1), "events": 1.0}
    assert compare(BASE, with_count("decode", 1130), "at 0a1b2c3d", raised).faults == ()
    assert len(compare(BASE, with_count("decode", 1135), "at 0a1b2c3d", raised).faults) == 1
    assert len(compare(BASE, with_count("events", 1031), "at 0a1b2c3d", raised).faults) == 1


def test_a_baseline_that_was_lowered_asks_for_nothing_beside_the_base() -> None:
    lowered = allowances(BASE, with_count("decode", 900))
    assert lowered == {"decode": 1.0, "events": 1.0}
    assert compare(BASE, BASE, "at 0a1b2c3d", lowered).faults == ()


def test_another_baseline_has_no_allowances_for_what_it_does_not_know() -> None:
    assert allowances(replace(BASE, counts=BASE.counts[1:]), BASE) == {"events": 1.0}
    assert allowances(BASE, replace(BASE, environment={"compiler": "clang 19"})) == {}


def test_a_work_that_is_gone_or_new_fails_until_it_is_recorded() -> None:
    assert compare(BASE, replace(BASE, counts=BASE.counts[1:])).faults == ("decode: is no longer counted",)
    assert compare(replace(BASE, counts=BASE.counts[1:]), BASE).faults == ("decode: is not in the baseline",)


@pytest.mark.parametrize(("instructions", "faults"), [(1300, 0), (1340, 1)])
def test_under_another_compiler_the_ratio_to_wsproto_decides(instructions: float, faults: int) -> None:
    elsewhere = replace(with_count("events", instructions), environment={**BASE.environment, "compiler": "clang 19"})
    assert differences(BASE, elsewhere) == {"compiler": ("gcc 12", "clang 19")}
    assert len(compare(BASE, elsewhere).faults) == faults
    assert judge(BASE, elsewhere) == faults


def test_the_text_says_what_is_different_and_how_to_record(capsys: pytest.CaptureFixture[str]) -> None:
    judge(BASE, replace(BASE, environment={**BASE.environment, "Python": "3.13.0"}))
    told = capsys.readouterr().out
    assert "Python is '3.13.0', '3.11.2' in the baseline" in told
    assert "make instructions ARGS=--record" in told


def test_what_is_recorded_is_read_again(tmp_path: Path) -> None:
    write_baseline(BASE, tmp_path / "baseline.json")
    assert read_baseline(tmp_path / "baseline.json") == BASE


def test_the_committed_baseline_holds_both_sides() -> None:
    baseline = read_baseline()
    assert baseline.ratios()
    assert all(one.instructions > 0 for one in baseline.counts)


@pytest.mark.parametrize("word", ["totals", "summary"])
def test_the_total_of_a_file_of_callgrind_s(tmp_path: Path, word: str) -> None:
    path = tmp_path / "counts.1"
    path.write_text(f"version: 1\ndesc: Trigger: x\nevents: Ir\nfn=main\n1 5\n\n{word}: 12345\n")
    assert total(path) == 12345


def test_a_file_without_a_total_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "counts.1"
    path.write_text("version: 1\n")
    with pytest.raises(SystemExit, match="no total"):
        total(path)
