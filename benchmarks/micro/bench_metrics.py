"""Record: a histogram, an average, counters."""

from collections import deque

from pytest_benchmark.fixture import BenchmarkFixture

from trunkline._metrics import Average, Histogram, Rates

CALLS = 1000


def test_histogram(benchmark: BenchmarkFixture) -> None:
    histogram, seconds = Histogram(), [1e-4 * 1.01**n for n in range(CALLS)]
    benchmark(lambda: deque(map(histogram.record, seconds), maxlen=0))
    assert histogram.count >= CALLS


def test_average(benchmark: BenchmarkFixture) -> None:
    average, seconds = Average(), [1e-4 * 1.01**n for n in range(CALLS)]
    benchmark(lambda: deque(map(average.record, seconds), maxlen=0))
    assert average.count >= CALLS


def test_counters(benchmark: BenchmarkFixture) -> None:
    rates, times, ones = Rates(1000.0), [1000 + n * 1e-5 for n in range(CALLS)], [1] * CALLS
    benchmark(lambda: deque(map(rates.add, times, ones), maxlen=0))
    assert rates.total >= CALLS
