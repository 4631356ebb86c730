"""The arithmetic of the benchmarks: medians, spreads, ratios, aims and floors."""

from pathlib import Path

import pytest
from benchmarks.figures import Sample, ratio, summarize
from benchmarks.goals import GOALS, Goal, under_floor
from benchmarks.plot import PANELS
from benchmarks.scenarios import SCENARIOS
from benchmarks.store import Measured, Store


def samples(*figures: float) -> list[Sample]:
    return [Sample(figure, cpu=1e6 / figure) for figure in figures]


def test_the_median_is_not_moved_by_one_slow_round() -> None:
    assert summarize(samples(100, 10, 110)).figure == 100


def test_the_spread_is_from_the_slowest_to_the_fastest_round() -> None:
    assert summarize(samples(100, 80, 110)).spread == pytest.approx(0.3)


def test_each_column_has_a_median_of_its_own() -> None:
    of = summarize([Sample(1, cpu=5, p50=7, p99=1), Sample(2, cpu=3, p50=8, p99=2), Sample(3, cpu=4, p50=9, p99=9)])
    assert (of.figure, of.cpu, of.p50, of.p99) == (2, 4, 8, 2)


def test_a_column_that_was_not_measured_has_no_median() -> None:
    assert summarize([Sample(1)]).cpu is None


def test_a_ratio_is_over_one_for_the_faster() -> None:
    assert ratio({"a": samples(300, 310, 290), "b": samples(100)}, "a", "b", smaller_is_better=False) == 3


def test_a_ratio_is_over_one_for_the_smaller_where_smaller_is_better() -> None:
    assert ratio({"a": samples(100), "b": samples(300)}, "a", "b", smaller_is_better=True) == 3


def test_there_is_no_ratio_to_what_was_not_measured() -> None:
    assert ratio({"a": samples(1)}, "a", "b", smaller_is_better=False) is None


def test_a_case_that_is_measured_anew_is_replaced_whole(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.save("echo", "uvloop", "1,64,1", Measured({"date": "first"}, {"picows": samples(1), "C": samples(2)}))
    store.save("echo", "uvloop", "1,64,64", Measured({"date": "first"}, {"picows": samples(3)}))
    store.save("echo", "uvloop", "1,64,1", Measured({"date": "second"}, {"picows": samples(4)}))
    assert store.load("echo", "uvloop") == {
        "1,64,1": Measured({"date": "second"}, {"picows": samples(4)}),
        "1,64,64": Measured({"date": "first"}, {"picows": samples(3)}),
    }


def test_loops_are_kept_apart(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.save("echo", "asyncio", "1,64,1", Measured({}, {"C": samples(1)}))
    assert store.load("echo", "uvloop") == {}
    assert list(store.all()) == [Measured({}, {"C": samples(1)})]


@pytest.mark.parametrize("goal", GOALS, ids=str)
def test_every_aim_is_of_something_that_is_measured(goal: Goal) -> None:
    scenario = SCENARIOS[goal.scenario]
    assert scenario.case(goal.case)
    assert {goal.subject, goal.base or goal.subject} <= set(scenario.subjects)


@pytest.mark.parametrize(("name", "label"), PANELS)
def test_every_panel_of_the_picture_is_of_something_that_is_measured(name: str, label: str) -> None:
    assert SCENARIOS[name].case(label)


def test_short_runs_take_cases_that_exist() -> None:
    for scenario in SCENARIOS.values():
        assert all(scenario.case(label) for label in scenario.short)
        assert scenario.base in scenario.subjects


def test_an_aim_without_a_base_is_an_upper_limit(tmp_path: Path) -> None:
    store, goal = Store(tmp_path), Goal("memory", "5000", "aiohttp", None, 6000)
    store.save("memory", "uvloop", "5000", Measured({}, {"aiohttp": samples(6001, 5999, 6000)}))
    measured = goal.measured(store, "uvloop")
    assert measured == 6000
    assert goal.is_met(measured)
    assert not goal.is_met(measured + 1)


def test_a_ratio_under_its_floor_is_told(tmp_path: Path) -> None:
    goal = next(goal for goal in GOALS if goal.floor is not None)
    assert goal.floor is not None
    assert goal.base is not None
    store = Store(tmp_path)
    for share, told in [(1.01, 0), (0.99, 1)]:
        measured = {goal.subject: samples(goal.floor * share), goal.base: samples(1)}
        store.save(goal.scenario, "uvloop", goal.case, Measured({}, measured))
        assert len(under_floor(store, "uvloop")) == told


def test_what_was_not_measured_is_under_no_floor(tmp_path: Path) -> None:
    assert under_floor(Store(tmp_path), "uvloop") == []


def test_the_ratio_by_cpu_is_of_the_times_a_message(tmp_path: Path) -> None:
    store, goal = Store(tmp_path), Goal("echo", "1,64,1", "C", "picows", 2)
    measured = {"C": [Sample(1, cpu=2)], "picows": [Sample(1, cpu=5)]}
    store.save("echo", "uvloop", "1,64,1", Measured({}, measured))
    assert goal.measured_by_cpu(store, "uvloop") == 2.5
