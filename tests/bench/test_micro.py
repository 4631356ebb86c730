"""What the microbenchmarks make of their runs."""

import json
from pathlib import Path

import pytest
from benchmarks.micro.compare import LIMIT, compared, drift, medians, slower, suspects, table

BASE = {"test_decode[trunkline]": 10e-6, "test_decode[wsproto]": 400e-6, "test_mask[wsproto]": 5e-6, "test_batch": 1e-6}


def times(factor: float, **changed: float) -> dict[str, float]:
    """A run in which all takes `factor` of the base's time, and some of it another factor on top."""
    return {name: seconds * factor * changed.get(name.partition("[")[0], 1.0) for name, seconds in BASE.items()}


def ratio(pairs: list[tuple[dict[str, float], dict[str, float]]], name: str) -> float:
    (row,) = [row for row in compared(pairs) if row.name == name]
    return row.ratio


def test_the_medians_are_read_as_pytest_benchmark_saves_them(tmp_path: Path) -> None:
    saved = tmp_path / "run.json"
    saved.write_text(
        json.dumps({"benchmarks": [{"name": "test_mask[wsproto]", "stats": {"median": 2e-6, "min": 1e-6}}]})
    )
    assert medians(saved) == {"test_mask[wsproto]": 2e-6}


def test_equal_cores_have_a_ratio_of_one() -> None:
    rows = compared([(times(1.0), times(1.0))] * 6)
    assert {row.ratio for row in rows} == {1.0}
    assert suspects(rows) == slower(rows) == []


def test_a_machine_that_is_slower_for_all_of_a_run_makes_nothing_slower() -> None:
    pairs = [(times(1.0), times(1.5)), (times(1.3), times(1.0)), (times(1.0), times(1.2))]
    assert drift(*pairs[0]) == pytest.approx(1.5)
    assert ratio(pairs, "test_decode[trunkline]") == pytest.approx(1.0)
    assert slower(compared(pairs)) == []


def test_what_became_slower_is_found_whatever_the_machine_does() -> None:
    pairs = [(times(1.0), times(factor, test_batch=1.2)) for factor in (0.7, 1.0, 1.6)]
    assert [row.name for row in slower(compared(pairs))] == ["test_batch"]
    assert ratio(pairs, "test_batch") == pytest.approx(1.2)


def test_a_single_bad_pair_decides_nothing() -> None:
    pairs = [(times(1.0), times(1.0))] * 5 + [(times(1.0), times(1.0, test_batch=3.0))]
    assert slower(compared(pairs)) == []


@pytest.mark.parametrize(
    ("factor", "suspicious", "found"),
    [
        (LIMIT + 0.001, True, True),
        (LIMIT - 0.001, True, False),
        (1.06, True, False),
        (1.04, False, False),
        (0.5, False, False),
    ],
)
def test_where_the_limits_are(factor: float, suspicious: bool, found: bool) -> None:
    rows = compared([(times(1.0), times(1.0, test_batch=factor))] * 6)
    assert (bool(suspects(rows)), bool(slower(rows))) == (suspicious, found)


def test_the_control_is_never_to_blame() -> None:
    head = times(1.0) | {"test_mask[wsproto]": 50e-6}
    assert [row for row in slower(compared([(times(1.0), head)])) if "wsproto" in row.name] == []


def test_only_what_both_cores_have_is_compared() -> None:
    new = times(1.0) | {"test_new": 1e-6}
    assert {row.name for row in compared([(times(1.0), new)])} == set(BASE)


def test_later_pairs_may_hold_fewer_benchmarks() -> None:
    few = {name: seconds for name, seconds in BASE.items() if name != "test_batch"}
    assert {row.name: row.pairs for row in compared([(BASE, BASE), (few, few)])}["test_batch"] == 1


def test_the_table_has_the_other_side_beside_it_and_marks_what_is_slower() -> None:
    lines = table(compared([(times(1.0), times(1.0, test_batch=1.3))] * 6), "0123456789ab").splitlines()
    assert "base (0123456789ab)" in lines[0]
    (decode,) = [line for line in lines if line.startswith("| decode ")]
    assert "40.0 × head" in decode
    (batch,) = [line for line in lines if line.startswith("| batch ")]
    assert "1.300 **slower**" in batch
    assert not [line for line in lines if "wsproto]" in line]
