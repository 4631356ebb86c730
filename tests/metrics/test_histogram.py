"""The histogram: its quantiles against exact ones, its merging against recording together, its edges."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline._metrics import Histogram

DURATIONS = st.lists(st.floats(min_value=0, max_value=130), min_size=1, max_size=200)
QUANTILES = [0.0, 0.01, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999, 1.0]


def recorded(durations):
    histogram = Histogram()
    for duration in durations:
        histogram.record(duration)
    return histogram


def exact(durations, q):
    """The quantile by nearest rank."""
    ordered = sorted(durations)
    return ordered[max(math.ceil(q * len(ordered)), 1) - 1]


# Round trips as they are, one by one.
LINES = {
    "loopback": lambda rng: rng.gammavariate(4, 12e-6),
    "city": lambda rng: 0.004 + rng.lognormvariate(-7, 0.8),
    "ocean": lambda rng: 0.08 + rng.expovariate(200),
    "long tail": lambda rng: min(rng.paretovariate(1.2) * 1e-4, 137.0),
}


@pytest.mark.parametrize("line", LINES)
def test_quantiles_are_within_one_percent_of_exact_ones(line):
    rng = random.Random(7)
    durations = [LINES[line](rng) for _ in range(20_000)]
    histogram = recorded(durations)
    for q in QUANTILES:
        assert histogram.quantile(q) == pytest.approx(exact(durations, q), rel=0.01, abs=1e-9), q


@given(DURATIONS, st.floats(min_value=0, max_value=1))
def test_any_quantile_of_any_durations(durations, q):
    assert recorded(durations).quantile(q) == pytest.approx(exact(durations, q), rel=0.01, abs=1e-9)


@given(DURATIONS, DURATIONS)
def test_merging_equals_recording_together(first, second):
    merged, together = recorded(first), recorded(first + second)
    merged.merge(recorded(second))
    assert merged.buckets() == together.buckets()
    assert (merged.count, merged.minimum, merged.maximum) == (together.count, together.minimum, together.maximum)
    assert [merged.quantile(q) for q in QUANTILES] == [together.quantile(q) for q in QUANTILES]
    assert merged.sum == pytest.approx(together.sum)


def test_merging_what_is_empty_changes_nothing():
    histogram = recorded([0.5])
    histogram.merge(Histogram())
    assert (histogram.count, histogram.minimum, histogram.maximum) == (1, 0.5, 0.5)
    empty = Histogram()
    empty.merge(histogram)
    assert empty.buckets() == histogram.buckets()


def test_merging_with_itself_doubles():
    histogram = recorded([0.25, 1.0])
    histogram.merge(histogram)
    assert histogram.count == 4
    assert sum(count for _, count in histogram.buckets()) == 4


def test_empty():
    histogram = Histogram()
    assert (histogram.count, histogram.sum, histogram.buckets()) == (0, 0.0, [])
    assert histogram.quantile(0.5) is histogram.minimum is histogram.maximum is histogram.mean is None
    assert histogram.count_within(1.0) == 0


@pytest.mark.parametrize("power", range(38))
def test_every_power_of_two_and_its_neighbours(power):
    for nanoseconds in {max(2**power + step, 0) for step in (-1, 0, 1)}:
        histogram = recorded([nanoseconds / 1e9])
        ((floor, count),) = histogram.buckets()
        assert count == 1
        if nanoseconds < 2**37:
            assert floor * 1e9 <= nanoseconds * (1 + 1e-9)
            assert floor * 1e9 >= nanoseconds * 63 / 64 - 1


def test_the_buckets_of_all_durations_are_in_order():
    histogram = Histogram()
    nanoseconds, total = 0, 0
    while nanoseconds < 2**37:
        histogram.record(nanoseconds / 1e9)
        total += 1
        nanoseconds += max(1, nanoseconds // 64)
    floors = [floor for floor, _ in histogram.buckets()]
    assert floors == sorted(floors)
    assert sum(count for _, count in histogram.buckets()) == total


def test_what_is_longer_than_any_bucket_is_counted_in_the_last():
    histogram = recorded([137.0, 138.0, 5000.0])
    assert histogram.maximum == 1000
    assert histogram.quantile(1.0) == pytest.approx(137, rel=0.01)
    assert sum(count for _, count in histogram.buckets()) == 3


def test_negative_durations_are_none():
    assert recorded([-0.5]).maximum == 0.0


@pytest.mark.parametrize("duration", [math.nan, math.inf, -math.inf])
def test_what_is_no_duration_is_refused(duration):
    with pytest.raises(ValueError, match="finite number of seconds"):
        Histogram().record(duration)


@pytest.mark.parametrize("q", [-0.1, 1.1, math.nan])
def test_what_is_no_share_is_refused(q):
    with pytest.raises(ValueError, match="between 0 and 1"):
        recorded([1.0]).quantile(q)


@given(DURATIONS, st.floats(min_value=0, max_value=200))
def test_counting_what_is_within_a_duration(durations, limit):
    histogram = recorded(durations)
    assert histogram.count_within(limit) <= sum(duration <= limit + 1e-9 for duration in durations)
    assert histogram.count_within(limit) >= sum(duration <= limit * 62 / 64 - 2e-9 for duration in durations)


def test_a_copy_is_apart():
    histogram = recorded([1.0])
    copied = histogram.copy()
    histogram.record(2.0)
    assert (copied.count, histogram.count) == (1, 2)


def test_clearing():
    histogram = recorded([1.0, 3.0])
    histogram.clear()
    assert histogram.buckets() == []
    histogram.record(2.0)
    assert (histogram.count, histogram.minimum, histogram.maximum, histogram.sum) == (1, 2.0, 2.0, 2.0)
