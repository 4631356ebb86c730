"""Metrics that one thread records while others read them: nothing is lost, and what is told belongs together."""

import concurrent.futures
from collections.abc import Callable

import pytest

from loops import meanwhile
from trunkline._metrics import Average, Histogram, Rates, Suspicion

WRITERS, RECORDS = 3, 15_000

pytestmark = pytest.mark.usefixtures("hasty")


def write(record: Callable[[int], object]) -> None:
    """Have several threads record, each so often."""

    def work() -> None:
        for number in range(RECORDS):
            record(number)

    with concurrent.futures.ThreadPoolExecutor(WRITERS) as pool:
        for one in [pool.submit(work) for _ in range(WRITERS)]:
            one.result()


def test_a_histogram_counts_each_duration_and_each_copy_of_it_adds_up() -> None:
    histogram = Histogram()

    def read() -> None:
        copy = histogram.copy()
        assert copy.count == sum(count for _, count in copy.buckets())
        assert copy.sum == pytest.approx(copy.count * 0.5)
        together = Histogram()
        together.merge(histogram)
        assert histogram.quantile(0.5) in (None, 0.5)
        assert histogram.count_within(1.0) <= WRITERS * RECORDS

    with meanwhile(read, read):
        write(lambda _: histogram.record(0.5))
    assert histogram.count == histogram.count_within(1.0) == WRITERS * RECORDS
    assert histogram.sum == WRITERS * RECORDS / 2


def test_a_counter_is_exact_though_reading_it_moves_its_windows_on() -> None:
    rates = Rates(0.0)
    now = 0.0

    def read() -> None:
        nonlocal now
        now += 0.01  # a reader's clock is ahead of the writers', so that it is the reader who moves the windows
        assert all(total <= WRITERS * RECORDS for total in rates.totals(now))
        assert all(rate >= 0 for rate in rates.per_second(now))

    with meanwhile(read):
        write(lambda _: rates.add(now, 1))
    assert rates.total == WRITERS * RECORDS


def test_a_window_that_no_time_passes_in_loses_nothing() -> None:
    rates = Rates(0.0)
    with meanwhile(lambda: rates.totals(5.0)):
        write(lambda _: rates.add(5.0, 1))
    assert rates.totals(5.0) == (WRITERS * RECORDS,) * 3


def test_averages_and_suspicions_are_made_of_what_was_recorded() -> None:
    average, suspicion = Average(), Suspicion()

    def read() -> None:
        assert average.value in (None, 2.0)
        assert average.jitter in (None, 0.0)
        assert suspicion.phi(1.0) >= 0.0

    def record(number: int) -> None:
        average.record(2.0)
        suspicion.record(float(number))
        suspicion.touch(float(number))

    with meanwhile(read):
        write(record)
    assert average.count == suspicion.count == WRITERS * RECORDS
